"""Search by a graph in arrays: a walk guided by the scan plane, then all bits of what it found.

After DiskANN's greedy search (NeurIPS 2019) with RaBitQ's estimates (arXiv 2405.12497) in place of
a product quantizer's, and these differences:

1. A neighbour's whole block of eight codes is estimated: its memory is fetched anyway.
2. Walks begin at the best of a sample of slots, found by reading the codes of all of it.
3. One pool spans all segments; the estimates of different centres are of the same scores.
4. The pool decides where to go, a second list what is found: slots that may not match (deleted,
   filtered) steer like all others.
5. Vectors are not read: the caller scores the few slots that are left.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..deadline import Deadline
from ..kernels import graph_walk as kernel
from ..kernels.graph_shorten import shorten_found
from ..kernels.graph_walk import walk_graph_kernel
from ..quantize.bounds import KAPPA
from ..quantize.planes import LANES, Encoder, Quantizer
from .coded import count_bits
from .entries import SAMPLE_STEP, Entries
from .lists import Lists
from .prepared import prepare
from .share import share

SIGMAS = 1.5
"""How many standard errors an estimate by all bits is trusted to be off, at effort 1.

With 1 GloVe stayed at .974 whatever the width, with 1.5 it came to .993, for 18.8 slots in place of
15.0; with 2 to .995, for 23.6.
"""
_STEP = 16  # queries between two looks at the deadline


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphRun:
    """The codes and links of a segment's slots 0 .. count - 1, as places ``first`` ...

    - ``codes``, ``factors``, ``mask``, ``refine``, ``kappa``, ``mul_max``: as of ``CodedRun``
    - ``links``: uint32[count, degree], local slots, the end of a row filled with 0xFFFFFFFF
    - ``entries``: where walks begin
    """

    first: int
    count: int
    codes: NDArray[np.uint64]
    factors: NDArray[np.float32]
    mask: NDArray[np.uint8]
    encoder: Encoder
    kappa: float
    mul_max: float
    refine: NDArray[np.uint64] | None
    links: NDArray[np.uint32]
    entries: Entries

    @property
    def blocks(self) -> int:
        return len(self.mask)


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """How to walk: what all queries of one call share.

    - ``k``: matches wanted; ``width``: codes that the pool keeps
    - ``sigmas``: how many standard errors an estimate by all bits is trusted to be off
    """

    k: int
    width: int
    sigmas: float = SIGMAS
    deadline: Deadline = Deadline()  # noqa: RUF009 - a frozen value
    pool: Executor | None = None
    threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """What the walks of all queries leave to be scored.

    - ``found``: places, of each query in no order, all of slots whose bits are set in the masks
    - ``nodes_expanded``, ``blocks_scanned``, ``codes_refined``: int64[q]
    """

    found: Lists
    nodes_expanded: NDArray[np.int64]
    blocks_scanned: NDArray[np.int64]
    codes_refined: NDArray[np.int64]

    @property
    def codes_scanned(self) -> NDArray[np.int64]:
        return LANES * self.blocks_scanned


def walk_graph(
    runs: Sequence[GraphRun], quantizer: Quantizer, queries: NDArray[np.float32], walk: Walk
) -> Walked:
    """Walk for each of ``queries`` (float32[q, dim]) over all runs at once.

    The same for any number of threads and whatever the other queries are.
    Raises ``DeadlineExceeded``.
    """
    runs = [run for run in sorted(runs, key=lambda run: run.first) if run.count]
    if not runs or not len(queries):
        return _nothing(len(queries))
    job = _Job(runs, quantizer, queries, walk)
    share(range(0, len(queries), _STEP), job.work, walk.pool, walk.threads)
    return job.results()


class _Job:
    """The arrays of one call; threads write rows of their own queries."""

    def __init__(
        self,
        runs: Sequence[GraphRun],
        quantizer: Quantizer,
        queries: NDArray[np.float32],
        walk: Walk,
    ) -> None:
        self.runs, self.walk, self.quantizer = runs, walk, quantizer
        count = len(queries)
        self.k = walk.k
        self.width = max(walk.width, walk.k)
        self.table = _table(runs)
        self.firsts = np.array([run.first for run in runs], np.int64)
        self.prepared = prepare(runs, quantizer, queries)
        self.found_e = np.empty((count, self.width), np.float32)
        self.found = np.empty((count, self.width), np.int64)
        self.sizes = np.zeros(count, np.int64)
        self.counts = np.zeros((count, 2), np.int64)
        self.left = np.empty((count, self.width), np.int64)
        self.left_sizes = np.zeros(count, np.int64)
        self.refined = np.zeros(count, np.int64)

    def work(self, starts: deque[int]) -> None:
        quantizer, walk, prepared = self.quantizer, self.walk, self.prepared
        degree = self.runs[0].links.shape[1]
        stamps, stamp = _stamps_of_thread(sum(run.blocks for run in self.runs))
        while True:
            walk.deadline.check("walking the graph")
            try:
                start = starts.popleft()
            except IndexError:
                return
            end = min(start + _STEP, len(self.sizes))
            walk_graph_kernel(
                self.table, quantizer.words, degree, prepared.planes, prepared.terms, start, end,
                stamps, stamp, self.found_e, self.found, self.sizes, self.counts,
            )  # fmt: skip
            shorten_found(
                self.table, quantizer.words, quantizer.bits, quantizer.padded, start, end,
                self.found_e, self.found, self.sizes,
                prepared.planes8, prepared.terms8, prepared.kappas,
                walk.sigmas, self.k, self.left, self.left_sizes, self.refined,
            )  # fmt: skip

    def results(self) -> Walked:
        bases = 8 * self.table[:, kernel.BASE]
        shifts = self.firsts - bases
        edges = np.zeros(len(self.left_sizes) + 1, np.int64)
        np.cumsum(self.left_sizes, out=edges[1:])
        places = self.left[np.arange(self.width) < self.left_sizes[:, None]]
        if len(self.runs) == 1:
            places += shifts[0]
        else:
            places += shifts[np.searchsorted(bases, places, side="right") - 1]
        return Walked(
            found=Lists(places, edges),
            nodes_expanded=self.counts[:, 0],
            blocks_scanned=self.counts[:, 1],
            codes_refined=self.refined,
        )


def _table(runs: Sequence[GraphRun]) -> NDArray[np.int64]:
    """The table of runs that the kernels read; the runs keep its memory alive."""
    table = np.zeros((len(runs), kernel.COLUMNS), np.int64)
    base = 0
    for row, run in zip(table, runs, strict=True):
        row[kernel.CODES] = run.codes.ctypes.data
        row[kernel.FACTORS] = run.factors.ctypes.data
        row[kernel.LINKS] = run.links.ctypes.data
        row[kernel.MASK] = run.mask.ctypes.data
        row[kernel.REFINE] = 0 if run.refine is None else run.refine.ctypes.data
        row[kernel.ENTRY_CODES] = run.entries.codes.ctypes.data
        row[kernel.ENTRY_FACTORS] = run.entries.factors.ctypes.data
        row[kernel.COUNT] = run.count
        row[kernel.ENTRY_COUNT] = len(run.entries.slots)
        row[kernel.BASE] = base
        row[kernel.ALL_LIVE] = count_bits(run.mask) == run.count
        row[kernel.STEP] = SAMPLE_STEP
        base += run.blocks
    return table


class _Stamps(threading.local):
    """Of each thread: which blocks its last walks have seen."""

    stamps: NDArray[np.uint32] | None = None
    stamp: NDArray[np.int64] | None = None


_stamps = _Stamps()


def _stamps_of_thread(blocks: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    if _stamps.stamps is None or _stamps.stamp is None or len(_stamps.stamps) < blocks:
        _stamps.stamps = np.zeros(blocks, np.uint32)
        _stamps.stamp = np.zeros(1, np.int64)
    return _stamps.stamps, _stamps.stamp


def _nothing(count: int) -> Walked:
    zeros = np.zeros(count, np.int64)
    return Walked(
        found=Lists(np.empty(0, np.int64), np.zeros(count + 1, np.int64)),
        nodes_expanded=zeros,
        blocks_scanned=zeros,
        codes_refined=zeros,
    )


def warm() -> None:
    """Load every kernel of the walk and run it once, so that the first search does not wait."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((16, 8), dtype=np.float32)
    quantizer = Quantizer(dim=8, metric="l2", seed=0, bits=2)
    encoder = Encoder(quantizer, None)
    codes, factors, refine = quantizer.empty_codes(len(rows))
    encoder.encode(rows, 0, codes, factors, refine)
    links = (np.arange(16)[:, None] + np.arange(1, 3)) % 16
    run = GraphRun(
        first=0,
        count=len(rows),
        codes=codes,
        factors=factors,
        mask=np.array([0xFF, 0xFE], np.uint8),
        encoder=encoder,
        kappa=KAPPA,
        mul_max=float(factors[:, 1].max()),
        refine=refine,
        links=links.astype(np.uint32),
        entries=Entries.of(codes, factors, len(rows)),
    )
    walk_graph([run], quantizer, rows, Walk(k=1, width=8))
