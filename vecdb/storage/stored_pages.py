"""The pages of a sealed segment, open for reading: what a page cache reads from and verifies by."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.crc32c import page_checksums
from ..kernels.page_score import copy_rows
from .array_file import FileSum
from .files import READ_BYTES, StoredFile, aligned_bytes
from .format import PAGE
from .page_geometry import PageGeometry
from .page_reader import PageFile
from .pages import COVERED, page_faults

_HEAD_BYTES = PAGE.itemsize


class StoredPages:
    """``page_cache.PageSource`` of ``vectors.pages``. Immutable; safe for any thread."""

    def __init__(
        self, path: Path, geometry: PageGeometry, segment: uuid.UUID, expected: FileSum, count: int
    ) -> None:
        """Open the file, of ``count`` vectors; ``DataCorruption`` if its size is another."""
        self.geometry = geometry
        self.file = PageFile(path, expected.bytes)
        self._segment = segment
        self._count = count

    @property
    def page_bytes(self) -> int:
        return self.geometry.page_bytes

    def check(self, addresses: NDArray[np.int64], pages: NDArray[np.int64]) -> None:
        """Raise ``DataCorruption`` at the first address that does not hold its page."""
        sums = np.empty(len(addresses), np.uint32)
        page_checksums(addresses, self.page_bytes, COVERED, sums)
        heads = np.empty((len(addresses), _HEAD_BYTES), np.uint8)
        copy_rows(addresses, _HEAD_BYTES, heads)
        self._check(heads.reshape(-1).view(PAGE), sums, pages)

    def _check(
        self, heads: NDArray[Any], sums: NDArray[np.uint32], pages: NDArray[np.int64]
    ) -> None:
        page_faults(self.file.path, self.geometry, self._segment, self._count, heads, sums, pages)

    def vector_addresses(
        self, addresses: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Where vector ``rows[i]`` of the page at ``addresses[i]`` is."""
        return addresses + (_HEAD_BYTES + rows * self.geometry.row_bytes)

    def copy_rows(self, addresses: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[Any]:
        """[n, dim]: vector ``rows[i]`` of the page at ``addresses[i]``."""
        geometry = self.geometry
        vectors = np.empty((len(rows), geometry.dim), geometry.numpy_dtype)
        memory = vectors.view(np.uint8).reshape(len(rows), geometry.row_bytes)
        copy_rows(self.vector_addresses(addresses, rows), geometry.row_bytes, memory)
        return vectors

    def read_rows(self, start: int, stop: int) -> NDArray[Any]:
        """[stop - start, dim]: vectors of slots that follow each other, read past every cache."""
        geometry = self.geometry
        size, per_page = geometry.page_bytes, geometry.per_page
        vectors = np.empty((stop - start, geometry.dim), geometry.numpy_dtype)
        page, end = start // per_page, geometry.pages(stop)
        step = max(1, READ_BYTES // size)
        memory = aligned_bytes(min(step, end - page) * size)
        with StoredFile(self.file.path, handle=self.file.buffered) as file:
            while page < end:
                taken = min(step, end - page)
                part = memory[: taken * size]
                file.read_into(part, page * size)
                addresses = part.ctypes.data + size * np.arange(taken)
                self.check(addresses, np.arange(page, page + taken))
                rows = geometry.view(part).reshape(-1, geometry.dim)
                first = page * per_page
                low, high = max(start, first), min(stop, first + len(rows))
                vectors[low - start : high - start] = rows[low - first : high - first]
                page += taken
        return vectors
