"""Exhaustive search by codes: every code is read, few vectors are.

After RaBitQ (Gao and Long, arXiv 2405.12497) and its extension to more bits (arXiv 2409.09913).
Three stages: the scan plane estimates all matching rows and keeps the best; the refine planes
estimate those more precisely; vectors of rows that may still be among the ``k`` best are scored.

We differ:
1. The bound is one of plain Gaussian sigmas, not the papers' epsilon; the number of rows that are
   kept by the first stage decides the recall, the sigmas what is read from then on.
2. Runs of different centres have separate heaps; a threshold never crosses from one to another, so
   the answer does not depend on the order in which threads take them.
3. Rows without refine planes (a tail: its vectors are at hand) go from the first stage to the last.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..deadline import Deadline
from ..kernels.codes import estimate_blocks, scan_estimates
from ..kernels.hamming import scan_hamming
from ..kernels.heaps import sort_heap
from ..kernels.refine import refine_candidates
from ..quantize.bounds import sigma_1
from ..quantize.planes import Quantizer
from ..quantize.query import QueryPlanes
from .coded import CodedRun, split_blocks
from .share import share

KEPT_MAX = 16_384
"""Most rows that the scan plane keeps for one query."""
SIGMAS = 2.0, 3.0
"""How many standard errors an estimate is trusted to be off: at effort 1 and at 8, or the bound."""
HAMMING_FACTOR = 4
"""How many times as many rows the Hamming distance keeps before the estimates."""
_PART_BYTES = 4 * 1024 * 1024  # of codes between two looks at the deadline
_SHARE_BYTES = 1024 * 1024  # below this one thread is faster
_GROUP_KEPT = 1024 * 1024  # rows kept at once, of all queries of a group

Kept = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Estimates and places, best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortlist:
    """What is left for exact scoring, of one query.

    - ``places``: [m], in no order
    - ``bound_met``: no row that the scan plane dropped is likely to belong to the answer
    - ``refined``: rows whose refine planes were read
    """

    places: NDArray[np.int64]
    bound_met: bool
    refined: int


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
    sigmas: float = SIGMAS[0]
    hamming: bool = False
    deadline: Deadline = Deadline()  # noqa: RUF009 - a frozen value
    pool: Executor | None = None
    threads: int = 1


def rows_kept(k: int, effort: float, matching: int) -> int:
    """How many rows the scan plane keeps."""
    wanted = min(math.ceil(effort * (500 + 15 * k)), KEPT_MAX)
    return max(1, min(matching, max(wanted, k)))


def sigmas_at(effort: float) -> float:
    """``Scan.sigmas`` for an effort."""
    least, most = SIGMAS
    return min(most, least + max(0.0, math.log2(effort)) / 3.0 * (most - least))


def shortlist(
    runs: Iterable[CodedRun], quantizer: Quantizer, queries: NDArray[np.float32], scan: Scan
) -> list[Shortlist]:
    """The rows of ``runs`` that each of ``queries`` (float32[q, dim]) has to be compared with.

    Raises ``DeadlineExceeded``.
    """
    together = _by_centre(runs)
    rotated = quantizer.rotate_queries(queries)
    step = max(1, _GROUP_KEPT // scan.kept)
    answers: list[Shortlist] = []
    for start in range(0, len(rotated), step):
        some = rotated[start : start + step]
        planes = [group[0].encoder.prepare(some) for group in together]
        found = [
            _scan_group(group, prepared, scan)
            for group, prepared in zip(together, planes, strict=True)
        ]
        for query in range(len(some)):
            kept = _best_of([one[query] for one in found], scan.kept)
            answers.append(_refine(together, planes, kept, query, scan))
    return answers


def _by_centre(runs: Iterable[CodedRun]) -> list[list[CodedRun]]:
    """Runs whose estimates one heap may compare; one with refine planes is always by itself."""
    groups: dict[tuple[int, int], list[CodedRun]] = {}
    for run in sorted(runs, key=lambda run: run.first):
        alone = -1 if run.refine is None else run.first
        groups.setdefault((id(run.encoder), alone), []).append(run)
    return list(groups.values())


# ---------------------------------------------------------------------------- the scan plane


def _scan_group(group: list[CodedRun], planes: QueryPlanes, scan: Scan) -> list[Kept]:
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


def _estimate_work(planes: QueryPlanes, scan: Scan):  # type: ignore[no-untyped-def]
    padded = 64 * planes.planes4.shape[0]

    def work(parts: deque[tuple[CodedRun, int, int]]) -> list[Kept]:
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


def _hamming_work(planes: QueryPlanes, scan: Scan):  # type: ignore[no-untyped-def]
    padded = 64 * planes.planes4.shape[0]
    kept = min(KEPT_MAX, HAMMING_FACTOR * scan.kept)

    def work(parts: deque[tuple[CodedRun, int, int]]) -> list[Kept]:
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


# ------------------------------------------------------------------------- the refine planes


def _best_of(found: Sequence[Kept], kept: int) -> list[Kept]:
    """The ``kept`` best over all centres, still by centre."""
    total = sum(len(estimates) for estimates, _ in found)
    if len(found) == 1 or total <= kept:
        return list(found)
    centres = np.repeat(np.arange(len(found)), [len(one) for one, _ in found])
    estimates = np.concatenate([one for one, _ in found])
    places = np.concatenate([one for _, one in found])
    chosen = np.sort(np.lexsort((places, -estimates))[:kept])
    edges = np.searchsorted(centres[chosen], np.arange(1, len(found)))
    return [(estimates[at], places[at]) for at in np.split(chosen, edges)]


def _refine(
    together: list[list[CodedRun]],
    planes: Sequence[QueryPlanes],
    kept: Sequence[Kept],
    query: int,
    scan: Scan,
) -> Shortlist:
    """Drop the rows that are certainly, by so many sigmas, not among the ``k`` best."""
    lows, highs, places = [], [], []
    worst = -math.inf
    refined = 0
    for group, prepared, (estimates, at) in zip(together, planes, kept, strict=True):
        if not len(at):
            continue
        length = float(prepared.length[query])
        first = group[0]
        if first.refine is None:
            sigmas = sigma_1(_muls(group, at), length, first.kappa)
            values, stop = estimates, len(at)
            last = sigmas[-1]
        else:
            values, sigmas, stop = _refined(first, prepared, query, estimates, at, scan)
            last = sigma_1(_muls(group, at[-1:]), length, first.kappa)[0]
            refined += stop
        error = scan.sigmas * sigmas[:stop]
        lows.append(values[:stop] - error)
        highs.append(values[:stop] + error)
        places.append(at[:stop])
        worst = max(worst, float(estimates[-1] + scan.sigmas * last))
    low, high, place = map(np.concatenate, (lows, highs, places)) if places else _NOTHING
    least = -math.inf
    if len(low) > scan.k:
        least = float(np.partition(low, len(low) - scan.k)[len(low) - scan.k])
    return Shortlist(
        places=place[high >= least],
        bound_met=scan.kept >= scan.matching or worst < least,
        refined=refined,
    )


_NOTHING = (np.empty(0, np.float32), np.empty(0, np.float32), np.empty(0, np.int64))


def _refined(
    run: CodedRun,
    planes: QueryPlanes,
    query: int,
    estimates: NDArray[np.float32],
    places: NDArray[np.int64],
    scan: Scan,
) -> tuple[NDArray[np.float32], NDArray[np.float32], int]:
    """Estimates by all planes, their standard errors, and of how many rows, best first."""
    if run.refine is None:
        raise AssertionError("a run without refine planes is not refined")
    values = np.empty(len(places), np.float32)
    sigmas = np.empty(len(places), np.float32)
    stop = refine_candidates(
        run.codes,
        run.factors,
        run.refine,
        run.encoder.quantizer.bits,
        run.encoder.quantizer.padded,
        places - run.first,
        estimates,
        planes.planes8[query],
        planes.delta8[query],
        planes.constant[query],
        planes.length[query],
        run.kappa,
        scan.sigmas,
        scan.k,
        values,
        sigmas,
    )
    return values, sigmas, int(stop)


def _muls(group: Sequence[CodedRun], places: NDArray[np.int64]) -> NDArray[np.float32]:
    """The factor ``mul`` of each of ``places``."""
    if len(group) == 1:
        slots = places - group[0].first
        alone: NDArray[np.float32] = group[0].factors[slots >> 3, 1, slots & 7]
        return alone
    firsts = np.array([run.first for run in group], np.int64)
    run_of = np.searchsorted(firsts, places, side="right") - 1
    muls = np.empty(len(places), np.float32)
    for place in np.unique(run_of).tolist():
        here = run_of == place
        slots = places[here] - firsts[place]
        muls[here] = group[place].factors[slots >> 3, 1, slots & 7]
    return muls
