"""A server from start to end: bind, open, warm, ready; not ready, drain, close."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Final

import click
import grpc
from grpc_health.v1 import health_pb2_grpc
from structlog.typing import FilteringBoundLogger

import vecdb
from vecdb import limits
from vecdb.database import Database
from vecdb.errors import PreconditionFailed, Unavailable
from vecdb_client.wire import vecdb_pb2_grpc as rpc

from . import keys, logs, service, tenants
from .auth import Keys
from .config import ServerConfig, split_address
from .counters import Counters
from .gate import Gate
from .health import Health
from .interceptors import CallInterceptor
from .pools import Pools

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
POLL_SECONDS: Final = 0.5
QUIET_SECONDS: Final = 1.0
"""How long new calls are still told that the server is draining; a tenth of the drain at most."""
SLACK_SECONDS: Final = 5.0
"""How long cancelled calls may take to end."""
OPTIONS: Final[tuple[tuple[str, Any], ...]] = (
    ("grpc.max_receive_message_length", limits.MESSAGE_BYTES),
    ("grpc.max_send_message_length", limits.MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # or a second server would silently share the port
    ("grpc.keepalive_time_ms", 120_000),  # finds clients that vanished, whose uploads hold a thread
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 60_000),
)


class Server:
    """Serves one database; also usable inside another program.

    ``with Server(config) as server:`` or ``start`` and ``stop``. Not to be started twice.
    """

    def __init__(self, config: ServerConfig, *, log: FilteringBoundLogger | None = None) -> None:
        self.config = config
        self.address = ""
        self._log = log or logs.make_logger(config.log_level, people=config.dev)
        self._gate = Gate()
        self._health = Health()
        self._pools = Pools(config)
        self._database: Database | None = None
        self._stop_lock = threading.Lock()
        self._stopped = False  # Guarded by self._stop_lock
        counters = Counters()
        interceptor = CallInterceptor(
            Keys(config.api_keys, self._gate), self._gate, self._pools, counters, self._log
        )
        self._grpc = grpc.server(
            self._pools.health, interceptors=[interceptor], options=list(OPTIONS)
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        self._add_services(counters)

    def _add_services(self, counters: Counters) -> None:
        database = service.Database(self._gate, counters, dev=self.config.dev)
        collections, records = service.Collections(self._gate), service.Records(self._gate)
        # Generated code is untyped.
        rpc.add_DatabaseServicer_to_server(database, self._grpc)  # type: ignore[no-untyped-call]
        rpc.add_CollectionsServicer_to_server(collections, self._grpc)  # type: ignore[no-untyped-call]
        rpc.add_RecordsServicer_to_server(records, self._grpc)  # type: ignore[no-untyped-call]
        rpc.add_KeysServicer_to_server(  # type: ignore[no-untyped-call]
            keys.KeysService(self._gate), self._grpc
        )
        rpc.add_TenantsServicer_to_server(  # type: ignore[no-untyped-call]
            tenants.TenantsService(self._gate), self._grpc
        )

    def start(self) -> str:
        """Serve, and return the address once ready for calls.

        Raises ``Unavailable`` if the port is taken, and what opening the database raises. While
        it is being opened, health answers "alive, not ready" and calls get UNAVAILABLE.
        """
        try:
            self.address = self._bind()
            self._grpc.start()
            self._database = vecdb.open(self.config.directory, io_engine=self.config.io_engine)
            self._check_keys(self._database)
            vecdb.warm()
        except BaseException:
            self.stop(0.0)
            raise
        self._gate.open(self._database)
        self._health.set_ready(True)
        self._log.info(
            "ready",
            address=self.address,
            directory=str(self.config.directory),
            version=service.server_version(),
            keys=len(self.config.api_keys),
            stored_keys=self._database.has_keys,
            tls=self.config.tls,
        )
        return self.address

    def stop(self, drain_seconds: float | None = None) -> None:
        """Take no new calls, give those in flight ``drain_seconds``, close the database.

        Calls that take longer get UNAVAILABLE. Safe to call twice, and from any thread.
        """
        with self._stop_lock:
            if self._stopped:
                return
            self._stopped = True
            seconds = self.config.drain_seconds if drain_seconds is None else drain_seconds
            self._log.info("stopping", drain_seconds=seconds)
            self._gate.drain()
            self._health.set_ready(False)
            # Calls that arrive while gRPC shuts down are answered CANCELLED, without a reason: it
            # goes on listening until its callers have heard that the server is draining.
            time.sleep(min(QUIET_SECONDS, seconds / 10))
            ended = self._grpc.stop(seconds)
            self._health.close()
            ended.wait(seconds + SLACK_SECONDS)
            self._pools.shutdown()
            if self._database is not None:
                self._database.close()
            self._log.info("stopped")

    def _check_keys(self, database: Database) -> None:
        """Refuse to serve everybody where a key was to be required."""
        if self.config.require_key and not self.config.api_keys and not database.has_keys:
            raise PreconditionFailed(
                "the database holds no API key, and calls shall need one",
                reason="NO_KEYS",
                hint=f"vecdb key create NAME --role admin --all --dir {self.config.directory}",
            )

    def _bind(self) -> str:
        address = self.config.listen
        try:
            if self.config.tls_cert is not None and self.config.tls_key is not None:
                pair = (self.config.tls_key.read_bytes(), self.config.tls_cert.read_bytes())
                port = self._grpc.add_secure_port(address, grpc.ssl_server_credentials([pair]))
            else:
                port = self._grpc.add_insecure_port(address)
        except RuntimeError:
            raise Unavailable(
                f"cannot listen on {address}",
                reason="ADDRESS_IN_USE",
                hint="Another program may have the port, or this machine not the address: stop "
                "that program, or choose another --listen",
            ) from None
        host, _ = split_address(address)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def serve(config: ServerConfig) -> None:
    """Serve until SIGTERM or SIGINT, then stop cleanly; for the main thread of a process.

    A second signal ends the process at once. Prints one line when ready.
    """
    log = logs.make_logger(config.log_level, people=config.dev)
    logs.route_library_logs(log)
    signals = _Signals()
    server = Server(config, log=log)
    address = server.start()
    signals.starting = False
    click.echo(f"vecdb {service.server_version()} serving {config.directory} on {address}")
    number = signals.wait()
    log.info("signal", signal=signal.Signals(number).name)
    server.stop()


class _Signals:
    """The first signal unwinds a start or ends ``wait``; the second ends the process."""

    def __init__(self) -> None:
        self.starting = True
        self._seen = False
        # Unlike an Event, a SimpleQueue may be used inside a signal handler.
        self._numbers: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in STOP_SIGNALS:
            signal.signal(number, self._handle)

    def wait(self) -> int:
        """The number of the first signal.

        Looks up twice a second: Python runs handlers in this thread, and a signal that the system
        gives to another thread does not wake it.
        """
        while True:
            try:
                return self._numbers.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._seen:
            os._exit(128 + number)
        self._seen = True
        if self.starting:
            raise SystemExit(0)
        self._numbers.put(number)
