"""Does the truth of a data set belong to its rows, and to which metric?

A wrong metric, ids that count from 1, or the truth of another base are the usual causes of "recall
0". Exact distances of a few queries to every row tell which it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidArgument
from ..schema import METRICS
from .dataset import Dataset
from .refusal import bad_file

Floats = NDArray[np.float64]

SHIFTS = (0, -1, 1)
WIDTH = 10
"""Columns of truth that are compared."""
ENOUGH = 0.99
"""Share of the compared ids that must be among the nearest, ties counted."""
SLACK = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """``queries`` are the rows of the truth that were drawn; pads of ``ids`` are -1."""

    queries: Floats
    ids: NDArray[np.int64]
    distances: Floats | None


def check_truth(dataset: Dataset, metric: str, sample: int = 10) -> int:
    """Compare truth with exact distances; the number of queries compared.

    One pass over all rows. Raises ``InvalidArgument`` that tells the fix where ids are not of the
    nearest rows by ``metric``, or ``truth_distances`` are not their distances.
    """
    if metric not in METRICS:
        raise InvalidArgument(
            f"metric must be one of {', '.join(METRICS)}; got {str(metric)[:40]!r}", field="metric"
        )
    drawn = _draw(dataset, sample)
    at_ids, nearest = _measure(dataset, drawn)
    shares = {
        (name, shift): _share(at_ids[name, shift], nearest[name])
        for name, shift in product(METRICS, SHIFTS)
    }
    if shares[metric, 0] < ENOUGH:
        raise _misfit(dataset, metric, shares)
    if drawn.distances is not None:
        _check_distances(dataset, metric, drawn.distances, at_ids[metric, 0])
    return len(drawn.queries)


def _draw(dataset: Dataset, sample: int) -> _Sample:
    queries, ids, distances = dataset.queries, dataset.truth_ids, dataset.truth_distances
    if queries is None or ids is None or not ids.size:
        missing = "queries" if queries is None else "truth"
        raise bad_file(
            dataset.path, f"has no {missing} to check", hint=f"Name a file of them by {missing}="
        )
    if isinstance(sample, bool) or not isinstance(sample, int) or sample < 1:
        raise InvalidArgument(f"sample must be 1 or more; got {sample!r}", field="sample")
    rows = np.unique(np.linspace(0, len(ids) - 1, min(sample, len(ids))).astype(np.int64))
    return _Sample(
        queries=np.asarray(queries[rows], np.float64),
        ids=np.asarray(ids[rows, :WIDTH], np.int64),
        distances=None if distances is None else np.asarray(distances[rows, :WIDTH], np.float64),
    )


def _measure(
    dataset: Dataset, drawn: _Sample
) -> tuple[dict[tuple[str, int], Floats], dict[str, Floats]]:
    """By metric: the distances of the ids, as they are and shifted, and of the nearest rows."""
    shape = drawn.ids.shape
    at_ids = {key: np.full(shape, np.nan) for key in product(METRICS, SHIFTS)}
    nearest = {name: np.full(shape, np.inf) for name in METRICS}
    first = 0
    for batch in dataset.batches():
        vectors = np.asarray(batch.vectors, np.float64)
        for name, distances in _distances(drawn.queries, vectors).items():
            pool = np.concatenate([nearest[name], distances], axis=1)
            nearest[name] = np.sort(np.partition(pool, shape[1] - 1)[:, : shape[1]])
            for shift in SHIFTS:
                ids = drawn.ids + shift - first
                here = (ids >= 0) & (ids < len(batch)) & (drawn.ids >= 0)
                query, _ = np.nonzero(here)
                at_ids[name, shift][here] = distances[query, ids[here]]
        first += len(batch)
    return at_ids, nearest


def _distances(queries: Floats, rows: Floats) -> dict[str, Floats]:
    """[queries, rows], smaller is nearer."""
    dots = queries @ rows.T
    of_queries, of_rows = (queries**2).sum(1)[:, None], (rows**2).sum(1)[None, :]
    lengths = np.sqrt(of_queries * of_rows)
    cosines = np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)
    return {
        "cosine": 1 - cosines,
        "dot": -dots,
        "l2": np.sqrt(np.maximum(of_queries + of_rows - 2 * dots, 0)),
    }


def _share(found: Floats, nearest: Floats) -> float:
    """Of the ids: those at most as far as the last of as many nearest rows."""
    present = ~np.isnan(found)
    counts = present.sum(1)
    last = np.where(counts > 0, nearest[np.arange(len(nearest)), np.maximum(counts, 1) - 1], -1)
    near = present & (found <= (last + SLACK * np.maximum(1e-3, np.abs(last)))[:, None])
    return float(near.sum() / max(1, counts.sum()))


def _misfit(dataset: Dataset, metric: str, shares: dict[tuple[str, int], float]) -> InvalidArgument:
    share = shares[metric, 0]
    name, shift = max(shares, key=lambda key: (shares[key], key[1] == 0, key[0] == metric))
    if shares[name, shift] < ENOUGH:
        fix = "It fits no metric: it is of another base, of more rows, or of another order of them"
    else:
        steps = []
        if name != metric:
            steps.append(f"take metric {name!r}")
        if shift:
            counted = "count from 1: subtract 1 from each" if shift < 0 else "are 1 too low: add 1"
            steps.append(f"its ids {counted}")
        fix = "It fits if you do this: " + ", and ".join(steps)
    return bad_file(
        dataset.path,
        f"of the ids of its truth {share:.0%} are among the nearest rows by {metric}, expected all",
        hint=fix,
        reason="BAD_TRUTH",
    )


def _check_distances(dataset: Dataset, metric: str, told: Floats, exact: Floats) -> None:
    """In any of the units that such files use."""
    units: dict[str, tuple[Any, ...]] = {
        "cosine": (exact, 1 - exact, np.sqrt(2 * np.maximum(exact, 0)), 2 * exact),
        "dot": (exact, -exact, 1 + exact),
        "l2": (exact, exact**2),
    }
    here = ~np.isnan(exact) & np.isfinite(told)
    for values in units[metric]:
        if np.allclose(told[here], values[here], rtol=1e-2, atol=1e-3):
            return
    raise bad_file(
        dataset.path,
        f"its truth_distances are not those of its truth_ids by {metric}",
        hint="The ids are right: leave the distances out, or take those of the same file",
        reason="BAD_TRUTH",
    )
