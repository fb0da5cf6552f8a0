"""First stage of exact search: float32 scores of all rows, and which rows may be among the best.

One query reads the rows where they lie, as fast as memory gives them. Two and more go through the
rows together, a tile at a time. Both know how far float32 can be off, so that the rows they leave
out are certainly not among the ``k`` best by the float64 score.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..deadline import Deadline
from ..kernels import topk
from ..kernels.distance import dot_block, dot_rows, l2_rows
from .rows import Rows, Run, as_float32, split_rows
from .share import share

_ALONE_FORMS = {"dot": topk.DOT, "cosine": topk.COSINE, "l2": topk.L2_ROWS}
_BLOCK_FORMS = {"dot": topk.DOT, "cosine": topk.COSINE, "l2": topk.L2_BLOCK}

_ALONE_BYTES = 16 * 1024 * 1024  # of stored vectors in a tile
_BLOCK_ROWS = 2_048  # best of 128 .. 8,192 for batches of 4 .. 64
_SCRATCH_BYTES = 2 * 1024 * 1024  # of vectors made float32
_SPARE_CANDIDATES = 4_096
_SHARE_ELEMENTS = 256 * 1024  # with fewer numbers to multiply, one thread is faster

_NO_INDEX = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries:
    """Queries that go through the rows together.

    - ``vectors``: float32[q, dim]
    - ``norms``: float64[q], from ``row_norms``
    - ``alone``: one query, by the kernels for one
    """

    metric: str
    vectors: NDArray[np.float32]
    norms: NDArray[np.float64]
    alone: bool

    def __len__(self) -> int:
        return len(self.norms)

    @property
    def form(self) -> int:
        forms = _ALONE_FORMS if self.alone else _BLOCK_FORMS
        return forms[self.metric]

    @property
    def errors(self) -> tuple[float, float, float]:
        """relative, tiny, slack: see ``kernels.topk``.

        A float32 sum of d products, in any order, is off by at most gamma(d) = d u / (1 - d u)
        times the sum of their magnitudes, u = 2^-24 [Higham, Accuracy and Stability, 3.1]. Two
        more roundings in gamma are far more than all float64 arithmetic, the score's included.
        """
        dim = self.vectors.shape[1]
        roundings = (dim + (4 if self.form == topk.L2_ROWS else 2)) * 2.0**-24
        relative = roundings / (1.0 - 2.0 * roundings)
        return relative, dim * 2.0**-124, (2 * dim + 64) * 2.0**-52

    def floors(self, min_score: float | None) -> NDArray[np.float64]:
        """``min_score`` in the units of the form: [q]."""
        if min_score is None:
            return np.full(len(self), -np.inf)
        if self.metric == "cosine":
            return float(min_score) * self.norms
        floor = float(min_score)
        return np.full(len(self), floor * abs(floor) if self.metric == "l2" else floor)


@dataclass(frozen=True, slots=True)
class _Found:
    """What one thread found, as ``collect_candidates`` keeps it."""

    heaps: NDArray[np.float64]
    sizes: NDArray[np.int64]
    slots: NDArray[np.int64]
    highs: NDArray[np.float64]
    counts: NDArray[np.int64]

    @classmethod
    def nothing(cls, queries: int, k: int) -> _Found:
        capacity = candidate_capacity(k)
        return cls(
            heaps=np.empty((queries, k)),
            sizes=np.zeros(queries, np.int64),
            slots=np.empty((queries, capacity), np.int64),
            highs=np.empty((queries, capacity)),
            counts=np.zeros(queries, np.int64),
        )

    def of(self, query: int) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Slots and ``high`` of the candidates, and the best ``low``, of one query."""
        count, size = self.counts[query], self.sizes[query]
        return self.slots[query, :count], self.highs[query, :count], self.heaps[query, :size]


def candidate_capacity(k: int) -> int:
    """How many candidates of one query a thread keeps."""
    return 4 * k + _SPARE_CANDIDATES


