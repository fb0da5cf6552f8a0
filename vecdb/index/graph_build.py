"""From vectors in slot order to the graph of a segment.

Candidates come from the leaves of the tree, as in PiPNN; they are pruned, offered back and pruned
again, as in Vamana (DiskANN, NeurIPS 2019), with these differences:

1. Leaves do not overlap; each looks into the leaves nearest to it instead.
2. No walk, no random start: every pass is over ranges of slots that do not see each other, so the
   graph is the same for any number of threads.
3. Entry points are many, and every slot can be reached from them: the last pass sees to it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..kernels.distance import dot_block
from ..kernels.graph_build import (
    accept_offers,
    attach,
    count_offers,
    link_leaves,
    merge_pages,
    place_offers,
    spread,
)
from .share import share

NONE = 0xFFFFFFFF
"""Fills the end of a list of links."""
NEAR_LEAVES = 16
CANDIDATES = 48

_STEP_PRODUCTS = 400_000_000  # multiplications in some 10 ms
_STEP_LINKS = 1_000_000  # links followed in some 10 ms
_SCRATCH_BYTES = 8 * 1024 * 1024


def build_graph(
    vectors: NDArray[np.float32],
    leaves: NDArray[np.int64],
    roots: NDArray[np.int64],
    *,
    metric: str,
    degree: int = 32,
    alpha: float = 1.2,
    threads: int,
    pool: Executor | None,
    progress: Callable[[int, int], None],
    check: Callable[[], None],
) -> NDArray[np.uint32]:
    """links: [n, degree], of each slot its neighbours, the end filled with ``NONE``.

    - ``vectors``: [n, dim], n > 0, C-contiguous, in slot order, finite; of unit length (or zero)
      for cosine
    - ``leaves``: slots of leaf l of the tree are [leaves[l], leaves[l + 1])
    - ``roots``: slots from which all others can be reached
    - ``progress``: called with the work done, and all of it
    - ``check``: called now and then, from any of the threads; what it raises ends the work

    Beside the vectors it needs ``graph_build_bytes``.
    """
    count = len(vectors)
    links = np.full((count, degree), NONE, np.uint32)
    extra = _extra_coordinate(vectors, metric)
    build = _Build(
        vectors=vectors,
        extra=extra,
        leaves=leaves,
        links=links,
        alpha2=float(np.float32(alpha * alpha)),
        pool=pool,
        threads=threads,
        told=_Tell(progress, 3 * count),
        check=check,
    )
    build.link_leaves()
    build.link_back()
    build.connect(roots)
    return links


def graph_build_bytes(rows: int, dim: int, degree: int = 32, threads: int = 2) -> int:
    """The most memory that ``build_graph`` takes beside its vectors."""
    return rows * (8 * degree + 24) + threads * _SCRATCH_BYTES


class _Tell:
    """Progress that only rises."""

    def __init__(self, progress: Callable[[int, int], None], total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def add(self, rows: int) -> None:
        self._done = min(self._done + rows, self._total)
        self._progress(self._done, self._total)


def _extra_coordinate(vectors: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    """One more coordinate of each vector: under dot what makes all of them equally long."""
    if metric != "dot":
        return np.zeros(len(vectors), np.float32)
    squares = _squares(vectors)
    with np.errstate(all="ignore"):
        return np.sqrt(squares.max() - squares)


def _squares(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    squares = np.empty(len(vectors), np.float32)
    step = max(1, 2**20 // vectors.shape[1])
    with np.errstate(all="ignore"):
        for start in range(0, len(vectors), step):
            part = vectors[start : start + step]
            np.einsum("ij,ij->i", part, part, out=squares[start : start + step])
    return squares


@dataclass(frozen=True, slots=True, kw_only=True)
class _Build:
    """The passes; ``links`` is what they work on."""

    vectors: NDArray[np.float32]
    extra: NDArray[np.float32]
    leaves: NDArray[np.int64]
    links: NDArray[np.uint32]
    alpha2: float
    pool: Executor | None
    threads: int
    told: _Tell
    check: Callable[[], None]

    def link_leaves(self) -> None:
        """Each slot to the nearest in the leaves around its own."""
        near = self._near_leaves()
        squares = _squares(self.vectors) + self.extra * self.extra

        def work(begin: int, end: int) -> None:
            link_leaves(
                self.vectors,
                self.extra,
                squares,
                self.leaves,
                near,
                begin,
                end,
                CANDIDATES,
                self.alpha2,
                self.links,
            )

        self._each(len(self.leaves) - 1, 4, work, self.leaves)

    def link_back(self) -> None:
        """Each slot to those that link to it."""
        count = len(self.links)
        ends = np.zeros(count, np.int64)
        for begin, end in self._parts(count, _STEP_LINKS // self.links.shape[1]):
            count_offers(self.links, begin, end, ends)
        np.cumsum(ends, out=ends)
        offers = np.empty(ends[-1], np.uint32)
        ends[1:] = ends[:-1]
        ends[0] = 0
        for begin, end in self._parts(count, _STEP_LINKS // self.links.shape[1]):
            place_offers(self.links, begin, end, ends, offers)

        def work(begin: int, end: int) -> None:
            accept_offers(
                self.vectors, self.extra, ends, offers, begin, end, self.alpha2, self.links
            )

        self._each(count, 512, work)

    def connect(self, roots: NDArray[np.int64]) -> None:
        """See to it that every slot is reached from the roots."""
        count = len(self.links)
        parents = np.full(count, -2, np.int32)
        queue = np.empty(count, np.int64)
        parents[roots] = -1
        queue[: len(roots)] = roots
        head, tail, slot = 0, len(roots), 0
        most = _STEP_LINKS // self.links.shape[1]
        while True:
            while head < tail:
                self.check()
                reached = spread(self.links, head, tail, most, parents, queue)
                head, tail = min(head + most, tail), reached
            if tail == count:
                break
            slot += int(np.argmax(parents[slot:] == -2))
            assert attach(self.links, parents, slot), "no root, or no link to spare"
            queue[tail] = slot
            tail += 1
        self.told.add(count)

    def _near_leaves(self) -> NDArray[np.int32]:
        """[leaves, some]: the leaves nearest to each by centroid, itself first."""
        count = len(self.leaves) - 1
        centroids = np.empty((count, self.vectors.shape[1] + 1), np.float32)
        for leaf in range(count):
            part = slice(self.leaves[leaf], self.leaves[leaf + 1])
            centroids[leaf, :-1] = self.vectors[part].mean(axis=0, dtype=np.float64)
            centroids[leaf, -1] = self.extra[part].mean(dtype=np.float64)
        half = _squares(centroids) / 2
        wanted = min(NEAR_LEAVES, count)
        near = np.empty((count, wanted), np.int32)
        step = 64
        products = np.empty((step, count), np.float32)
        asked = np.zeros((step, centroids.shape[1]), np.float32)
        for start in range(0, count, step):
            self.check()
            stop = min(start + step, count)
            asked[: stop - start] = centroids[start:stop]
            dot_block(asked, centroids, products)
            gaps = half - products[: stop - start]
            gaps[np.arange(stop - start), np.arange(start, stop)] = -np.inf
            near[start:stop] = np.argsort(gaps, axis=1, kind="stable")[:, :wanted]
        return near

    def _parts(self, count: int, step: int) -> Iterator[tuple[int, int]]:
        for begin in range(0, count, step):
            self.check()
            yield begin, min(begin + step, count)

    def _each(
        self,
        count: int,
        step: int,
        work: Callable[[int, int], None],
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        """Call ``work`` on all ranges of ``step``; ``rows`` is how many rows come before each."""

        def some(parts: deque[int]) -> None:
            while True:
                self.check()
                try:
                    begin = parts.popleft()
                except IndexError:
                    return
                end = min(begin + step, count)
                work(begin, end)
                self.told.add(end - begin if rows is None else int(rows[end] - rows[begin]))

        share(range(0, count, step), some, self.pool, self.threads)


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
    return faults or _reach_faults(links, roots)


def _list_faults(links: NDArray[np.uint32], start: int, stop: int) -> list[str]:
    """Wrong links of slots [start, stop)."""
    part = links[start:stop]
    empty = part == NONE
    count = len(links)
    slots = np.arange(start, stop, dtype=np.uint32)[:, None]
    ordered = np.sort(part, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NONE)
    kinds = {
        "a link to no slot of the segment": (part >= count) & ~empty,
        "a link to itself": part == slots,
        "a link twice": twice,
        "a link behind the end of its list": empty[:, :-1] & ~empty[:, 1:],
    }
    return [
        f"slot {start + row}: {what}"
        for what, wrong in kinds.items()
        for row in np.flatnonzero(wrong.any(axis=1))
    ]


def _reach_faults(links: NDArray[np.uint32], roots: NDArray[np.int64]) -> list[str]:
    count = len(links)
    parents = np.full(count, -2, np.int32)
    queue = np.empty(count, np.int64)
    parents[roots] = -1
    queue[: len(roots)] = roots
    tail = spread(links, 0, len(roots), len(roots), parents, queue)
    head = len(roots)
    while head < tail:
        head, tail = tail, spread(links, head, tail, tail - head, parents, queue)
    return [f"slot {slot}: no way to it from the roots" for slot in np.flatnonzero(parents == -2)]
