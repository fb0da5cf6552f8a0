"""From vectors in slot order to the graph of a segment.

Candidates come from the leaves of the tree, by matrix products (as in PiPNN); they are pruned,
offered back and pruned again, then replaced by what a walk from them finds (as in Vamana of
DiskANN, NeurIPS 2019), with these differences:

1. Leaves do not overlap: each looks into the leaves nearest to it instead. That costs little, since
   a product of two leaves costs a tenth of as many distances of slots here and there.
2. The start is not random but good, so one walk a slot does, from its own links on; Vamana walks
   twice from a medoid. Long links are not needed: a search has an entry point every 64 slots.
3. A pass reads one graph and writes the next, by ranges of slots that do not see each other: the
   graph is the same for any number of threads.
4. alpha is small. Of 1.0 to 1.2 the least distances a query came with 1.0 to 1.05; longer lists
   filled with near slots cost more than they find.
5. Every slot can be reached from the entry points: the last pass sees to it.
6. Under dot the graph is that of the vectors at unit length. Three eighths of a list are for the
   highest products in the leaves around: the way to long vectors (as in ip-NSW+, AAAI 2020). The
   usual reduction to l2 by one more coordinate needs three times the distances, and finds little
   where lengths differ much.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..kernels.graph_build import (
    accept_offers,
    count_offers,
    find_near_leaves,
    join_lists,
    link_run,
    place_offers,
)
from ..kernels.graph_reach import UNREACHED, attach_next, merge_pages, spread
from ..kernels.graph_refine import refine_links
from .share import share

Item = TypeVar("Item")

NONE = 0xFFFFFFFF
"""Fills the end of a list of links."""
ALPHA = 1.05
NEAR_LEAVES = 64
CANDIDATES = 48  # of a slot, from the leaves
WIDTH = 64  # of the walk of a slot
OUTER = 12  # of 32 links, under dot, to the highest products

_FIRST_ALPHA = 1.0  # of the graph that is walked on
_LEAF = 128  # slots that are looked up together
_STEP_PRODUCTS = 800_000_000  # of numbers, in some 20 ms
_STEP_NUMBERS = 4_000_000  # of vectors, read in some 10 ms
_STEP_LINKS = 1_000_000  # links followed in some 10 ms


def build_graph(
    vectors: NDArray[np.float32],
    leaves: NDArray[np.int64],
    roots: NDArray[np.int64],
    *,
    metric: str,
    degree: int = 32,
    alpha: float = ALPHA,
    refine: bool = True,
    threads: int,
    pool: Executor | None,
    progress: Callable[[int, int], None],
    check: Callable[[], None],
) -> NDArray[np.uint32]:
    """links: [n, degree], of each slot its neighbours, nearest first, then ``NONE``.

    - ``vectors``: [n, dim], n > 0, C-contiguous, in slot order, finite; of unit length (or zero)
      for cosine
    - ``leaves``: slots of leaf l of the tree are [leaves[l], leaves[l + 1])
    - ``roots``: at least one slot; from them all others can be reached
    - ``degree``: the most neighbours
    - ``refine``: without it the walks are left out: half the work, up to 1.5 times the distances
    - ``progress``: called with the work done, and all of it, by one thread at a time
    - ``check``: called now and then, by any thread; what it raises ends the work

    Beside the vectors it needs ``graph_build_bytes``.
    """
    count = len(vectors)
    assert count > 0, "a graph needs a slot"
    assert len(roots) > 0, "a graph needs a root"
    outer = degree * OUTER // 32 if metric == "dot" else 0
    squares = _squares(vectors, check)
    build = _Build(
        vectors=vectors,
        squares=squares,
        scales=_scales(squares, metric),
        degree=degree - outer,
        outer=outer,
        pool=pool,
        threads=threads,
        tell=_Tell(progress, (5 if refine else 3) * count),
        check=check,
    )
    links, products = build.link_leaves(leaves)
    build.link_back(links, _FIRST_ALPHA)
    if refine:
        links = build.refine(links, alpha)
        build.link_back(links, alpha)
    if outer > 0:
        inner, links = links, np.empty((count, degree), np.uint32)
        join_lists(inner, products, links)
    build.connect(links, roots)
    return links


def graph_build_bytes(rows: int, dim: int, degree: int = 32, *, threads: int = 2) -> int:
    """The most memory that ``build_graph`` takes beside its vectors, the result included.

    It is two graphs, a few numbers a slot, the centroids, and what the threads work with. Leaves
    are taken to hold 32 slots or more on average.
    """
    near = (rows // 32 + 1) * (4 * dim + 4 * NEAR_LEAVES + 64)
    scratch = 4 * dim * (32 + 2 * _LEAF + 64) + 32 * (rows // 32) + 1024 * 1024
    return rows * (8 * degree + 32) + near + max(1, threads) * scratch


class _Tell:
    """Progress that only rises, whichever thread made it."""

    def __init__(self, progress: Callable[[int, int], None], total: int) -> None:
        self._progress, self._total = progress, total
        self._lock = threading.Lock()
        self._done = 0  # Guarded by self._lock

    def add(self, rows: int) -> None:
        with self._lock:
            self._done += rows
            self._progress(self._done, self._total)


def _scales(squares: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    """What each vector is times: under dot what makes it of unit length, else 1."""
    if metric != "dot":
        return np.ones(len(squares), np.float32)
    with np.errstate(all="ignore"):
        scales = 1.0 / np.sqrt(squares)
    return np.where(np.isfinite(scales), scales, np.float32(0.0))


def _squares(vectors: NDArray[np.float32], check: Callable[[], None]) -> NDArray[np.float32]:
    """Squared lengths; infinite past float32: such slots are connected all the same."""
    squares = np.empty(len(vectors), np.float32)
    step = max(1, _STEP_NUMBERS // vectors.shape[1])
    with np.errstate(all="ignore"):
        for start in range(0, len(vectors), step):
            check()
            part = vectors[start : start + step]
            np.einsum("ij,ij->i", part, part, out=squares[start : start + step])
    return squares


@dataclass(frozen=True, slots=True, kw_only=True)
class _Build:
    """The passes. Distances are between vectors times their scales.

    ``degree`` is without the ``outer`` links, of a slot to the highest products.
    """

    vectors: NDArray[np.float32]
    squares: NDArray[np.float32]
    scales: NDArray[np.float32]
    degree: int
    outer: int
    pool: Executor | None
    threads: int
    tell: _Tell
    check: Callable[[], None]

    def link_leaves(
        self, leaves: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Each slot to some of the nearest in the leaves around its own; and the outer links."""
        near = self._near_leaves(leaves)
        with np.errstate(all="ignore"):
            half_squares = self.squares * (np.float32(0.5) * self.scales * self.scales)
        links = self._no_links()
        products = np.empty((len(links), self.outer), np.uint32)
        alpha2 = _FIRST_ALPHA**2
        looked = min(_LEAF, max(1, _STEP_PRODUCTS // (_LEAF * NEAR_LEAVES * self._dim)))

        def work(run: tuple[int, int, int]) -> None:
            leaf, first, last = run
            around = near[leaf]
            ground = (self.vectors, self.scales, half_squares, leaves)
            link_run(*ground, around, first, last, CANDIDATES, alpha2, links, products)
            self.tell.add(last - first)

        self._each(_runs(leaves, looked), work)
        return links, products

    def link_back(self, links: NDArray[np.uint32], alpha: float) -> None:
        """Each slot to those that link to it."""
        ends, offers = self._offers(links)

        def work(begin: int) -> None:
            end = min(begin + step, len(links))
            ground = (self.vectors, self.scales, ends, offers)
            accept_offers(*ground, begin, end, alpha * alpha, links)
            self.tell.add(end - begin)

        step = self._step()
        self._each(range(0, len(links), step), work)

    def refine(self, links: NDArray[np.uint32], alpha: float) -> NDArray[np.uint32]:
        """Each slot to some of the nearest that a walk finds."""
        better = self._no_links()

        def work(begin: int) -> None:
            end = min(begin + step, len(links))
            ground = (self.vectors, self.scales, links)
            refine_links(*ground, begin, end, WIDTH, alpha * alpha, better)
            self.tell.add(end - begin)

        step = self._step()
        self._each(range(0, len(links), step), work)
        return better

    def connect(self, links: NDArray[np.uint32], roots: NDArray[np.int64]) -> None:
        """See to it that every slot is reached from the roots."""
        reach = _Reach(links, roots, self.check)
        slot = 0
        while not reach.all_reached():
            slot = attach_next(links, reach.parents, slot)
            reach.follow(slot)
        self.tell.add(len(links))

    @property
    def _dim(self) -> int:
        return int(self.vectors.shape[1])

    def _step(self) -> int:
        """Slots that take some 20 ms."""
        return max(4, 20_000 // (60 + self._dim // 4))

    def _no_links(self) -> NDArray[np.uint32]:
        return np.full((len(self.vectors), self.degree), NONE, np.uint32)

    def _near_leaves(self, leaves: NDArray[np.int64]) -> NDArray[np.int32]:
        """[leaves, some]: the leaves nearest to each, itself first."""
        count = len(leaves) - 1
        centroids = np.empty((count, self._dim), np.float32)
        for leaf in range(count):
            self.check()
            slots = slice(leaves[leaf], leaves[leaf + 1])
            with np.errstate(all="ignore"):
                scaled = self.vectors[slots] * self.scales[slots, None]
                centroids[leaf] = scaled.mean(axis=0)
        # Under dot by their products: that leads to leaves of long vectors, which lie closer.
        half_squares = np.float32(0.0 if self.outer > 0 else 0.5) * _squares(centroids, self.check)
        near = np.empty((count, min(NEAR_LEAVES, count)), np.int32)
        step = max(4, _STEP_PRODUCTS // (count * (self._dim + 50)) // 4 * 4)

        def work(begin: int) -> None:
            end = min(begin + step, count)
            find_near_leaves(centroids, half_squares, begin, end, near)

        self._each(range(0, count, step), work)
        return near

    def _offers(self, links: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        """Who links to a slot, for one slot after the other, and where those of each end."""
        count = len(links)
        step = max(1, _STEP_LINKS // self.degree)
        ends = np.zeros(count, np.int64)
        for begin in range(0, count, step):
            self.check()
            count_offers(links, begin, min(begin + step, count), ends)
        total = int(ends.sum())
        ends[1:] = np.cumsum(ends[:-1])
        ends[0] = 0
        offers = np.empty(total, np.uint32)
        for begin in range(0, count, step):
            self.check()
            place_offers(links, begin, min(begin + step, count), ends, offers)
        return ends, offers

    def _each(self, items: Iterable[Item], work: Callable[[Item], None]) -> None:
        """Call ``work`` on all items, on a few threads."""

        def some(left: deque[Item]) -> None:
            while True:
                self.check()
                try:
                    item = left.popleft()
                except IndexError:
                    return
                work(item)

        share(items, some, self.pool, self.threads)


class _Reach:
    """Which slots are reached from some roots; it grows by ``follow``."""

    def __init__(
        self, links: NDArray[np.uint32], roots: NDArray[np.int64], check: Callable[[], None]
    ) -> None:
        roots = np.unique(roots)
        self._links, self._check = links, check
        self._queue = np.empty(len(links), np.int64)
        self._queue[: len(roots)] = roots
        self._tail = len(roots)
        self.parents = np.full(len(links), UNREACHED, np.int32)
        self.parents[roots] = -1
        self._spread(0)

    def all_reached(self) -> bool:
        return self._tail == len(self._queue)

    def follow(self, slot: int) -> None:
        """Go on from a slot that has just been made reachable."""
        self._queue[self._tail] = slot
        self._tail += 1
        self._spread(self._tail - 1)

    def _spread(self, head: int) -> None:
        most = max(1, _STEP_LINKS // self._links.shape[1])
        while head < self._tail:
            self._check()
            tail = spread(self._links, head, self._tail, most, self.parents, self._queue)
            head, self._tail = min(head + most, self._tail), tail


def _runs(leaves: NDArray[np.int64], most: int) -> Iterator[tuple[int, int, int]]:
    """(leaf, first, last) of runs of at most so many slots that lie in one leaf."""
    for leaf in range(len(leaves) - 1):
        start, stop = int(leaves[leaf]), int(leaves[leaf + 1])
        for first in range(start, stop, most):
            yield leaf, first, min(first + most, stop)


def merge_links(links: NDArray[np.uint32], per_page: int, degree: int) -> NDArray[np.uint32]:
    """[pages, degree]: of each page of ``per_page`` slots the neighbours of its members.

    First the nearest of each member, then the second nearest, and so on; no member, none twice.
    """
    pages = -(-len(links) // per_page)
    merged = np.empty((pages, degree), np.uint32)
    merge_pages(links, per_page, 0, pages, merged)
    return merged


def graph_faults(
    links: NDArray[np.uint32], count: int, roots: NDArray[np.int64], degree: int
) -> list[str]:
    """What is wrong with the links of a segment of ``count`` slots; empty if nothing is."""
    if links.shape != (count, degree) or links.dtype != np.uint32:
        return [f"graph: links are not uint32[{count}, {degree}]"]
    faults = []
    step = max(1, _STEP_LINKS // degree)
    for start in range(0, count, step):
        faults += _list_faults(links, start, min(start + step, count))
    if faults:
        return faults
    parents = _Reach(links, roots, lambda: None).parents
    missed = np.flatnonzero(parents == UNREACHED)
    return [f"slot {slot}: no way to it from the entry points" for slot in missed]


def _list_faults(links: NDArray[np.uint32], start: int, stop: int) -> list[str]:
    """What is wrong with the lists of slots [start, stop)."""
    part = links[start:stop]
    empty = part == NONE
    ordered = np.sort(part, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NONE)
    kinds = {
        "a link to a slot that there is not": (part >= len(links)) & ~empty,
        "a link to itself": part == np.arange(start, stop, dtype=np.uint32)[:, None],
        "the same link twice": twice,
        "a link behind the end of its list": empty[:, :-1] & ~empty[:, 1:],
    }
    return [
        f"slot {start + row}: {what}"
        for what, wrong in kinds.items()
        for row in np.flatnonzero(wrong.any(axis=1))
    ]
