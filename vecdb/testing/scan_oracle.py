"""A search by codes once more, in plain numpy: what ``vecdb.index.shortlist`` must equal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..collection.scanning import EXACT_SHARE
from ..collection.snapshot import Snapshot
from ..index.coded import CodedRun
from ..index.shortlist import rows_kept, sigmas_at
from ..quantize.planes import Quantizer
from ..quantize.query import QueryPlanes
from .oracle import score_all_rows

BATCH = 64
HAMMING_FACTOR = 4
KEPT_MAX = 16_384

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is left of one query.

    - ``places``: of the rows to be scored, ascending
    - ``kept``: of those that the scan plane kept, by (estimate descending, place ascending)
    - ``refined``: rows whose refine planes were read
    """

    places: list[int]
    kept: list[int]
    bound_met: bool
    refined: int


def estimate_run(run: CodedRun, planes: QueryPlanes, query: int) -> NDArray[np.float32]:
    """The estimate of every lane of the run, by the scan plane."""
    mismatches = sum(
        (_differing(run, planes.planes4[:, plane, query]) << plane for plane in range(4)),
        np.zeros((run.blocks, 8), np.int64),
    )
    half = np.float32(7.5 * 64 * run.codes.shape[1])
    with np.errstate(all="ignore"):
        product = planes.delta4[query] * (half - mismatches.astype(np.float32))
        e = (run.factors[:, 0] + run.factors[:, 1] * product) + planes.constant[query]
    return np.where(np.isnan(e), np.float32(-np.inf), e).ravel()


def measure_run(run: CodedRun, planes: QueryPlanes, query: int) -> NDArray[np.int64]:
    """The Hamming distance of every lane of the run from the signs of the query."""
    return _differing(run, planes.signs[:, query]).ravel()


def refine_run(run: CodedRun, planes: QueryPlanes, query: int, slots: NDArray[np.int64]) -> Pair:
    """Estimates by all planes, and their standard errors."""
    if run.refine is None:
        raise AssertionError("the run has no refine planes")
    bits, words = run.encoder.quantizer.bits, run.codes.shape[1]
    rows = [run.codes[slots >> 3, :, slots & 7]]  # the most significant plane first
    rows += [run.refine[slots, words * at : words * (at + 1)] for at in range(bits - 1)]
    total = np.zeros(len(slots), np.int64)
    for at, plane in enumerate(rows):
        for bit in range(8):
            differing = np.bitwise_count(plane ^ planes.planes8[query, bit])
            total += differing.sum(axis=1, dtype=np.int64) << (bits - 1 - at + bit)
    whole = float((1 << bits) - 1) * 127.5 * 64 * words
    product = (float(planes.delta8[query]) * (0.5 * (whole - total))).astype(np.float32)
    pair = np.ascontiguousarray(run.refine[slots, -1:]).view(np.float32)
    add, mul = (run.factors[slots >> 3, part, slots & 7] for part in (0, 1))
    e = (add + pair[:, 0] * product) + planes.constant[query]
    err, noise = pair[:, 1].astype(np.float64), 0.006 * mul.astype(np.float64)
    sigma = float(planes.length[query]) * np.sqrt(err * err + noise * noise)
    return e, sigma.astype(np.float32)


def shortlist_query(
    runs: Sequence[CodedRun],
    quantizer: Quantizer,
    query: NDArray[np.float32],
    *,
    k: int,
    kept: int,
    sigmas: float,
    hamming: bool = False,
) -> Outcome:
    """``vecdb.index.shortlist.shortlist`` for one query, by its definition."""
    rotated = quantizer.rotate_queries(query[None, :])
    groups = _groups_of(runs)
    planes = [group[0].encoder.prepare(rotated) for group in groups]
    found: list[tuple[float, int, int]] = []  # -estimate, place, group
    for at, group in enumerate(groups):
        rows = [row for run in group for row in _live_rows(run, planes[at], hamming)]
        if hamming:
            rows = sorted(rows)[: min(KEPT_MAX, HAMMING_FACTOR * kept)]
        found += [(-e, place, at) for _, place, e in rows]
    best = sorted(found)[:kept]
    lows: list[float] = []
    highs: list[tuple[float, int]] = []
    worst, refined = -np.inf, 0
    for at, group in enumerate(groups):
        mine = [(np.float32(-e), place) for e, place, owner in best if owner == at]
        if not mine:
            continue
        e, places = np.array([one for one, _ in mine]), np.array([one for _, one in mine])
        values, errors = e, _scan_errors(group, planes[at], places)
        worst = max(worst, float(e[-1] + sigmas * errors[-1]))
        if group[0].refine is not None:
            slots = places - group[0].first
            values, sure = refine_run(group[0], planes[at], 0, slots)
            stop = _stop(e, errors, values, sure, k, sigmas)
            values, errors, places = values[:stop], sure[:stop], places[:stop]
            refined += stop
        error = np.float32(sigmas) * errors
        lows += (values - error).tolist()
        highs += zip((values + error).tolist(), places.tolist(), strict=True)
    least = sorted(lows)[-k] if len(lows) > k else -np.inf
    return Outcome(
        places=sorted(place for high, place in highs if high >= least),
        kept=[place for _, place, _ in best],
        bound_met=kept >= sum(run.matching_count() for run in runs) or worst < least,
        refined=refined,
    )


