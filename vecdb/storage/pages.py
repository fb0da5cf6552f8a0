"""``vectors.pages``: the vectors of a segment in slot order, each page with a head and a checksum.

Slot s lies on page ``s // per_page``; page p begins at offset ``p * page_bytes``. All pages but the
last are full. There is no head of the file: what it takes to read it is in ``segment.json``.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.crc32c import page_checksums
from .array_file import FileSum
from .checksum import crc32c_of
from .files import READ_BYTES, WRITE_BYTES, NewFile, StoredFile, aligned_bytes, damaged_part
from .format import LAYOUT_CODED
from .page_geometry import LANES, PageGeometry

COVERED = 8  # the checksum is of what follows it
_NO_SLOT = 0xFFFFFFFF


class PageWriter:
    """Writes the file of ``count`` vectors, which come in slot order in parts of any size.

    - ``links``: uint32[pages, geometry.neighbours], the end of a row filled with 0xFFFFFFFF, for
      layouts that name neighbours
    - ``codes``, ``fac``: the scan plane of all slots, for layout coded

    Used by one thread; ``finish`` or ``close`` ends it.
    """

    def __init__(
        self,
        path: Path,
        geometry: PageGeometry,
        segment: uuid.UUID,
        count: int,
        links: NDArray[np.uint32] | None = None,
        codes: NDArray[np.uint64] | None = None,
        fac: NDArray[np.float32] | None = None,
    ) -> None:
        shape = None if links is None else links.shape
        wanted = (geometry.pages(count), geometry.neighbours) if geometry.layout else None
        if shape != wanted or (geometry.layout == LAYOUT_CODED and (codes is None or fac is None)):
            raise AssertionError(f"neighbours of shape {shape} for {geometry}")
        self._links, self._codes, self._fac = links, codes, fac
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
        for name, value in geometry.head_values(segment).items():
            self._heads[name] = value
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
        if self._links is not None:
            self._write_links(memory, self._links[self._pages : self._pages + pages])
        heads["checksum"] = _page_checksums(memory, size)
        self._checksum = crc32c_of(_list_bytes(heads), self._checksum)
        self._file.append(memory)
        self._pages += pages
        self._filled = 0

    def _write_links(self, memory: NDArray[np.uint8], links: NDArray[np.uint32]) -> None:
        """Neighbours of the pages in ``memory``, and their codes in layout coded."""
        self._geometry.links(memory)[...] = links
        if self._codes is None or self._fac is None or self._geometry.layout != LAYOUT_CODED:
            return
        present = links != _NO_SLOT
        slots = np.where(present, links, 0).astype(np.int64)
        block, lane = slots // LANES, slots % LANES
        codes = self._codes[block, :, lane] * present[..., None]
        pairs = np.where(present[..., None], self._fac[block, :, lane], np.float32(0))
        words = self._geometry.words
        blocks = self._geometry.blocks(memory)
        shape = (len(links), -1, LANES)
        blocks[:, :, : LANES * words] = (
            codes.reshape(*shape, words)
            .transpose(0, 1, 3, 2)
            .reshape(len(links), -1, LANES * words)
        )
        lanes = np.ascontiguousarray(pairs.reshape(*shape, 2).transpose(0, 1, 3, 2))
        blocks[:, :, LANES * words :] = lanes.reshape(len(links), -1, 2 * LANES).view(np.uint64)


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
    vectors = aligned_bytes(count * geometry.row_bytes).view(geometry.numpy_dtype)
    vectors = vectors.reshape(count, geometry.dim)
    for start, part in _parts(path, geometry, segment, count, expected):
        rows = geometry.view(part).reshape(-1, geometry.dim)
        first = start * geometry.per_page
        last = min(count, first + len(rows))
        vectors[first:last] = rows[: last - first]
    vectors.flags.writeable = False
    return vectors


def verify_pages(
    path: Path,
    geometry: PageGeometry,
    segment: uuid.UUID,
    count: int,
    expected: FileSum | None = None,
) -> None:
    """As ``read_pages``, without keeping anything."""
    for _ in _parts(path, geometry, segment, count, expected):
        pass


def read_page_links(
    path: Path, geometry: PageGeometry, segment: uuid.UUID, count: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
    """The neighbours named on each page, [pages, neighbours], and the blocks of their codes."""
    links = np.empty((geometry.pages(count), geometry.neighbours), np.uint32)
    parts = []
    for start, part in _parts(path, geometry, segment, count, None):
        found = geometry.links(part)
        links[start : start + len(found)] = found
        if geometry.layout == LAYOUT_CODED:
            parts.append(geometry.blocks(part).copy())
    blocks = np.concatenate(parts) if parts else np.empty((len(links), 0, 0), np.uint64)
    return links, blocks


def _parts(
    path: Path,
    geometry: PageGeometry,
    segment: uuid.UUID,
    count: int,
    expected: FileSum | None,
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """(first page, verified memory of pages) of the file, piece by piece, in one buffer."""
    size = geometry.page_bytes
    pages = geometry.pages(count)
    step = max(1, READ_BYTES // size)
    memory = aligned_bytes(min(step, pages) * size)
    checksum = 0
    with StoredFile(path) as file:
        for start in range(0, pages, step):
            part = memory[: min(step, pages - start) * size]
            file.read_into(part, start * size)
            _verify(path, geometry, segment, count, part, start)
            checksum = crc32c_of(_list_bytes(geometry.heads(part)), checksum)
            behind = geometry.view(part).reshape(-1, geometry.dim)
            if behind[max(0, count - start * geometry.per_page) :].any():
                raise damaged_part(
                    path, (pages - 1) * size, "what stands behind the last vector is not zero"
                )
            yield start, part
        file.expect_size(pages * size)
    if expected is not None and expected != FileSum(pages * size, checksum):
        raise damaged_part(
            path,
            -1,
            f"it is not the file that was written: its pages make {checksum:#010x}, "
            f"expected {expected.crc32c:#010x}",
        )


def page_faults(
    path: Path,
    geometry: PageGeometry,
    segment: uuid.UUID,
    count: int,
    heads: NDArray[Any],
    checksums: NDArray[np.uint32],
    pages: NDArray[np.int64],
) -> None:
    """Raise ``DataCorruption`` at the first that is not the page of that number of the segment.

    - ``heads``: [m] of ``format.PAGE``; ``checksums``: of what stands there; ``pages``: [m]
    """
    right = geometry.head_values(segment) | {
        "checksum": checksums,
        "page": pages,
        "count": np.minimum(geometry.per_page, count - pages * geometry.per_page),
    }
    expected = np.zeros(len(heads), heads.dtype)
    for name, value in right.items():
        expected[name] = value
    if heads.tobytes() == expected.tobytes():  # telling the fields apart takes ten times as long
        return
    bad = {name: np.flatnonzero(heads[name] != value) for name, value in right.items()}
    found = [(int(at[0]), name) for name, at in bad.items() if len(at)]
    if found:
        first = min(at for at, _ in found)
        wrong = [name for at, name in found if at == first]
        page = int(pages[first])
        raise damaged_part(
            path, page * geometry.page_bytes, f"page {page} has a wrong {', '.join(wrong)}"
        )


def _verify(
    path: Path,
    geometry: PageGeometry,
    segment: uuid.UUID,
    count: int,
    memory: NDArray[np.uint8],
    first: int,
) -> None:
    """``page_faults`` of pages ``first`` ... that follow each other in memory."""
    heads = geometry.heads(memory)
    numbers = np.arange(first, first + len(heads))
    checksums = _page_checksums(memory, geometry.page_bytes)
    page_faults(path, geometry, segment, count, heads, checksums, numbers)


def _page_checksums(memory: NDArray[np.uint8], page_bytes: int) -> NDArray[np.uint32]:
    addresses = np.arange(0, len(memory), page_bytes) + memory.ctypes.data
    sums = np.empty(len(addresses), np.uint32)
    page_checksums(addresses, page_bytes, COVERED, sums)
    return sums


def _list_bytes(heads: NDArray[Any]) -> NDArray[np.uint8]:
    """The list of the pages' checksums, as it is summed up in ``FileSum``."""
    return np.ascontiguousarray(heads["checksum"], "<u4").view(np.uint8)
