"""Search by a graph whose neighbours lie on the pages of the vectors: a page is a node.

After PageANN (arXiv 2509.25487) and LAANN (arXiv 2606.02784), with these differences:

1. Estimates are RaBitQ's (arXiv 2409.09913): by all bits where codes are in memory, by the scan
   plane where pages bring the codes of their neighbours. No product quantizer, no training.
2. What is cached saves reads and never steers: no look-ahead on cached pages, no first come, first
   served. So an answer depends on the query alone.
3. Walks begin in every segment, at the best of a sample of its slots, whose codes are in memory at
   every level. A segment has a pool and an end of its own; the k-th best is common.
4. A walk ends when its pool is read, or when too many pages went to slots that are likely too far:
   beyond a margin of the k-th best distance, or under dot below the k-th best by some sigmas.
5. Pages are asked for in rounds, for all queries of a batch together: one wait serves them all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..deadline import Deadline
from ..kernels import graph_walk
from ..kernels import page_pool as pool
from ..kernels.page_pool import choose_pages
from ..kernels.page_walk import begin_walks, take_pages
from ..quantize.planes import Encoder, Quantizer
from ..storage.format import DTYPE_CODES, LAYOUT_CODED
from ..storage.page_cache import Held
from ..storage.stored_pages import StoredPages
from .entries import SAMPLE_STEP, Entries
from .lists import distinct
from .rows import row_norms
from .share import share

Hold = Callable[[Sequence[tuple[StoredPages, NDArray[np.int64]]]], AbstractContextManager[Held]]
"""Has pages in memory while its context lasts; ``PageCache.hold``."""

BEAM, MARGIN, ALLOWANCE, SIGMAS = 4, 1.1, 16, 2.0
_TOGETHER = 16  # queries whose pages are read together, at most
_SCRATCH_BYTES = 4 * 1024 * 1024  # of what they remember
_SHARE_LEAST = 4
_METRICS = {"l2": pool.L2, "cosine": pool.COSINE, "dot": pool.DOT}
_STOPPED = {pool.POOL: "pool", pool.MARGIN: "margin"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PagePart:
    """A segment whose neighbours lie on its pages, as places ``first`` ...

    - ``codes``, ``factors``, ``refine``: as of ``CodedRun``; without codes the pages, of layout
      coded, bring those of neighbours
    - ``count``: slots, above 0; the other fields: as of ``CodedRun``
    """

    first: int
    pages: StoredPages
    mask: NDArray[np.uint8]
    count: int
    encoder: Encoder
    kappa: float
    entries: Entries
    codes: NDArray[np.uint64] | None = None
    factors: NDArray[np.float32] | None = None
    refine: NDArray[np.uint64] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageWalk:
    """How to walk: what all queries of one call share.

    - ``k``: matches wanted; ``width``: slots that the pool keeps; ``beam``: pages a round; each of
      several segments has a part of these
    - ``margin``, ``sigmas``, ``allowance``: so many pages are read for slots whose estimate is
      beyond the squared distance of the k-th best times ``margin``; under dot, where it is below
      the k-th best by more than so many sigmas
    """

    k: int
    width: int
    beam: int = BEAM
    margin: float = MARGIN
    sigmas: float = SIGMAS
    allowance: int = ALLOWANCE
    deadline: Deadline = Deadline()  # noqa: RUF009 - a frozen value
    pool: Executor | None = None
    threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PageWalked:
    """What the walk for one query has scored: all that matches on every page it has read.

    - ``places``: int64[m]; ``raw``, ``squares``: float64[m], as of ``page_score.score_on_pages``
    - ``rounds``: waits for pages; ``nodes_expanded``: pages
    - ``stopped_by``: "pool", all of it was read, or "margin", what was left somewhere is too far
    """

    places: NDArray[np.int64]
    raw: NDArray[np.float64]
    squares: NDArray[np.float64]
    rounds: int
    nodes_expanded: int
    codes_scanned: int
    codes_refined: int
    stopped_by: str


def allowance_of(width: int) -> int:
    """A wider walk may go further: so that recall rises with the width all the way."""
    return max(8, width // 4)


def walk_pages(
    parts: Sequence[PagePart],
    quantizer: Quantizer,
    queries: NDArray[np.float32],
    walk: PageWalk,
    hold: Hold,
) -> list[PageWalked]:
    """Walk for each of ``queries`` (float32[q, dim]) over all parts, at least one, at once.

    The same for any number of threads, whatever the other queries are and whatever is cached.
    Raises ``DeadlineExceeded``, after which no page is read, ``DataCorruption``, ``StorageError``.
    """
    parts = sorted(parts, key=lambda part: part.first)
    if any(part.codes is None for part in parts) and not all(map(_is_coded, parts)):
        raise AssertionError("without codes in memory all pages have to bring them")
    together = max(1, min(_TOGETHER, _SCRATCH_BYTES // _bytes_of_one(parts, walk)))
    groups = range(0, len(queries), together)

    def work(starts: deque[int]) -> list[tuple[int, list[PageWalked]]]:
        done: list[tuple[int, list[PageWalked]]] = []
        while True:
            walk.deadline.check("walking on pages")
            try:
                start = starts.popleft()
            except IndexError:
                return done
            some = np.ascontiguousarray(queries[start : start + together], np.float32)
            done.append((start, _Group(parts, quantizer, some, walk).run(hold)))

    shares = share(groups, work, walk.pool, walk.threads)
    found = sorted((one for some in shares for one in some), key=lambda one: one[0])
    return [walked for _, some in found for walked in some]


class _Group:
    """The walks of some queries, round by round; used by one thread."""

    def __init__(
        self,
        parts: Sequence[PagePart],
        quantizer: Quantizer,
        queries: NDArray[np.float32],
        walk: PageWalk,
    ) -> None:
        self.parts, self.walk, self.queries = parts, walk, queries
        self.metric = _METRICS[quantizer.metric]
        self.dtype_code = DTYPE_CODES[parts[0].pages.geometry.numpy_dtype.str]
        self.table = _table(parts, walk)
        self.coded: tuple[Any, ...] = (self.table, *_coded(parts, quantizer, queries))
        count, width = len(queries), int(self.table[:, pool.WIDTH].max())
        shape = (count, len(parts))
        self.most = len(parts) * max(1, round(walk.beam / len(parts) ** 0.5))  # pages a round
        self.numbers = np.zeros((count, pool.NUMBERS), np.int64)
        met, read = _bits_of(parts)
        self.ends = np.zeros((*shape, pool.ENDS), np.int64)
        self.pools: tuple[Any, ...] = (
            np.empty((*shape, width), np.float32),
            np.empty((*shape, width), np.float32),
            np.empty((*shape, width), np.int64),
            np.zeros((*shape, width), np.uint8),
            self.ends,
            np.zeros((count, met), np.uint8),
            np.zeros((count, read), np.uint8),
            self.numbers,
        )
        self.best = np.empty((count, walk.k), np.float64)
        self.found: tuple[NDArray[Any], ...] = (
            np.empty((count, 0), np.int64),
            np.empty((count, 0), np.float64),
            np.empty((count, 0), np.float64),
        )
        self.norms = row_norms(queries)
        self.rounds = np.zeros(count, np.int64)

    def run(self, hold: Hold) -> list[PageWalked]:
        walk, count = self.walk, len(self.queries)
        most = self.most
        wanted = np.zeros((count, most), np.int64)
        addresses = np.zeros((count, most), np.int64)
        sizes = np.zeros(count, np.int64)
        end: tuple[Any, ...] = (walk.k, walk.margin, walk.sigmas)
        begin_walks(*self.coded, *self.pools)
        while True:
            asked_for: tuple[Any, ...] = (*end, *self.pools, self.best, wanted, sizes)
            choose_pages(self.table, self.metric, *asked_for)
            if not sizes.any():
                return self._results()
            walk.deadline.check("walking on pages")
            self.rounds += sizes > 0
            self._make_room()
            asked = np.arange(most) < sizes[:, None]
            numbers = distinct(wanted[asked])
            with hold(self._by_part(numbers)) as held:
                at = np.searchsorted(numbers, wanted[asked])
                addresses[asked] = np.concatenate(held.addresses)[at]
                take_pages(
                    *(*self.coded, self.metric, self.dtype_code, self.queries, self.norms),
                    *(wanted, addresses, sizes, *self.pools, self.best, *self.found),
                )

    def _make_room(self) -> None:
        """For what one more round may find."""
        most = int(self.numbers[:, pool.FOUND].max())
        wanted = most + self.most * int(self.table[:, pool.PER_PAGE].max())
        room = self.found[0].shape[1]
        if wanted > room:
            more = max(wanted, 2 * room) - room
            self.found = tuple(np.pad(some, ((0, 0), (0, more))) for some in self.found)

    def _by_part(self, pages: NDArray[np.int64]) -> list[tuple[StoredPages, NDArray[np.int64]]]:
        """Pages, ascending and counted over all parts, as each part counts them."""
        bases = self.table[:, pool.PAGE_BASE]
        parts = np.split(pages, np.searchsorted(pages, bases[1:]))
        return [
            (part.pages, some - base)
            for part, base, some in zip(self.parts, bases, parts, strict=True)
        ]

    def _results(self) -> list[PageWalked]:
        bases = 8 * self.table[:, graph_walk.BASE]
        shifts = np.array([part.first for part in self.parts], np.int64) - bases
        walked = []
        for query, numbers in enumerate(self.numbers.tolist()):
            places, raw, squares = (some[query, : numbers[pool.FOUND]] for some in self.found)
            walked.append(
                PageWalked(
                    places=places + shifts[np.searchsorted(bases, places, side="right") - 1],
                    raw=raw,
                    squares=squares,
                    rounds=int(self.rounds[query]),
                    nodes_expanded=numbers[pool.EXPANDED],
                    codes_scanned=numbers[pool.SCANNED],
                    codes_refined=numbers[pool.REFINED],
                    stopped_by=_STOPPED[int(self.ends[query, :, pool.STATE].max())],
                )
            )
        return walked


def _coded(
    parts: Sequence[PagePart], quantizer: Quantizer, queries: NDArray[np.float32]
) -> tuple[Any, ...]:
    """How codes are compared with the queries: what kernels take behind the table."""
    shape, words = (len(queries), len(parts)), quantizer.words
    planes = np.empty((*shape, words, 4, 1), np.uint64)
    planes8 = np.empty((*shape, 8, words), np.uint64)
    terms, terms8 = np.empty((*shape, 3), np.float32), np.empty((*shape, 3), np.float32)
    rotated = quantizer.rotate_queries(queries)
    for number, part in enumerate(parts):
        one = part.encoder.prepare(rotated)
        planes[:, number, :, :, 0] = one.planes4.transpose(2, 0, 1)
        planes8[:, number] = one.planes8
        terms[:, number, 0], terms[:, number, 1] = one.delta4, one.constant
        terms[:, number, 2] = 7.5 * quantizer.padded
        terms8[:, number, 0], terms8[:, number, 1] = one.delta8, one.constant
        terms8[:, number, 2] = one.length
    kappas = np.array([part.kappa for part in parts])
    inline = any(part.codes is None for part in parts)
    sizes = (words, quantizer.bits, quantizer.padded, inline)
    return (*sizes, planes, terms, planes8, terms8, kappas)


def _is_coded(part: PagePart) -> bool:
    return part.pages.geometry.layout == LAYOUT_CODED


def _bits_of(parts: Sequence[PagePart]) -> tuple[int, int]:
    """Bytes of a bit for each slot, and of one for each page."""
    pages = sum(part.pages.geometry.pages(part.count) for part in parts)
    return sum(len(part.mask) for part in parts), -(-pages // 8)


def _bytes_of_one(parts: Sequence[PagePart], walk: PageWalk) -> int:
    """About what one query remembers; not what it finds."""
    return sum(_bits_of(parts)) + 17 * max(walk.width, walk.k) * len(parts)


def _table(parts: Sequence[PagePart], walk: PageWalk) -> NDArray[np.int64]:
    """The table of parts that the kernels read; the parts keep its memory alive."""
    table = np.zeros((len(parts), pool.PAGE_COLUMNS), np.int64)
    base = page_base = 0
    total = sum(part.count for part in parts)
    for row, part in zip(table, parts, strict=True):
        geometry = part.pages.geometry
        if part.codes is not None and part.factors is not None:
            row[graph_walk.CODES] = part.codes.ctypes.data
            row[graph_walk.FACTORS] = part.factors.ctypes.data
            row[graph_walk.REFINE] = 0 if part.refine is None else part.refine.ctypes.data
        row[graph_walk.MASK] = part.mask.ctypes.data
        row[graph_walk.ENTRY_CODES] = part.entries.codes.ctypes.data
        row[graph_walk.ENTRY_FACTORS] = part.entries.factors.ctypes.data
        row[graph_walk.COUNT] = part.count
        row[graph_walk.ENTRY_COUNT] = len(part.entries.slots)
        row[graph_walk.BASE] = base
        row[graph_walk.STEP] = SAMPLE_STEP
        row[pool.PER_PAGE] = geometry.per_page
        row[pool.NEIGHBOURS] = geometry.neighbours
        row[pool.LINKS_AT] = geometry.neighbours_at
        row[pool.BLOCKS_AT] = geometry.codes_at
        row[pool.ROW_BYTES] = geometry.row_bytes
        row[pool.PAGE_BASE] = page_base
        row[pool.WIDTH] = _share(max(walk.width, walk.k), part.count / total)
        row[pool.ALLOWANCE] = _share(walk.allowance, part.count / total)
        base += len(part.mask)
        page_base += geometry.pages(part.count)
    return table


def _share(number: int, share: float) -> int:
    """What a segment gets of a width or an allowance that is meant for one segment alone.

    So recall is about the same however many segments there are: on 60,000 x 100 in 1, 4 and 12
    segments .993, .991 and .993 (36, 54 and 90 pages). By the share itself it falls off.
    """
    wanted: float = number * share**0.75
    return min(number, max(_SHARE_LEAST, round(wanted)))
