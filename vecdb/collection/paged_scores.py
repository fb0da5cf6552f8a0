"""Exact scores of records whose vectors are on the disk: one batch of reads for all of them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..index.lists import Lists, Scored, distinct
from ..index.rescore import to_scores
from ..index.share import share
from ..kernels.page_score import score_on_pages
from ..storage.format import DTYPE_CODES
from ..storage.stored_pages import StoredPages
from .sealed import Sealed

if TYPE_CHECKING:
    from .scanning import Lookup

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


def score_on_disk(lookup: Lookup, lists: Lists) -> Scored:
    """The scores of the places of each query, and of all that match on the pages read for them.

    - ``lists``: places of segments whose vectors are on the disk

    Whatever page a query needs is scored whole, for that query alone: an answer does not depend on
    the other queries.
    """
    groups = _group(lists)

    def work(queue: deque[tuple[int, int]]) -> list[tuple[int, Scored]]:
        done: list[tuple[int, Scored]] = []
        while True:
            lookup.deadline.check("reading pages")
            try:
                start, end = queue.popleft()
            except IndexError:
                return done
            done.append((start, _score_group(lookup, start, lists.part(start, end))))

    shares = share(groups, work, lookup.store.pool, lookup.store.threads)
    found = sorted((one for some in shares for one in some), key=lambda one: one[0])
    return Scored.chained([scored for _, scored in found])


def _group(lists: Lists) -> list[tuple[int, int]]:
    """Bounds of groups of queries that need about as many pages as are read at once."""
    edges, bounds, start = [0], lists.edges.tolist(), 0
    for query in range(len(lists)):
        if start < bounds[query] and bounds[query + 1] - start > _GROUP_PAGES:
            edges.append(query)
            start = bounds[query]
    return list(pairwise([*edges, len(lists)]))


def _score_group(lookup: Lookup, first_query: int, lists: Lists) -> Scored:
    asked = _ask(lookup, lists)
    count = len(lists)
    scored = Scored(lists.where(np.zeros(len(lists.places), np.bool_)), np.empty(0))
    if asked:
        residence = asked[0].sealed.segment.residence
        wanted = [(_pages_of(one), one.distinct) for one in asked]
        with residence.hold(wanted, lookup.tally) as held:
            for one, addresses in zip(asked, held.addresses, strict=True):
                scored = scored.and_also(_score_pages(lookup, first_query, count, one, addresses))
    return scored


def _ask(lookup: Lookup, lists: Lists) -> list[_Asked]:
    """What to read of each segment."""
    query_of, places = lists.query_of, lists.places
    asked = []
    for sealed, base, some in lookup.chosen:
        here = (places >= base) & (places < base + len(sealed))
        if not here.any():
            continue
        pages = (places[here] - base) // _pages_of(sealed).geometry.per_page
        pairs = distinct(query_of[here] << 32 | pages)
        page_of = pairs & 0xFFFFFFFF
        numbers = distinct(page_of)
        asked.append(
            _Asked(
                sealed=sealed,
                base=base,
                mask=sealed.masked(some),
                distinct=numbers,
                query_of=pairs >> 32,
                at=np.searchsorted(numbers, page_of),
            )
        )
    return asked


def _score_pages(
    lookup: Lookup, first_query: int, count: int, asked: _Asked, addresses: NDArray[np.int64]
) -> Scored:
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
    return Scored(Lists.owned(asked.base + slots, query_of, count), scores)


def _pages_of(some: Sealed | _Asked) -> StoredPages:
    segment = some.segment if isinstance(some, Sealed) else some.sealed.segment
    if segment.pages is None:
        raise AssertionError("the vectors are in memory")
    return segment.pages
