"""``vectors.pages``: the vectors of a segment in slot order, each page with a head and a checksum.

Slot s lies on page ``s // per_page``; page p begins at offset ``p * page_bytes``. All pages but the
last are full. There is no head of the file: what it takes to read it is in ``segment.json``.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..schema import DTYPES
from .array_file import FileSum
from .checksum import crc32c_of
from .files import READ_BYTES, WRITE_BYTES, NewFile, StoredFile, aligned_bytes, damaged_part
from .format import ALIGNMENT, DTYPE_CODES, LAYOUT_VECTORS, PAGE, PAGE_MAGIC, SEGMENT_VERSION

PAGE_SIZES = (4096, 8192, 16384)
_WANTED_PER_PAGE = 4  # fewer, and a page read for one vector brings too little else
_COVERED = 8  # the checksum is of what follows it


@dataclass(frozen=True, slots=True)
class PageGeometry:
    """How vectors lie on pages; made by ``geometry``."""

    dim: int
    dtype: str
    page_bytes: int
    per_page: int

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        return DTYPES[self.dtype]

    @property
    def row_bytes(self) -> int:
        return self.dim * self.numpy_dtype.itemsize

    def pages(self, count: int) -> int:
        """How many pages hold ``count`` vectors."""
        return -(-count // self.per_page)

    def view(self, memory: NDArray[np.uint8]) -> NDArray[Any]:
        """The vectors in the memory of whole pages: [pages, per_page, dim], no copy."""
        size = self.numpy_dtype.itemsize
        return np.ndarray(
            (len(memory) // self.page_bytes, self.per_page, self.dim),
            self.numpy_dtype,
            memory,
            PAGE.itemsize,
            (self.page_bytes, self.row_bytes, size),
        )

    def heads(self, memory: NDArray[np.uint8]) -> NDArray[Any]:
        """The heads in the memory of whole pages: [pages] of ``PAGE``, no copy."""
        pages = len(memory) // self.page_bytes
        return np.ndarray((pages,), PAGE, memory, 0, (self.page_bytes,))


def geometry(dim: int, dtype: str, page_bytes: int | None = None) -> PageGeometry:
    """Pages of ``page_bytes``; None: the smallest size that holds four vectors, 16 KiB at most.

    A vector that does not fit such a page by itself gets a page as large as it takes.
    """
    row = dim * DTYPES[dtype].itemsize
    if page_bytes is None:
        fitting = (size for size in PAGE_SIZES if _fit(size, row) >= _WANTED_PER_PAGE)
        page_bytes = next(fitting, PAGE_SIZES[-1])
    if _fit(page_bytes, row) == 0:
        page_bytes = -(-(PAGE.itemsize + row) // ALIGNMENT) * ALIGNMENT
    return PageGeometry(dim, dtype, page_bytes, _fit(page_bytes, row))


def _fit(page_bytes: int, row_bytes: int) -> int:
    return (page_bytes - PAGE.itemsize) // row_bytes


class PageWriter:
    """Writes the file of ``count`` vectors, which come in slot order in parts of any size.

    Used by one thread; ``finish`` or ``close`` ends it.
    """

    def __init__(self, path: Path, geometry: PageGeometry, segment: uuid.UUID, count: int) -> None:
        self._geometry = geometry
        self._count = count
        self._rows = 0  # appended so far
        self._pages = 0  # written so far
        self._filled = 0  # rows in the batch
        self._checksum = 0
        batch = min(max(1, WRITE_BYTES // geometry.page_bytes), geometry.pages(count))
        self._memory = np.zeros(batch * geometry.page_bytes, np.uint8)
        self._heads = geometry.heads(self._memory)
        self._view = geometry.view(self._memory)
        self._heads["magic"] = PAGE_MAGIC
        self._heads["segment"] = np.void(segment.bytes)
        self._heads["version"] = SEGMENT_VERSION
        self._heads["layout"] = LAYOUT_VECTORS
        self._heads["dtype"] = DTYPE_CODES[geometry.numpy_dtype.str]
        self._heads["dim"] = geometry.dim
        self._heads["per_page"] = geometry.per_page
        self._file = NewFile(path)

    def append(self, rows: NDArray[Any]) -> None:
        """Add vectors [m, dim] of the geometry's dtype."""
        shape = (len(rows), self._geometry.dim)
        if rows.dtype != self._geometry.numpy_dtype or rows.shape != shape:
            raise AssertionError(f"rows of {rows.dtype}, shape {rows.shape}, for {self._geometry}")
        self._rows += len(rows)
        if self._rows > self._count:
            raise AssertionError(f"{self._rows} rows for a file of {self._count}")
        per_page = self._geometry.per_page
        while len(rows):
            page, first = divmod(self._filled, per_page)
            if first or len(rows) < per_page:
                taken = min(per_page - first, len(rows))
                self._view[page, first : first + taken] = rows[:taken]
            else:
                whole = min(len(rows) // per_page, len(self._view) - page)
                taken = whole * per_page
                parts = rows[:taken].reshape(whole, per_page, self._geometry.dim)
                self._view[page : page + whole] = parts
            self._filled += taken
            rows = rows[taken:]
            if self._filled == len(self._view) * per_page:
                self._write_batch()

    def finish(self) -> FileSum:
        """Write what is left, sync and close."""
        if self._rows != self._count:
            raise AssertionError(f"{self._rows} rows for a file of {self._count}")
        if self._filled:
            self._clear_rest()
            self._write_batch()
        return FileSum(self._file.finish(), self._checksum)

    def close(self) -> None:
        """Give the file up, as it is; after ``finish`` nothing happens."""
        self._file.__exit__()

    def _clear_rest(self) -> None:
        """Zeros behind the last vector: the batch before has left its own there."""
        page, first = divmod(self._filled, self._geometry.per_page)
        if first:
            self._view[page, first:] = 0

    def _write_batch(self) -> None:
        size = self._geometry.page_bytes
        pages = self._geometry.pages(self._filled)
        heads = self._heads[:pages]
        heads["page"] = np.arange(self._pages, self._pages + pages)
        heads["count"] = self._geometry.per_page
        heads["count"][-1] = self._filled - (pages - 1) * self._geometry.per_page
        memory = self._memory[: pages * size]
        heads["checksum"] = _page_checksums(memory, size)
        self._checksum = crc32c_of(_list_bytes(heads), self._checksum)
        self._file.append(memory)
        self._pages += pages
        self._filled = 0


def read_pages(
    path: Path,
    geometry: PageGeometry,
    segment: uuid.UUID,
    count: int,
    expected: FileSum | None = None,
) -> NDArray[Any]:
    """All vectors in memory, read-only: [count, dim], without the pages' heads and gaps.

    Every page is verified; ``DataCorruption`` names the first bad one. Gaps are left out because
    reading past half a kilobyte of them, page after page, takes twice as long as reading on.
    """
    size = geometry.page_bytes
    pages = geometry.pages(count)
    vectors = aligned_bytes(count * geometry.row_bytes).view(geometry.numpy_dtype)
    vectors = vectors.reshape(count, geometry.dim)
    step = max(1, READ_BYTES // size)
    memory = aligned_bytes(min(step, pages) * size)
    checksum = 0
    with StoredFile(path) as file:
        for start in range(0, pages, step):
            part = memory[: min(step, pages - start) * size]
            file.read_into(part, start * size)
            _verify(path, geometry, segment, count, part, start)
            checksum = crc32c_of(_list_bytes(geometry.heads(part)), checksum)
            rows = geometry.view(part).reshape(-1, geometry.dim)
            first = start * geometry.per_page
            last = min(count, first + len(rows))
            vectors[first:last] = rows[: last - first]
            if rows[last - first :].any():
                raise damaged_part(
                    path, (pages - 1) * size, "what stands behind the last vector is not zero"
                )
        file.expect_size(pages * size)
    if expected is not None and expected != FileSum(pages * size, checksum):
        raise damaged_part(
            path,
            -1,
            f"it is not the file that was written: its pages make {checksum:#010x}, "
            f"expected {expected.crc32c:#010x}",
        )
    vectors.flags.writeable = False
    return vectors


def _verify(
    path: Path,
    geometry: PageGeometry,
    segment: uuid.UUID,
    count: int,
    memory: NDArray[np.uint8],
    first: int,
) -> None:
    """Raise ``DataCorruption`` at the first page that is not page ``first + i`` of the segment."""
    size = geometry.page_bytes
    heads = geometry.heads(memory)
    numbers = np.arange(first, first + len(heads))
    right = {
        "magic": PAGE_MAGIC,
        "checksum": _page_checksums(memory, size),
        "segment": np.void(segment.bytes),
        "page": numbers,
        "version": SEGMENT_VERSION,
        "layout": LAYOUT_VECTORS,
        "dtype": DTYPE_CODES[geometry.numpy_dtype.str],
        "dim": geometry.dim,
        "count": np.minimum(geometry.per_page, count - numbers * geometry.per_page),
        "per_page": geometry.per_page,
        "neighbours": 0,
        "bits": 0,
        "neighbours_at": 0,
        "codes_at": 0,
        "reserved": np.void(bytes(PAGE["reserved"].itemsize)),
    }
    bad = {name: np.flatnonzero(heads[name] != value) for name, value in right.items()}
    found = [(int(pages[0]), name) for name, pages in bad.items() if len(pages)]
    if found:
        page = min(page for page, _ in found)
        wrong = [name for at, name in found if at == page]
        raise damaged_part(
            path, (first + page) * size, f"page {first + page} has a wrong {', '.join(wrong)}"
        )


def _page_checksums(memory: NDArray[np.uint8], page_bytes: int) -> NDArray[np.uint32]:
    starts = range(_COVERED, len(memory), page_bytes)
    sums = (crc32c_of(memory[at : at + page_bytes - _COVERED]) for at in starts)
    return np.fromiter(sums, np.uint32, len(starts))


def _list_bytes(heads: NDArray[Any]) -> NDArray[np.uint8]:
    """The list of the pages' checksums, as it is summed up in ``FileSum``."""
    return np.ascontiguousarray(heads["checksum"], "<u4").view(np.uint8)
