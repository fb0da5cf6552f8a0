"""Pages of vectors: geometry, bytes as documented, and that no bad page passes."""

from __future__ import annotations

import random
import uuid

import numpy as np
import pytest

from vecdb.errors import DataCorruption
from vecdb.storage import format
from vecdb.storage.array_file import FileSum
from vecdb.storage.checksum import crc32c
from vecdb.storage.page_geometry import geometry
from vecdb.storage.pages import PageWriter, read_pages
from vecdb.testing.faults import flip_bit, swap_pages, truncate, zero_page

SEGMENT = uuid.UUID(int=0x0123456789ABCDEF)
DTYPES = ["float32", "float16", "uint8"]


def rows_of(count, dim, dtype, seed=1):
    rng = np.random.default_rng(seed)
    if dtype == "uint8":
        return rng.integers(0, 256, (count, dim), np.uint8)
    return rng.standard_normal((count, dim)).astype(dtype)


def write(path, rows, shape, *, parts=1, segment=SEGMENT):
    writer = PageWriter(path, shape, segment, len(rows))
    for part in np.array_split(rows, parts):
        writer.append(part)
    return writer.finish()


@pytest.fixture
def pages(tmp_path):
    """(path, geometry, rows, sum): 6 pages of 5 vectors, 3 on the last one."""
    shape = geometry(200, "float32", 4096)
    rows = rows_of(28, 200, "float32")
    return tmp_path / "pages", shape, rows, write(tmp_path / "pages", rows, shape)


def read(pages, expected=True):
    path, shape, rows, sums = pages
    return read_pages(path, shape, SEGMENT, len(rows), sums if expected else None)


@pytest.mark.parametrize(
    ("dim", "dtype", "page_bytes", "per_page"),
    [
        (1, "uint8", 4096, 4032),
        (96, "float32", 4096, 10),
        (128, "float16", 4096, 15),
        (252, "float32", 4096, 4),
        (253, "float32", 8192, 8),
        (384, "float32", 8192, 5),
        (508, "float32", 8192, 4),
        (509, "float32", 16384, 8),
        (768, "float32", 16384, 5),
        (1536, "float32", 16384, 2),
        (4080, "float32", 16384, 1),
        (4081, "float32", 20480, 1),
        (16384, "float32", 69632, 1),
        (16384, "uint8", 20480, 1),
    ],
)
def test_default_page_is_the_smallest_that_holds_four(dim, dtype, page_bytes, per_page):
    shape = geometry(dim, dtype)
    assert (shape.page_bytes, shape.per_page) == (page_bytes, per_page)


@pytest.mark.parametrize(
    ("page_bytes", "dim", "expected"),
    [(4096, 384, (4096, 2)), (16384, 96, (16384, 42)), (4096, 1024, (8192, 1))],
)
def test_page_size_may_be_chosen_if_a_vector_fits(page_bytes, dim, expected):
    shape = geometry(dim, "float32", page_bytes)
    assert (shape.page_bytes, shape.per_page) == expected


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [1, 37, 96, 1100])
@pytest.mark.parametrize("count", [1, 7, 250])
def test_vectors_come_back(tmp_path, dtype, dim, count):
    shape = geometry(dim, dtype)
    rows = rows_of(count, dim, dtype)
    sums = write(tmp_path / "p", rows, shape, parts=min(3, count))
    assert sums.bytes == shape.pages(count) * shape.page_bytes == (tmp_path / "p").stat().st_size
    vectors = read_pages(tmp_path / "p", shape, SEGMENT, count, sums)
    assert vectors.dtype == rows.dtype
    assert np.array_equal(vectors, rows)


def test_vectors_are_aligned_and_read_only(pages):
    vectors = read(pages)
    assert vectors.ctypes.data % 4096 == 0
    assert vectors.flags.c_contiguous
    assert not vectors.flags.writeable


def test_file_is_the_same_however_the_rows_come(tmp_path):
    shape = geometry(16, "float32", 4096)  # 63 a page
    rows = rows_of(63 * 1024 * 2 + 5, 16, "float32")  # over two batches of pages
    expected = write(tmp_path / "once", rows, shape)
    for name, parts in (("some", 7), ("many", 1000)):
        assert write(tmp_path / name, rows, shape, parts=parts) == expected
        assert (tmp_path / name).read_bytes() == (tmp_path / "once").read_bytes()
    assert np.array_equal(read_pages(tmp_path / "once", shape, SEGMENT, len(rows), expected), rows)


def test_page_has_the_bytes_that_the_document_tells(pages):
    path, _, rows, sums = pages
    data = path.read_bytes()
    page = data[5 * 4096 :]
    assert page[:4] == b"VPG1"
    assert page[4:8] == crc32c(page[8:]).to_bytes(4, "little")
    assert page[8:24] == SEGMENT.bytes
    assert page[24:32] == (5).to_bytes(8, "little")
    assert page[32:64].hex() == "01000001c800000003000500" + "00" * 20
    assert page[64 : 64 + 3 * 800] == rows[25:].tobytes()
    assert not any(page[64 + 3 * 800 :])
    listed = b"".join(data[at + 4 : at + 8] for at in range(0, len(data), 4096))
    assert sums == FileSum(len(data), crc32c(listed))


