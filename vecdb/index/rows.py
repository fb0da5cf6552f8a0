"""Runs of stored vectors, and their numbers as float32."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..kernels.distance import widen_halves
from ..kernels.exact import score_pairs

_NORM_BYTES = 1024 * 1024


class Run(Protocol):
    """Consecutive slots ``first`` .. ``first + len``, wherever their vectors lie."""

    @property
    def first(self) -> int: ...
    @property
    def dim(self) -> int: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __len__(self) -> int: ...

    def part(self, start: int, stop: int) -> Rows:
        """Rows ``start`` .. ``stop``, contiguous."""

    def matching_count(self) -> int:
        """How many rows may match."""

    def pick(self, row_of: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """float32 vectors that hold those of ``row_of``, and where in them each one lies."""

    def norms_of(self, row_of: NDArray[np.int64]) -> NDArray[np.float64]:
        """Lengths of the vectors of ``row_of``, as ``row_norms`` gives them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A run that lies in one array.

    - ``first``: slot of row 0
    - ``vectors``: [n, dim], C-contiguous, float32, float16 or uint8; may be read-only
    - ``norms``: [n], from ``row_norms``
    - ``mask``: [n], 1: the row may match
    """

    first: int
    vectors: NDArray[Any]
    norms: NDArray[np.float64]
    mask: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.norms)

    @property
    def dim(self) -> int:
        return int(self.vectors.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.vectors.dtype

    def part(self, start: int, stop: int) -> Rows:
        return Rows(
            first=self.first + start,
            vectors=self.vectors[start:stop],
            norms=self.norms[start:stop],
            mask=self.mask[start:stop],
        )

    def moved(self, by: int) -> Rows:
        """The same rows, their slots numbered ``by`` higher."""
        return replace(self, first=self.first + by) if by else self

    def matching(self) -> NDArray[np.int64]:
        """Positions of the rows that may match, ascending."""
        return np.flatnonzero(self.mask.view(np.bool_))

    def matching_count(self) -> int:
        return int(np.count_nonzero(self.mask.view(np.bool_)))

    def pick(self, row_of: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        if self.vectors.dtype == np.float32:
            return self.vectors, row_of
        return as_float32(self.vectors[row_of]), np.arange(len(row_of))

    def norms_of(self, row_of: NDArray[np.int64]) -> NDArray[np.float64]:
        return self.norms[row_of]


def split_rows(rows: Iterable[Run], rows_max: int) -> Iterator[tuple[Run, int, int]]:
    """(run, start, stop) of parts of nearly equal length, of at most ``rows_max`` rows."""
    for run in rows:
        parts = -(-len(run) // rows_max)
        edges = [len(run) * part // parts for part in range(parts + 1)] if parts else []
        for start, stop in pairwise(edges):
            yield run, start, stop


def as_float32(
    vectors: NDArray[Any], out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """The same numbers as float32, C-contiguous; exact.

    Written to the first rows of ``out`` ([at least n, dim]) if it is given. float32 vectors come
    back as they are.
    """
    if vectors.dtype == np.float32:
        return np.ascontiguousarray(vectors)
    if out is None:
        out = np.empty(vectors.shape, np.float32)
    out = out[: len(vectors)]
    if vectors.dtype == np.float16:
        halves = np.ascontiguousarray(vectors).view(np.uint16)
        widen_halves(halves.ravel(), out.view(np.uint32).ravel(), out.ravel())
    else:
        np.copyto(out, vectors)
    return out


def row_norms(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """The length of each row, by the same fixed-order sums as the score.

    - ``vectors``: [n, dim], float32, float16 or uint8, finite
    """
    norms = np.empty(len(vectors), np.float64)
    step = max(1, _NORM_BYTES // max(1, 4 * vectors.shape[1]))
    each = np.arange(min(step, len(vectors)))
    for start in range(0, len(vectors), step):
        part = as_float32(vectors[start : start + step])
        here = each[: len(part)]
        score_pairs(False, part, part, here, here, norms[start : start + step])
    return np.sqrt(norms, out=norms)