def scan_snapshot(
    snapshot: Snapshot,
    query: NDArray[np.float32],
    k: int,
    *,
    effort: float = 1.0,
    hamming: bool = False,
    keep: Callable[[Any], bool] | None = None,
    min_score: float | None = None,
) -> tuple[list[Any], NDArray[np.float32]]:
    """(ids, scores) of ``search(mode="scan")``; ``keep``: whether the record of an id may match."""
    parts = [sealed.live_slots() for sealed in snapshot.segments] + [snapshot.tail.live_slots()]
    places = np.concatenate([part + base for part, base in zip(parts, snapshot.bases, strict=True)])
    runs = snapshot.coded()
    if keep is not None:
        places = places[np.array([keep(id) for id in snapshot.ids_of(places)])]
        runs = snapshot.coded(np.sort(snapshot.origins_of(places).astype(np.int64)))
    k = min(k, len(places))
    kept = rows_kept(k, effort, len(places))
    if kept < len(places):
        quantizer, sigmas = snapshot.tail.encoder.quantizer, sigmas_at(effort)
        outcome = shortlist_query(
            runs, quantizer, query, k=k, kept=kept, sigmas=sigmas, hamming=hamming
        )
        if len(outcome.places) <= max(k, EXACT_SHARE * len(places)):
            places = np.array(outcome.places)
    scores = score_all_rows(snapshot.tail.schema.metric, snapshot.vectors_of(places), query)
    best = sorted(zip((-scores).tolist(), list(snapshot.ids_of(places)), strict=True))[:k]
    best = [one for one in best if min_score is None or -one[0] >= min_score]
    return [id for _, id in best], np.array([-score for score, _ in best]).astype(np.float32)


def _groups_of(runs: Sequence[CodedRun]) -> list[list[CodedRun]]:
    """Runs of one centre; each with refine planes by itself."""
    groups: dict[Any, list[CodedRun]] = {}
    for run in sorted(runs, key=lambda run: run.first):
        key = (id(run.encoder), None if run.refine is None else run.first)
        groups.setdefault(key, []).append(run)
    return list(groups.values())


def _live_rows(run: CodedRun, planes: QueryPlanes, hamming: bool) -> list[tuple[int, int, float]]:
    """(distance or 0, place, estimate) of the rows that may match."""
    slots = np.flatnonzero(np.unpackbits(run.mask, bitorder="little"))
    e = estimate_run(run, planes, 0)[slots]
    far = measure_run(run, planes, 0)[slots] if hamming else np.zeros(len(slots), np.int64)
    return list(zip(far.tolist(), (slots + run.first).tolist(), e.tolist(), strict=True))


def _scan_errors(
    group: Sequence[CodedRun], planes: QueryPlanes, places: NDArray[np.int64]
) -> NDArray[np.float32]:
    muls = []
    for place in places.tolist():
        run = next(run for run in reversed(group) if run.first <= place)
        slot = place - run.first
        muls.append(run.factors[slot >> 3, 1, slot & 7])
    errors = group[0].kappa * np.array(muls, np.float64) * float(planes.length[0])
    return errors.astype(np.float32)


def _stop(
    e: NDArray[np.float32],
    errors: NDArray[np.float32],
    values: NDArray[np.float32],
    sure: NDArray[np.float32],
    k: int,
    sigmas: float,
) -> int:
    """How many rows are refined: whole batches, until none of the next reaches the floor."""
    floors = values.astype(np.float64) - sigmas * sure.astype(np.float64)
    highs = e.astype(np.float64) + sigmas * errors.astype(np.float64)
    for start in range(0, len(e), BATCH):
        if start >= k and (highs[start : start + BATCH] < np.sort(floors[:start])[-k]).all():
            return start
    return len(e)


def _differing(run: CodedRun, words: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Bits of each code, [blocks, 8], that differ from a plane of the query."""
    differing = np.bitwise_count(run.codes ^ words[None, :, None])
    found: NDArray[np.int64] = differing.sum(axis=1, dtype=np.int64)
    return found
