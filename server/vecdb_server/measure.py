"""How close to exact, and how fast? Both from the outside, as a caller sees them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TIE = 1e-6
"""Cosines of float32 vectors that differ by less are the same distance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """Answers against the exact ones, as means over the queries, 0 to 1.

    - ``by_distance``: share of the k places filled as well as by the exact answer (ties count)
    - ``by_id``: share of the exact k that were returned
    - ``worst``: ``by_distance`` of the worst query
    - ``score_error``: largest difference of a returned score from the exact cosine
    """

    queries: int
    k: int
    by_distance: float
    by_id: float
    worst: float
    score_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Calls one after the other, from one thread: what they did and how long they took."""

    calls: int
    queries: int
    seconds: float
    median_ms: float

    @property
    def per_second(self) -> float:
        """Queries a second."""
        return self.queries / self.seconds


def exact_cosines(queries: NDArray[Any], vectors: NDArray[Any]) -> NDArray[np.float64]:
    """The oracle, plain numpy: float64[queries, vectors] for rows of any length but zero."""
    q, v = queries.astype(np.float64), vectors.astype(np.float64)
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    return np.asarray(q @ v.T, np.float64)


def recall(
    found: Sequence[NDArray[np.int64]],
    scores: Sequence[NDArray[np.floating[Any]]],
    exact: NDArray[np.float64],
    k: int,
) -> Recall:
    """Compare answers with the exact cosines of every row.

    ``found[i]`` are the row numbers that query ``i`` returned and ``scores[i]`` their scores;
    ``exact`` is float64[queries, rows]. A row returned twice counts once, a missing one as wrong.
    """
    wanted = min(k, exact.shape[1])
    by_distance, by_id, score_error = [], [], 0.0
    for rows, given, cosines in zip(found, scores, exact, strict=True):
        best = np.argsort(-cosines, kind="stable")[:wanted]
        unique = np.unique(rows)
        good = cosines[unique] >= cosines[best[-1]] - TIE
        by_distance.append(min(int(good.sum()), wanted) / wanted)
        by_id.append(len(np.intersect1d(unique, best)) / wanted)
        if len(rows):
            score_error = max(score_error, float(np.abs(given - cosines[rows]).max()))
    return Recall(
        queries=len(by_id),
        k=k,
        by_distance=float(np.mean(by_distance)),
        by_id=float(np.mean(by_id)),
        worst=min(by_distance),
        score_error=score_error,
    )


def rate(call: Callable[[NDArray[np.float32]], object], batches: Sequence[Any]) -> Rate:
    """Time ``call(batch)`` for every batch; a batch is float32[n, dim], or [dim] for one query."""
    times = []
    for batch in batches:
        started = time.perf_counter()
        call(batch)
        times.append(time.perf_counter() - started)
    return Rate(
        calls=len(batches),
        queries=sum(len(batch) if batch.ndim == 2 else 1 for batch in batches),
        seconds=sum(times),
        median_ms=float(np.median(times)) * 1000,
    )
