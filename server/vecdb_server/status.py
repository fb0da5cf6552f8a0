"""Errors of the engine as gRPC statuses: the one table, and the detail that travels beside it."""

from __future__ import annotations

import math
from typing import Final

import grpc

from vecdb.errors import VecDBError
from vecdb_client.wire import vecdb_pb2 as pb

DETAIL_KEY: Final = "vecdb-error-bin"
"""The trailing metadata entry that holds a serialized ``ErrorDetail``."""

CODES: Final = {
    "AlreadyExists": grpc.StatusCode.ALREADY_EXISTS,
    "Conflict": grpc.StatusCode.ABORTED,
    "DataCorruption": grpc.StatusCode.DATA_LOSS,
    "DeadlineExceeded": grpc.StatusCode.DEADLINE_EXCEEDED,
    "InvalidArgument": grpc.StatusCode.INVALID_ARGUMENT,
    "LimitExceeded": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "NotFound": grpc.StatusCode.NOT_FOUND,
    "PermissionDenied": grpc.StatusCode.PERMISSION_DENIED,
    "PreconditionFailed": grpc.StatusCode.FAILED_PRECONDITION,
    "StorageError": grpc.StatusCode.INTERNAL,
    "Unauthenticated": grpc.StatusCode.UNAUTHENTICATED,
    "Unavailable": grpc.StatusCode.UNAVAILABLE,
    "UnsupportedFormat": grpc.StatusCode.FAILED_PRECONDITION,
    "UploadFailed": grpc.StatusCode.FAILED_PRECONDITION,
    "VecDBError": grpc.StatusCode.INTERNAL,
}
"""By the class's name: the wire codec is the client's and raises the client's classes."""

# Status text and detail travel as headers, of which gRPC takes 8 KiB in all. The text is sent twice
# and grows when it is percent-encoded.
MESSAGE_BYTES: Final = 1_000
HINT_BYTES: Final = 500
FIELD_BYTES: Final = 300
RETRY_MS_MAX: Final = 2**32 - 1


def kind_of(error: BaseException) -> str | None:
    """The name of the first class of ``error`` that the table holds; None: it is a bug."""
    return next((kind.__name__ for kind in type(error).__mro__ if kind.__name__ in CODES), None)


def code_of(error: BaseException) -> grpc.StatusCode:
    """INTERNAL for what the table does not hold."""
    kind = kind_of(error)
    return grpc.StatusCode.INTERNAL if kind is None else CODES[kind]


def number_of(code: grpc.StatusCode) -> int:
    """The number of ``code`` on the wire."""
    return int(code.value[0])


def detail_of(error: BaseException) -> pb.ErrorDetail:
    """All that a client needs to raise the same error again; long texts are cut."""
    # The client's copy of the tree has the same attributes, but is no subclass of the engine's.
    values = error.detail()  # type: ignore[attr-defined]
    detail = pb.ErrorDetail(
        reason=values["reason"],
        field=cut(values["field"], FIELD_BYTES),
        limit=_int64(values["limit"]),
        actual=_int64(values["actual"]),
        hint=cut(values["hint"], HINT_BYTES),
        maybe_applied=values["maybe_applied"],
        error_id=values["error_id"],
        kind=kind_of(error) or "VecDBError",
        message=cut(error.message, MESSAGE_BYTES),  # type: ignore[attr-defined]
    )
    if values["retry_after"] is not None:
        retry_ms = math.ceil(max(0.0, values["retry_after"]) * 1000)
        detail.retry_after_ms = min(retry_ms, RETRY_MS_MAX)
    return detail


def text_of(detail: pb.ErrorDetail) -> str:
    """The status text: what a client without our detail shows."""
    return f"{detail.message}. {detail.hint}" if detail.hint else detail.message


def hide_bug(error_id: str) -> VecDBError:
    """What a client is told of an error of ours: nothing but where to look it up."""
    return VecDBError(
        "the server failed on this call",
        reason="INTERNAL",
        hint=f"Its log has the cause under error_id {error_id}",
        error_id=error_id,
    )


def cut(text: str, size: int) -> str:
    """``text``, or what fits of it into ``size`` bytes of UTF-8 with an ellipsis."""
    data = text.encode("utf-8", "replace")
    if len(data) <= size:
        return data.decode("utf-8")
    return data[: size - 3].decode("utf-8", "ignore") + "…"


def _int64(value: int | None) -> int | None:
    return None if value is None else max(-(2**63), min(int(value), 2**63 - 1))
