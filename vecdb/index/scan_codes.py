"""The first stage of a search by codes: the scan plane of every matching row is read.

Each thread has a heap for each query and takes parts of the codes as they come. What they kept is
merged by (estimate descending, place ascending): the answer is the same for any number of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..deadline import Deadline
from ..kernels.codes import estimate_blocks, scan_estimates
from ..kernels.hamming import scan_hamming
from ..kernels.heaps import sort_heap
from ..quantize.query import QueryPlanes
from .coded import CodedRun, split_blocks
from .share import share

KEPT_MAX = 16_384
"""Most rows that the scan plane keeps for one query."""
HAMMING_FACTOR = 4
"""How many times as many rows the Hamming distance keeps before the estimates."""
_PART_BYTES = 4 * 1024 * 1024  # of codes between two looks at the deadline
_SHARE_BYTES = 16 * 1024 * 1024  # below this one thread is faster: handing over costs 0.2 ms
_FLOAT32 = np.dtype(np.float32)

Kept = tuple[NDArray[Any], NDArray[np.int64]]
"""Estimates (float32), or distances with a minus (int32), and their places, best first."""
Part = tuple[CodedRun, int, int]
"""A run, its first block, and the block to stop before."""
Read = Callable[[Part, "_Heaps"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """How to scan: what all queries of one call share.

    - ``matching``: rows that may match, in all
    - ``kept``: rows that the scan plane keeps for each query
    - ``sigmas``: how many standard errors an estimate is trusted to be off
    - ``certain``: the bound is to hold for rows of any error; every row that was kept is refined
    - ``hamming``: order by the Hamming distance first
    """

    k: int
    matching: int
    kept: int
    sigmas: float = 2.0
    certain: bool = False
    hamming: bool = False
    deadline: Deadline = Deadline()  # noqa: RUF009 - a frozen value
    pool: Executor | None = None
    threads: int = 1


def scan_group(group: list[CodedRun], planes: QueryPlanes, scan: Scan) -> list[Kept]:
    """The ``scan.kept`` best rows of each query among runs of one centre."""
    if not scan.hamming:
        return _read_codes(group, _estimate_all(planes), _Room(planes, scan.kept), scan)
    # How many the distance keeps must not depend on the parts, hence on the threads.
    room = _Room(planes, min(KEPT_MAX, HAMMING_FACTOR * scan.kept), np.dtype(np.int32))
    nearest = _read_codes(group, _measure_all(planes), room, scan)
    work = _estimate_some(group, planes, [np.sort(places) for _, places in nearest], scan)
    shares = share(range(len(nearest)), work, scan.pool, scan.threads)
    found = {query: kept for one in shares for query, kept in one}
    return [found[query] for query in range(len(nearest))]


def _read_codes(group: list[CodedRun], read: Read, room: _Room, scan: Scan) -> list[Kept]:
    """What ``read`` finds best for each query in all codes of the group."""
    parts = list(split_blocks(group, _PART_BYTES))
    size_bytes = sum((end - start) * run.block_bytes for run, start, end in parts)
    threads = scan.threads if size_bytes >= _SHARE_BYTES else 1
    if threads > 1 and len(parts) < threads:
        parts = list(split_blocks(group, -(-size_bytes // threads)))

    def work(parts: deque[Part]) -> list[Kept]:
        heaps = room.heaps()
        while True:
            scan.deadline.check("scanning codes")
            try:
                part = parts.popleft()
            except IndexError:
                return heaps.sorted()
            heaps.slots -= part[0].first
            read(part, heaps)
            heaps.slots += part[0].first

    shares = share(parts, work, scan.pool, threads)
    return [_merge([one[query] for one in shares], room.kept) for query in range(room.queries)]


def _estimate_all(planes: QueryPlanes) -> Read:
    padded = 64 * planes.planes4.shape[0]

    def read(part: Part, heaps: _Heaps) -> None:
        run, start, end = part
        scan_estimates(
            run.codes,
            run.factors,
            run.mask,
            start,
            end,
            planes.planes4,
            planes.delta4,
            planes.constant,
            padded,
            heaps.values,
            heaps.slots,
            heaps.sizes,
        )

    return read


def _measure_all(planes: QueryPlanes) -> Read:
    def read(part: Part, heaps: _Heaps) -> None:
        run, start, end = part
        scan_hamming(
            run.codes, run.mask, start, end, planes.signs, heaps.values, heaps.slots, heaps.sizes
        )

    return read


def _estimate_some(
    group: list[CodedRun], planes: QueryPlanes, places: list[NDArray[np.int64]], scan: Scan
) -> Callable[[deque[int]], list[tuple[int, Kept]]]:
    """Work on queries: the best by estimate of the ``places`` (ascending) of each."""
    padded = 64 * planes.planes4.shape[0]
    firsts = [run.first for run in group]

    def work(queries: deque[int]) -> list[tuple[int, Kept]]:
        done: list[tuple[int, Kept]] = []
        while True:
            scan.deadline.check("scanning codes")
            try:
                query = queries.popleft()
            except IndexError:
                return done
            heaps = _Heaps(1, scan.kept, np.dtype(np.float32))
            one = slice(query, query + 1)
            planes4 = np.ascontiguousarray(planes.planes4[:, :, one])
            edges = np.searchsorted(places[query], firsts[1:])
            for run, some in zip(group, np.split(places[query], edges), strict=True):
                blocks, masks = _blocks_of(some - run.first)
                heaps.slots -= run.first
                estimate_blocks(
                    run.codes,
                    run.factors,
                    blocks,
                    masks,
                    planes4,
                    planes.delta4[one],
                    planes.constant[one],
                    padded,
                    heaps.values,
                    heaps.slots,
                    heaps.sizes,
                )
                heaps.slots += run.first
            done.append((query, heaps.sorted()[0]))

    return work


def _blocks_of(slots: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """The blocks of ``slots``, ascending, and a mask of the slots in each."""
    blocks, place = np.unique(slots >> 3, return_inverse=True)
    masks = np.zeros(len(blocks), np.uint8)
    np.bitwise_or.at(masks, place, np.uint8(1) << (slots & 7).astype(np.uint8))
    return blocks, masks


class _Heaps:
    """What one thread has kept so far; slots are places between calls of the kernel."""

    def __init__(self, queries: int, kept: int, dtype: np.dtype[Any]) -> None:
        self.values = np.empty((queries, kept), dtype)
        self.slots = np.zeros((queries, kept), np.int64)
        self.sizes = np.zeros(queries, np.int64)

    def sorted(self) -> list[Kept]:
        found: list[Kept] = []
        for query, size in enumerate(self.sizes.tolist()):
            sort_heap(self.values[query], self.slots[query], size)
            found.append((self.values[query, :size], self.slots[query, :size]))
        return found


class _Room:
    """How much each thread may keep."""

    def __init__(self, planes: QueryPlanes, kept: int, dtype: np.dtype[Any] = _FLOAT32) -> None:
        self.queries = len(planes)
        self.kept = kept
        self._dtype = dtype

    def heaps(self) -> _Heaps:
        return _Heaps(self.queries, self.kept, self._dtype)


def _merge(parts: Sequence[Kept], kept: int) -> Kept:
    """The best of several threads, by (value descending, place ascending)."""
    if len(parts) == 1:
        return parts[0]
    values = np.concatenate([one for one, _ in parts])
    places = np.concatenate([one for _, one in parts])
    order = np.lexsort((places, -values))[:kept]
    return values[order], places[order]
