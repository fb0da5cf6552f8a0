"""How many records have each value of a declared field."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .. import limits
from ..deadline import Deadline
from ..filters import EVERYTHING, Node, parse_filter
from ..results import Facets
from ..schema import check_integer
from ..storage.catalogue import CollectionRow
from ..storage.columns import MISSING
from ..storage.format import NUMBER
from .field_values import FieldValues, Part, Scalar, check_field, shown_value
from .fields import stored_value
from .filtering import make_test
from .payload import decode_payload
from .sharing import check_caller
from .store import Store, View
from .visible import visible_origins
from .writes import is_as_checked

_CHECK_RECORDS = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class FacetRequest:
    """Checked for the collection ``row``: the values of ``field`` among what ``node`` matches."""

    row: CollectionRow
    field: str
    tenant: str | None
    node: Node | None
    limit: int


def make_request(
    row: CollectionRow, field: object, tenant: object, filter: object, limit: object
) -> FacetRequest:
    node = parse_filter(filter, row.schema.fields)
    return FacetRequest(
        row=row,
        field=check_field(field, row.schema.fields, "field"),
        tenant=check_caller(tenant),
        node=None if node == EVERYTHING else node,
        limit=check_integer("limit", limit, limits.FACETS),
    )


def count_values(
    store: Store, name: str, request: FacetRequest, deadline: Deadline
) -> Facets | None:
    """The most frequent values; None: what was checked holds no more."""
    deadline.check("counting values")
    # What a tenant sees is a set of slots, of which only a snapshot tells the values.
    loaded = request.tenant is not None or store.has_snapshot(name)
    with store.view(name, with_snapshot=loaded) as view:
        if not is_as_checked(view.row, request.row):
            return None
        if view.snapshot is None:
            counts = _count_payloads(view, request, deadline)
        else:
            origins = visible_origins(store, view, request.tenant, request.node, deadline)
            values = FieldValues(
                filters=store.filters, view=view, field=request.field, deadline=deadline
            )
            counts = count_parts(values.parts(origins))
        kind = view.row.schema.fields[request.field]
    best = heapq.nsmallest(request.limit, counts.items(), key=lambda one: (-one[1], one[0]))
    return Facets(
        field=request.field,
        values=[shown_value(kind, value) for value, _ in best],
        counts=np.array([count for _, count in best], np.int64),
        others=len(counts) - len(best),
    )


def count_parts(parts: Iterable[Part]) -> Counter[Scalar]:
    """How many records have each value."""
    counts: Counter[Scalar] = Counter()
    for part in parts:
        _, values = part.flat()
        if part.column.kind in ("keyword", "bool"):
            each = np.bincount(values)
            found = np.flatnonzero(each)
            each = each[found]
        else:
            found, each = np.unique(values, return_counts=True)
        counts.update(dict(zip(part.scalars(found), each.tolist(), strict=True)))
    return counts


def _count_payloads(view: View, request: FacetRequest, deadline: Deadline) -> Counter[Scalar]:
    """The same by every payload, where the vectors are not loaded."""
    counts: Counter[Scalar] = Counter()
    test = make_test(request.node, view.row)
    kind = view.row.schema.fields[request.field]
    stored = view.transaction.scan("payloads", NUMBER.pack(view.row.number))
    for place, (_, text) in enumerate(stored):
        if place % _CHECK_RECORDS == 0:
            deadline.check("counting values")
        payload = decode_payload(text)
        if payload is None or (test is not None and not test(payload)):
            continue
        value = stored_value(payload.get(request.field, MISSING), kind)
        if value is None or value is MISSING:
            continue
        counts.update(set(value) if isinstance(value, list) else (value,))
    return counts
