"""What a curve of recall says: recall with ties, and a figure at a recall between two points."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

TARGETS = (0.90, 0.95, 0.99)
_LEAST = 1e-3  # has a logarithm
_SLACK = 1e-6  # relative, of a squared distance: float32 rows on one side, float64 on the other


def recall_by_distance(
    ids: NDArray[np.int64], distances: NDArray[np.float64], reach: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[q]: the share of the k answers that are no farther than the true k-th one; ties count.

    An id counts once, however often it is given.

    - ``distances``: [q, k] of the ids, inf where there is none; ``reach``: [q]
    """
    near = distances <= reach[:, None] * (1.0 + _SLACK)
    k = ids.shape[1]
    return np.array([len(set(some[at].tolist())) / k for some, at in zip(ids, near, strict=True)])


def at_recall(points: Iterable[tuple[float, float]], target: float, *, least: bool) -> float | None:
    """The best figure at a recall: on the line, in the logarithm of the figure, between the points
    of the frontier beside it; that of the lowest point where all recalls are above the target, and
    None where all are below.

    - ``points``: (recall, figure > 0); ``least``: a small figure is good, such as pages
    """
    frontier = best_points(points, least=least)
    if not frontier or frontier[-1][0] < target:
        return None
    above = next(i for i, (recall, _) in enumerate(frontier) if recall >= target)
    high, value = frontier[above]
    if above == 0 or high == target:
        return value
    low, before = frontier[above - 1]
    part = (target - low) / (high - low)
    return math.exp((1.0 - part) * math.log(before) + part * math.log(value))


def best_points(points: Iterable[tuple[float, float]], *, least: bool) -> list[tuple[float, float]]:
    """Those that no other point beats in both recall and figure, by recall."""
    sign = 1.0 if least else -1.0
    kept: list[tuple[float, float]] = []
    for recall, value in sorted(points, key=lambda point: (-point[0], sign * point[1])):
        if not kept or sign * value < sign * kept[-1][1]:
            kept.append((recall, value))
    return kept[::-1]


def around_targets(points: Sequence[tuple[float, float]], *, least: bool) -> set[int]:
    """Which points a few queries need not tell apart: those of the frontier from the last below the
    lowest target to the second above the highest.

    Beside each target they lie as close as ``points`` do, so that what more queries say is
    interpolated between the same two, or the next.
    """
    frontier = best_points(points, least=least)
    recalls = [recall for recall, _ in frontier]
    kept: set[int] = set()
    for target in TARGETS:
        above = next((i for i, recall in enumerate(recalls) if recall >= target), len(recalls))
        last = above + (2 if target == TARGETS[-1] else 1)
        kept |= {points.index(point) for point in frontier[max(0, above - 1) : last]}
    return kept


def curve(rows: Sequence[dict[str, Any]], figure: str) -> list[tuple[float, float]]:
    """(recall, figure) of every row that has the figure; 0 is a little more than that."""
    return [
        (row["recall"], max(row[figure], _LEAST)) for row in rows if row.get(figure) is not None
    ]
