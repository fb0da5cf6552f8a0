"""A server in this process, and what talks to it without the client."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import trustme

from vecdb_client import codec
from vecdb_client.wire import vecdb_pb2 as pb
from vecdb_server import logs
from vecdb_server.access import HARMLESS, RULES, Access, Rule
from vecdb_server.auth import Keys
from vecdb_server.config import ServerConfig
from vecdb_server.counters import Counters
from vecdb_server.gate import Gate
from vecdb_server.interceptors import CallInterceptor
from vecdb_server.pools import Pools
from vecdb_server.status import DETAIL_KEY

KEY = "correct-horse-battery-staple"
SECONDS = 30.0
"""How long a test waits for what must come."""


@dataclass
class Refusal:
    """How a call failed: what a client sees."""

    code: grpc.StatusCode
    text: str
    detail: pb.ErrorDetail | None

    @classmethod
    def of(cls, error: Any) -> Refusal:
        entries = dict(error.trailing_metadata() or ())
        found = entries.get(DETAIL_KEY)
        return cls(error.code(), error.details(), found and pb.ErrorDetail.FromString(found))


@pytest.fixture
def refused() -> Callable[[Callable[[], Any]], Refusal]:
    """Makes a call that must fail and returns how it did."""

    def call(make: Callable[[], Any]) -> Refusal:
        with pytest.raises(grpc.RpcError) as caught:
            make()
        return Refusal.of(caught.value)

    return call


HANDLERS = {f"/test.Calls/{name}": Rule(right="", tenant=HARMLESS) for name in ("Echo", "Stream")}


@dataclass
class Harness:
    """Handlers behind the server's interceptor, on a real port, without an engine."""

    channel: grpc.Channel
    gate: Gate
    pools: Pools
    counters: Counters
    log: io.StringIO = field(default_factory=io.StringIO)
    stop: Callable[[], Any] = lambda: None

    def unary(self, data: bytes = b"", *, key: str | None = None, method: str = "Echo", **options):
        call = self.channel.unary_unary(f"/test.Calls/{method}")
        return call(data, metadata=bearer(key), timeout=SECONDS, **options)

    def stream(self, chunks: Iterator[bytes], *, key: str | None = None, **options):
        call = self.channel.stream_stream("/test.Calls/Stream")
        return call(chunks, metadata=bearer(key), timeout=SECONDS, **options)


def bearer(key: str | None) -> tuple[tuple[str, str], ...]:
    return () if key is None else (("authorization", f"Bearer {key}"),)


@pytest.fixture
def serve_handlers() -> Iterator[Callable[..., Harness]]:
    """Starts a server whose methods ``Echo`` and ``Stream`` are the given functions.

    Requests and answers of both are ``InfoRequest``.
    """
    stack: list[Callable[[], Any]] = []

    def start(
        echo: Callable[..., Any] = lambda request, call: request,
        stream: Callable[..., Any] = lambda requests, call: requests,
        *,
        keys: tuple[str, ...] = (),
        opened: bool = True,
        **settings: Any,
    ) -> Harness:
        config = ServerConfig(directory=Path("unused"), **settings)
        gate, pools, counters = Gate(), Pools(config), Counters()
        if opened:
            gate.open(object())  # type: ignore[arg-type]  # these handlers need no engine
        text = io.StringIO()
        interceptor = CallInterceptor(
            Keys(keys),
            gate,
            pools,
            counters,
            logs.make_logger("debug", stream=text),
            Access({**RULES, **HANDLERS}),
        )
        codec = {
            "request_deserializer": pb.InfoRequest.FromString,
            "response_serializer": pb.InfoRequest.SerializeToString,
        }
        handlers = {
            "Echo": grpc.unary_unary_rpc_method_handler(echo, **codec),
            "Stream": grpc.stream_stream_rpc_method_handler(stream, **codec),
        }
        server = grpc.server(pools.health, interceptors=[interceptor])
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("test.Calls", handlers),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        channel = grpc.insecure_channel(f"127.0.0.1:{port}")

        def stop() -> None:
            server.stop(None).wait(SECONDS)

        stack.extend((pools.shutdown, stop, channel.close))
        return Harness(channel, gate, pools, counters, text, stop)

    yield start
    while stack:
        stack.pop()()


