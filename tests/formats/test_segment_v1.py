"""Segments that version 1 wrote are read the same for ever, and version 1 is still written so."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from vecdb.storage.columns import STATE_LIST, STATE_MISSING, STATE_NULL, STATE_VALUE
from vecdb.storage.segment_check import verify_segment
from vecdb.storage.segment_files import (
    read_codes,
    read_column,
    read_ids,
    read_info,
    read_tree,
    read_vectors,
    segment_folder,
)

STORED = Path(__file__).with_name("segment_v1")
CHECKSUMS = {"texts": 0x472D562F, "integers": 0x3BFE3E6D}
"""Of ``segment.json``, which has those of all other files."""


def load_golden():
    path = Path(__file__).with_name("golden.py")
    spec = importlib.util.spec_from_file_location("golden", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["golden"] = module  # a dataclass looks its module up
    spec.loader.exec_module(module)
    return module


golden = load_golden()


@pytest.fixture(params=CHECKSUMS)
def content(request):
    return golden.CONTENTS[request.param]()


@pytest.fixture
def checksum(request, content):
    return CHECKSUMS[request.node.callspec.params["content"]]


@pytest.fixture
def info(content, checksum):
    return read_info(STORED, content.info.uuid, checksum)


def files_below(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_writer_of_today_makes_the_same_bytes(content, checksum, tmp_path):
    assert content.write(tmp_path)[1] == checksum
    stored = files_below(segment_folder(STORED, content.info.uuid))
    assert files_below(segment_folder(tmp_path, content.info.uuid)) == stored
    assert len(stored) == 5 + len(content.columns)


def test_what_segment_json_says_is_read(content, info):
    assert {name: getattr(info, name) for name in info.__slots__ if name != "files"} == {
        name: getattr(content.info, name) for name in info.__slots__ if name != "files"
    }


def test_vectors_are_read(content, info):
    assert read_vectors(STORED, info).tobytes() == content.vectors.tobytes()


def test_codes_are_read(content, info):
    found = read_codes(STORED, info)
    for name, array in content.codes.items():
        stored = getattr(found, name)
        assert (stored is None) is (array is None)
        if array is not None:
            assert (stored.dtype, stored.shape) == (array.dtype, array.shape)
            assert stored.tobytes() == array.tobytes()


def test_ids_and_origins_are_read(content, info):
    ids, origins = read_ids(STORED, info)
    assert list(ids.take(np.arange(info.count))) == list(content.ids)
    assert origins.tolist() == content.origins.tolist()


def test_tree_is_read(content, info):
    found = read_tree(STORED, info)
    assert list(found) == list(content.tree)
    for name, array in content.tree.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()


def test_columns_are_read():
    content = golden.CONTENTS["texts"]()
    info = read_info(STORED, content.info.uuid, CHECKSUMS["texts"])
    times, words = read_column(STORED, info, 0), read_column(STORED, info, 1)
    assert times.state.tolist() == [
        STATE_MISSING, STATE_NULL, STATE_VALUE, STATE_LIST, STATE_LIST,
    ] * 9  # fmt: skip
    assert times.ends[:6].tolist() == [0, 0, 1, 3, 3, 3]
    assert times.values.tolist() == [1_700_000_000_000_000, -1, 0] * 9
    assert words.words == ("de", "fr", "ελ")
    assert words.ends[:6].tolist() == [1, 3, 3, 4, 4, 5]
    assert words.values.tolist() == [0, 1, 0, 2] * 9


def test_checker_finds_nothing_wrong(content, checksum):
    assert list(verify_segment(STORED, content.row(checksum))) == []