class _Scanner:
    """One thread's scratch and findings."""

    def __init__(self, queries: Queries, k: int, floors: NDArray[np.float64]) -> None:
        self._queries = queries
        self._floors = floors
        self._form, self._errors = queries.form, queries.errors
        self._score_rows = l2_rows if queries.metric == "l2" else dot_rows
        self._dim = queries.vectors.shape[1]
        self._scores = np.empty((1, 0), np.float32)
        self._wide = np.empty((0, self._dim), np.float32)
        self._padded = queries.vectors
        if not queries.alone:
            self._padded = np.zeros((-(-len(queries) // 4) * 4, self._dim), np.float32)
            self._padded[: len(queries)] = queries.vectors
        self.found = _Found.nothing(len(queries), k)

    def take(self, tile: Rows) -> bool:
        """Go through a tile; whether there is a query left to go on for."""
        dense, index = self._dense(tile)
        if len(dense) == 0:
            return True
        if self._scores.shape[1] < len(dense):
            self._scores = np.empty((len(self._padded), len(dense)), np.float32)
        if self._queries.alone:
            self._score_rows(self._padded[0], dense.vectors, dense.mask, self._scores[0])
        else:
            dot_block(self._padded, dense.vectors, self._scores)
        found = self.found
        left = topk.collect_candidates(
            self._form,
            self._errors,
            self._queries.norms,
            self._floors,
            self._scores,
            dense.norms,
            dense.mask,
            tile.first,
            index,
            found.heaps,
            found.sizes,
            found.slots,
            found.highs,
            found.counts,
        )
        return bool(left > 0)

    def _dense(self, tile: Rows) -> tuple[Rows, NDArray[np.int64]]:
        """The tile as the kernels read it, and where its rows lie in the tile (empty: in order)."""
        if self._queries.alone and tile.vectors.dtype != np.float16:
            return tile, _NO_INDEX
        matching = tile.matching_count()
        if 4 * matching >= 3 * len(tile):
            vectors, norms, mask, index = tile.vectors, tile.norms, tile.mask, _NO_INDEX
        else:
            index = tile.matching()
            vectors, norms, mask = tile.vectors[index], tile.norms[index], tile.mask[index]
        dense = Rows(first=tile.first, vectors=self._widened(vectors), norms=norms, mask=mask)
        return dense, index

    def _widened(self, vectors: NDArray[Any]) -> NDArray[np.float32]:
        if vectors.dtype != np.float32 and len(self._wide) < len(vectors):
            self._wide = np.empty(vectors.shape, np.float32)
        return as_float32(vectors, self._wide)


def _tile_rows(queries: Queries, run: Run) -> int:
    if queries.alone and run.dtype != np.float16:
        return max(1, _ALONE_BYTES // (run.dim * run.dtype.itemsize))
    if run.dtype == np.float32:
        return _BLOCK_ROWS
    return min(_BLOCK_ROWS, max(64, _SCRATCH_BYTES // (4 * run.dim)))


def find_candidates(
    rows: Sequence[Run],
    queries: Queries,
    k: int,
    *,
    min_score: float | None,
    deadline: Deadline,
    pool: Executor | None,
    threads: int,
) -> list[NDArray[np.int64] | None]:
    """Of each query the slots that may be among the ``k`` best, in no order; None: too many.

    - ``rows``: not empty; ``k``: at most the number of matching rows
    """
    floors = queries.floors(min_score)

    def work(tiles: deque[tuple[Run, int, int]]) -> _Found:
        scanner = _Scanner(queries, k, floors)
        going_on = True
        while going_on:
            deadline.check("comparing vectors")
            try:
                run, start, stop = tiles.popleft()
            except IndexError:
                break
            going_on = scanner.take(run.part(start, stop))
        return scanner.found

    tiles = list(split_rows(rows, _tile_rows(queries, rows[0])))
    elements = sum(len(run) * run.dim for run in rows) * len(queries)
    threads = threads if elements >= _SHARE_ELEMENTS else 1
    parts = share(tiles, work, pool, threads)
    return [_merge(parts, query, k, floors[query]) for query in range(len(queries))]


def _merge(parts: Sequence[_Found], query: int, k: int, floor: float) -> NDArray[np.int64] | None:
    """The candidates of all threads, without those that the others' findings rule out."""
    if any(part.counts[query] < 0 for part in parts):
        return None
    if len(parts) == 1:
        slots, highs, lows = parts[0].of(query)
        least = float(lows[0]) if len(lows) == k else -np.inf  # the heap's root
    else:
        slots, highs, lows = map(
            np.concatenate, zip(*(part.of(query) for part in parts), strict=True)
        )
        least = float(np.partition(lows, -k)[-k]) if len(lows) >= k else -np.inf
    kept: NDArray[np.int64] = slots[highs >= max(floor, least)]
    return kept
