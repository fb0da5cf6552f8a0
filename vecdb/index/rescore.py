"""Second stage of exact search: the float64 score of chosen rows, and the order of the answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor

import numpy as np
from numpy.typing import NDArray

from ..deadline import Deadline
from ..kernels.exact import score_pairs
from .lists import Lists
from .rows import Run, split_rows
from .scan import Queries
from .share import share

IdsOf = Callable[[NDArray[np.int64]], NDArray[np.int64] | Sequence[int] | Sequence[str]]

_PART_ELEMENTS = 1024 * 1024  # numbers of vectors scored between two looks at the deadline


def to_scores(
    metric: str,
    raw: NDArray[np.float64],
    norms: NDArray[np.float64],
    query_norms: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Scores, higher is better, from what ``score_pairs`` gave; never -0.0.

    - cosine: q . x / (|x| |q|), in [-1, 1]; 0 where a length is 0
    - dot: q . x
    - l2: -|x - q|
    """
    if metric == "l2":
        return 0.0 - np.sqrt(raw)
    if metric == "dot":
        return raw
    lengths = norms * query_norms
    scores = np.divide(raw, lengths, out=np.zeros_like(raw), where=lengths > 0.0)
    return np.clip(scores, -1.0, 1.0, out=scores)


def to_distances(metric: str, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 - cosine, -dot or |x - q|: smaller is nearer."""
    return (1.0 if metric == "cosine" else 0.0) - scores


def _score_raw(
    run: Run,
    queries: Queries,
    query_of: NDArray[np.int64],
    row_of: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """``score_pairs`` of queries and rows of the run, wherever and as what they are stored."""
    vectors, places = run.pick(row_of)
    score_pairs(queries.metric == "l2", queries.vectors, vectors, query_of, places, out)


def rescore(
    rows: Sequence[Run],
    queries: Queries,
    candidates: Sequence[NDArray[np.int64]],
    *,
    deadline: Deadline,
    pool: Executor | None,
    threads: int,
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """``score_lists`` of one array of slots for each query: the slots with their scores."""
    lists = Lists.of(candidates)
    scores = score_lists(rows, queries, lists, deadline=deadline, pool=pool, threads=threads)
    return list(zip(candidates, np.split(scores, lists.edges[1:-1]), strict=True))


def score_lists(
    rows: Sequence[Run],
    queries: Queries,
    lists: Lists,
    *,
    deadline: Deadline,
    pool: Executor | None,
    threads: int,
) -> NDArray[np.float64]:
    """float64[m]: the scores of the slots of all queries, in their order.

    - ``rows``: in order of their slots; every slot is within them
    """
    by_slot = np.argsort(lists.places, kind="stable")
    slots, query_of = lists.places[by_slot], lists.query_of[by_slot]
    raw, norms = np.empty(len(slots)), np.ones(len(slots))

    def work(parts: deque[tuple[Run, int, int]]) -> None:
        while True:
            deadline.check("scoring vectors")
            try:
                run, start, stop = parts.popleft()
            except IndexError:
                return
            row_of = slots[start:stop] - run.first
            if queries.metric == "cosine":
                norms[start:stop] = run.norms_of(row_of)
            _score_raw(run, queries, query_of[start:stop], row_of, raw[start:stop])

    dim = queries.vectors.shape[1]
    step = max(1, _PART_ELEMENTS // dim)
    parts = list(_parts(rows, slots, step))
    share(parts, work, pool, threads if len(slots) > step else 1)
    scores = np.empty(len(slots))
    scores[by_slot] = to_scores(queries.metric, raw, norms, queries.norms[query_of])
    return scores


def _parts(
    rows: Sequence[Run], slots: NDArray[np.int64], step: int
) -> Iterator[tuple[Run, int, int]]:
    """The run and the bounds in ``slots`` (ascending) of pieces of at most ``step`` slots."""
    ends = np.searchsorted(slots, [run.first + len(run) for run in rows]).tolist()
    start = 0
    for run, end in zip(rows, ends, strict=True):
        for begin in range(start, end, step):
            yield run, begin, min(end, begin + step)
        start = end


def score_all(
    rows: Sequence[Run],
    queries: Queries,
    *,
    deadline: Deadline,
    pool: Executor | None,
    threads: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Slots, ascending, and scores of all matching rows, for one query."""

    def work(
        parts: deque[tuple[int, tuple[Run, int, int]]],
    ) -> list[tuple[int, NDArray[np.int64], NDArray[np.float64]]]:
        done: list[tuple[int, NDArray[np.int64], NDArray[np.float64]]] = []
        while True:
            deadline.check("scoring vectors")
            try:
                place, (whole, start, stop) = parts.popleft()
            except IndexError:
                return done
            run = whole.part(start, stop)
            row_of = run.matching()
            query_of = np.zeros(len(row_of), np.int64)
            raw = np.empty(len(row_of))
            _score_raw(run, queries, query_of, row_of, raw)
            scores = to_scores(metric, raw, run.norms[row_of], queries.norms[query_of])
            done.append((place, row_of + run.first, scores))

    metric = queries.metric
    step = max(1, _PART_ELEMENTS // queries.vectors.shape[1])
    shares = share(enumerate(split_rows(rows, step)), work, pool, threads)
    done = sorted((part for one in shares for part in one), key=lambda part: part[0])
    return (
        np.concatenate([slots for _, slots, _ in done]),
        np.concatenate([scores for _, _, scores in done]),
    )


def nearest_order(
    slots: NDArray[np.int64],
    scores: NDArray[np.float64],
    k: int,
    *,
    ids_of: IdsOf,
    min_score: float | None,
) -> NDArray[np.int64]:
    """Positions of the ``k`` best, by (score descending, id ascending)."""
    kept = np.arange(len(slots))
    if min_score is not None:
        kept = np.flatnonzero(scores >= min_score)
    if len(kept) > k:
        least = np.partition(scores[kept], len(kept) - k)[len(kept) - k]
        kept = kept[scores[kept] >= least]
    order = kept[np.argsort(-scores[kept], kind="stable")]
    ordered = scores[order]
    if (ordered[1:] == ordered[:-1]).any():
        order = _order_ties(order, ordered, ids_of(slots[order]))
    return order[:k]


def _order_ties(
    order: NDArray[np.int64],
    scores: NDArray[np.float64],
    ids: NDArray[np.int64] | Sequence[int] | Sequence[str],
) -> NDArray[np.int64]:
    if len(ids) and isinstance(ids[0], str):
        # numpy would drop trailing NULs; Python compares by code point.
        places = sorted(range(len(order)), key=lambda i: (-scores[i], ids[i]))
        return order[places]
    return order[np.lexsort((np.asarray(ids, np.int64), -scores))]
