"""Files of named arrays: what was written comes back, and whatever is not that is refused."""

from __future__ import annotations

import random

import numpy as np
import pytest

from vecdb.errors import DataCorruption, StorageError, UnsupportedFormat
from vecdb.storage import format
from vecdb.storage.array_file import Chunks, FileSum, read_arrays, read_sections, write_arrays
from vecdb.storage.checksum import crc32c
from vecdb.testing.faults import flip_bit, swap_pages, truncate, zero_page


def some_arrays():
    rng = np.random.default_rng(7)
    return {
        "codes": rng.integers(0, 2**64, (5, 3, 8), np.uint64),
        "factors": rng.standard_normal((2, 6), np.float32),
        "half": rng.standard_normal(2049).astype(np.float16),
        "bytes": rng.integers(0, 256, 4096, np.uint8),
        "none": np.empty((0, 4), np.float64),
        "numbers": rng.integers(-9, 9, 3, np.int64),
    }


@pytest.fixture
def written(tmp_path):
    """(path, arrays, sum) of a file."""
    arrays = some_arrays()
    path = tmp_path / "arrays"
    return path, arrays, write_arrays(path, arrays)


def assert_same(found, arrays):
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


def reseal(path, section=None, **fields):
    """Change fields of the head, or of a section, and the head's checksum with them."""
    data = bytearray(path.read_bytes())
    head = np.frombuffer(data, format.ARRAYS, 1)
    table = np.frombuffer(data, format.SECTION, int(head["sections"][0]), format.ARRAYS.itemsize)
    for name, value in fields.items():
        if section is None:
            head[name] = value
        else:
            table[section][name] = value
    head["checksum"] = crc32c(bytes(data[8 : int(head["head_bytes"][0])]))
    path.write_bytes(data)


def test_arrays_come_back_aligned_and_read_only(written):
    path, arrays, expected = written
    found = read_arrays(path, expected)
    assert_same(found, arrays)
    for array in found.values():
        assert array.size == 0 or array.ctypes.data % 4096 == 0
        assert not array.flags.writeable
        assert array.flags.c_contiguous


def test_some_arrays_are_read_without_the_others(written):
    path, arrays, _ = written
    flip_bit(path, read_sections(path)[0].offset, 0)
    found = read_arrays(path, names=["half", "numbers"])
    assert_same(found, {name: arrays[name] for name in ("half", "numbers")})
    with pytest.raises(DataCorruption, match="no array 'other'"):
        read_arrays(path, names=["other"])


def test_array_in_parts_makes_the_same_file(written, tmp_path):
    path, arrays, expected = written
    cut = {
        name: Chunks(array.dtype, array.shape, np.array_split(array, 3))
        for name, array in arrays.items()
    }
    assert write_arrays(tmp_path / "parts", cut) == expected
    assert (tmp_path / "parts").read_bytes() == path.read_bytes()


def test_strided_array_is_written_in_order(tmp_path):
    array = np.arange(40, dtype=np.int32).reshape(5, 8)[:, ::2]
    expected = write_arrays(tmp_path / "strided", {"a": array})
    assert read_arrays(tmp_path / "strided", expected)["a"].tolist() == array.tolist()


def test_many_arrays_have_a_longer_head(tmp_path):
    arrays = {f"array-{number}": np.full(3, number, np.uint16) for number in range(120)}
    expected = write_arrays(tmp_path / "many", arrays)
    assert read_sections(tmp_path / "many")[0].offset > 4096
    assert_same(read_arrays(tmp_path / "many", expected), arrays)


def test_array_larger_than_one_write_comes_back(tmp_path):
    arrays = {"large": np.arange(5 * 1024 * 1024 + 1, dtype=np.uint8)}
    assert_same(read_arrays(tmp_path / "x", write_arrays(tmp_path / "x", arrays)), arrays)


def test_file_that_exists_is_not_overwritten(written):
    path, arrays, expected = written
    with pytest.raises(FileExistsError):
        write_arrays(path, {"other": np.zeros(1)})
    assert_same(read_arrays(path, expected), arrays)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("n", np.zeros(3, np.complex64)),
        ("n", np.zeros(3, ">u4")),
        ("n", np.zeros((1, 1, 1, 1), np.uint8)),
        ("n" * 33, np.zeros(3, np.uint8)),
        ("é", np.zeros(3, np.uint8)),
        ("n", Chunks(np.dtype("u1"), (4,), [np.zeros(3, np.uint8)])),
        ("n", Chunks(np.dtype("u1"), (3,), [np.zeros(3, np.int8)])),
    ],
)
def test_array_that_has_no_place_in_the_format_is_refused(tmp_path, name, array):
    with pytest.raises(AssertionError):
        write_arrays(tmp_path / "x", {name: array})


