"""Pages with neighbours, and with neighbours' codes: where things lie, and that damage is found."""

from __future__ import annotations

import uuid

import numpy as np
import pytest
from google_crc32c import value as crc32c

from vecdb.errors import DataCorruption
from vecdb.storage import format
from vecdb.storage.format import LAYOUT_CODED, LAYOUT_LINKED, LAYOUT_VECTORS
from vecdb.storage.page_geometry import geometry
from vecdb.storage.pages import PageWriter, read_page_links, read_pages
from vecdb.storage.stored_pages import StoredPages
from vecdb.testing.faults import flip_bit

SEGMENT = uuid.UUID(int=7)
NONE = 0xFFFFFFFF
LAYOUTS = (LAYOUT_VECTORS, LAYOUT_LINKED, LAYOUT_CODED)
DTYPES = ("float32", "float16", "uint8")
TABLE = """
96   2  10/8/3 21/16/7 42/34/15  21/14/4 42/28/9 85/56/18  42/21/5 84/42/10 170/85/21
128  2  7/6/3 15/13/6 31/26/13   15/11/4 31/23/8 63/46/17  31/18/5 63/36/10 127/72/20
256  4  3/3/1 7/7/3 15/14/7      7/6/2 15/13/5 31/26/10    15/11/3 31/23/6 63/46/12
384  6  2/2/1 5/4/2 10/10/5      5/4/1 10/9/3 21/18/7      10/8/2 21/16/4 42/34/8
768  12 1/1/0 2/2/1 5/5/2        2/2/0 5/4/1 10/10/3       5/4/1 10/9/2 21/18/4
1024 16 0/0/0 1/1/1 3/3/2        1/1/0 3/3/1 7/7/3         3/3/0 7/7/1 15/14/3
1536 24 0/0/0 1/1/0 2/2/1        1/1/0 2/2/1 5/5/2         2/2/0 5/4/1 10/10/2
"""
"""dim, words, then vectors/linked/coded a page of 4, 8 and 16 KiB for each dtype; 0: too small."""


def cells():
    for line in TABLE.split("\n")[1:-1]:
        dim, words, *counts = line.split()
        sizes = [(dtype, size) for dtype in DTYPES for size in (4096, 8192, 16384)]
        for (dtype, size), cell in zip(sizes, counts, strict=True):
            for layout, count in zip(LAYOUTS, cell.split("/"), strict=True):
                yield int(dim), int(words), dtype, size, layout, int(count)


class Pages:
    """``count`` vectors with neighbours drawn at random: the last places of some pages are free."""

    def __init__(self, path, layout, dtype="float32", count=200, dim=37, segment=SEGMENT, seed=1):
        rng = np.random.default_rng(seed)
        self.path, self.segment, self.count = path, segment, count
        self.geometry = geometry(dim, dtype, 4096, layout, words=1)
        numbers = rng.integers(0, 256, (count, dim))
        self.rows = numbers.astype(np.uint8) if dtype == "uint8" else (numbers / 256).astype(dtype)
        blocks = -(-count // 8)
        self.codes = rng.integers(0, 2**64, (blocks, 1, 8), np.uint64)
        self.fac = rng.standard_normal((blocks, 2, 8), np.float32)
        shape = (self.geometry.pages(count), self.geometry.neighbours)
        self.links = rng.integers(0, count, shape, np.uint32)
        free = rng.integers(0, 12, len(self.links))
        self.links[np.arange(shape[1]) >= shape[1] - free[:, None]] = NONE
        self.sum = self.write([self.rows])

    def write(self, parts):
        links = self.links if self.geometry.layout else None
        writer = PageWriter(
            self.path, self.geometry, self.segment, self.count, links, self.codes, self.fac
        )
        for part in parts:
            writer.append(part)
        return writer.finish()

    def open(self):
        return StoredPages(self.path, self.geometry, self.segment, self.sum, self.count)

    def memory(self):
        """The pages, on their way from the file turned about: (memory, address of each page)."""
        pages = np.fromfile(self.path, np.uint8).reshape(-1, self.geometry.page_bytes)
        turned = np.ascontiguousarray(pages[::-1])
        size = self.geometry.page_bytes
        return turned, turned.ctypes.data + size * np.arange(len(pages))[::-1]

    def check(self, wanted=None):
        """``StoredPages.check`` of pages read, all of them if none are named."""
        memory, addresses = self.memory()
        wanted = np.arange(len(memory)) if wanted is None else np.array(wanted)
        self.open().check(addresses[wanted], wanted)


@pytest.fixture
def make(tmp_path):
    return lambda layout, name="pages", **options: Pages(tmp_path / name, layout, **options)


def test_pages_hold_as_many_as_the_design_has_them():
    compared = 0
    for dim, words, dtype, size, layout, count in cells():
        shape = geometry(dim, dtype, size, layout, words)
        where = dim, dtype, size, layout
        if shape.page_bytes > size:  # the vector has a page of its own
            assert count == 0, where
            continue
        assert shape.per_page == count, where
        compared += 1
    assert compared == 7 * 27 - 6


@pytest.mark.parametrize("layout", LAYOUTS[1:])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("dim", "words"), [(1, 1), (37, 1), (96, 2), (1025, 17), (5000, 79)])
def test_parts_of_a_page_do_not_overlap(layout, dtype, dim, words):
    for page_bytes in (None, 4096, 8192, 16384, 65536):
        shape = geometry(dim, dtype, page_bytes, layout, words)
        if shape.per_page == 0:
            continue
        alone = shape.per_page == 1 and layout == LAYOUT_LINKED
        wanted = 32 if alone else 24 * shape.per_page
        assert min(wanted, 1024) <= shape.neighbours <= 1024
        assert 64 + shape.per_page * shape.row_bytes <= shape.neighbours_at
        assert shape.neighbours_at % 4 == 0
        end = shape.neighbours_at + 4 * shape.neighbours
        if layout == LAYOUT_LINKED:
            assert (shape.codes_at, shape.bits, end <= shape.page_bytes) == (0, 0, True)
        else:
            assert (shape.neighbours % 8, shape.codes_at % 64, shape.bits) == (0, 0, 1)
            assert end <= shape.codes_at
            assert shape.codes_at + shape.neighbours * 8 * (words + 1) == shape.page_bytes