@dataclass
class Blocker:
    """A handler that tells when it runs and ends when it is let go."""

    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    go_on: threading.Event = field(default_factory=threading.Event)

    def __call__(self, request: Any, call: Any) -> Any:
        self.entered.release()
        assert self.go_on.wait(SECONDS)
        return request

    def wait_entered(self) -> None:
        assert self.entered.acquire(timeout=SECONDS)


@pytest.fixture
def blocker() -> Iterator[Blocker]:
    made = Blocker()
    yield made
    made.go_on.set()


@pytest.fixture
def key_file(tmp_path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"# the only one\n{KEY}  # of a test\n")
    path.chmod(0o600)
    return path


@dataclass
class TlsFiles:
    cert: Path
    key: Path
    ca: Path


@pytest.fixture(scope="session")
def tls_files(tmp_path_factory) -> TlsFiles:
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    files = TlsFiles(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
    for blob in issued.cert_chain_pems:
        blob.write_to_path(files.cert, append=True)
    issued.private_key_pem.write_to_path(files.key)
    files.key.chmod(0o600)
    authority.cert_pem.write_to_path(files.ca)
    return files


# --------------------------------------------------------------------------- with an engine


@dataclass
class Running:
    """A server in this process and a channel to it."""

    server: Any
    channel: grpc.Channel
    log: io.StringIO
    key: str | None = None

    def __getattr__(self, name: str) -> Any:
        """``running.Upsert(request, ...)``: any unary call, by its name; ``Upload`` too."""
        method = METHODS.get(name)
        if method is None:
            raise AttributeError(name)
        path, answer, stream = method
        make = self.channel.stream_stream if stream else self.channel.unary_unary
        call = make(
            path,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer,
        )

        def invoke(request: Any, timeout: float = SECONDS) -> Any:
            return call(request, timeout=timeout, metadata=bearer(self.key))

        return invoke


def _methods() -> dict[str, tuple[str, Any, bool]]:
    found = {}
    for service in pb.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            answer = getattr(pb, method.output_type.name).FromString
            prefix = "" if service.name == "Records" else service.name
            path = f"/{service.full_name}/{method.name}"
            found[prefix + method.name] = (path, answer, method.name == "Upload")
    return found


METHODS = _methods()


@pytest.fixture
def start_server(tmp_path) -> Iterator[Callable[..., Running]]:
    """Starts servers over ``tmp_path / "db"``, on free ports."""
    from vecdb_server.lifecycle import Server  # loads the engine, which few tests need

    stack: list[Callable[[], Any]] = []

    def start(*, tls: TlsFiles | None = None, key: str | None = None, **settings: Any) -> Running:
        settings = {"directory": tmp_path / "db", "listen": "127.0.0.1:0", **settings}
        if tls is not None:
            settings |= {"tls_cert": tls.cert, "tls_key": tls.key}
        if key is not None:
            settings["api_keys"] = (key,)
        text = io.StringIO()
        config = ServerConfig(**settings)
        server = Server(config, log=logs.make_logger("debug", stream=text))
        address = server.start()
        stack.append(lambda: server.stop(0.0))
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        if tls is not None:
            trust = grpc.ssl_channel_credentials(tls.ca.read_bytes())
            channel = grpc.secure_channel(address, trust, options=options)
        else:
            channel = grpc.insecure_channel(address, options=options)
        stack.append(channel.close)
        return Running(server, channel, text, key)

    yield start
    while stack:
        stack.pop()()


@pytest.fixture
def running(start_server) -> Running:
    """A server with the collection "docs": 4 dimensions, l2, fields lang and year."""
    made = start_server()
    made.CollectionsCreate(
        pb.CreateCollectionRequest(
            name="docs",
            schema=pb.CollectionSchema(
                dim=4, metric=pb.L2, fields={"lang": pb.KEYWORD, "year": pb.INT}
            ),
        )
    )
    return made


@pytest.fixture
def batch() -> Callable[..., pb.UpsertRequest]:
    """Makes a batch for "docs": record i has the vector (i, 0, 0, 0), the payload {"year": i}."""

    def make(*ids: int, **fields: Any) -> pb.UpsertRequest:
        vectors = np.zeros((len(ids), 4), np.float32)
        vectors[:, 0] = ids
        values = {
            "collection": "docs",
            "ids": codec.ids_to_wire(list(ids)),
            "vectors": codec.vectors_to_wire(vectors),
            "payloads": [f'{{"year":{id}}}'.encode() for id in ids],
        }
        return pb.UpsertRequest(**(values | fields))

    return make
