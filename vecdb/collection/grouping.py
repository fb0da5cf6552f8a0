"""The best matches of each value of a field.

One search finds the best records; looked at from the top, the first ``groups`` different values
are the groups. Where it has fewer, a deeper search follows, until there are enough or all values
have been seen. A group with fewer than ``group_size`` of the matches found is completed by a search
among the records of its value alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import limits
from ..deadline import Deadline
from ..errors import LimitExceeded
from ..filters import EVERYTHING, Compare
from ..filters.expression import all_of
from ..index.flat import Nearest
from ..index.rescore import nearest_order, to_distances
from ..results import Groups
from ..schema import check_integer
from ..storage.catalogue import CollectionRow
from .diversity import Shape
from .facets import count_parts
from .field_values import FieldValues, Scalar, check_field, shown_value
from .scanning import DEFAULT, Lookup
from .search import Request, answers, make_request, run
from .snapshot import Snapshot
from .store import Store, View
from .visible import visible_origins
from .writes import is_as_checked

_FIRST = 100  # matches of the first search at least
_SPARE = 4  # times as many as the groups need
_DEEPER = 8  # times as many in the next search


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRequest:
    """A checked search by groups. ``search``: of one query, among the records with the field."""

    search: Request
    field: str
    groups: int
    size: int


def make_group_request(
    row: CollectionRow,
    vector: ArrayLike,
    group_by: object,
    groups: object,
    group_size: object,
    **options: object,
) -> GroupRequest:
    """``options``: as ``make_request`` takes them."""
    field = check_field(group_by, row.schema.fields, "group_by")
    count = check_integer("groups", groups, limits.GROUPS)
    size = check_integer("group_size", group_size, limits.GROUP_SIZE)
    if count * size > limits.K:
        raise LimitExceeded(
            f"groups * group_size is at most {limits.K}; got {count * size}",
            field="group_size",
            limit=limits.K,
            actual=count * size,
        )
    search = make_request(row, vector, count * size, single=True, **options)  # type: ignore[arg-type]
    node = all_of([search.node or EVERYTHING, Compare(field, "exists")])
    return GroupRequest(search=replace(search, node=node), field=field, groups=count, size=size)


def search_groups(
    store: Store, name: str, request: GroupRequest, deadline: Deadline
) -> Groups | None:
    """The groups; None: what was checked holds no more."""
    search = request.search
    with store.view(name, with_snapshot=True) as view:
        if not is_as_checked(view.row, search.row):
            return None
        origins = visible_origins(store, view, search.tenant, search.node, deadline)
        if origins is None:
            raise AssertionError("a search by groups has a filter")
        background = None
        if search.with_surprise:
            background = store.backgrounds.get(view.transaction, view.row, view.state)
        grouping = _Grouping(
            store=store, view=view, request=request, origins=origins, deadline=deadline
        )
        found = grouping.best()
        matches = answers(view, search, [nearest for _, nearest in found], background)
        kind = view.row.schema.fields[request.field]
    return Groups(
        field=request.field,
        values=[shown_value(kind, value) for value, _ in found],
        matches=matches,
    )


@dataclass(frozen=True, kw_only=True)
class _Grouping:
    """One search by groups; ``origins``: of the records that match and have the field."""

    store: Store
    view: View
    request: GroupRequest
    origins: NDArray[np.int64]
    deadline: Deadline

    @cached_property
    def values(self) -> FieldValues:
        return FieldValues(
            filters=self.store.filters,
            view=self.view,
            field=self.request.field,
            deadline=self.deadline,
        )

    @property
    def snapshot(self) -> Snapshot:
        return self.values.snapshot

    @cached_property
    def distinct(self) -> int:
        """How many values the records have; counted where a search has found few."""
        return len(count_parts(self.values.parts(self.origins)))

    def best(self) -> list[tuple[Scalar, Nearest]]:
        """The groups and their matches, best first."""
        request = self.request
        depth = max(_FIRST, _SPARE * request.groups * request.size)
        while True:
            found = self._look(self.origins, depth)
            ranks = self._ranks(found)
            every = len(found.slots) < depth or depth >= len(self.origins)
            if every or len(ranks) >= request.groups or len(ranks) >= self.distinct:
                break
            depth *= _DEEPER
        chosen = sorted(ranks, key=lambda value: (ranks[value][0], value))[: request.groups]
        groups = {value: _take(found, ranks[value][: request.size]) for value in chosen}
        if not every:
            self._complete(groups)
        return self._ordered(groups)

    def _look(self, origins: NDArray[np.int64], depth: int) -> Nearest:
        """The ``depth`` best of these records."""
        search = replace(self.request.search, shape=Shape(k=depth))
        if depth > limits.K:
            search = replace(search, mode="exact", effort=DEFAULT)
        lookup = Lookup(
            store=self.store,
            snapshot=self.snapshot,
            origins=origins,
            queries=search.queries,
            k=depth,
            min_score=search.min_score,
            deadline=self.deadline,
        )
        _, (found,) = run(lookup, search)
        return found

    def _ranks(self, found: Nearest) -> dict[Scalar, list[int]]:
        """Of each value the positions in ``found`` of the matches that have it, ascending."""
        by_slot = np.argsort(found.slots)
        slots = found.slots[by_slot]
        origins = np.sort(self.snapshot.origins_of(found.slots).astype(np.int64))
        ranks: dict[Scalar, list[int]] = {}
        for part in self.values.parts(origins):
            rows, values = part.flat()
            places = by_slot[np.searchsorted(slots, part.places[rows])]
            for value, place in zip(part.scalars(values), places.tolist(), strict=True):
                ranks.setdefault(value, []).append(place)
        for places_of_value in ranks.values():
            places_of_value.sort()
        return ranks

    def _complete(self, groups: dict[Scalar, Nearest]) -> None:
        """Search for what is missing of the groups that are smaller than they may be."""
        size = self.request.size
        short = [value for value, found in groups.items() if len(found.slots) < size]
        if not short:
            return
        for value, origins in self.values.having(self.origins, short).items():
            if len(origins) > len(groups[value].slots):
                groups[value] = self._join(groups[value], self._look(origins, size))

    def _join(self, one: Nearest, other: Nearest) -> Nearest:
        """The best of both."""
        slots, first = np.unique(np.concatenate([one.slots, other.slots]), return_index=True)
        scores = np.concatenate([one.scores, other.scores])[first]
        order = nearest_order(
            slots, scores, self.request.size, ids_of=self.snapshot.ids_of, min_score=None
        )
        metric = self.view.row.schema.metric
        return replace(
            other,
            slots=slots[order],
            scores=scores[order],
            distances=to_distances(metric, scores[order]),
        )

    def _ordered(self, groups: dict[Scalar, Nearest]) -> list[tuple[Scalar, Nearest]]:
        """By the best match of each, of one and the same by value."""
        if not groups:
            return []
        ids = self.snapshot.ids_of(np.array([one.slots[0] for one in groups.values()], np.int64))
        keys = {
            value: (-one.scores[0], id, value)
            for (value, one), id in zip(groups.items(), ids, strict=True)
        }
        return sorted(groups.items(), key=lambda one: keys[one[0]])


def _take(found: Nearest, positions: list[int]) -> Nearest:
    at = np.array(positions, np.int64)
    return replace(
        found, slots=found.slots[at], scores=found.scores[at], distances=found.distances[at]
    )