def test_published_geometry_of_sift_is_ours():
    assert geometry(128, "uint8", 4096, LAYOUT_LINKED, 2).neighbours == 432
    assert geometry(128, "uint8", 4096, LAYOUT_CODED, 2).neighbours == 120


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [1, 200])
def test_all_comes_back(make, layout, dtype, count):
    pages = make(layout, dtype=dtype, count=count)
    shape = pages.geometry
    assert np.array_equal(
        read_pages(pages.path, shape, SEGMENT, count, pages.sum).view(np.uint8),
        pages.rows.view(np.uint8),
    )
    links, blocks = read_page_links(pages.path, shape, SEGMENT, count)
    assert np.array_equal(links, pages.links)
    if layout == LAYOUT_CODED:
        codes = blocks[:, :, :8].reshape(links.shape)
        pairs = blocks[:, :, 8:].copy().view(np.float32).reshape(len(links), -1, 2, 8)
        there = links != NONE
        slots = links[there].astype(np.int64)
        assert np.array_equal(codes[there], pages.codes[slots // 8, 0, slots % 8])
        for factor in range(2):
            found = pairs[:, :, factor].reshape(links.shape)
            assert np.array_equal(found[there], pages.fac[slots // 8, factor, slots % 8])
            assert not found[~there].any()
        assert not codes[~there].any()


def test_block_of_neighbours_is_a_block_of_the_scan_plane(make, tmp_path):
    pages = make(LAYOUT_CODED)
    pages.links[:, 8:16] = np.arange(16, 24)
    pages.path = tmp_path / "again"
    pages.write([pages.rows])
    at = 4096 + pages.geometry.codes_at + 128
    expected = pages.codes[2].tobytes() + pages.fac[2].tobytes()
    assert pages.path.read_bytes()[at : at + 128] == expected


@pytest.mark.parametrize("layout", LAYOUTS[1:])
def test_file_is_the_same_however_the_rows_come(make, tmp_path, layout):
    pages = make(layout)
    once = pages.path.read_bytes()
    pages.path = tmp_path / "again"
    assert pages.write(np.array_split(pages.rows, 23)) == pages.sum
    assert pages.path.read_bytes() == once


def test_page_has_the_bytes_that_the_document_tells(make):
    pages = make(LAYOUT_CODED)
    shape = pages.geometry
    data = pages.path.read_bytes()[4096:8192]
    assert data[:4] == b"VPG1"
    assert data[4:8] == crc32c(data[8:]).to_bytes(4, "little")
    numbers = np.frombuffer(data, format.PAGE, 1)[0]
    assert (numbers["layout"], numbers["bits"], numbers["page"]) == (2, 1, 1)
    assert numbers["neighbours"] == shape.neighbours
    assert (numbers["neighbours_at"], numbers["codes_at"]) == (shape.neighbours_at, shape.codes_at)
    end = 64 + shape.per_page * shape.row_bytes
    assert data[64:end] == pages.rows[shape.per_page : 2 * shape.per_page].tobytes()
    assert data[shape.neighbours_at :][: 4 * shape.neighbours] == pages.links[1].tobytes()
    assert not any(data[end : shape.neighbours_at])
    assert not any(data[shape.neighbours_at + 4 * shape.neighbours : shape.codes_at])


def test_neighbours_that_do_not_fit_are_refused(make, tmp_path):
    pages = make(LAYOUT_LINKED)
    plain = geometry(37, "float32", 4096)
    coded = geometry(37, "float32", 4096, LAYOUT_CODED, 1)
    for shape, links in (
        (pages.geometry, None),
        (pages.geometry, pages.links[:-1]),
        (pages.geometry, pages.links[:, :-1]),
        (plain, pages.links),
        (coded, np.zeros((coded.pages(200), coded.neighbours), np.uint32)),  # without codes
    ):
        with pytest.raises(AssertionError, match="neighbours of shape"):
            PageWriter(tmp_path / "refused", shape, SEGMENT, 200, links)


# ------------------------------------------------------------------------- wherever it was read to


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_are_found_on_pages_anywhere(make, layout, dtype):
    pages = make(layout, dtype=dtype, count=203)
    pages.check()
    memory, addresses = pages.memory()
    slots = np.array([202, 0, 77, 77, 151])
    page, row = np.divmod(slots, pages.geometry.per_page)
    found = pages.open().copy_rows(addresses[page], row)
    assert (found.dtype, found.tolist()) == (pages.rows.dtype, pages.rows[slots].tolist())
    assert np.array_equal(pages.open().read_rows(30, 171), pages.rows[30:171])
    assert memory.any()  # it has lived until here


@pytest.mark.parametrize("layout", LAYOUTS)
def test_first_damaged_page_of_those_asked_for_is_named(make, layout):
    pages = make(layout, count=500)
    rng = np.random.default_rng(3)
    for at in [*range(0, 64, 7), *rng.integers(64, 4096, 30).tolist()]:
        flip_bit(pages.path, 2 * 4096 + at, at % 8)
        pages.check([0, 3])
        with pytest.raises(DataCorruption, match="page 2 has a wrong") as caught:
            pages.check([3, 2, 1])
        assert (caught.value.path, caught.value.offset) == (str(pages.path), 8192)
        flip_bit(pages.path, 2 * 4096 + at, at % 8)
    pages.check()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_page_that_is_not_the_one_asked_for_is_found(make, layout):
    pages = make(layout, count=500)
    foreign = make(layout, "foreign", count=500, segment=uuid.UUID(int=8))
    memory, addresses = pages.memory()
    others, elsewhere = foreign.memory()
    stored = pages.open()
    with pytest.raises(DataCorruption, match="page 1 has a wrong page"):
        stored.check(addresses[[0, 3]], np.array([0, 1]))
    with pytest.raises(DataCorruption, match="page 1 has a wrong segment"):
        stored.check(elsewhere[[1]], np.array([1]))
    memory[len(memory) - 1 - 2] = 0
    with pytest.raises(DataCorruption, match="page 2 has a wrong magic"):
        stored.check(addresses[[3, 2]], np.array([3, 2]))
    assert others.any()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("layout", LAYOUT_VECTORS),
        ("layout", LAYOUT_CODED),
        ("dim", 36),
        ("count", 1),
        ("neighbours", 1),
        ("bits", 1),
        ("neighbours_at", 64),
        ("codes_at", 4032),
    ],
)
def test_head_of_another_geometry_is_found_though_its_checksum_is_right(make, field, value):
    pages = make(LAYOUT_LINKED)
    data = bytearray(pages.path.read_bytes())
    head = np.frombuffer(data, format.PAGE, 1, 4096)
    head[field] = value
    head["checksum"] = crc32c(bytes(data[4104:8192]))
    pages.path.write_bytes(data)
    pages.check([0, 2])
    with pytest.raises(DataCorruption, match=rf"page 1 has a wrong {field}\."):
        pages.check([2, 1])
