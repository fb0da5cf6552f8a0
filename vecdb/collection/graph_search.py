"""Searching by graph: a walk chooses few records, whose vectors are then scored.

Segments of few slots have no graph, and neither has the tail: their codes are scanned. Whatever
finds a record, its score is the one that exact search gives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..index.coded import CodedRun
from ..index.flat import Nearest
from ..index.graph import GraphRun, Walk, walk_graph
from ..index.page_walk import PagePart, PageWalk, allowance_of, walk_pages
from ..index.rescore import nearest_order, rescore, to_distances, to_scores
from ..index.scan_codes import Scan
from ..index.shortlist import rows_kept, shortlist
from ..kernels.order import best_of_each
from .paged_scores import Scored, score_on_disk
from .sealed_rows import PagedRows
from .snapshot import Snapshot

if TYPE_CHECKING:
    from .scanning import Lookup

GRAPH_SHARE = 0.3
"""Where a smaller share of the records matches, codes are scanned instead."""
_WIDTH_MAX = 8_192
_WIDER = 4.0  # at most, where few match
_K_TOGETHER = 64  # so many matches of all queries are chosen in one call
_NO_PLACES = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """How each part of a snapshot is searched."""

    arrays: list[GraphRun]
    parts: list[PagePart]
    scanned: list[CodedRun]


def paths_of(snapshot: Snapshot, origins: NDArray[np.int64] | None) -> Paths:
    paths = Paths(arrays=[], parts=[], scanned=[])
    for sealed, base, mask in snapshot.chosen(origins):
        if sealed.segment.entries is None:
            paths.scanned.append(sealed.coded(base, mask))
        elif sealed.segment.on_pages:
            paths.parts.append(sealed.page_part(base, mask))
        else:
            paths.arrays.append(sealed.graph(base, mask))
    paths.scanned.extend(snapshot.coded_tail(origins))
    return paths


def has_graph(snapshot: Snapshot) -> bool:
    return any(sealed.segment.entries is not None for sealed in snapshot.segments)


def walk_width(snapshot: Snapshot, k: int, factor: float, share: float) -> int:
    """How many nodes a walk keeps in mind, for ``k`` matches where ``share`` of all match."""
    wanted = factor * snapshot.walk_width * max(1.0, k / 10) ** 0.75
    wanted *= min(_WIDER, 1.0 / max(share, 1e-9) ** 0.5)
    return min(_WIDTH_MAX, max(k, int(np.ceil(wanted))))


def search_graph(lookup: Lookup, factor: float, sigmas: float) -> list[Nearest] | None:
    """The ``k`` best of each query as far as the walks find them.

    None: they found fewer than match, of some query.
    """
    snapshot = lookup.snapshot
    paths = paths_of(snapshot, lookup.origins)
    width = walk_width(snapshot, lookup.k, factor, lookup.matching / max(1, snapshot.live))
    on_disk, in_memory = _split(snapshot, _choose(lookup, paths, width, sigmas))
    scored = _score_in_memory(lookup, in_memory)
    if any(map(len, on_disk)):
        scored = _join(scored, score_on_disk(lookup, on_disk))
    if paths.parts:
        scored = _join(scored, _walk_pages(lookup, paths.parts, width))
    wanted = min(lookup.k, lookup.matching)
    if any(len(places) < wanted for places, _ in scored):
        return None
    lookup.tally.add(vectors_scored=sum(len(places) for places, _ in scored))
    return _answers(lookup, scored)


def _choose(lookup: Lookup, paths: Paths, width: int, sigmas: float) -> list[NDArray[np.int64]]:
    """Places to score of each query: what the walk leaves, and the scan of the rest."""
    store, quantizer = lookup.store, lookup.snapshot.tail.encoder.quantizer
    found: list[list[NDArray[np.int64]]] = [[_NO_PLACES] for _ in range(len(lookup.queries))]
    if paths.arrays:
        walk = Walk(
            k=lookup.k,
            width=width,
            sigmas=sigmas,
            deadline=lookup.deadline,
            pool=store.pool,
            threads=store.threads,
        )
        walked = walk_graph(paths.arrays, quantizer, lookup.queries, walk)
        for places, one in zip(found, walked, strict=True):
            places.append(one.places)
        for name in ("nodes_expanded", "blocks_scanned", "codes_scanned", "codes_refined"):
            lookup.tally.add(**{name: sum(getattr(one, name) for one in walked)})
    matching = sum(run.matching_count() for run in paths.scanned)
    if matching:
        scan = Scan(
            k=min(lookup.k, matching),
            matching=matching,
            kept=rows_kept(lookup.k, 1.0, matching),
            deadline=lookup.deadline,
            pool=store.pool,
            threads=store.threads,
        )
        lists = shortlist(paths.scanned, quantizer, lookup.queries, scan)
        for places, some in zip(found, lists, strict=True):
            places.append(some.places)
        lookup.tally.add(
            codes_scanned=matching * len(lists), codes_refined=sum(one.refined for one in lists)
        )
    return [np.concatenate(places) for places in found]


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


def _walk_pages(lookup: Lookup, parts: list[PagePart], width: int) -> list[Scored]:
    snapshot = lookup.snapshot
    walk = PageWalk(
        k=lookup.k,
        width=width,
        allowance=allowance_of(width),
        deadline=lookup.deadline,
        pool=lookup.store.pool,
        threads=lookup.store.threads,
    )
    residence = snapshot.segments[0].segment.residence
    walked = walk_pages(
        parts,
        snapshot.tail.encoder.quantizer,
        lookup.queries,
        walk,
        partial(residence.hold, tally=lookup.tally),
    )
    for name in ("nodes_expanded", "codes_scanned", "codes_refined"):
        lookup.tally.add(**{name: sum(getattr(one, name) for one in walked)})
    norms = lookup.as_queries.norms
    metric = snapshot.tail.schema.metric
    return [
        (one.places, to_scores(metric, one.raw, np.sqrt(one.squares), norms[query : query + 1]))
        for query, one in enumerate(walked)
    ]


def _join(some: Sequence[Scored], others: Sequence[Scored]) -> list[Scored]:
    """Of each query both; they share no place."""
    return [
        (np.concatenate((places, more)), np.concatenate((scores, further)))
        for (places, scores), (more, further) in zip(some, others, strict=True)
    ]


def _answers(lookup: Lookup, scored: Sequence[Scored]) -> list[Nearest]:
    """The best of what was scored for each query."""
    if lookup.min_score is not None or lookup.k > _K_TOGETHER:
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
