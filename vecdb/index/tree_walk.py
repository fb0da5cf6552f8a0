"""Search by the trees of segments: nearest nodes first, then all bits of what was found.

For sets of records that are too few for a graph and too many to read all their codes. The kernel
(``kernels.tree_walk``) says how the walk goes; what it finds is refined as a graph's walk is, and
the caller scores the few slots that are left.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..deadline import Deadline
from ..kernels import tree_walk as kernel
from ..kernels.graph_shorten import shorten_found
from ..kernels.tree_walk import walk_trees_kernel
from ..quantize.bounds import KAPPA
from ..quantize.planes import Encoder, Quantizer
from .prepared import prepare
from .share import share
from .tree import Tree

PATIENCE, PATIENCE_DOT = 128, 256
"""Nodes in a row that improve nothing, which end a walk of one tree at effort 1.

With 64, 128 and 256 recall@10 of GloVe was .980, .991 and .994; by dot .958, .980 and .991.
Fashion-MNIST had .9997 with 64.
"""
LEAN_DOT = 0.5
"""By products: how many deviations of a node's vectors count in its favour."""
NEAR_MIN = 32
"""Estimates, the best, that a node has to improve."""
_STEPS = 4_096  # nodes between two looks at the deadline: about a millisecond


Ranked = tuple[NDArray[np.uint64], NDArray[np.uint32]]
"""From ``rank_mask``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeRun:
    """The codes and the tree of a segment's slots 0 .. count - 1, as places ``first`` ...

    - ``codes``, ``factors``, ``refine``, ``kappa``: as of ``CodedRun``
    - ``ranked``: which slots may match, from ``rank_mask``; ``matching``: how many
    """

    first: int
    count: int
    codes: NDArray[np.uint64]
    factors: NDArray[np.float32]
    ranked: Ranked
    matching: int
    encoder: Encoder
    kappa: float
    refine: NDArray[np.uint64] | None
    tree: Tree

    @property
    def blocks(self) -> int:
        return -(-self.count // 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeWalk:
    """How to walk: what all queries of one call share.

    - ``k``: matches wanted; ``kept``: slots that the scan plane keeps
    - ``patience``: nodes in a row that improve nothing, which end the walk
    - ``sigmas``: how many standard errors an estimate by all bits is trusted to be off
    """

    k: int
    kept: int
    patience: int
    sigmas: float
    deadline: Deadline = Deadline()  # noqa: RUF009 - a frozen value
    pool: Executor | None = None
    threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeWalked:
    """What the walk for one query leaves to be scored.

    - ``places``: int64[m], in no order; at least min(k, slots that may match)
    """

    places: NDArray[np.int64]
    nodes_visited: int
    codes_scanned: int
    codes_refined: int


def patience_of(metric: str, segments: int, effort: float) -> int:
    """``TreeWalk.patience``: matches that are spread over segments lie in more nodes."""
    alone = PATIENCE_DOT if metric == "dot" else PATIENCE
    wanted = alone * math.ceil(math.log2(segments + 1)) * effort
    return max(1, math.ceil(wanted))


def walk_trees(
    runs: Sequence[TreeRun],
    quantizer: Quantizer,
    queries: NDArray[np.float32],
    directions: NDArray[np.float32],
    walk: TreeWalk,
) -> list[TreeWalked]:
    """Walk for each of ``queries`` (float32[q, dim]) over the trees of all runs at once.

    - ``directions``: float32[q, dim], the queries as the vectors were when the trees were built: of
      length 1 under cosine

    The same for any number of threads and whatever the other queries are.
    Raises ``DeadlineExceeded``.
    """
    runs = [run for run in sorted(runs, key=lambda run: run.first) if run.count]
    matching = sum(run.matching for run in runs)
    if not matching or not len(queries):
        return [_nothing() for _ in range(len(queries))]
    job = _Job(runs, quantizer, queries, directions, walk, matching)
    share(range(len(queries)), job.work, walk.pool, walk.threads)
    return job.found


class _Job:
    """The arrays of one call; threads write rows of their own queries."""

    def __init__(
        self,
        runs: Sequence[TreeRun],
        quantizer: Quantizer,
        queries: NDArray[np.float32],
        directions: NDArray[np.float32],
        walk: TreeWalk,
        matching: int,
    ) -> None:
        self.runs, self.walk, self.quantizer = runs, walk, quantizer
        self.directions = np.ascontiguousarray(directions, np.float32)
        self.by_product = quantizer.metric == "dot"
        lengths = np.linalg.norm(self.directions, axis=1)
        self.leans = (LEAN_DOT * lengths).astype(np.float32)
        self.wanted = min(walk.k, matching)
        self.kept = max(self.wanted, min(walk.kept, matching))
        self.near = max(self.wanted, NEAR_MIN)
        self.table = _table(runs)
        self.nodes = sum(len(run.tree) for run in runs)
        self.prepared = prepare(runs, quantizer, queries)
        self.found: list[TreeWalked] = [_nothing()] * len(queries)

    def work(self, numbers: deque[int]) -> None:
        keys, entries = np.empty(self.nodes, np.float32), np.empty((self.nodes, 2), np.int64)
        while True:
            self.walk.deadline.check("walking the tree")
            try:
                number = numbers.popleft()
            except IndexError:
                return
            self.found[number] = self._walk(number, keys, entries)

    def _walk(
        self, number: int, keys: NDArray[np.float32], entries: NDArray[np.int64]
    ) -> TreeWalked:
        walk, prepared = self.walk, self.prepared
        found_e = np.empty((1, self.kept), np.float32)
        found = np.empty((1, self.kept), np.int64)
        near, state = np.empty(self.near, np.float32), np.zeros(kernel.STATE, np.int64)
        while not walk_trees_kernel(
            self.table, self.by_product, self.leans[number], self.directions[number],
            prepared.planes[number], prepared.terms[number],
            self.wanted, walk.patience, _STEPS,
            keys, entries, near, state, found_e, found,
        ):  # fmt: skip
            walk.deadline.check("walking the tree")
        size = int(state[kernel.SETTLED])
        order = np.lexsort((found[0, :size], -found_e[0, :size]))
        places, refined = self._shorten(number, found_e[:, order], found[:, order])
        return TreeWalked(
            places=places,
            nodes_visited=int(state[kernel.VISITED]),
            codes_scanned=int(state[kernel.ESTIMATED]),
            codes_refined=refined,
        )

    def _shorten(
        self, number: int, found_e: NDArray[np.float32], found: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], int]:
        """The places that may still be among the k best by all bits, and how many were read."""
        quantizer, prepared = self.quantizer, self.prepared
        left = np.empty_like(found)
        sizes, refined = np.full(1, found.shape[1]), np.zeros(1, np.int64)
        left_sizes = np.zeros(1, np.int64)
        one = slice(number, number + 1)
        shorten_found(
            self.table, quantizer.words, quantizer.bits, quantizer.padded, 0, 1,
            found_e, found, sizes, prepared.planes8[one], prepared.terms8[one],
            prepared.kappas, self.walk.sigmas, self.wanted, left, left_sizes, refined,
        )  # fmt: skip
        places = left[0, : int(left_sizes[0])]
        bases = 8 * self.table[:, kernel.BASE]
        shifts = np.array([run.first for run in self.runs], np.int64) - bases
        return places + shifts[np.searchsorted(bases, places, side="right") - 1], int(refined[0])


def rank_mask(mask: NDArray[np.uint8], count: int) -> Ranked:
    """A mask of ``count`` slots as words, and how many bits are set before each.

    uint64[count // 64 + 1], uint32[the same]
    """
    words = np.zeros(count // 64 + 1, np.uint64)
    words.view(np.uint8)[: len(mask)] = mask
    ranks = np.zeros(len(words), np.uint32)
    np.cumsum(np.bitwise_count(words[:-1]), out=ranks[1:])
    return words, ranks


def _table(runs: Sequence[TreeRun]) -> NDArray[np.int64]:
    """The table of runs that the kernels read; the runs keep its memory alive."""
    table = np.zeros((len(runs), kernel.COLUMNS), np.int64)
    block, node = 0, 0
    for row, run in zip(table, runs, strict=True):
        tree, (words, ranks) = run.tree, run.ranked
        row[kernel.CODES] = run.codes.ctypes.data
        row[kernel.FACTORS] = run.factors.ctypes.data
        row[kernel.REFINE] = 0 if run.refine is None else run.refine.ctypes.data
        row[kernel.COUNT] = run.count
        row[kernel.BASE] = block
        row[kernel.WORDS], row[kernel.RANKS] = words.ctypes.data, ranks.ctypes.data
        row[kernel.CENTROIDS] = tree.centroids.ctypes.data
        row[kernel.MSD] = tree.msd.ctypes.data
        row[kernel.LO], row[kernel.HI] = tree.lo.ctypes.data, tree.hi.ctypes.data
        row[kernel.FIRST_CHILD] = tree.first_child.ctypes.data
        row[kernel.CHILDREN] = tree.n_child.ctypes.data
        row[kernel.NODES], row[kernel.NODE_BASE] = len(tree), node
        block += run.blocks
        node += len(tree)
    return table


def _nothing() -> TreeWalked:
    return TreeWalked(
        places=np.empty(0, np.int64), nodes_visited=0, codes_scanned=0, codes_refined=0
    )


def warm() -> None:
    """Load every kernel of the walk and run it once, so that the first search does not wait."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((16, 8), dtype=np.float32)
    quantizer = Quantizer(dim=8, metric="l2", seed=0, bits=2)
    encoder = Encoder(quantizer, None)
    codes, factors, refine = quantizer.empty_codes(len(rows))
    encoder.encode(rows, 0, codes, factors, refine)
    root = Tree(
        centroids=rows[:1],
        lo=np.zeros(1, np.uint32),
        hi=np.full(1, len(rows), np.uint32),
        first_child=np.full(1, -1, np.int32),
        n_child=np.zeros(1, np.uint8),
        parent=np.full(1, -1, np.int32),
        level=np.zeros(1, np.uint8),
        msd=np.zeros(1, np.float32),
        rmax=np.zeros(1, np.float32),
    )
    run = TreeRun(
        first=0,
        count=len(rows),
        codes=codes,
        factors=factors,
        ranked=rank_mask(np.array([0xFF, 0xFE], np.uint8), len(rows)),
        matching=15,
        encoder=encoder,
        kappa=KAPPA,
        refine=refine,
        tree=root,
    )
    walk = TreeWalk(k=1, kept=8, patience=1, sigmas=1.5)
    walk_trees([run], quantizer, rows[:1], rows[:1], walk)