def test_every_flipped_bit_is_found(written):
    path, _, expected = written
    size = path.stat().st_size
    rng = random.Random(3)
    inside = [rng.randrange(size) for _ in range(150)]
    for offset in [*range(0, 560, 7), *inside, size - 1]:
        bit = rng.randrange(8)
        flip_bit(path, offset, bit)
        with pytest.raises(DataCorruption) as caught:
            read_arrays(path, expected)
        assert caught.value.path == str(path)
        assert 0 <= caught.value.offset <= offset
        flip_bit(path, offset, bit)
    read_arrays(path, expected)


def test_every_zeroed_page_is_found(written):
    path, _, expected = written
    whole = path.read_bytes()
    for page in range(len(whole) // 4096):
        zero_page(path, page)
        with pytest.raises(DataCorruption) as caught:
            read_arrays(path, expected)
        assert caught.value.offset <= page * 4096
        path.write_bytes(whole)


@pytest.mark.parametrize("lost", [1, 4095, 4096, 12_288])
@pytest.mark.parametrize("known", [True, False])
def test_file_cut_short_is_found(written, lost, known):
    path, _, expected = written
    truncate(path, expected.bytes - lost)
    with pytest.raises(DataCorruption, match="bytes") as caught:
        read_arrays(path, expected if known else None)
    assert caught.value.path == str(path)


def test_longer_and_empty_and_missing_files_are_found(written):
    path, _, expected = written
    path.write_bytes(path.read_bytes() + bytes(4096))
    with pytest.raises(DataCorruption, match="expected"):
        read_arrays(path)
    path.write_bytes(b"")
    with pytest.raises(DataCorruption, match="ends after 0"):
        read_arrays(path)
    path.unlink()
    with pytest.raises(DataCorruption) as caught:
        read_arrays(path, expected)
    assert caught.value.reason == "MISSING_FILE"


def test_pages_that_changed_places_are_found(written):
    path, _, expected = written
    sections = {section.name: section.offset // 4096 for section in read_sections(path)}
    swap_pages(path, sections["codes"], sections["bytes"])
    with pytest.raises(DataCorruption, match="'codes'"):
        read_arrays(path, expected)


def test_whole_file_of_another_is_found(written, tmp_path):
    path, arrays, expected = written
    other = arrays | {"numbers": arrays["numbers"] + 1}
    other_sum = write_arrays(tmp_path / "other", other)
    assert other_sum.bytes == expected.bytes
    (tmp_path / "other").rename(path)
    with pytest.raises(DataCorruption, match="not the file that was written"):
        read_arrays(path, expected)


def test_newer_version_is_told_from_damage(written):
    path, _, _ = written
    reseal(path, version=2)
    with pytest.raises(UnsupportedFormat) as caught:
        read_arrays(path)
    assert (caught.value.found, caught.value.supported) == (2, 1)


def test_reserved_bytes_must_be_zero(written):
    path, _, _ = written
    reseal(path, reserved=np.void(b"\1" + bytes(15)))
    with pytest.raises(DataCorruption, match="reserved"):
        read_arrays(path)


def test_impossible_number_of_sections_is_damage(written):
    path, _, _ = written
    reseal(path, sections=60_000)
    with pytest.raises(DataCorruption, match="60000 sections"):
        read_arrays(path)


@pytest.mark.parametrize(
    "fields",
    [
        {"offset": 0},
        {"bytes": 8},
        {"shape_0": 4},
        {"shape_0": 2**63},
        {"axes": 0},
        {"axes": 4},
        {"dtype": 0},
        {"dtype": 10},
        {"reserved": np.void(b"\0\1")},
        {"name": np.void(b"factors".ljust(32, b"\0"))},
    ],
)
def test_section_that_cannot_be_is_damage_though_the_checksum_is_right(written, fields):
    path, _, _ = written
    reseal(path, section=0, **fields)
    with pytest.raises(DataCorruption, match=r"impossible|same name"):
        read_arrays(path)


def test_sum_is_of_the_head(written):
    path, _, expected = written
    head = path.read_bytes()[:4096]
    assert expected == FileSum(path.stat().st_size, crc32c(head[8:]))


def test_disk_that_fails_is_no_damage(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError) as caught:
        read_arrays(tmp_path / "folder")
    assert not isinstance(caught.value, DataCorruption)
