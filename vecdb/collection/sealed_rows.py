"""The slots of a segment as ``index.rows.Run``: in memory, or on pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..index.coded import count_bits
from ..index.rows import Rows, as_float32, row_norms
from .masks import bits_of

if TYPE_CHECKING:
    from ..storage.stored_pages import StoredPages
    from .residence import Tally
    from .segment import Segment

_MANY_ROWS = 256
"""For so many rows the lengths of all are worth keeping."""
_HELD_PAGES = 256
"""Pages that are asked for at once where many are wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedRows:
    """Slots whose vectors are in memory; ``packed``: a bit for each that may match."""

    first: int
    segment: Segment
    packed: NDArray[np.uint8]

    @property
    def vectors(self) -> NDArray[Any]:
        if self.segment.vectors is None:
            raise AssertionError("the vectors are on the disk")
        return self.segment.vectors

    @property
    def dim(self) -> int:
        return self.segment.info.dim

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.vectors.dtype

    def __len__(self) -> int:
        return len(self.segment)

    def part(self, start: int, stop: int) -> Rows:
        return Rows(
            first=self.first + start,
            vectors=self.vectors[start:stop],
            norms=self.segment.norms[start:stop],
            mask=bits_of(self.packed, start, stop),
        )

    def matching_count(self) -> int:
        return count_bits(self.packed)

    def pick(self, row_of: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        vectors = self.vectors
        if vectors.dtype == np.float32:
            return vectors, row_of
        return as_float32(vectors[row_of]), np.arange(len(row_of))

    def norms_of(self, row_of: NDArray[np.int64]) -> NDArray[np.float64]:
        if self.segment.has_norms or len(row_of) >= _MANY_ROWS:
            return self.segment.norms[row_of]
        return row_norms(self.vectors[row_of])


@dataclass(frozen=True, slots=True, kw_only=True)
class PagedRows:
    """As ``SealedRows``, of vectors that stay on the disk.

    Whole parts are read past the cache of pages, single rows through it.
    """

    first: int
    segment: Segment
    packed: NDArray[np.uint8]
    tally: Tally | None = None

    @property
    def pages(self) -> StoredPages:
        if self.segment.pages is None:
            raise AssertionError("the vectors are in memory")
        return self.segment.pages

    @property
    def dim(self) -> int:
        return self.segment.info.dim

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.pages.geometry.numpy_dtype

    def __len__(self) -> int:
        return len(self.segment)

    def part(self, start: int, stop: int) -> Rows:
        vectors = self.pages.read_rows(start, stop)
        if self.tally is not None:
            geometry = self.pages.geometry
            pages = geometry.pages(stop) - start // geometry.per_page
            read = {"pages_read": pages, "bytes_read": pages * geometry.page_bytes}
            self.segment.residence.count(self.tally, **read, read_calls=1, io_rounds=1)
        return Rows(
            first=self.first + start,
            vectors=vectors,
            norms=row_norms(vectors),
            mask=bits_of(self.packed, start, stop),
        )

    def matching_count(self) -> int:
        return count_bits(self.packed)

    def pick(self, row_of: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        return as_float32(self.take(row_of)), np.arange(len(row_of))

    def norms_of(self, row_of: NDArray[np.int64]) -> NDArray[np.float64]:
        return row_norms(self.take(row_of))

    def take(self, slots: NDArray[np.int64]) -> NDArray[Any]:
        """[n, dim]: the vectors of ``slots``, in their order, copied."""
        vectors = np.empty((len(slots), self.dim), self.dtype)
        page_of, rows = np.divmod(slots, self.pages.geometry.per_page)
        distinct, place_of = np.unique(page_of, return_inverse=True)
        for begin, end in _steps(len(distinct)):
            here = np.flatnonzero((place_of >= begin) & (place_of < end))
            wanted = [(self.pages, distinct[begin:end])]
            with self.segment.residence.hold(wanted, self.tally) as held:
                addresses = held.addresses[0][place_of[here] - begin]
                vectors[here] = self.pages.copy_rows(addresses, rows[here])
        return vectors


def _steps(count: int) -> Iterator[tuple[int, int]]:
    return ((at, min(count, at + _HELD_PAGES)) for at in range(0, count, _HELD_PAGES))
