"""Arguments to requests: everything a call needs to know, without any I/O.

All checks that need no server happen here, before a byte is sent. Messages are serialized at once:
their size is known, and a repeated attempt sends the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message
from numpy.typing import NDArray

from . import arguments, codec, columns, limits
from .errors import InvalidArgument
from .filter_messages import filter_to_wire
from .sharing import check_caller
from .version import VERSION
from .wire import vecdb_pb2 as pb

IdsLike = Sequence[int] | Sequence[str] | NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One unary call.

    - ``parse``: from the bytes of the answer to the answer
    - ``write``: it changes something, so an attempt without answer may have been applied
    - ``repeatable``: to run it twice does no harm (reads, and writes with a key)
    """

    service: str
    method: str
    data: bytes = field(repr=False)
    parse: Callable[[bytes], Any]
    write: bool = False
    repeatable: bool = True
    package: str = "vecdb.v1"

    @property
    def name(self) -> str:
        return f"{self.service}.{self.method}"

    @property
    def path(self) -> str:
        return f"/{self.package}.{self.service}/{self.method}"


def make_request(
    service: str,
    method: str,
    message: Message,
    answer: type[Message],
    *,
    write: bool = False,
    repeatable: bool = True,
    hint: str = "Ask for less in one call",
    field: str = "",
) -> Request:
    """A call of ours; ``LimitExceeded`` if its message cannot be sent, with ``hint``."""
    data = message.SerializeToString()
    arguments.check_size(len(data), f"the request {service}.{method}", hint, field)
    return Request(
        service=service,
        method=method,
        data=data,
        parse=answer.FromString,
        write=write,
        repeatable=repeatable,
    )


# ---------------------------------------------------------------------------------- database


def info() -> Request:
    message = pb.InfoRequest(client_version=VERSION)
    return make_request("Database", "Info", message, pb.InfoResponse)


def stats() -> Request:
    return make_request("Database", "Stats", pb.StatsRequest(), pb.StatsResponse)


def create_collection(
    name: str,
    dim: int,
    *,
    metric: str,
    dtype: str,
    fields: Mapping[str, str] | None,
    code_bits: int,
    page_bytes: int | None,
    memory_budget: int | None,
) -> Request:
    if fields is not None and not isinstance(fields, Mapping):
        raise InvalidArgument(
            "fields must be a dict of name -> type, such as {'lang': 'keyword'}; "
            f"got {type(fields).__name__}",
            field="fields",
        )
    schema = pb.CollectionSchema(
        dim=arguments.to_integer("dim", dim, limits.DIM),
        metric=codec.METRIC.to_wire(metric),
        dtype=codec.DTYPE.to_wire(dtype),
        fields={
            arguments.to_field_name(key): codec.FIELD_TYPE.to_wire(kind, f"fields[{key!r}]")
            for key, kind in (fields or {}).items()
        },
        code_bits=arguments.to_choice("code_bits", code_bits, limits.CODE_BITS),
        page_bytes=0
        if page_bytes is None
        else arguments.to_choice("page_bytes", page_bytes, limits.PAGE_BYTES),
        memory_budget=arguments.to_budget(memory_budget),
    )
    message = pb.CreateCollectionRequest(name=arguments.to_name("name", name), schema=schema)
    return make_request(
        "Collections", "Create", message, pb.CollectionInfo, write=True, repeatable=False
    )


def describe(name: str) -> Request:
    message = pb.DescribeCollectionRequest(name=arguments.to_text("name", name))
    return make_request("Collections", "Describe", message, pb.CollectionInfo)


def list_collections() -> Request:
    message = pb.ListCollectionsRequest()
    return make_request("Collections", "List", message, pb.ListCollectionsResponse)


def delete_collection(name: str) -> Request:
    message = pb.DeleteCollectionRequest(name=arguments.to_text("name", name))
    answer = pb.DeleteCollectionResponse
    return make_request("Collections", "Delete", message, answer, write=True, repeatable=False)


def alias(alias: str, collection: str) -> Request:
    # An empty collection would remove the alias.
    message = pb.AliasRequest(
        alias=arguments.to_name("alias", alias),
        collection=arguments.to_text("collection", collection),
    )
    return make_request("Collections", "Alias", message, pb.AliasResponse, write=True)


