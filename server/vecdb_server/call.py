"""One call in progress: who, what, until when, and how it ended."""

from __future__ import annotations

import re
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from structlog.typing import FilteringBoundLogger

from vecdb import limits
from vecdb.deadline import Deadline
from vecdb.errors import DeadlineExceeded
from vecdb_client.wire import vecdb_pb2 as pb

from . import logs, status
from .caller import Caller

TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
FOREVER_SECONDS: Final = 10.0 * 365 * 24 * 3600
"""gRPC tells of a call without a deadline as one of centuries."""
OURS: Final = frozenset({"INTERNAL", "DATA_LOSS"})
BUSY: Final = frozenset({"RESOURCE_EXHAUSTED", "UNAVAILABLE"})


@dataclass(slots=True, kw_only=True)
class Call:
    """What a service method gets beside its request.

    ``caller``: what its key allows; a service that acts for a tenant asks ``caller.tenant_for``.
    ``deadline`` is the caller's, or 30 s from now. ``notes`` are added to the log line.
    """

    context: grpc.ServicerContext
    method: str
    log: FilteringBoundLogger
    caller: Caller
    deadline: Deadline
    request_id: str = field(default_factory=lambda: secrets.token_hex(8))
    started: float = field(default_factory=time.monotonic)
    notes: dict[str, Any] = field(default_factory=dict)
    _unfinished: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(1))

    @classmethod
    def begin(
        cls,
        context: grpc.ServicerContext,
        method: str,
        log: FilteringBoundLogger,
        caller: Caller,
        *,
        stream: bool,
    ) -> Call:
        """A stream without a deadline may last; any other call without one gets 30 s."""
        remaining = context.time_remaining()
        if remaining is not None and remaining < FOREVER_SECONDS:
            deadline = Deadline(time.monotonic() + remaining)
        else:
            deadline = Deadline.after(None if stream else limits.TIMEOUT_SECONDS)
        return cls(context=context, method=method, log=log, caller=caller, deadline=deadline)

    @property
    def timeout(self) -> float | None:
        """Seconds left, for the engine; None: unbounded. Raises ``DeadlineExceeded`` at none."""
        remaining = self.deadline.remaining
        if remaining == 0.0:
            raise DeadlineExceeded(
                "the deadline passed before the call began",
                hint="Raise the timeout, or send less at once",
            )
        return remaining

    def refuse(self, error: Exception) -> pb.ErrorDetail:
        """What the caller is told of ``error``; a bug is logged and hidden."""
        if status.kind_of(error) is None:
            error_id = logs.log_bug(
                self.log, "bug", error, method=self.method, request_id=self.request_id
            )
            error = status.hide_bug(error_id)
        return status.detail_of(error)

    def ends_now(self) -> bool:
        """True for the first who asks: that one does what is done at the end of a call."""
        return self._unfinished.acquire(blocking=False)

    def finish(self, code: str, detail: pb.ErrorDetail | None = None) -> None:
        """Write the log line, once the answer is on its way: the caller does not wait for it."""
        milliseconds = round((time.monotonic() - self.started) * 1000, 2)

        def write() -> None:
            self._write_line(code, detail, milliseconds)

        if not self.context.add_callback(write):  # the call has ended already
            write()

    def _write_line(self, code: str, detail: pb.ErrorDetail | None, milliseconds: float) -> None:
        values: dict[str, Any] = {
            "request_id": self.request_id,
            "method": self.method,
            "code": code,
            "ms": milliseconds,
            "peer": self.context.peer(),
        }
        if self.caller.key:
            values["key"] = self.caller.key
        trace = _traceparent(self.context)
        if trace:
            values["traceparent"] = trace
        values |= describe(code, detail) | self.notes
        if code in OURS:
            self.log.error("call", **values)
        elif code in BUSY:
            self.log.warning("call", **values)
        else:
            self.log.info("call", **values)


def describe(code: str, detail: pb.ErrorDetail | None) -> dict[str, str]:
    """What a log line may tell of an error: the sentence only where the caller's values are not."""
    if detail is None:
        return {}
    shown = {"reason": detail.reason, "field": detail.field, "error_id": detail.error_id}
    if code in OURS:
        shown["text"] = detail.message
    return {name: value for name, value in shown.items() if value}


def _traceparent(context: grpc.ServicerContext) -> str | None:
    for name, value in context.invocation_metadata():
        if name == "traceparent" and isinstance(value, str) and TRACEPARENT.fullmatch(value):
            return value
    return None
