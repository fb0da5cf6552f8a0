"""The health service grpc.health.v1: ``""`` lives, ``vecdb.v1.Records`` is ready for calls.

Written out because whoever watches needs no key: here a watcher that does not read its answers
holds up one thread of a few, and never the state that others ask for.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

ALIVE: Final = ""
READY: Final = "vecdb.v1.Records"
PREFIX: Final = "/grpc.health.v1.Health/"
WATCHES_MAX: Final = 4
"""Watch streams at once; each holds a thread of the health pool."""

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # untyped package
    """Alive and not ready at first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._statuses = {ALIVE: SERVING, READY: NOT_SERVING}  # Guarded by self._changed
        self._watches = 0  # Guarded by self._changed
        self._closed = False  # Guarded by self._changed

    def set_ready(self, ready: bool) -> None:
        with self._changed:
            self._statuses[READY] = SERVING if ready else NOT_SERVING
            self._changed.notify_all()

    def close(self) -> None:
        """End the watch streams, after they have sent the last status."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self._changed:
            status = self._statuses.get(request.service)
        if status is None:
            context.abort(
                grpc.StatusCode.NOT_FOUND, f"services are {ALIVE!r} (alive) and {READY!r} (ready)"
            )
        return health_pb2.HealthCheckResponse(status=status)

    def Watch(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        with self._changed:
            refused = self._watches >= WATCHES_MAX
            self._watches += not refused
        if refused:
            context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"at most {WATCHES_MAX} health watches at once; use Check",
            )
        try:
            context.add_callback(self._wake)
            sent = None
            while (status := self._next_status(request.service, sent, context)) is not None:
                yield health_pb2.HealthCheckResponse(status=status)
                sent = status
        finally:
            with self._changed:
                self._watches -= 1

    def _next_status(
        self, service: str, sent: int | None, context: grpc.ServicerContext
    ) -> int | None:
        """Wait for a status other than ``sent``; None: closed, or the client has gone."""
        with self._changed:
            while True:
                status = self._statuses.get(service, UNKNOWN)
                if not context.is_active():
                    return None
                if status != sent:
                    return int(status)
                if self._closed:
                    return None
                self._changed.wait()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
