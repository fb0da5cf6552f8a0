"""The life of a search: check, take one view, filter, choose a path, add payloads and scores."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import limits
from ..deadline import Deadline
from ..errors import InvalidArgument, LimitExceeded
from ..filters import Node, parse_filter
from ..index.flat import Nearest
from ..quantize.score import Background, relevance, surprise_bits
from ..results import Explanation, Matches
from ..schema import CollectionSchema
from ..storage.catalogue import CollectionRow
from ..storage.format import ID_STR
from ..storage.records import Ids, id_keys
from . import columns
from .arguments import check_flag, check_number
from .diversity import Shape, make_shape
from .levels import add_sizes, choose_level
from .planner import costs_of
from .scanning import BOUND, BY_BOUND, DEFAULT, Effort, Lookup
from .sharing import check_caller
from .snapshot import Snapshot
from .store import Store, View
from .vectors import as_matrix, check_finite, check_not_zero, to_dtype
from .visible import visible_origins
from .writes import is_as_checked

MODES = ("auto", "exact", "scan", "tree", "graph")
"""``exact`` scores every matching vector, ``scan`` reads every code, ``tree`` those of the nodes of
trees that are nearest, ``graph`` walks from neighbour to neighbour; ``auto`` chooses."""
WALKS = ("tree", "graph")
"""Modes that do not look at every code."""
ESTIMATORS = ("rabitq", "hamming")
FLAGS = ("with_payload", "with_vector", "with_relevance", "with_surprise")
"""What a match may have beside id, score and distance."""

_FLOAT32 = np.dtype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A checked search.

    - ``row``: the collection that it was checked for
    - ``tenant``: who searches; None: one who sees all
    - ``queries``: float32[q, dim], finite, not zero under cosine
    """

    row: CollectionRow
    queries: NDArray[np.float32]
    shape: Shape
    tenant: str | None
    node: Node | None
    mode: str
    effort: Effort
    min_score: float | None
    with_payload: bool
    with_vector: bool
    with_relevance: bool
    with_surprise: bool


def make_request(
    row: CollectionRow,
    vectors: ArrayLike,
    k: object,
    *,
    tenant: object,
    filter: object,
    mode: object,
    effort: object,
    estimator: object,
    min_score: object,
    with_payload: bool,
    with_vector: bool,
    with_relevance: bool,
    with_surprise: bool,
    single: bool,
    offset: object = 0,
    diversity: object = None,
) -> Request:
    """Check the arguments of ``search`` (``single``: ``vectors`` is one query) or of a batch."""
    checked_mode = _check_word("mode", mode, MODES)
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
        shape=make_shape(k, offset, diversity),
        tenant=check_caller(tenant),
        node=parse_filter(filter, schema.fields),
        mode=checked_mode,
        effort=_check_effort(checked_mode, effort, estimator),
        min_score=_check_min_score(min_score),
        with_payload=check_flag("with_payload", with_payload),
        with_vector=check_flag("with_vector", with_vector),
        with_relevance=_check_relevance(schema, with_relevance),
        with_surprise=check_flag("with_surprise", with_surprise),
    )


def search(store: Store, name: str, request: Request, deadline: Deadline) -> list[Matches] | None:
    """The answers to all queries of the request, from one view of the collection.

    None: since the request was checked the name has been given to another collection, or the
    declared fields have changed. (Checking
    within the view would save that, but a filter may be an object of the caller's, whose code must
    not run inside a transaction.)
    """
    with store.view(name, with_snapshot=True) as view:
        if not is_as_checked(view.row, request.row):
            return None
        origins = visible_origins(store, view, request.tenant, request.node, deadline)
        background = None
        if request.with_surprise:
            background = store.backgrounds.get(view.transaction, view.row, view.state)
        lookup = _lookup(store, view, request, origins, deadline)
        if request.with_payload:
            _, found = run(lookup, request)
            return answers(view, request, found, background)
    # The snapshot is a value: without payloads nothing more is read from the transaction.
    _, found = run(lookup, request)
    return answers(view, request, found, background)


def explain(store: Store, name: str, request: Request, deadline: Deadline) -> Explanation | None:
    """``search`` of one query, with what it took; None as there."""
    began = time.perf_counter()
    with store.view(name, with_snapshot=True) as view:
        if not is_as_checked(view.row, request.row):
            return None
        origins = visible_origins(store, view, request.tenant, request.node, deadline)
        lookup = _lookup(store, view, request, origins, deadline)
        path, found = run(lookup, request)
        (matches,) = answers(view, request, found, None)
    snapshot = lookup.snapshot
    live = store.live_of(view.row)
    plan = choose_level(None, add_sizes([])) if live is None else live.residence.plan
    return Explanation(
        matches=matches,
        mode=path,
        matching=lookup.matching,
        segments=len(snapshot.segments),
        tail=snapshot.tail.live,
        level=plan.level,
        why=plan.why,
        degraded=any(one.segment.degraded for one in snapshot.segments),
        io_engine=store.io_engine,
        seconds=time.perf_counter() - began,
        costs=costs_of(lookup, request.effort),
        **lookup.tally.values(),
    )


