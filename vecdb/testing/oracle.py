"""Exact search once more, in plain numpy: what ``vecdb.index.flat`` must equal to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

LANES = 8


def add_in_lanes(terms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of the rows of ``terms`` ([n, dim]): lane j takes elements j, j + 8, ...; then a tree.

    Zeros fill up the last step: adding them changes no sum of terms that began at 0.0.
    """
    count, dim = terms.shape
    steps = -(-dim // LANES)
    filled = np.zeros((count, steps * LANES))
    filled[:, :dim] = terms
    a = np.zeros((count, LANES))
    for step in range(steps):
        a += filled[:, step * LANES : (step + 1) * LANES]
    left = (a[:, 0] + a[:, 4]) + (a[:, 2] + a[:, 6])
    right = (a[:, 1] + a[:, 5]) + (a[:, 3] + a[:, 7])
    total: NDArray[np.float64] = left + right
    return total


def score_all_rows(
    metric: str, vectors: NDArray[Any], query: NDArray[np.float32]
) -> NDArray[np.float64]:
    """The score of every row of ``vectors`` ([n, dim], any dtype); higher is better."""
    wide, point = vectors.astype(np.float64), query.astype(np.float64)[None, :]
    if metric == "l2":
        return 0.0 - np.sqrt(add_in_lanes((wide - point) * (wide - point)))
    dots = add_in_lanes(wide * point)
    if metric == "dot":
        return dots
    lengths = np.sqrt(add_in_lanes(wide * wide)) * np.sqrt(add_in_lanes(point * point))
    cosines = np.zeros_like(dots)
    np.divide(dots, lengths, out=cosines, where=lengths > 0.0)
    return np.clip(cosines, -1.0, 1.0)


def nearest_rows(
    metric: str,
    vectors: NDArray[Any],
    query: NDArray[np.float32],
    k: int,
    *,
    ids: Sequence[int] | Sequence[str],
    mask: NDArray[np.uint8] | None = None,
    min_score: float | None = None,
) -> tuple[list[int], NDArray[np.float64]]:
    """Rows and scores of the ``k`` best, by (score descending, id ascending)."""
    scores = score_all_rows(metric, vectors, query)
    rows = [
        row
        for row in range(len(vectors))
        if (mask is None or mask[row]) and (min_score is None or scores[row] >= min_score)
    ]
    rows.sort(key=lambda row: (-scores[row], ids[row]))
    return rows[:k], scores[rows[:k]]
