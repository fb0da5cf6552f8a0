"""gRPC statuses to errors: the one table of this direction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

import grpc
from google.protobuf.message import DecodeError

from . import errors
from .errors import (
    AlreadyExists,
    Conflict,
    DataCorruption,
    DeadlineExceeded,
    InvalidArgument,
    LimitExceeded,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    Unauthenticated,
    Unavailable,
    VecDBError,
)
from .requests import Request
from .retry import Retry
from .wire import vecdb_pb2 as pb

DETAIL_KEY: Final = "vecdb-error-bin"

ERRORS: Final[dict[grpc.StatusCode, type[VecDBError]]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.OUT_OF_RANGE: InvalidArgument,
    grpc.StatusCode.FAILED_PRECONDITION: PreconditionFailed,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.RESOURCE_EXHAUSTED: LimitExceeded,
    grpc.StatusCode.ABORTED: Conflict,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.CANCELLED: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.DATA_LOSS: DataCorruption,
    grpc.StatusCode.UNIMPLEMENTED: PreconditionFailed,
    grpc.StatusCode.INTERNAL: VecDBError,
    grpc.StatusCode.UNKNOWN: VecDBError,
}
BY_NUMBER: Final = {code.value[0]: code for code in grpc.StatusCode}
KINDS: Final = frozenset(errors.__all__) - {"UploadFailed"}
HINTS: Final = {
    Unavailable: "Does the server run at that address, and is TLS on at both ends or at neither?",
    DeadlineExceeded: "Raise timeout, or ask for less in one call",
}


class NoAnswer(Exception):
    """A stream gave no message in time, or ended."""


class RpcFailure(Protocol):
    """What grpc raises, synchronous or not."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


@dataclass(frozen=True, slots=True)
class Failure:
    """``answered``: it was refused in so many words, so what it changed is known."""

    error: VecDBError
    answered: bool


def failure_of(raised: grpc.RpcError, request: Request, retry: Retry, address: str) -> Failure:
    """The error that an attempt at ``request`` met."""
    rpc = cast(RpcFailure, raised)
    code, text = rpc.code(), rpc.details() or ""
    detail = _detail(rpc.trailing_metadata())
    answered = True
    if detail is not None:
        error = error_of(code, detail, text)
    elif code is grpc.StatusCode.UNIMPLEMENTED:
        error = PreconditionFailed(
            f"the server at {address} does not know the call {request.name}",
            reason="UNIMPLEMENTED",
            hint="It is another program, or older than this client",
        )
    elif code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in text:
        error = LimitExceeded(
            f"the answer of {request.name} is too large for one message: {text}",
            hint="Ask for fewer records, or without vectors or payloads",
        )
    else:
        kind = ERRORS.get(code, VecDBError)
        error = kind(text or code.name, hint=HINTS.get(kind, ""))
        answered = False
    if isinstance(error, Unavailable | DeadlineExceeded):
        tried = f"{len(request.data)} bytes sent, attempt {retry.attempt}"
        error = _reworded(
            error,
            f"{request.name} at {address}: {error.message} (deadline {retry.budget:g} s, {tried})",
        )
    return Failure(error, answered=answered)


def error_of(code: grpc.StatusCode | int, detail: pb.ErrorDetail, text: str = "") -> VecDBError:
    """The error that a server described: by its kind where it told one we know, else by code."""
    status = BY_NUMBER.get(code, grpc.StatusCode.UNKNOWN) if isinstance(code, int) else code
    kind = ERRORS.get(status, VecDBError)
    if detail.kind in KINDS:
        kind = getattr(errors, detail.kind)
    return kind(
        detail.message or text or status.name,
        reason=detail.reason,
        field=detail.field,
        limit=detail.limit if detail.HasField("limit") else None,
        actual=detail.actual if detail.HasField("actual") else None,
        hint=detail.hint,
        retry_after=detail.retry_after_ms / 1000 if detail.HasField("retry_after_ms") else None,
        maybe_applied=detail.maybe_applied,
        error_id=detail.error_id,
    )


def closed() -> Unavailable:
    """A call on a client that was closed."""
    return Unavailable("this client is closed", reason="CLOSED", hint="Make another one")


def lost_by_fork() -> Unavailable:
    """A call through asyncio in a process whose parent had made some when it forked."""
    return Unavailable(
        "this process was forked while an asyncio client was open, which gRPC does not support",
        reason="FORKED",
        hint="Start processes by 'spawn', close the client before the fork, or use Client here",
    )


def _detail(metadata: Iterable[tuple[str, str | bytes]] | None) -> pb.ErrorDetail | None:
    for key, value in metadata or ():
        if key == DETAIL_KEY and isinstance(value, bytes):
            try:
                return pb.ErrorDetail.FromString(value)
            except DecodeError:
                return None  # of another program; the status code tells enough
    return None


def _reworded(error: VecDBError, message: str) -> VecDBError:
    detail: dict[str, Any] = error.detail()
    return type(error)(message, **detail)
