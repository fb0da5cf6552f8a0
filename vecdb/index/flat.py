"""Exact search: every matching row is compared with the query. The oracle for all other searches.

The answer is what a float64 scan of all rows gives, to the bit, whatever the number of threads, the
other queries of the batch, or how the rows are divided into runs: a float32 scan only leaves out
rows whose float64 score is certainly too low, the rest is scored again in a fixed order of
additions. Where float32 cannot decide (many equal vectors, numbers near the ends of its range), all
rows are scored in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..deadline import Deadline
from .rescore import IdsOf, nearest_order, rescore, score_all, to_distances
from .rows import Rows, Run, row_norms
from .scan import Queries, candidate_capacity, find_candidates

__all__ = ["Nearest", "Rows", "Run", "row_norms", "score_candidates", "search_rows", "warm"]

_GROUP = 64  # queries that go through the rows together
_GROUP_CANDIDATES = 512 * 1024  # kept at most by one thread, of all queries of a group

_NO_SLOTS = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """The m best of one query, by (score descending, id ascending).

    - ``slots``: [m]; ``scores``: [m], higher is better; ``distances``: [m], smaller is nearer
    - ``scanned``: rows compared with the query; ``candidates``: those of them scored in float64
    """

    slots: NDArray[np.int64]
    scores: NDArray[np.float64]
    distances: NDArray[np.float64]
    scanned: int
    candidates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """What all queries of one call share."""

    rows: Sequence[Run]
    k: int
    matching: int
    metric: str
    ids_of: IdsOf
    min_score: float | None
    deadline: Deadline
    pool: Executor | None
    threads: int

    def group(self, vectors: NDArray[np.float32], norms: NDArray[np.float64]) -> list[Nearest]:
        queries = Queries(metric=self.metric, vectors=vectors, norms=norms, alone=len(vectors) == 1)
        found = self._candidates(queries)
        scored = rescore(
            self.rows,
            queries,
            [_NO_SLOTS if slots is None else slots for slots in found],
            deadline=self.deadline,
            pool=self.pool,
            threads=self.threads,
        )
        return [
            self._undecided(queries, place) if slots is None else self._answer(*scored[place])
            for place, slots in enumerate(found)
        ]

    def _candidates(self, queries: Queries) -> list[NDArray[np.int64] | None]:
        return find_candidates(
            self.rows,
            queries,
            self.k,
            min_score=self.min_score,
            deadline=self.deadline,
            pool=self.pool,
            threads=self.threads,
        )

    def _undecided(self, queries: Queries, place: int) -> Nearest:
        """The answer to a query that left too many candidates."""
        one = slice(place, place + 1)
        query = replace(queries, vectors=queries.vectors[one], norms=queries.norms[one], alone=True)
        if self.metric == "l2" and not queries.alone:
            # Far from the origin the difference is more exact than the product.
            return self.group(query.vectors, query.norms)[0]
        slots, scores = score_all(
            self.rows, query, deadline=self.deadline, pool=self.pool, threads=self.threads
        )
        return self._answer(slots, scores)

    def _answer(self, slots: NDArray[np.int64], scores: NDArray[np.float64]) -> Nearest:
        order = nearest_order(slots, scores, self.k, ids_of=self.ids_of, min_score=self.min_score)
        return Nearest(
            slots=slots[order],
            scores=scores[order],
            distances=to_distances(self.metric, scores[order]),
            scanned=self.matching,
            candidates=len(slots),
        )


def search_rows(
    rows: Sequence[Run],
    queries: NDArray[np.float32],
    k: int,
    *,
    metric: str,
    ids_of: IdsOf,
    min_score: float | None = None,
    deadline: Deadline = Deadline(),  # noqa: B008 - a frozen value
    pool: Executor | None = None,
    threads: int = 1,
) -> list[Nearest]:
    """The ``k`` best matching rows of each query; fewer where fewer match.

    - ``rows``: runs that share no slot, of one dimension and dtype; numbers are finite
    - ``queries``: float32[q, dim], finite; ``k``: at least 1
    - ``metric``: cosine, dot or l2
    - ``ids_of``: ids of slots; equal scores are ordered by id
    - ``min_score``: finite; rows with a lower score are left out
    - ``pool``, ``threads``: this thread and up to ``threads`` - 1 of the pool work

    Raises ``DeadlineExceeded``.
    """
    runs = sorted((run for run in rows if len(run)), key=lambda run: run.first)
    matching = sum(run.matching_count() for run in runs)
    if not matching:
        return [_nothing() for _ in range(len(queries))]
    search = _Search(
        rows=runs,
        k=min(k, matching),
        matching=matching,
        metric=metric,
        ids_of=ids_of,
        min_score=min_score,
        deadline=deadline,
        pool=pool,
        threads=threads,
    )
    vectors = np.ascontiguousarray(queries, np.float32)
    norms = row_norms(vectors)
    step = max(1, min(_GROUP, _GROUP_CANDIDATES // candidate_capacity(search.k)))
    answers: list[Nearest] = []
    for start in range(0, len(vectors), step):
        answers += search.group(vectors[start : start + step], norms[start : start + step])
    return answers


def score_candidates(
    rows: Sequence[Run],
    queries: NDArray[np.float32],
    candidates: Sequence[NDArray[np.int64]],
    k: int,
    *,
    metric: str,
    ids_of: IdsOf,
    min_score: float | None = None,
    scanned: int = 0,
    deadline: Deadline = Deadline(),  # noqa: B008 - a frozen value
    pool: Executor | None = None,
    threads: int = 1,
) -> list[Nearest]:
    """The ``k`` best of each query's candidates, scored as ``search_rows`` scores.

    - ``candidates``: slots of ``rows``, for each query
    - ``scanned``: how many rows they were chosen from
    """
    vectors = np.ascontiguousarray(queries, np.float32)
    together = Queries(
        metric=metric, vectors=vectors, norms=row_norms(vectors), alone=len(vectors) == 1
    )
    runs = sorted((run for run in rows if len(run)), key=lambda run: run.first)
    scored = rescore(runs, together, candidates, deadline=deadline, pool=pool, threads=threads)
    answers = []
    for slots, scores in scored:
        order = nearest_order(slots, scores, k, ids_of=ids_of, min_score=min_score)
        answers.append(
            Nearest(
                slots=slots[order],
                scores=scores[order],
                distances=to_distances(metric, scores[order]),
                scanned=scanned,
                candidates=len(slots),
            )
        )
    return answers


def _nothing() -> Nearest:
    empty = np.empty(0, np.float64)
    return Nearest(slots=_NO_SLOTS.copy(), scores=empty, distances=empty, scanned=0, candidates=0)


def warm() -> None:
    """Load every kernel and run it once, so that the first search does not wait for that."""
    for dtype in (np.float32, np.float16, np.uint8):
        vectors = np.ones((8, 8), dtype)
        rows = Rows(first=0, vectors=vectors, norms=row_norms(vectors), mask=np.ones(8, np.uint8))
        for metric in ("cosine", "dot", "l2"):
            for count in (1, 2):
                queries = np.ones((count, 8), np.float32)
                search_rows([rows], queries, 1, metric=metric, ids_of=lambda slots: slots)
