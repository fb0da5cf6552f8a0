"""Exact scores of records whose vectors are on the disk: one batch of reads for all of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..index.rescore import to_scores
from ..index.share import share
from ..kernels.page_score import score_on_pages
from ..storage.format import DTYPE_CODES
from ..storage.stored_pages import StoredPages
from .sealed import Sealed

if TYPE_CHECKING:
    from .scanning import Lookup

Scored = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Places of one query and their scores."""

_GROUP_PAGES = 1_024
"""Pages that are read together for several queries, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The pages of one segment that a group of queries needs.

    - ``distinct``: the pages, ascending; ``query_of``, ``at``: for each pair of a query and one of
      its pages the query and the page's position in ``distinct``
    """

    sealed: Sealed
    base: int
    mask: NDArray[np.uint8]
    distinct: NDArray[np.int64]
    query_of: NDArray[np.int64]
    at: NDArray[np.int64]


def score_on_disk(lookup: Lookup, places: list[NDArray[np.int64]]) -> list[Scored]:
    """The scores of the places of each query, and of all that match on the pages read for them.

    - ``places``: of segments whose vectors are on the disk, for each query

    Whatever page a query needs is scored whole, for that query alone: an answer does not depend on
    the other queries.
    """
    groups = _group(places)

    def work(queue: deque[tuple[int, int]]) -> list[tuple[int, list[Scored]]]:
        done: list[tuple[int, list[Scored]]] = []
        while True:
            lookup.deadline.check("reading pages")
            try:
                start, end = queue.popleft()
            except IndexError:
                return done
            done.append((start, _score_group(lookup, start, places[start:end])))

    shares = share(groups, work, lookup.store.pool, lookup.store.threads)
    found = sorted((one for some in shares for one in some), key=lambda one: one[0])
    return [scored for _, some in found for scored in some]


def _group(places: Sequence[NDArray[np.int64]]) -> list[tuple[int, int]]:
    """Bounds of groups of queries that need about as many pages as are read at once."""
    edges, count = [0], 0
    for query, one in enumerate(places):
        if count and count + len(one) > _GROUP_PAGES:
            edges.append(query)
            count = 0
        count += len(one)
    return list(zip(edges, [*edges[1:], len(places)], strict=True))


def _score_group(
    lookup: Lookup, first_query: int, places: Sequence[NDArray[np.int64]]
) -> list[Scored]:
    asked = _ask(lookup, places)
    found: list[list[Scored]] = [[] for _ in places]
    if asked:
        residence = asked[0].sealed.segment.residence
        wanted = [(_pages_of(one), one.distinct) for one in asked]
        with residence.hold(wanted, lookup.tally) as held:
            for one, addresses in zip(asked, held.addresses, strict=True):
                _score_pages(lookup, first_query, one, addresses, found)
    return [
        (np.concatenate([one[0] for one in some]), np.concatenate([one[1] for one in some]))
        if some
        else (np.empty(0, np.int64), np.empty(0, np.float64))
        for some in found
    ]


def _ask(lookup: Lookup, places: Sequence[NDArray[np.int64]]) -> list[_Asked]:
    """What to read of each segment."""
    query_of = np.repeat(np.arange(len(places)), [len(one) for one in places])
    every = np.concatenate(places)
    asked = []
    for sealed, base, some in lookup.chosen:
        here = (every >= base) & (every < base + len(sealed))
        if not here.any():
            continue
        pages = (every[here] - base) // _pages_of(sealed).geometry.per_page
        pairs = np.unique(query_of[here] << 32 | pages)
        distinct, at = np.unique(pairs & 0xFFFFFFFF, return_inverse=True)
        asked.append(
            _Asked(
                sealed=sealed,
                base=base,
                mask=sealed.masked(some),
                distinct=distinct,
                query_of=pairs >> 32,
                at=at,
            )
        )
    return asked


def _score_pages(
    lookup: Lookup,
    first_query: int,
    asked: _Asked,
    addresses: NDArray[np.int64],
    found: list[list[Scored]],
) -> None:
    """Score every member that matches of every page, for each query that asked for the page."""
    pages = _pages_of(asked)
    geometry = pages.geometry
    members = np.arange(geometry.per_page)
    slots = (asked.distinct[asked.at, None] * geometry.per_page + members).ravel()
    rows = np.tile(members, len(asked.at))
    at = np.repeat(asked.at, geometry.per_page)
    query_of = np.repeat(asked.query_of, geometry.per_page)
    kept = slots < len(asked.sealed)
    kept[kept] = asked.mask[slots[kept] >> 3] >> (slots[kept] & 7).astype(np.uint8) & 1 == 1
    slots, query_of = slots[kept], query_of[kept]
    places = pages.vector_addresses(addresses[at[kept]], rows[kept])
    raw, squares = np.empty(len(slots)), np.empty(len(slots))
    queries = lookup.as_queries
    metric = queries.metric
    score_on_pages(
        metric == "l2",
        DTYPE_CODES[geometry.numpy_dtype.str],
        queries.vectors,
        query_of + first_query,
        places,
        raw,
        squares,
    )
    norms = queries.norms[query_of + first_query]
    scores = to_scores(metric, raw, np.sqrt(squares), norms)
    edges = np.searchsorted(query_of, np.arange(len(found) + 1)).tolist()
    for query, (start, end) in enumerate(pairwise(edges)):
        if start < end:
            found[query].append((asked.base + slots[start:end], scores[start:end]))


def _pages_of(some: Sealed | _Asked) -> StoredPages:
    segment = some.segment if isinstance(some, Sealed) else some.sealed.segment
    if segment.pages is None:
        raise AssertionError("the vectors are in memory")
    return segment.pages
