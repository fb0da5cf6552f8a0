"""The first stage of a search by codes: the scan plane of every matching row is read.

Each thread has a heap for each query and takes parts of the codes as they come. What they kept is
merged by (estimate descending, place ascending): the answer is the same for any number of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

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
_SHARE_BYTES = 1024 * 1024  # below this one thread is faster

Kept = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Estimates and places, best first."""
Part = tuple[CodedRun, int, int]
"""A run, its first block, and the block to stop before."""
Work = Callable[[deque[Part]], list[Kept]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """How to scan: what all queries of one call share.

    - ``matching``: rows that may match, in all
    - ``kept``: rows that the scan plane keeps for each query
    - ``sigmas``: how many standard errors an estimate is trusted to be off
    - ``hamming``: order by the Hamming distance first
    """

    k: int
    matching: int
    kept: int
    sigmas: float = 2.0
    hamming: bool = False
    deadline: Deadline = Deadline()  # noqa: RUF009 - a frozen value
    pool: Executor | None = None
    threads: int = 1


def scan_group(group: list[CodedRun], planes: QueryPlanes, scan: Scan) -> list[Kept]:
    """The ``scan.kept`` best rows of each query among runs of one centre."""
    parts = list(split_blocks(group, _PART_BYTES))
    size_bytes = sum((end - start) * run.block_bytes for run, start, end in parts)
    threads = scan.threads if size_bytes >= _SHARE_BYTES else 1
    if threads > 1 and len(parts) < threads:
        parts = list(split_blocks(group, -(-size_bytes // threads)))
    work = _hamming_work(planes, scan) if scan.hamming else _estimate_work(planes, scan)
    shares = share(parts, work, scan.pool, threads)
    return [
        _merge([one[query] for one in shares], scan.kept) for query in range(len(planes.delta4))
    ]


def _estimate_work(planes: QueryPlanes, scan: Scan) -> Work:
    padded = 64 * planes.planes4.shape[0]

    def work(parts: deque[Part]) -> list[Kept]:
        heaps = _Heaps(len(planes.delta4), scan.kept)
        while True:
            scan.deadline.check("scanning codes")
            try:
                run, start, end = parts.popleft()
            except IndexError:
                return heaps.sorted()
            heaps.slots -= run.first
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
                heaps.estimates,
                heaps.slots,
                heaps.sizes,
            )
            heaps.slots += run.first

    return work


def _hamming_work(planes: QueryPlanes, scan: Scan) -> Work:
    padded = 64 * planes.planes4.shape[0]
    kept = min(KEPT_MAX, HAMMING_FACTOR * scan.kept)

    def work(parts: deque[Part]) -> list[Kept]:
        count = len(planes.delta4)
        heaps = _Heaps(count, scan.kept)
        nearest = np.empty((count, kept), np.int32)
        slots = np.empty((count, kept), np.int64)
        while True:
            scan.deadline.check("scanning codes")
            try:
                run, start, end = parts.popleft()
            except IndexError:
                return heaps.sorted()
            sizes = np.zeros(count, np.int64)
            scan_hamming(run.codes, run.mask, start, end, planes.signs, nearest, slots, sizes)
            heaps.slots -= run.first
            for query in range(count):
                one = slice(query, query + 1)
                blocks, masks = _blocks_of(slots[query, : sizes[query]])
                estimate_blocks(
                    run.codes,
                    run.factors,
                    blocks,
                    masks,
                    np.ascontiguousarray(planes.planes4[:, :, one]),
                    planes.delta4[one],
                    planes.constant[one],
                    padded,
                    heaps.estimates[one],
                    heaps.slots[one],
                    heaps.sizes[one],
                )
            heaps.slots += run.first

    return work


def _blocks_of(slots: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """The blocks of ``slots``, ascending, and a mask of the slots in each."""
    blocks, place = np.unique(slots >> 3, return_inverse=True)
    masks = np.zeros(len(blocks), np.uint8)
    np.bitwise_or.at(masks, place, np.uint8(1) << (slots & 7).astype(np.uint8))
    return blocks, masks


class _Heaps:
    """What one thread has kept so far; slots are places between calls of the kernel."""

    def __init__(self, queries: int, kept: int) -> None:
        self.estimates = np.empty((queries, kept), np.float32)
        self.slots = np.zeros((queries, kept), np.int64)
        self.sizes = np.zeros(queries, np.int64)

    def sorted(self) -> list[Kept]:
        found: list[Kept] = []
        for query, size in enumerate(self.sizes.tolist()):
            sort_heap(self.estimates[query], self.slots[query], size)
            found.append((self.estimates[query, :size], self.slots[query, :size]))
        return found


def _merge(parts: Sequence[Kept], kept: int) -> Kept:
    """The best of several threads, by (estimate descending, place ascending)."""
    if len(parts) == 1:
        return parts[0]
    estimates = np.concatenate([one for one, _ in parts])
    places = np.concatenate([one for _, one in parts])
    order = np.lexsort((places, -estimates))[:kept]
    return estimates[order], places[order]
