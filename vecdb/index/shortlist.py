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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..kernels.refine import refine_candidates
from ..quantize.bounds import KAPPA, sigma_1
from ..quantize.planes import Encoder, Quantizer
from ..quantize.query import QueryPlanes
from .coded import CodedRun
from .scan_codes import KEPT_MAX, Kept, Scan, scan_group

SIGMAS = 2.0, 3.0
"""How many standard errors an estimate is trusted to be off: at effort 1 and at 8, or the bound."""
_GROUP_KEPT = 1024 * 1024  # rows kept at once, of all queries of a group


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
            scan_group(group, prepared, scan)
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
    if scan.certain:
        worst = _best_dropped(together, planes, kept, query, scan)
    low, high, place = map(np.concatenate, (lows, highs, places)) if places else _NOTHING
    least = -math.inf
    if len(low) > scan.k:
        least = float(np.partition(low, len(low) - scan.k)[len(low) - scan.k])
    return Shortlist(
        places=place[high >= least],
        bound_met=scan.kept >= scan.matching or worst < least,
        refined=refined,
    )


def _best_dropped(
    together: list[list[CodedRun]],
    planes: Sequence[QueryPlanes],
    kept: Sequence[Kept],
    query: int,
    scan: Scan,
) -> float:
    """The highest score, by so many sigmas, that a row the scan plane dropped may have.

    The last row kept tells the error of those behind it only where all errors are about the same.
    """
    last = min(float(estimates[-1]) for estimates, _ in kept if len(estimates))
    error = max(
        float(sigma_1(run.mul_max, float(prepared.length[query]), run.kappa))
        for group, prepared in zip(together, planes, strict=True)
        for run in group
    )
    return last + scan.sigmas * error


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
        math.inf if scan.certain else scan.sigmas,
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


def warm() -> None:
    """Load every kernel of the scan and run it once, so that the first search does not wait."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((32, 8), dtype=np.float32)
    quantizer = Quantizer(dim=8, metric="l2", seed=0, bits=2)
    encoder = Encoder(quantizer, None)
    codes, factors, refine = quantizer.empty_codes(len(rows))
    encoder.encode(rows, 0, codes, factors, refine)
    mask = np.full(len(codes), 0xFF, np.uint8)
    run = CodedRun(
        first=0,
        codes=codes,
        factors=factors,
        mask=mask,
        encoder=encoder,
        kappa=KAPPA,
        mul_max=float(factors[:, 1].max()),
        refine=refine,
    )
    for hamming in (False, True):
        scan = Scan(k=1, matching=len(rows), kept=8, hamming=hamming)
        shortlist([run], quantizer, rows[:9], scan)
