"""Searching by graph: a walk chooses few records, whose vectors are then scored.

Segments of few slots have no graph, and neither has the tail: their codes are scanned. Whatever
finds a record, its score is the one that exact search gives it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..index.coded import CodedRun
from ..index.flat import Nearest
from ..index.graph import GraphRun, Walk, walk_graph
from ..index.lists import Lists, Scored
from ..index.page_walk import PagePart, PageWalk, allowance_of, walk_pages
from ..index.rescore import to_scores
from ..index.scan_codes import Scan
from ..index.shortlist import rows_kept, shortlist
from .answers import answers_of, score_places
from .snapshot import Snapshot

if TYPE_CHECKING:
    from .scanning import Lookup

_WIDTH_MAX = 8_192
_WIDER = 4.0  # at most, where few match
_NO_PLACES = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """How each part of a snapshot is searched."""

    arrays: list[GraphRun]
    parts: list[PagePart]
    scanned: list[CodedRun]


def paths_of(snapshot: Snapshot, origins: NDArray[np.int64] | None) -> Paths:
    paths = Paths(arrays=[], parts=[], scanned=[])
    for sealed, base, some in snapshot.chosen(origins):
        if sealed.segment.entries is None:
            paths.scanned.append(sealed.coded(base, some))
        elif sealed.segment.on_pages:
            paths.parts.append(sealed.page_part(base, some))
        else:
            paths.arrays.append(sealed.graph(base, some))
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
    scored = score_places(lookup, _choose(lookup, paths, width, sigmas))
    if paths.parts:
        scored = scored.and_also(_walk_pages(lookup, paths.parts, width))
    wanted = min(lookup.k, lookup.matching)
    if (scored.lists.sizes < wanted).any():
        return None
    lookup.tally.add(vectors_scored=len(scored.scores))
    return answers_of(lookup, scored)


def _choose(lookup: Lookup, paths: Paths, width: int, sigmas: float) -> Lists:
    """Places to score of each query: what the walk leaves, and the scan of the rest."""
    store, quantizer = lookup.store, lookup.snapshot.tail.encoder.quantizer
    rest = scan_rest(lookup, paths.scanned, 1.0)
    if not paths.arrays:
        return Lists.of(rest)
    walk = Walk(
        k=lookup.k,
        width=width,
        sigmas=sigmas,
        deadline=lookup.deadline,
        pool=store.pool,
        threads=store.threads,
    )
    walked = walk_graph(paths.arrays, quantizer, lookup.queries, walk)
    for name in ("nodes_expanded", "blocks_scanned", "codes_scanned", "codes_refined"):
        lookup.tally.add(**{name: int(getattr(walked, name).sum())})
    if not any(map(len, rest)):
        return walked.found
    return Lists.of([np.concatenate(both) for both in zip(walked.found, rest, strict=True)])


def scan_rest(lookup: Lookup, runs: list[CodedRun], factor: float) -> list[NDArray[np.int64]]:
    """Places to score of each query among runs that nothing walks: by all their codes."""
    matching = sum(run.matching_count() for run in runs)
    if not matching:
        return [_NO_PLACES] * len(lookup.queries)
    store, quantizer = lookup.store, lookup.snapshot.tail.encoder.quantizer
    scan = Scan(
        k=min(lookup.k, matching),
        matching=matching,
        kept=rows_kept(lookup.k, factor, matching),
        deadline=lookup.deadline,
        pool=store.pool,
        threads=store.threads,
    )
    lists = shortlist(runs, quantizer, lookup.queries, scan)
    lookup.tally.add(
        codes_scanned=matching * len(lists), codes_refined=sum(one.refined for one in lists)
    )
    return [one.places for one in lists]


def _walk_pages(lookup: Lookup, parts: list[PagePart], width: int) -> Scored:
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
    return Scored.of(
        [
            (one.places, to_scores(metric, one.raw, np.sqrt(one.squares), norms[query : query + 1]))
            for query, one in enumerate(walked)
        ]
    )