def test_rows_that_do_not_fit_are_refused(tmp_path):
    shape = geometry(4, "float32")
    with pytest.raises(AssertionError):
        PageWriter(tmp_path / "a", shape, SEGMENT, 3).append(np.zeros((1, 4)))
    with pytest.raises(AssertionError):
        PageWriter(tmp_path / "b", shape, SEGMENT, 3).append(np.zeros((1, 5), np.float32))
    with pytest.raises(AssertionError):
        PageWriter(tmp_path / "c", shape, SEGMENT, 3).append(np.zeros((4, 4), np.float32))
    short = PageWriter(tmp_path / "d", shape, SEGMENT, 3)
    short.append(np.zeros((2, 4), np.float32))
    with pytest.raises(AssertionError):
        short.finish()
    short.close()


def test_every_flipped_bit_is_found_at_its_page(pages):
    path, _, _, sums = pages
    rng = random.Random(5)
    heads = [page * 4096 + at for page in (0, 3) for at in range(64)]
    for offset in [*heads, *(rng.randrange(sums.bytes) for _ in range(150))]:
        bit = rng.randrange(8)
        flip_bit(path, offset, bit)
        with pytest.raises(DataCorruption) as caught:
            read(pages, expected=False)
        assert (caught.value.path, caught.value.offset) == (str(path), offset // 4096 * 4096)
        flip_bit(path, offset, bit)
    read(pages)


@pytest.mark.parametrize("page", range(6))
def test_zeroed_page_is_found(pages, page):
    zero_page(pages[0], page)
    with pytest.raises(DataCorruption, match=f"page {page} has a wrong magic") as caught:
        read(pages)
    assert caught.value.offset == page * 4096


def test_first_of_several_bad_pages_is_named(pages):
    for page in (4, 1, 5):
        flip_bit(pages[0], page * 4096 + 1000, 2)
    with pytest.raises(DataCorruption, match="page 1 has a wrong checksum"):
        read(pages)


def test_pages_that_changed_places_are_found(pages):
    swap_pages(pages[0], 1, 3)
    with pytest.raises(DataCorruption, match="page 1 has a wrong page"):
        read(pages)


def test_page_of_another_segment_is_found(pages, tmp_path):
    path, shape, rows, _ = pages
    other = tmp_path / "other"
    write(other, rows, shape, segment=uuid.UUID(int=9))
    data, foreign = bytearray(path.read_bytes()), other.read_bytes()
    data[8192:12288] = foreign[8192:12288]
    path.write_bytes(data)
    with pytest.raises(DataCorruption, match="page 2 has a wrong segment") as caught:
        read(pages)
    assert caught.value.offset == 8192


def test_old_page_of_the_same_segment_is_found_by_the_sum(pages, tmp_path):
    path, shape, rows, _ = pages
    changed = rows.copy()
    changed[0] += 1
    path.unlink()
    write(path, changed, shape)
    read(pages, expected=False)
    with pytest.raises(DataCorruption, match="not the file that was written"):
        read(pages)


@pytest.mark.parametrize("size", [0, 1, 4096, 6 * 4096 - 1, 5 * 4096])
def test_file_cut_short_is_found(pages, size):
    truncate(pages[0], size)
    with pytest.raises(DataCorruption, match="ends after") as caught:
        read(pages)
    assert caught.value.offset == size


def test_file_with_a_page_too_many_is_found(pages):
    path = pages[0]
    path.write_bytes(path.read_bytes() + bytes(4096))
    with pytest.raises(DataCorruption, match="expected 24576"):
        read(pages)


def test_page_with_another_geometry_is_found(pages):
    path, _, rows, _ = pages
    for shape in (geometry(100, "float32", 4096), geometry(400, "float16", 4096)):
        with pytest.raises(DataCorruption, match="wrong"):
            read_pages(path, shape, SEGMENT, len(rows))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("reserved", np.void(b"\0\0\1\0\0\0\0\0")),
        ("version", 2),
        ("layout", 1),
        ("dtype", 2),
        ("dim", 100),
        ("count", 4),
        ("per_page", 6),
        ("neighbours", 1),
        ("bits", 4),
        ("neighbours_at", 64),
        ("codes_at", 64),
    ],
)
def test_page_with_another_head_is_found_though_its_checksum_is_right(pages, field, value):
    path, shape, rows, _ = pages
    data = bytearray(path.read_bytes())
    head = np.frombuffer(data, format.PAGE, 1)
    head[field] = value
    head["checksum"] = crc32c(bytes(data[8:4096]))
    path.write_bytes(data)
    with pytest.raises(DataCorruption, match=rf"page 0 has a wrong {field}\."):
        read_pages(path, shape, SEGMENT, len(rows))
