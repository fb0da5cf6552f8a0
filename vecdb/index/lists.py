"""A list of places for each query of a call, all in one array: batches of queries pay for arrays,
not for each query's objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Lists:
    """Those of query i are ``places[edges[i]:edges[i + 1]]``.

    - ``places``: int64[m]; ``edges``: int64[q + 1], from 0 to m
    """

    places: NDArray[np.int64]
    edges: NDArray[np.int64]

    @classmethod
    def of(cls, lists: Sequence[NDArray[np.int64]]) -> Lists:
        """Of one array for each query."""
        return cls(_together(lists, np.int64), _edges([len(one) for one in lists]))

    @classmethod
    def owned(cls, places: NDArray[np.int64], query_of: NDArray[np.int64], count: int) -> Lists:
        """Of places with the query that each is of, ascending."""
        return cls(places, np.searchsorted(query_of, np.arange(count + 1)))

    def __len__(self) -> int:
        return len(self.edges) - 1

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        return (self.places[start:end] for start, end in pairwise(self.edges.tolist()))

    @property
    def sizes(self) -> NDArray[np.int64]:
        """int64[q]."""
        return np.diff(self.edges)

    @property
    def query_of(self) -> NDArray[np.int64]:
        """int64[m]: whose each place is."""
        return np.repeat(np.arange(len(self)), self.sizes)

    def part(self, start: int, end: int) -> Lists:
        """Those of the queries ``start`` .. ``end`` - 1."""
        first, last = self.edges[start], self.edges[end]
        return Lists(self.places[first:last], self.edges[start : end + 1] - first)

    def where(self, kept: NDArray[np.bool_]) -> Lists:
        """Without some of the places; ``kept``: bool[m]."""
        before = np.concatenate(([0], np.cumsum(kept)))
        return Lists(self.places[kept], before[self.edges])


@dataclass(frozen=True, slots=True)
class Scored:
    """Places with their scores: ``scores``: float64[m], higher is better."""

    lists: Lists
    scores: NDArray[np.float64]

    @classmethod
    def of(cls, pairs: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]]) -> Scored:
        """Of places and scores of each query."""
        return cls(
            Lists.of([places for places, _ in pairs]),
            _together([scores for _, scores in pairs], np.float64),
        )

    @classmethod
    def chained(cls, parts: Sequence[Scored]) -> Scored:
        """Of the queries of the first part, then those of the next."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            Lists(
                _together([part.lists.places for part in parts], np.int64),
                _edges(np.concatenate([part.lists.sizes for part in parts])),
            ),
            _together([part.scores for part in parts], np.float64),
        )

    def and_also(self, other: Scored) -> Scored:
        """Of each query both; they share no place."""
        if not len(other.scores):
            return self
        if not len(self.scores):
            return other
        query_of = np.concatenate((self.lists.query_of, other.lists.query_of))
        by_query = np.argsort(query_of, kind="stable")
        places = np.concatenate((self.lists.places, other.lists.places))[by_query]
        scores = np.concatenate((self.scores, other.scores))[by_query]
        return Scored(Lists(places, self.lists.edges + other.lists.edges), scores)


def distinct(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each of the values once, ascending; for a handful ``np.unique`` takes three times as long."""
    ordered = np.sort(values)
    first = np.empty(len(ordered), np.bool_)
    first[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


def _together(arrays: Sequence[NDArray[Number]], dtype: type[Number]) -> NDArray[Number]:
    return np.concatenate(arrays) if len(arrays) else np.empty(0, dtype)


def _edges(sizes: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    edges = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=edges[1:])
    return edges
