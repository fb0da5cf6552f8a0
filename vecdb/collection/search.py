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
from ..schema import CollectionSchema
from ..storage.format import ID_STR
from ..storage.records import Ids, id_keys
from .batch import as_matrix, check_not_zero
from .store import Store, View
from .tail import Tail

MODES = ("auto", "exact")
"""Every mode scores every matching vector; ``auto`` may one day choose another path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A checked search.

    - ``queries``: float32[q, dim], finite, not zero under cosine
    """

    queries: NDArray[np.float32]
    k: int
    node: Node | None
    min_score: float | None
    with_payload: bool
    with_vector: bool


def make_request(
    schema: CollectionSchema,
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
    queries = _one_query(schema, vectors) if single else as_matrix(vectors, schema.dim, "vectors")
    if len(queries) > limits.QUERIES:
        raise LimitExceeded(
            f"a search takes at most {limits.QUERIES} queries, got {len(queries)}",
            field="vectors",
            limit=limits.QUERIES,
            actual=len(queries),
            hint="Split the call",
        )
    return Request(
        queries=_as_queries(schema, queries, "vector" if single else "vectors[{}]"),
        k=_check_k(k),
        node=parse_filter(filter, schema.fields),
        min_score=_check_min_score(min_score),
        with_payload=with_payload,
        with_vector=with_vector,
    )


def search(store: Store, name: str, request: Request, deadline: Deadline) -> list[Matches]:
    """The answers to all queries of the request, from one view of the collection."""
    with store.view(name, with_tail=True) as view:
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
            scores=one.scores.astype(np.float32),
            distances=one.distances.astype(np.float32),
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
    try:
        query = np.asarray(vector)
    except ValueError:
        query = np.empty(0, object)
    if query.shape != (schema.dim,):
        raise InvalidArgument(
            f"vector must have shape ({schema.dim},), got {query.shape}",
            field="vector",
            reason="WRONG_DIMENSION",
            limit=schema.dim,
            actual=query.shape[0] if query.ndim == 1 else None,
            hint="For several queries use search_batch",
        )
    return as_matrix(query[None], schema.dim, "vector")


def _as_queries(schema: CollectionSchema, matrix: NDArray[Any], where: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        queries = np.ascontiguousarray(matrix, np.float32)
    finite = np.isfinite(queries).all(axis=1)
    if not finite.all():
        name = where.format(int(np.argmin(finite)))
        raise InvalidArgument(
            f"{name} holds NaN, infinity or a number beyond float32",
            field=name,
            reason="NOT_FINITE",
        )
    if schema.metric == "cosine":
        check_not_zero(queries, where)
    return queries


def _check_k(k: object) -> int:
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise InvalidArgument(f"k must be an integer, got {type(k).__name__}", field="k")
    if not 1 <= k <= limits.K:
        raise InvalidArgument(
            f"k must be from 1 to {limits.K}, got {k}", field="k", limit=limits.K, actual=int(k)
        )
    return int(k)


def _check_min_score(min_score: object) -> float | None:
    if min_score is None:
        return None
    fits = isinstance(min_score, int | float | np.number) and not isinstance(min_score, bool)
    if not fits or not math.isfinite(min_score):  # type: ignore[arg-type]
        raise InvalidArgument(
            f"min_score must be a finite number or None, got {str(min_score)[:40]}",
            field="min_score",
        )
    return float(min_score)  # type: ignore[arg-type]
