"""From places that a walk has left to the answer: their exact scores, and the best of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..index.flat import Nearest
from ..index.rescore import nearest_order, rescore, to_distances
from ..kernels.order import best_of_each
from .paged_scores import Scored, score_on_disk
from .sealed_rows import PagedRows
from .snapshot import Snapshot

if TYPE_CHECKING:
    from .scanning import Lookup

_K_TOGETHER = 64  # so many matches of all queries are chosen in one call
_NO_PLACES = np.empty(0, np.int64)


def score_places(lookup: Lookup, places: list[NDArray[np.int64]]) -> list[Scored]:
    """The exact scores of the places of each query: in memory, or on their pages.

    What else matches on these pages is scored with them.
    """
    on_disk, in_memory = _split(lookup.snapshot, places)
    scored = _score_in_memory(lookup, in_memory)
    if any(map(len, on_disk)):
        scored = join_scored(scored, score_on_disk(lookup, on_disk))
    return scored


def _split(
    snapshot: Snapshot, places: list[NDArray[np.int64]]
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """The places whose vectors are on the disk, and those in memory: a level is of all segments."""
    if not any(sealed.segment.vectors is None for sealed in snapshot.segments):
        return [_NO_PLACES] * len(places), places
    edge = snapshot.tail_base
    return [one[one < edge] for one in places], [one[one >= edge] for one in places]


def _score_in_memory(lookup: Lookup, places: list[NDArray[np.int64]]) -> list[Scored]:
    runs = [run for run in lookup.snapshot.runs() if not isinstance(run, PagedRows) and len(run)]
    return rescore(
        sorted(runs, key=lambda run: run.first),
        lookup.as_queries,
        places,
        deadline=lookup.deadline,
        pool=lookup.store.pool,
        threads=lookup.store.threads,
    )


def join_scored(some: Sequence[Scored], others: Sequence[Scored]) -> list[Scored]:
    """Of each query both; they share no place."""
    return [
        (np.concatenate((places, more)), np.concatenate((scores, further)))
        for (places, scores), (more, further) in zip(some, others, strict=True)
    ]


def answers_of(lookup: Lookup, scored: Sequence[Scored]) -> list[Nearest]:
    """The best of what was scored for each query."""
    nothing = not any(len(places) for places, _ in scored)
    if nothing or lookup.min_score is not None or lookup.k > _K_TOGETHER:
        return [_answer(lookup, places, scores) for places, scores in scored]
    places = np.concatenate([one for one, _ in scored])
    scores = np.concatenate([one for _, one in scored])
    edges = np.zeros(len(scored) + 1, np.int64)
    np.cumsum([len(one) for one, _ in scored], out=edges[1:])
    order = np.zeros((len(scored), lookup.k), np.int64)
    sizes, tied = np.empty(len(scored), np.int64), np.empty(len(scored), np.uint8)
    best_of_each(scores, edges, order, sizes, tied)
    slots, best = places[order], scores[order]
    distances = to_distances(lookup.snapshot.tail.schema.metric, best)
    return [
        _answer(lookup, *scored[query])
        if tied[query]
        else Nearest(
            slots=slots[query, :size],
            scores=best[query, :size],
            distances=distances[query, :size],
            scanned=lookup.matching,
            candidates=len(scored[query][0]),
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
