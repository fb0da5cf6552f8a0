"""The life of a search: check, take one view, filter, score every vector, add payloads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import limits
from ..deadline import Deadline
from ..errors import InvalidArgument, LimitExceeded
from ..filters import EVERYTHING, Node, parse_filter
from ..index.flat import Nearest, search_rows
from ..results import Matches
from ..schema import CollectionSchema, check_integer
from ..storage.catalogue import CollectionRow
from ..storage.format import ID_STR
from ..storage.records import Ids, id_keys
from . import columns
from .arguments import check_flag
from .store import Store, View
from .tail import Tail
from .vectors import as_matrix, check_finite, check_not_zero, to_dtype

MODES = ("auto", "exact")
"""Every mode scores every matching vector; ``auto`` may one day choose another path."""

_FLOAT32 = np.dtype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A checked search.

    - ``row``: the collection that it was checked for
    - ``queries``: float32[q, dim], finite, not zero under cosine
    """

    row: CollectionRow
    queries: NDArray[np.float32]
    k: int
    node: Node | None
    min_score: float | None
    with_payload: bool
    with_vector: bool


def make_request(
    row: CollectionRow,
    vectors: ArrayLike,
    k: object,
    *,
    filter: object,
    mode: object,
    min_score: object,
    with_payload: bool,
    with_vector: bool,
    single: bool,
) -> Request:
    """Check the arguments of ``search`` (``single``: ``vectors`` is one query) or of a batch."""
    if mode not in MODES:
        raise InvalidArgument(
            f"mode must be one of {', '.join(MODES)}; got {str(mode)[:40]!r}", field="mode"
        )
    schema = row.schema
    queries = _one_query(schema, vectors) if single else as_matrix(vectors, schema.dim, "vectors")
    if len(queries) > limits.QUERIES:
        raise LimitExceeded(
            f"a search takes at most {limits.QUERIES} queries; got {len(queries)}",
            field="vectors",
            limit=limits.QUERIES,
            actual=len(queries),
            hint="Split the call",
        )
    return Request(
        row=row,
        queries=_as_queries(schema, queries, "vector" if single else "vectors[{}]"),
        k=check_integer("k", k, limits.K),
        node=parse_filter(filter, schema.fields),
        min_score=_check_min_score(min_score),
        with_payload=check_flag("with_payload", with_payload),
        with_vector=check_flag("with_vector", with_vector),
    )


def search(store: Store, name: str, request: Request, deadline: Deadline) -> list[Matches] | None:
    """The answers to all queries of the request, from one view of the collection.

    None: the name has been given to another collection since the request was checked.
    """
    with store.view(name, with_tail=True) as view:
        if view.row.number != request.row.number:
            return None
        slots = None
        if request.node is not None and request.node != EVERYTHING:
            slots = store.filters.matching_slots(
                view.transaction, view.row, view.state, request.node, deadline
            )
        if request.with_payload:
            return _answers(view, request, _nearest(store, view, request, slots, deadline))
    # The tail is a value: without payloads nothing more is read from the transaction.
    return _answers(view, request, _nearest(store, view, request, slots, deadline))


def _nearest(
    store: Store,
    view: View,
    request: Request,
    slots: NDArray[np.int64] | None,
    deadline: Deadline,
) -> list[Nearest]:
    tail = _tail_of(view)
    try:
        return search_rows(
            tail.rows if slots is None else tail.rows_where(slots),
            request.queries,
            request.k,
            metric=view.row.schema.metric,
            ids_of=tail.ids_of,
            min_score=request.min_score,
            deadline=deadline,
            pool=store.pool,
            threads=store.threads,
        )
    except RuntimeError:  # of a pool that was shut down meanwhile: say that it is closed
        store.environment.check_usable()
        raise


def _answers(view: View, request: Request, found: Sequence[Nearest]) -> list[Matches]:
    tail = _tail_of(view)
    ids = [_ids_of(view, one.slots) for one in found]
    payloads: list[list[bytes]] | None = None
    if request.with_payload:
        keys = [id_keys(view.row.number, some) for some in ids]
        texts = view.transaction.get_many("payloads", list({k for some in keys for k in some}))
        payloads = [[texts.get(key, b"") for key in some] for some in keys]
    return [
        Matches(
            ids=ids[place],
            scores=to_dtype(one.scores, _FLOAT32),
            distances=to_dtype(one.distances, _FLOAT32),
            payload_bytes=None if payloads is None else payloads[place],
            vectors=tail.vectors_of(one.slots) if request.with_vector else None,
        )
        for place, one in enumerate(found)
    ]


def _tail_of(view: View) -> Tail:
    if view.tail is None:
        raise AssertionError("a search asks for the tail")
    return view.tail


def _ids_of(view: View, slots: NDArray[np.int64]) -> Ids:
    if len(slots):
        return _tail_of(view).ids_of(slots)
    return [] if view.state.id_kind == ID_STR else np.empty(0, np.int64)


def _one_query(schema: CollectionSchema, vector: ArrayLike) -> NDArray[Any]:
    query = columns.to_query(vector, warn=False)
    if query.shape[1] != schema.dim:
        raise InvalidArgument(
            f"vector must have the shape ({schema.dim},); got {query.shape[1:]}",
            field="vector",
            reason="WRONG_DIMENSION",
            limit=schema.dim,
            actual=query.shape[1],
            hint="For several queries use search_batch",
        )
    return query


def _as_queries(schema: CollectionSchema, matrix: NDArray[Any], where: str) -> NDArray[np.float32]:
    queries: NDArray[np.float32] = to_dtype(matrix, _FLOAT32)
    check_finite(queries, where)
    if schema.metric == "cosine":
        check_not_zero(queries, where)
    return queries


def _check_min_score(min_score: object) -> float | None:
    if min_score is None:
        return None
    numbers = int | float | np.integer | np.floating
    if isinstance(min_score, bool) or not isinstance(min_score, numbers):
        raise InvalidArgument(
            f"min_score must be a number; got {type(min_score).__name__}", field="min_score"
        )
    try:
        least = float(min_score)
    except OverflowError:  # an int above the largest float
        least = math.inf
    if not math.isfinite(least):
        raise InvalidArgument("min_score must be finite, or None for no bound", field="min_score")
    return least
