"""Writes of records to requests; the rest as in ``requests``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from numpy.typing import ArrayLike, NDArray

from . import arguments, codec, columns, limits
from .columns import Payload
from .errors import InvalidArgument
from .filter_messages import filter_to_wire
from .requests import IdsLike, Request, make_request
from .sharing import SILENT, Sharing, TenantsLike, check_caller, parse_sharing
from .tenant_messages import sharing_to_wire
from .wire import vecdb_pb2 as pb

UPLOAD_HINT: Final = "upsert is one atomic batch and is never split: use upload, or less at a time"


def upsert(
    collection: str,
    ids: IdsLike | None,
    vectors: ArrayLike | None,
    payloads: Sequence[Payload] | None,
    *,
    rows: Sequence[Mapping[str, Any]] | None,
    tenants: TenantsLike | None,
    tenant: str | None,
    condition: Mapping[str, Any] | None,
    idempotency_key: bytes | None,
    wait: bool,
) -> Request:
    if rows is not None:
        if ids is not None or vectors is not None or payloads is not None:
            raise InvalidArgument(
                "rows and columns are both given: pass rows= alone, or ids and vectors",
                field="rows",
            )
        ids, vectors, payloads = columns.columns_of_rows(rows)
    if ids is None or vectors is None:
        absent = "ids" if ids is None else "vectors"
        raise InvalidArgument(f"{absent} is missing: pass ids and vectors, or rows", field=absent)
    checked = columns.check_ids(ids, limits.BATCH_RECORDS)
    matrix = columns.to_matrix(vectors)
    if len(matrix) != len(checked):
        raise InvalidArgument(
            f"expected {len(checked)} vectors, one an id; got {len(matrix)}", field="vectors"
        )
    texts = columns.encode_payloads(payloads, len(checked))
    size = matrix.nbytes + sum(map(len, texts))
    arguments.check_size(size, "the batch", UPLOAD_HINT, "vectors")
    key = arguments.to_key(idempotency_key)
    sharing = parse_sharing(tenants, tenant, len(checked))
    message = upsert_message(collection, checked, matrix, texts, key, sharing)
    message.no_wait = not arguments.to_flag("wait", wait)
    if condition is not None:
        message.condition.CopyFrom(arguments.to_condition(condition))
    return make_request(
        "Records",
        "Upsert",
        message,
        pb.WriteResponse,
        write=True,
        hint=UPLOAD_HINT,
        field="vectors",
    )


def upsert_message(
    collection: str,
    ids: codec.Ids,
    vectors: NDArray[Any],
    payloads: Sequence[bytes],
    idempotency_key: bytes,
    sharing: Sharing = SILENT,
) -> pb.UpsertRequest:
    """The message of columns that are checked already; ``payloads``: a text a record, or none."""
    return pb.UpsertRequest(
        collection=arguments.to_text("name", collection),
        ids=codec.ids_to_wire(ids),
        vectors=codec.vectors_to_wire(vectors),
        payloads=payloads,
        idempotency_key=idempotency_key,
        tenant=sharing.tenant,
        sharing=sharing_to_wire(sharing),
    )


def set_payload(
    collection: str,
    ids: IdsLike,
    payload: Mapping[str, Any] | bytes,
    *,
    tenant: str | None,
    replace: bool,
    idempotency_key: bytes | None,
    wait: bool,
) -> Request:
    if payload is None:
        raise InvalidArgument("payload must be a JSON object (a dict); got None", field="payload")
    message = pb.SetPayloadRequest(
        collection=arguments.to_text("name", collection),
        ids=codec.ids_to_wire(columns.check_ids(ids, limits.BATCH_RECORDS)),
        payload=columns.encode_payload(payload),
        tenant=check_caller(tenant),
        replace=arguments.to_flag("replace", replace),
        idempotency_key=arguments.to_key(idempotency_key),
        no_wait=not arguments.to_flag("wait", wait),
    )
    return make_request("Records", "SetPayload", message, pb.WriteResponse, write=True)


def delete(
    collection: str,
    ids: IdsLike | None,
    filter: object,
    *,
    tenant: str | None,
    dry_run: bool,
    idempotency_key: bytes | None,
    wait: bool,
) -> Request:
    if (ids is None) == (filter is None):
        raise InvalidArgument(
            "delete takes either ids or a filter; got " + ("neither" if ids is None else "both"),
            field="ids",
        )
    message = pb.DeleteRequest(
        collection=arguments.to_text("name", collection),
        tenant=check_caller(tenant),
        filter=filter_to_wire(filter),
        idempotency_key=arguments.to_key(idempotency_key),
        no_wait=not arguments.to_flag("wait", wait),
        dry_run=arguments.to_flag("dry_run", dry_run),
    )
    if ids is not None:
        message.ids.CopyFrom(codec.ids_to_wire(columns.check_ids(ids, limits.BATCH_RECORDS)))
    return make_request("Records", "Delete", message, pb.WriteResponse, write=True)
