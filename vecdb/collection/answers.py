"""From places that a walk has left to the answer: their exact scores, and the best of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..index.flat import Nearest
from ..index.lists import Lists, Scored
from ..index.rescore import nearest_order, score_lists, to_distances
from ..kernels.order import best_of_each
from .paged_scores import score_on_disk
from .sealed_rows import PagedRows

if TYPE_CHECKING:
    from .scanning import Lookup

_K_TOGETHER = 64  # so many matches of all queries are chosen in one call


def score_places(lookup: Lookup, lists: Lists) -> Scored:
    """The exact scores of the places of each query: in memory, or on their pages.

    What else matches on these pages is scored with them.
    """
    snapshot = lookup.snapshot
    if not any(sealed.segment.vectors is None for sealed in snapshot.segments):
        return _score_in_memory(lookup, lists)
    sealed = lists.places < snapshot.tail_base  # a level is of all segments
    scored = _score_in_memory(lookup, lists.where(~sealed))
    return scored.and_also(score_on_disk(lookup, lists.where(sealed))) if sealed.any() else scored


def _score_in_memory(lookup: Lookup, lists: Lists) -> Scored:
    if not len(lists.places):
        return Scored(lists, np.empty(0))
    runs = [run for run in lookup.snapshot.runs() if not isinstance(run, PagedRows) and len(run)]
    scores = score_lists(
        sorted(runs, key=lambda run: run.first),
        lookup.as_queries,
        lists,
        deadline=lookup.deadline,
        pool=lookup.store.pool,
        threads=lookup.store.threads,
    )
    return Scored(lists, scores)


def answers_of(lookup: Lookup, scored: Scored) -> list[Nearest]:
    """The best of what was scored for each query."""
    edges, scores = scored.lists.edges, scored.scores
    bounds = edges.tolist()

    def answer(query: int) -> Nearest:
        some = slice(bounds[query], bounds[query + 1])
        return _answer(lookup, scored.lists.places[some], scores[some])

    count = len(scored.lists)
    if lookup.min_score is not None or lookup.k > _K_TOGETHER or not len(scores):
        return [answer(query) for query in range(count)]
    order = np.zeros((count, lookup.k), np.int64)
    sizes, tied = np.empty(count, np.int64), np.empty(count, np.uint8)
    best_of_each(scores, edges, order, sizes, tied)
    slots, best = scored.lists.places[order], scores[order]
    distances = to_distances(lookup.snapshot.tail.schema.metric, best)
    matching, one_by_one = lookup.matching, tied.any()
    return [
        answer(query)
        if one_by_one and tied[query]
        else Nearest(
            slots=slots[query, :size],
            scores=best[query, :size],
            distances=distances[query, :size],
            scanned=matching,
            candidates=bounds[query + 1] - bounds[query],
        )
        for query, size in enumerate(sizes.tolist())
    ]


def _answer(lookup: Lookup, places: NDArray[np.int64], scores: NDArray[np.float64]) -> Nearest:
    snapshot = lookup.snapshot
    order = nearest_order(
        places, scores, lookup.k, ids_of=snapshot.ids_of, min_score=lookup.min_score
    )
    return Nearest(
        slots=places[order],
        scores=scores[order],
        distances=to_distances(snapshot.tail.schema.metric, scores[order]),
        scanned=lookup.matching,
        candidates=len(places),
    )
