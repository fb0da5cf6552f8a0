"""Pages of records in the order of a field.

Records come by (value, id): of a list the value that comes first in the order counts, the id always
ascends, and records that lack the field come last, by id. A page ends with the value and the id of
its last record, and the next one begins behind them, whatever was written meanwhile: a record that
stays as it is comes once, and one that is new comes if it lies ahead.
"""

from __future__ import annotations

import base64
import binascii
import heapq
import json
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..deadline import Deadline
from ..errors import InvalidArgument
from ..filters import Node
from ..results import Records
from ..storage.catalogue import CollectionRow
from ..storage.columns import Column
from ..storage.format import ID_INT, ID_NONE, ID_STR
from ..storage.records import get_records, id_keys
from .field_values import FieldValues, Origins, Part, Scalar, check_field
from .reads import records_of
from .search import ids_of
from .store import Store
from .visible import visible_origins
from .writes import is_as_checked

Id = int | str
_KEYS: Final = {"field", "descending"}
_TYPES: Final[Mapping[str, type]] = {
    "keyword": str,
    "bool": bool,
    "int": int,
    "float": float,
    "datetime": int,
}


@dataclass(frozen=True, slots=True)
class Order:
    """By the values of a declared field."""

    field: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a page ended. ``value``: as filters compare it; None: the record lacks the field."""

    value: Scalar | None
    id: Id


@dataclass(frozen=True, slots=True)
class Page:
    """``places`` of its records, in order; ``mark``: its end, None where it is the last page."""

    places: NDArray[np.int64]
    mark: Mark | None


def parse_order(order_by: object, fields: Mapping[str, str]) -> Order:
    """The order of "year" or {"field": "year", "descending": True}."""
    if isinstance(order_by, str):
        return Order(check_field(order_by, fields, "order_by"))
    if not isinstance(order_by, Mapping) or "field" not in order_by or set(order_by) - _KEYS:
        got = f"the keys {sorted(map(str, order_by))}" if isinstance(order_by, Mapping) else None
        raise InvalidArgument(
            "order_by must be the name of a field, or a dict of field and descending; "
            f"got {got or type(order_by).__name__}",
            field="order_by",
            hint='Such as "year", or {"field": "year", "descending": True}',
        )
    descending = order_by.get("descending", False)
    if not isinstance(descending, bool | np.bool_):
        raise InvalidArgument(
            f"order_by.descending must be True or False; got {type(descending).__name__}",
            field="order_by.descending",
        )
    name = check_field(order_by["field"], fields, "order_by")
    return Order(name, bool(descending))


def encode_mark(mark: Mark, order: Order) -> str:
    """The ``next`` of a page: text that ``decode_mark`` reads."""
    text = json.dumps([order.field, order.descending, mark.value, mark.id], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_mark(after: object, order: Order, kind: str, id_kind: int) -> Mark:
    """``after`` as ``encode_mark`` made it; ``kind``: of the field, ``id_kind``: of the ids."""
    if isinstance(after, str):
        after = str.__str__(after)
        try:
            text = base64.b64decode(after.encode() + b"=" * (-len(after) % 4), b"-_", validate=True)
            field, descending, value, id = json.loads(text)
        except (ValueError, TypeError, RecursionError, binascii.Error):
            field = None
        else:
            told = value is None or type(value) is _TYPES[kind]
            known = {ID_NONE: (int, str), ID_INT: (int,), ID_STR: (str,)}[id_kind]
            same = (field, descending) == (order.field, order.descending)
            if same and told and type(id) in known and _fits(kind, value) and _fits("int", id):
                return Mark(value, id)
    raise InvalidArgument(
        "after must be the `next` of a page in the same order; it is not",
        field="after",
        hint="Begin without after",
    )


def _fits(kind: str, value: Any) -> bool:
    """Whether an integer fits 64 bits, or a number is finite; other values always do."""
    if kind == "float" and value is not None:
        return bool(np.isfinite(value))
    return not isinstance(value, int) or -(2**63) <= value < 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedScroll:
    """A checked request for one page, for the collection ``row``."""

    row: CollectionRow
    order: Order
    tenant: str | None
    node: Node | None
    after: object
    limit: int
    with_payload: bool
    with_vector: bool


def scroll_ordered(
    store: Store, name: str, request: OrderedScroll, deadline: Deadline
) -> Records | None:
    """The page; None: what was checked holds no more."""
    deadline.check("reading records")
    with store.view(name, with_snapshot=True) as view:
        if not is_as_checked(view.row, request.row) or view.snapshot is None:
            return None
        mark = None
        if request.after is not None:
            kind = view.row.schema.fields[request.order.field]
            mark = decode_mark(request.after, request.order, kind, view.state.id_kind)
        origins = visible_origins(store, view, request.tenant, request.node, deadline)
        values = FieldValues(
            filters=store.filters, view=view, field=request.order.field, deadline=deadline
        )
        ordering = Ordering(values=values, order=request.order, limit=request.limit, mark=mark)
        page = ordering.page(origins)
        ids = ids_of(view, page.places)
        keys = id_keys(view.row.number, ids)
        stored = get_records(view.transaction, keys)
        return records_of(
            view,
            [(key, *stored[key]) for key in keys],
            ids,
            with_payload=request.with_payload,
            with_vector=request.with_vector,
            next=None if page.mark is None else encode_mark(page.mark, request.order),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordering:
    """Cuts one page of ``limit`` records out of ``values``, behind ``mark``."""

    values: FieldValues
    order: Order
    limit: int
    mark: Mark | None

    def page(self, origins: Origins | None) -> Page:
        """Of these records (None: all) the first; one more tells whether another page follows."""
        wanted = self.limit + 1
        found: list[tuple[Scalar, Id, int]] = []
        lacking: list[NDArray[np.int64]] = []
        for part in self.values.parts(origins):
            rows, keys = self._keys(part)
            lacks = np.ones(len(part.places), np.bool_)
            lacks[rows] = False
            lacking.append(part.places[lacks])
            if self.mark is None or self.mark.value is not None:
                found += self._first_of(part, rows, keys, wanted)
        found.sort(key=lambda one: one[1])
        found.sort(key=lambda one: one[0], reverse=self.order.descending)
        chosen: list[tuple[Scalar | None, Id, int]] = [*found[:wanted]]
        if len(chosen) < wanted and lacking:
            after = self.mark.id if self.mark is not None and self.mark.value is None else None
            rest = self._by_id(np.concatenate(lacking), wanted - len(chosen), after)
            chosen += [(None, id, place) for id, place in rest]
        more = len(chosen) > self.limit
        shown = chosen[: self.limit]
        return Page(
            places=np.array([place for _, _, place in shown], np.int64),
            mark=Mark(shown[-1][0], shown[-1][1]) if more else None,
        )

    def _keys(self, part: Part) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """The rows that have the field, and the value of each that comes first in the order."""
        rows, values = part.flat()
        other = rows[1:] != rows[:-1]
        edge = np.ones(len(rows), np.bool_)
        if self.order.descending:
            edge[:-1] = other
        else:
            edge[1:] = other
        return rows[edge], values[edge]

    def _first_of(
        self, part: Part, rows: NDArray[np.int64], keys: NDArray[Any], wanted: int
    ) -> list[tuple[Scalar, Id, int]]:
        """Of one part at least the ``wanted`` first behind the mark: (value, id, place)."""
        places, found = part.places[rows], []
        if self.mark is not None and self.mark.value is not None:
            below, equal = _compare(part.column, keys, self.mark.value)
            tied = self._by_id(places[equal], wanted, self.mark.id)
            found += [(self.mark.value, id, place) for id, place in tied]
            ahead = below if self.order.descending else ~(below | equal)
            places, keys = places[ahead], keys[ahead]
        if len(keys) > wanted:
            nth = len(keys) - wanted if self.order.descending else wanted - 1
            edge = np.partition(keys, nth)[nth]
            first = keys > edge if self.order.descending else keys < edge
            tied = self._by_id(places[keys == edge], wanted - int(first.sum()), None)
            (value,) = part.scalars(np.array([edge], keys.dtype))
            found += [(value, id, place) for id, place in tied]
            places, keys = places[first], keys[first]
        ids = self._ids(places)
        return found + list(zip(part.scalars(keys), ids, places.tolist(), strict=True))

    def _by_id(
        self, places: NDArray[np.int64], wanted: int, after: Id | None
    ) -> list[tuple[Id, int]]:
        """The ``wanted`` first of these by id, of those behind ``after``: (id, place)."""
        ids = self.values.snapshot.ids_of(places) if len(places) else []
        if not isinstance(ids, list):
            if after is not None:
                ahead = ids > int(after)
                ids, places = ids[ahead], places[ahead]
            if len(ids) > wanted:
                first = np.argpartition(ids, wanted - 1)[:wanted]
                ids, places = ids[first], places[first]
            return sorted(zip(ids.tolist(), places.tolist(), strict=True))
        pairs = zip(ids, places.tolist(), strict=True)
        return heapq.nsmallest(
            wanted, (one for one in pairs if after is None or one[0] > str(after))
        )

    def _ids(self, places: NDArray[np.int64]) -> list[Id]:
        ids = self.values.snapshot.ids_of(places) if len(places) else []
        return list(ids) if isinstance(ids, list) else ids.tolist()


def _compare(
    column: Column, keys: NDArray[Any], value: Scalar
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each key is below the value, and whether it is equal to it."""
    if column.kind == "keyword":
        low, high = bisect_left(column.words, str(value)), bisect_right(column.words, str(value))
        return keys < low, (keys >= low) & (keys < high)
    wanted = keys.dtype.type(value)
    return keys < wanted, keys == wanted