def delete_alias(alias: str) -> Request:
    message = pb.AliasRequest(alias=arguments.to_text("alias", alias))
    return make_request(
        "Collections", "Alias", message, pb.AliasResponse, write=True, repeatable=False
    )


def seal(name: str, *, wait: bool) -> Request:
    no_wait = not arguments.to_flag("wait", wait)
    message = pb.SealRequest(name=arguments.to_text("name", name), no_wait=no_wait)
    return make_request("Collections", "Seal", message, pb.SealResponse, write=True)


def compact(name: str, *, wait: bool) -> Request:
    no_wait = not arguments.to_flag("wait", wait)
    message = pb.CompactRequest(name=arguments.to_text("name", name), no_wait=no_wait)
    return make_request("Collections", "Compact", message, pb.SealResponse, write=True)


def set_memory_budget(name: str, memory_budget: int | None) -> Request:
    message = pb.SetMemoryBudgetRequest(
        name=arguments.to_text("name", name), memory_budget=arguments.to_budget(memory_budget)
    )
    return make_request("Collections", "SetMemoryBudget", message, pb.CollectionInfo, write=True)


def add_field(name: str, field: str, kind: str, *, wait: bool) -> Request:
    message = pb.AddFieldRequest(
        name=arguments.to_text("name", name),
        field=arguments.to_field_name(field, "name"),
        type=codec.FIELD_TYPE.to_wire(kind, "type"),
        wait=arguments.to_flag("wait", wait),
    )
    return make_request("Collections", "AddField", message, pb.CollectionInfo, write=True)


def drop_field(name: str, field: str) -> Request:
    message = pb.DropFieldRequest(
        name=arguments.to_text("name", name), field=arguments.to_field_name(field, "name")
    )
    return make_request(
        "Collections", "DropField", message, pb.CollectionInfo, write=True, repeatable=False
    )


def collection_stats(name: str) -> Request:
    message = pb.CollectionStatsRequest(name=arguments.to_text("name", name))
    return make_request("Collections", "Stats", message, pb.StatsResponse)


# ------------------------------------------------------------------------------------- reads


def get(
    collection: str, ids: IdsLike, *, tenant: str | None, with_payload: bool, with_vector: bool
) -> Request:
    message = pb.GetRequest(
        collection=arguments.to_text("name", collection),
        ids=codec.ids_to_wire(columns.check_ids(ids, limits.GET_RECORDS)),
        tenant=check_caller(tenant),
        without_payload=not arguments.to_flag("with_payload", with_payload),
        with_vector=arguments.to_flag("with_vector", with_vector),
    )
    return make_request("Records", "Get", message, pb.GetResponse)


def count(collection: str, filter: object, *, tenant: str | None) -> Request:
    message = pb.CountRequest(
        collection=arguments.to_text("name", collection),
        tenant=check_caller(tenant),
        filter=filter_to_wire(filter),
    )
    return make_request("Records", "Count", message, pb.CountResponse)


def scroll(
    collection: str,
    filter: object,
    after: int | str | None,
    limit: int,
    *,
    tenant: str | None,
    order_by: str | Mapping[str, Any] | None,
    with_payload: bool,
    with_vector: bool,
) -> Request:
    message = pb.ScrollRequest(
        collection=arguments.to_text("name", collection),
        filter=filter_to_wire(filter),
        limit=arguments.to_integer("limit", limit, limits.GET_RECORDS),
        tenant=check_caller(tenant),
        without_payload=not arguments.to_flag("with_payload", with_payload),
        with_vector=arguments.to_flag("with_vector", with_vector),
        order_by=arguments.to_order(order_by),
    )
    if order_by is not None and after is not None and not isinstance(after, str):
        raise InvalidArgument(
            "after must be the `next` of a page in the same order; it is not",
            field="after",
            hint="Begin without after",
        )
    if after is not None:
        try:
            message.after.CopyFrom(codec.ids_to_wire(columns.check_ids([after], 1)))
        except InvalidArgument:
            raise InvalidArgument(
                "after must be one id, an integer of 64 bits or a string; "
                f"got {type(after).__name__}",
                field="after",
            ) from None
    return make_request("Records", "Scroll", message, pb.ScrollResponse)
