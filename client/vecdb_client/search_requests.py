"""Searches to requests: one or many queries, or one that is to be explained."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from . import arguments, codec, limits
from .filter_messages import filter_to_wire
from .requests import Request, make_request
from .sharing import check_caller
from .wire import vecdb_pb2 as pb


def search(
    collection: str,
    queries: NDArray[Any],
    k: int,
    *,
    offset: int,
    diversity: float | None,
    with_payload: bool,
    with_vector: bool,
    with_relevance: bool,
    with_surprise: bool,
    **options: Any,
) -> Request:
    """``queries``: [n, dim] as ``columns.to_query`` or ``to_matrix`` give it.

    ``options``: as ``explain`` takes them.
    """
    arguments.check_size(queries.nbytes, "the queries", "Send fewer in one call", "vectors")
    columns = _columns(with_payload, with_vector, with_relevance, with_surprise)
    message = pb.SearchRequest(
        queries=codec.vectors_to_wire(queries),
        k=arguments.to_integer("k", k, limits.K),
        offset=arguments.to_offset("offset", offset, limits.K - 1),
        diversity=None if diversity is None else arguments.to_number("diversity", diversity),
        **columns,
        **_how(collection, **options),
    )
    return make_request("Records", "Search", message, pb.SearchResponse)


def search_groups(
    collection: str,
    query: NDArray[Any],
    group_by: str,
    groups: int,
    group_size: int,
    *,
    with_payload: bool,
    with_vector: bool,
    with_relevance: bool,
    with_surprise: bool,
    **options: Any,
) -> Request:
    """``query``: [1, dim] as ``columns.to_query`` gives it; ``options``: as ``explain`` takes."""
    columns = _columns(with_payload, with_vector, with_relevance, with_surprise)
    message = pb.SearchGroupsRequest(
        query=codec.vectors_to_wire(query),
        group_by=arguments.to_text("group_by", group_by),
        groups=arguments.to_integer("groups", groups, limits.GROUPS),
        group_size=arguments.to_integer("group_size", group_size, limits.GROUP_SIZE),
        **columns,
        **_how(collection, **options),
    )
    return make_request("Records", "SearchGroups", message, pb.SearchGroupsResponse)


def explain(
    collection: str,
    query: NDArray[Any],
    k: int,
    *,
    tenant: str | None,
    filter: object,
    mode: str,
    effort: float | str | None,
    estimator: str,
    min_score: float | None,
) -> Request:
    """``query``: [1, dim] as ``columns.to_query`` gives it."""
    how = _how(
        collection,
        tenant=tenant,
        filter=filter,
        mode=mode,
        effort=effort,
        estimator=estimator,
        min_score=min_score,
    )
    message = pb.ExplainRequest(
        query=codec.vectors_to_wire(query), k=arguments.to_integer("k", k, limits.K), **how
    )
    return make_request("Records", "Explain", message, pb.Explanation)


def _columns(
    with_payload: bool, with_vector: bool, with_relevance: bool, with_surprise: bool
) -> dict[str, Any]:
    """What a match has beside id, score and distance."""
    return {
        "without_payload": not arguments.to_flag("with_payload", with_payload),
        "with_vector": arguments.to_flag("with_vector", with_vector),
        "with_relevance": arguments.to_flag("with_relevance", with_relevance),
        "with_surprise": arguments.to_flag("with_surprise", with_surprise),
    }


def _how(
    collection: str,
    *,
    tenant: str | None,
    filter: object,
    mode: str,
    effort: float | str | None,
    estimator: str,
    min_score: float | None,
) -> dict[str, Any]:
    """The fields that all of these requests have."""
    effort_number, effort_bound = arguments.to_effort(effort)
    return {
        "collection": arguments.to_text("name", collection),
        "tenant": check_caller(tenant),
        "filter": filter_to_wire(filter),
        "mode": codec.MODE.to_wire(mode),
        "min_score": None if min_score is None else arguments.to_number("min_score", min_score),
        "effort": effort_number,
        "effort_bound": effort_bound,
        "estimator": codec.ESTIMATOR.to_wire(estimator),
    }


def facets(
    collection: str, field: str, filter: object, limit: int, *, tenant: str | None
) -> Request:
    message = pb.FacetsRequest(
        collection=arguments.to_text("name", collection),
        field=arguments.to_text("field", field),
        filter=filter_to_wire(filter),
        limit=arguments.to_integer("limit", limit, limits.FACETS),
        tenant=check_caller(tenant),
    )
    return make_request("Records", "Facets", message, pb.FacetsResponse)
