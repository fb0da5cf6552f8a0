"""How vectors, neighbours and their codes lie on a page of ``vectors.pages``: three layouts.

After PageANN (arXiv 2509.25487): a page is a run of slots, with one list of neighbours for all of
them. In layout coded the codes of these neighbours are on the page too.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..schema import DTYPES
from .format import (
    ALIGNMENT,
    DTYPE_CODES,
    LAYOUT_CODED,
    LAYOUT_VECTORS,
    PAGE,
    PAGE_MAGIC,
    SEGMENT_VERSION,
)

PAGE_SIZES = (4096, 8192, 16384)
LANES = 8
_WANTED_PER_PAGE = 4  # fewer, and a page read for one vector brings too little else
_PER_VECTOR, _PER_ONLY_VECTOR, _NEIGHBOURS = 24, 32, 1_024


@dataclass(frozen=True, slots=True)
class PageGeometry:
    """How vectors lie on pages; made by ``geometry``.

    - ``per_page``: vectors on a full page; 0: a page has no room for this layout
    - ``layout``: ``format.LAYOUT_...``; ``neighbours``: slots named on each page
    - ``words``: of a neighbour's code, in layout coded; else 0
    """

    dim: int
    dtype: str
    page_bytes: int
    per_page: int
    layout: int = LAYOUT_VECTORS
    neighbours: int = 0
    words: int = 0

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        return DTYPES[self.dtype]

    @property
    def row_bytes(self) -> int:
        return self.dim * self.numpy_dtype.itemsize

    @property
    def neighbours_at(self) -> int:
        """Where on a page its neighbours begin; 0: there are none."""
        if self.layout == LAYOUT_VECTORS:
            return 0
        return PAGE.itemsize + _whole(self.per_page * self.row_bytes, 4)

    @property
    def codes_at(self) -> int:
        """Where the blocks of neighbours' codes begin, on a line of memory; 0: there are none."""
        if self.layout != LAYOUT_CODED:
            return 0
        return self.page_bytes - self.neighbours // LANES * _block_bytes(self.words)

    @property
    def bits(self) -> int:
        """Bits a dimension of the neighbours' codes."""
        return 1 if self.layout == LAYOUT_CODED else 0

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

    def links(self, memory: NDArray[np.uint8]) -> NDArray[np.uint32]:
        """The neighbours named on whole pages: [pages, neighbours], no copy."""
        pages = len(memory) // self.page_bytes
        strides = (self.page_bytes, 4)
        shape = (pages, self.neighbours)
        return np.ndarray(shape, np.dtype("<u4"), memory, self.neighbours_at, strides)

    def blocks(self, memory: NDArray[np.uint8]) -> NDArray[np.uint64]:
        """The neighbours' codes on whole pages: [pages, blocks, 8 words + 8], no copy.

        The last 8 words of a block are its 16 factors.
        """
        pages, size = len(memory) // self.page_bytes, _block_bytes(self.words)
        shape = (pages, self.neighbours // LANES, size // 8)
        strides = (self.page_bytes, size, 8)
        return np.ndarray(shape, np.dtype("<u8"), memory, self.codes_at, strides)

    def head_values(self, segment: uuid.UUID) -> dict[str, Any]:
        """What all heads of a file have in common."""
        return {
            "magic": PAGE_MAGIC,
            "segment": np.void(segment.bytes),
            "version": SEGMENT_VERSION,
            "layout": self.layout,
            "dtype": DTYPE_CODES[self.numpy_dtype.str],
            "dim": self.dim,
            "per_page": self.per_page,
            "neighbours": self.neighbours,
            "bits": self.bits,
            "neighbours_at": self.neighbours_at,
            "codes_at": self.codes_at,
            "reserved": np.void(bytes(PAGE["reserved"].itemsize)),
        }


def geometry(
    dim: int,
    dtype: str,
    page_bytes: int | None = None,
    layout: int = LAYOUT_VECTORS,
    words: int = 0,
) -> PageGeometry:
    """Pages of ``page_bytes``; None: the smallest size that holds four vectors, 16 KiB at most.

    A vector that does not fit such a page by itself gets a page as large as it takes. Neighbours of
    other layouts take what vectors leave: as many vectors are on a page as leave room for 24
    neighbours each; one alone leaves room for 32, where codes do not take it. ``words``: of a code.
    """
    row = dim * DTYPES[dtype].itemsize
    if page_bytes is None:
        fitting = (size for size in PAGE_SIZES if _fit(size, row) >= _WANTED_PER_PAGE)
        page_bytes = next(fitting, PAGE_SIZES[-1])
    if _fit(page_bytes, row) == 0:
        page_bytes = _whole(PAGE.itemsize + row, ALIGNMENT)
    if layout == LAYOUT_VECTORS:
        return PageGeometry(dim, dtype, page_bytes, _fit(page_bytes, row))
    coded = layout == LAYOUT_CODED
    for per_page in range(_fit(page_bytes, row), 0, -1):
        neighbours = _room(page_bytes - PAGE.itemsize - _whole(per_page * row, 4), coded, words)
        alone = per_page == 1 and not coded
        if neighbours >= (_PER_ONLY_VECTOR if alone else _PER_VECTOR * per_page):
            neighbours = min(neighbours, _NEIGHBOURS)
            return PageGeometry(
                dim, dtype, page_bytes, per_page, layout, neighbours, words if coded else 0
            )
    return PageGeometry(dim, dtype, page_bytes, 0, layout, 0, words if coded else 0)


def _fit(page_bytes: int, row_bytes: int) -> int:
    return (page_bytes - PAGE.itemsize) // row_bytes


def _room(left: int, coded: bool, words: int) -> int:
    """How many neighbours so many bytes hold."""
    if coded:
        return LANES * (left // (4 * LANES + _block_bytes(words)))
    return left // 4


def _block_bytes(words: int) -> int:
    """Of eight codes and their factors."""
    return LANES * (8 * words + 8)


def _whole(size: int, unit: int) -> int:
    return -(-size // unit) * unit
