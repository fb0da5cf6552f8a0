"""One node of the tree becomes its children: k-means, or equal runs where there are no clusters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.clusters import assign_rows, mean_of_rows, spread_of_rows

ROUNDS = 20  # of k-means
FILL = 0.75  # of a leaf, on average, in the last level
LARGEST_CHILD = 0.9  # of the rows; above it k-means found no clusters

_TRAINED_ROWS = 256  # for each centroid
_TRAINED_BYTES = 64 * 1024 * 1024
_PIECE_ROWS = 32_768

Run = Callable[[Sequence[Callable[[], Any]]], None]
"""Calls each piece of work once, in any order or at the same time."""


def run_in_turn(pieces: Sequence[Callable[[], Any]]) -> None:
    for piece in pieces:
        piece()


@dataclass(frozen=True, slots=True)
class Children:
    """Of one node: child i has the rows ``edges[i]`` to ``edges[i + 1]`` of it.

    The other columns are those of ``Tree``.
    """

    edges: NDArray[np.int64]
    centroids: NDArray[np.float32]
    msd: NDArray[np.float32]
    rmax: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Splitter:
    """How nodes are split; for the arguments see ``build_tree``."""

    vectors: NDArray[np.float32]
    leaf: int
    branching: int
    seed: int

    def split(self, rows: NDArray[np.int64], node: int, run: Run = run_in_turn) -> Children:
        """The children of a node; ``rows`` is sorted by child, in place.

        Rows that lie (nearly) all in one place are cut into equal runs as they are. Halving them
        first, as leaves are, changed no page count (glove-100, wordnet-minilm, with outliers).
        """
        wanted = max(2, -(-len(rows) // max(1, int(FILL * self.leaf))))
        wanted = min(wanted, self.branching, len(rows))
        centroids = np.empty((wanted, self.vectors.shape[1]), np.float32)
        run([partial(self._train, rows, self.seed + node, centroids)])
        child = self._assign(rows, centroids, run)
        sizes = np.bincount(child, minlength=wanted)
        if sizes.max() > LARGEST_CHILD * len(rows):
            unit = -(-len(rows) // wanted)
            return self.describe(rows, np.append(np.arange(0, len(rows), unit), len(rows)), run)
        chain = chain_centroids(centroids, np.flatnonzero(sizes).tolist())
        place = np.zeros(wanted, np.uint8)
        place[chain] = np.arange(len(chain))
        rows[:] = rows[np.argsort(place[child], kind="stable")]
        return self.describe(rows, np.append(0, np.cumsum(sizes[chain])), run)

    def describe(
        self, rows: NDArray[np.int64], edges: NDArray[np.int64], run: Run = run_in_turn
    ) -> Children:
        """The runs of rows between the edges, as children."""
        count = len(edges) - 1
        centroids = np.empty((count, self.vectors.shape[1]), np.float32)
        msd, rmax = np.empty(count), np.empty(count)

        def measure(i: int, part: NDArray[np.int64]) -> None:
            mean_of_rows(self.vectors, part, centroids[i])
            total, largest = spread_of_rows(self.vectors, part, centroids[i])
            msd[i], rmax[i] = total / len(part), np.sqrt(largest)

        bounds = enumerate(pairwise(edges.tolist()))
        run([partial(measure, i, rows[start:stop]) for i, (start, stop) in bounds])
        most = np.finfo(np.float32).max
        near = np.minimum(rmax, most).astype(np.float32)
        # One step up, so that rounding leaves no member outside.
        above = np.where(rmax < most, np.nextafter(near, most), np.float32(np.inf))
        return Children(edges, centroids, np.minimum(msd, most).astype(np.float32), above)

    def _train(self, rows: NDArray[np.int64], seed: int, centroids: NDArray[np.float32]) -> None:
        """Centroids by k-means over some of the rows."""
        import faiss

        wanted, dim = centroids.shape
        most = max(wanted, min(_TRAINED_ROWS * wanted, _TRAINED_BYTES // (4 * dim)))
        sample = self.vectors[rows if len(rows) <= most else rows[draw_rows(len(rows), most, seed)]]
        # Squares past float32 would end the process: faiss throws where nothing can catch it.
        scale = np.ldexp(np.float32(1.0), min(100, -int(np.frexp(np.abs(sample).max())[1])))
        sample *= scale
        faiss.omp_set_num_threads(1)  # in this thread alone
        kmeans = faiss.Kmeans(
            dim,
            wanted,
            niter=ROUNDS,
            seed=seed % 2**31,
            min_points_per_centroid=1,
            max_points_per_centroid=len(sample),
        )
        kmeans.train(sample)
        assert kmeans.centroids is not None
        np.divide(kmeans.centroids, scale, out=centroids)

    def _assign(
        self, rows: NDArray[np.int64], centroids: NDArray[np.float32], run: Run
    ) -> NDArray[np.uint8]:
        """The nearest centroid of each row."""
        child = np.empty(len(rows), np.uint8)
        with np.errstate(all="ignore"):  # squares past float32: the rows stay together
            half_squares = (0.5 * (centroids.astype(np.float64) ** 2).sum(axis=1)).astype(
                np.float32
            )
        pieces = [slice(at, at + _PIECE_ROWS) for at in range(0, len(rows), _PIECE_ROWS)]
        run(
            [
                partial(
                    assign_rows, self.vectors, rows[piece], centroids, half_squares, child[piece]
                )
                for piece in pieces
            ]
        )
        return child


def chain_centroids(centroids: NDArray[np.float32], used: list[int]) -> list[int]:
    """``used``, each followed by the nearest one left, from the first."""
    points = centroids.astype(np.float64)
    chain, left = used[:1], used[1:]
    while left:
        gaps = ((points[left] - points[chain[-1]]) ** 2).sum(axis=1)
        chain.append(left.pop(int(np.argmin(gaps))))
    return chain


def draw_rows(count: int, wanted: int, seed: int) -> NDArray[np.int64]:
    """One position drawn from each of ``wanted`` equal parts of ``count``, ascending.

    By splitmix64, because numpy's streams may change between versions.
    """
    step = 0x9E3779B97F4A7C15
    start = np.uint64((seed * step) % 2**64)
    words = start + np.arange(1, wanted + 1, dtype=np.uint64) * np.uint64(step)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        words = (words ^ (words >> np.uint64(shift))) * np.uint64(factor)
    words ^= words >> np.uint64(31)
    within = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    places = ((np.arange(wanted) + within) * (count / wanted)).astype(np.int64)
    return np.minimum(places, count - 1)