def _lookup(
    store: Store,
    view: View,
    request: Request,
    origins: NDArray[np.int64] | None,
    deadline: Deadline,
) -> Lookup:
    return Lookup(
        store=store,
        snapshot=_snapshot_of(view),
        origins=origins,
        queries=request.queries,
        k=request.shape.depth,
        min_score=request.min_score,
        deadline=deadline,
    )


def run(lookup: Lookup, request: Request) -> tuple[str, list[Nearest]]:
    """The path that was taken, and what was found."""
    path = lookup.path(request.mode, request.effort)
    try:
        if path == "exact":
            found = lookup.exact(request.queries)
        elif path == "graph":
            found = lookup.graph(request.effort)
        elif path == "tree":
            found = lookup.tree(request.effort)
        else:
            found = lookup.scan(request.effort)
        return path, request.shape.take(found, lookup)
    except RuntimeError:  # of a pool that was shut down meanwhile: say that it is closed
        lookup.store.environment.check_usable()
        raise
    finally:
        lookup.snapshot.release()
        live = lookup.store.live_of(request.row)
        if live is not None:
            live.residence.end(lookup.tally)


def answers(
    view: View, request: Request, found: Sequence[Nearest], background: Background | None
) -> list[Matches]:
    """What was found, with all that the request asks for."""
    if not found:
        return []
    snapshot = _snapshot_of(view)
    edges = np.cumsum([0, *(len(one.slots) for one in found)]).tolist()
    cuts = list(pairwise(edges))
    every = ids_of(view, np.concatenate([one.slots for one in found]))
    ids = [every[start:stop] for start, stop in cuts]
    payloads: list[list[bytes]] | None = None
    if request.with_payload:
        keys = id_keys(view.row.number, every)
        texts = view.transaction.get_many("payloads", list(set(keys)))
        payloads = [[texts.get(key, b"") for key in keys[start:stop]] for start, stop in cuts]
    scores = to_dtype(np.concatenate([one.scores for one in found]), _FLOAT32)
    distances = to_dtype(np.concatenate([one.distances for one in found]), _FLOAT32)
    return [
        Matches(
            ids=ids[place],
            scores=scores[start:stop],
            distances=distances[start:stop],
            payload_bytes=None if payloads is None else payloads[place],
            vectors=snapshot.vectors_of(one.slots) if request.with_vector else None,
            relevance=relevance(one.scores) if request.with_relevance else None,
            surprise_bits=None if background is None else surprise_bits(one.scores, background),
        )
        for place, (one, (start, stop)) in enumerate(zip(found, cuts, strict=True))
    ]


def _snapshot_of(view: View) -> Snapshot:
    if view.snapshot is None:
        raise AssertionError("a search asks for the snapshot")
    return view.snapshot


def ids_of(view: View, slots: NDArray[np.int64]) -> Ids:
    """The ids of places of the view's snapshot; of none, of the collection's kind."""
    if len(slots):
        return _snapshot_of(view).ids_of(slots)
    return [] if view.state.id_kind == ID_STR else np.empty(0, np.int64)


def _check_word(name: str, value: object, known: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in known:
        raise InvalidArgument(
            f"{name} must be one of {', '.join(known)}; got {str(value)[:40]!r}", field=name
        )
    return value


def _check_effort(mode: str, effort: object, estimator: object) -> Effort:
    hamming = _check_word("estimator", estimator, ESTIMATORS) == "hamming"
    if mode == "exact" and (hamming or effort is not None):
        name = "estimator" if hamming else "effort"
        raise InvalidArgument(
            f"{name} means nothing to mode='exact', which scores every vector",
            field=name,
            hint="Leave it out, or use mode='scan'",
        )
    if hamming and mode in WALKS:
        raise InvalidArgument(
            f"estimator='hamming' means nothing to mode='{mode}', which compares estimates",
            field="estimator",
            hint="Leave it out, or use mode='scan'",
        )
    if effort is None:
        return replace(DEFAULT, hamming=hamming)
    if isinstance(effort, str) and effort == BOUND:
        if hamming:
            raise InvalidArgument(
                "estimator='hamming' has no error bound, so effort='bound' means nothing to it",
                field="estimator",
                hint="Use the default estimator, or a number as effort",
            )
        if mode in WALKS:
            raise InvalidArgument(
                f"effort='bound' means nothing to mode='{mode}', which does not look at every code",
                field="effort",
                hint="Use mode='scan', or a number as effort",
            )
        return BY_BOUND
    number = check_number("effort", effort, repr(BOUND))
    if not 0.0 < number <= limits.EFFORT:
        raise InvalidArgument(
            f"effort must be above 0 and at most {limits.EFFORT}, or {BOUND!r}; got {number}",
            field="effort",
            limit=limits.EFFORT,
        )
    return Effort(factor=number, hamming=hamming)


def _check_relevance(schema: CollectionSchema, wanted: object) -> bool:
    checked = check_flag("with_relevance", wanted)
    if checked and schema.metric != "cosine":
        raise InvalidArgument(
            f"relevance is a function of the cosine; this collection's metric is {schema.metric}",
            field="with_relevance",
            hint="Use with_surprise, which every metric has",
        )
    return checked


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
    return None if min_score is None else check_number("min_score", min_score, "None for no bound")
