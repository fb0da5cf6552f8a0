"""Segments with a graph, as version 2 wrote them, are read the same for ever."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from vecdb.storage.segment_files import (
    map_codes,
    map_graph,
    open_pages,
    read_graph,
    read_info,
    read_neighbours,
    read_vectors,
    segment_folder,
)

STORED = Path(__file__).with_name("segment_v2")
CHECKSUMS = {"linked": 0x321A7F72, "coded": 0x2DC9E7AC}
"""Of ``segment.json``, which has those of all other files."""


def load_golden():
    path = Path(__file__).with_name("golden_graph.py")
    spec = importlib.util.spec_from_file_location("golden_graph", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["golden_graph"] = module
    spec.loader.exec_module(module)
    return module


golden = load_golden()


@pytest.fixture(params=CHECKSUMS)
def name(request):
    return request.param


@pytest.fixture
def content(name):
    return golden.CONTENTS[name]()


@pytest.fixture
def info(name, content):
    return read_info(STORED, content.info.uuid, CHECKSUMS[name])


def files_below(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_writer_of_today_makes_the_same_bytes(name, content, tmp_path):
    assert content.write(tmp_path)[1] == CHECKSUMS[name]
    stored = files_below(segment_folder(STORED, content.info.uuid))
    assert files_below(segment_folder(tmp_path, content.info.uuid)) == stored


def test_what_segment_json_says_of_the_graph_is_read(content, info):
    assert (info.graph, info.layout) == (content.info.graph, content.info.layout)
    assert info.per_page == content.shape.per_page


def test_links_are_read_and_mapped(content, info):
    np.testing.assert_array_equal(read_graph(STORED, info), content.links)
    links, _ = map_graph(STORED, info)
    np.testing.assert_array_equal(links, content.links)
    codes, _ = map_codes(STORED, info)
    np.testing.assert_array_equal(codes.codes, content.content.codes["codes"])


def test_vectors_are_read_from_pages_that_hold_more(content, info):
    assert read_vectors(STORED, info).tobytes() == content.content.vectors.tobytes()
    pages = open_pages(STORED, info)
    some = pages.read_rows(3, info.count)
    assert some.tobytes() == content.content.vectors[3:].tobytes()


def test_neighbours_and_their_codes_are_on_the_pages(name, content, info):
    links, blocks = read_neighbours(STORED, info)
    np.testing.assert_array_equal(links, content.neighbours)
    if name == "linked":
        assert blocks.size == 0
        return
    codes, fac = (content.content.codes[part] for part in ("codes", "fac"))
    words = codes.shape[1]
    for page, row in enumerate(links):
        for place, slot in enumerate(row):
            block = blocks[page, place // 8]
            code = block[: 8 * words].reshape(words, 8)[:, place % 8]
            pair = block[8 * words :].view(np.float32).reshape(2, 8)[:, place % 8]
            if slot == golden.NONE:
                assert not code.any()
                assert not pair.any()
            else:
                assert code.tolist() == codes[slot // 8, :, slot % 8].tolist()
                assert pair.tolist() == fac[slot // 8, :, slot % 8].tolist()
