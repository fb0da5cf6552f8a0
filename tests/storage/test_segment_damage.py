"""No damage to a segment's files goes unnoticed, and none is told of the wrong file."""

from __future__ import annotations

import os
import random
import uuid
from dataclasses import replace

import numpy as np
import pytest

from vecdb.errors import DataCorruption, UnsupportedFormat
from vecdb.storage.array_file import write_arrays
from vecdb.storage.checksum import crc32c
from vecdb.storage.segment_check import verify_segment
from vecdb.storage.segment_files import read_info
from vecdb.testing.faults import flip_bit, truncate, zero_page

FILES = ["codes", "columns/0", "columns/1", "ids", "segment.json", "tree", "vectors.pages"]


def damage_found(written, name):
    """Reading raises, naming the file; the checker tells it; nothing else is affected."""
    path = str(written.folder / name)
    with pytest.raises(DataCorruption) as caught:
        written.read_all()
    assert caught.value.path == path
    (fault,) = written.faults()
    assert path in fault
    return caught.value


@pytest.mark.parametrize("name", FILES)
def test_flipped_bit_in_any_file_is_found(written, name):
    path = written.folder / name
    rng = random.Random(name)
    for offset in [
        0,
        path.stat().st_size - 1,
        *(rng.randrange(path.stat().st_size) for _ in "12345678"),
    ]:
        bit = rng.randrange(8)
        flip_bit(path, offset, bit)
        assert 0 <= damage_found(written, name).offset <= offset
        flip_bit(path, offset, bit)
    written.read_all()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", ["zero", "cut", "empty", "longer", "missing"])
def test_other_damage_to_any_file_is_found(written, name, harm):
    path = written.folder / name
    if harm == "zero":
        zero_page(path, 0)
    elif harm == "missing":
        path.unlink()
    elif harm == "longer":
        path.write_bytes(path.read_bytes() + b"\0")
    else:
        truncate(path, path.stat().st_size - 1 if harm == "cut" else 0)
    damage_found(written, name)


@pytest.mark.parametrize("name", FILES)
def test_file_of_another_segment_is_found(new_segment, name):
    written, other = new_segment(1).write(), new_segment(2, seed=2).write()
    other_name = {"columns/0": "columns/1", "columns/1": "columns/0"}.get(name, name)
    os.replace(other.folder / other_name, written.folder / name)
    damage_found(written, name)


@pytest.mark.parametrize(
    "pair", [("codes", "tree"), ("ids", "columns/0"), ("columns/0", "columns/1")]
)
def test_files_that_changed_places_are_found(written, pair):
    first, second = (written.folder / name for name in pair)
    aside = first.with_name("aside")
    first.rename(aside)
    second.rename(first)
    aside.rename(second)
    with pytest.raises(DataCorruption) as caught:
        written.read_all()
    assert caught.value.path in (str(first), str(second))
    assert len(written.faults()) == 2


def test_other_json_that_is_whole_is_found(written):
    path = written.folder / "segment.json"
    path.write_bytes(replace(written.info, sequence=8).to_json())
    damage_found(written, "segment.json")


def test_json_of_a_newer_version_is_refused_as_such(written):
    path = written.folder / "segment.json"
    text = path.read_bytes().replace(b'"version": 1\n}', b'"version": 3\n}')
    path.write_bytes(text)
    with pytest.raises(UnsupportedFormat):
        read_info(written.root, written.uuid, crc32c(text))


@pytest.mark.parametrize("harm", ["uuid", "files"])
def test_json_of_something_else_is_found_though_its_checksum_is_right(written, harm):
    files = {name: sums for name, sums in written.info.files.items() if name != "tree"}
    reseal(written, **({"files": files} if harm == "files" else {"uuid": uuid.UUID(int=9)}))
    with pytest.raises(DataCorruption, match="does not describe"):
        written.read_all()


def rewrite(written, name, arrays):
    """Replace a file of arrays by one that is whole, and make the sums right."""
    path = written.folder / name
    path.unlink()
    files = written.info.files | {name: write_arrays(path, arrays)}
    reseal(written, files=files)


def reseal(written, **fields):
    written.info = replace(written.info, **fields)
    text = written.info.to_json()
    (written.folder / "segment.json").write_bytes(text)
    written.checksum = crc32c(text)


@pytest.mark.parametrize(
    ("name", "arrays"),
    [
        ("codes", {"codes": np.zeros((6, 2, 8), np.uint64)}),
        ("ids", {"origins": np.zeros(45, np.uint64), "ids": np.zeros(45, np.int64)}),
        ("tree", {"lo": np.zeros(2, np.uint32)}),
        ("columns/1", {"state": np.zeros(45, np.uint8)}),
    ],
)
def test_arrays_that_do_not_fit_the_segment_are_found(written, name, arrays):
    rewrite(written, name, arrays)
    damage_found(written, name)


@pytest.mark.parametrize(("name", "dtype"), [("codes", np.int64), ("fac", np.float64)])
def test_codes_of_another_type_are_found(written, name, dtype):
    arrays = {
        "mean": np.zeros(100, np.float32),
        "codes": written.codes,
        "fac": written.fac,
        "refine": written.refine,
    }
    rewrite(written, "codes", arrays | {name: arrays[name].astype(dtype)})
    assert f"'{name}'" in damage_found(written, "codes").message


def test_checker_finds_what_checksums_cannot(new_segment):
    written = new_segment(texts=False)
    written.codes[-1, 0, 7] = 1
    written.ids[3] = written.ids[4]
    written.origins[0] = 7
    written.origins[1] = written.origins[2]
    written.write()
    (written.folder / "stray").touch()
    found = [fault.split(": ", 1)[1] for fault in written.faults()]
    assert found == [
        "codes of lanes behind the last slot are not zero",
        "two slots have the same id",
        "two slots have the same origin",
        "its origins do not begin and end as the manifest says",
        "file stray does not belong to it",
    ]


def test_checker_compares_the_manifest_with_the_segment(written):
    row = replace(written.row, count=45 + 1, sequence=8)
    found = list(verify_segment(written.root, row))
    assert [fault.split(": ", 1)[1] for fault in found] == [
        "the manifest has another count than its segment.json",
        "the manifest has another sequence than its segment.json",
    ]
