"""The health service, through a real port and without a key."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from vecdb_server import logs
from vecdb_server.auth import Keys
from vecdb_server.counters import Counters
from vecdb_server.gate import Gate
from vecdb_server.health import ALIVE, READY, WATCHES_MAX, Health
from vecdb_server.interceptors import CallInterceptor

SECONDS = 30.0
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


@pytest.fixture
def health():
    return Health()


@pytest.fixture
def channel(health):
    interceptor = CallInterceptor(
        Keys(["a-key-that-health-does-not-need"]), Gate(), None, Counters(), logs.make_logger()
    )
    with ThreadPoolExecutor(8) as pool:
        server = grpc.server(pool, interceptors=[interceptor])
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
        server.stop(None).wait(SECONDS)


@pytest.fixture
def stub(channel):
    return health_pb2_grpc.HealthStub(channel)


def request(service: str):
    return health_pb2.HealthCheckRequest(service=service)


def check(stub, service: str) -> int:
    return stub.Check(request(service), timeout=SECONDS).status


def watch(stub, service: str):
    return (answer.status for answer in stub.Watch(request(service), timeout=SECONDS))


def test_alive_is_told_apart_from_ready(stub, health):
    assert check(stub, ALIVE) == SERVING
    assert check(stub, READY) == NOT_SERVING
    health.set_ready(True)
    assert check(stub, READY) == SERVING
    health.set_ready(False)
    assert check(stub, READY) == NOT_SERVING
    assert check(stub, ALIVE) == SERVING


def test_unknown_service_is_not_found(stub, refused):
    assert refused(lambda: check(stub, "vecdb.v1.Nothing")).code == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("method", ["Check", "Watch"])
def test_garbage_is_invalid(channel, refused, method):
    if method == "Check":
        call = channel.unary_unary("/grpc.health.v1.Health/Check")
        failure = refused(lambda: call(b"\xff\xff", timeout=SECONDS))
    else:
        stream = channel.unary_stream("/grpc.health.v1.Health/Watch")
        failure = refused(lambda: list(stream(b"\xff\xff", timeout=SECONDS)))
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT


def test_watcher_sees_each_change_and_the_end(stub, health):
    seen = watch(stub, READY)
    assert next(seen) == NOT_SERVING
    health.set_ready(True)
    assert next(seen) == SERVING
    health.set_ready(False)
    health.close()
    assert list(seen) == [NOT_SERVING]


def test_unchanged_status_is_not_repeated(stub, health):
    seen = watch(stub, ALIVE)
    assert next(seen) == SERVING
    health.set_ready(True)
    health.close()
    assert list(seen) == []


def test_unknown_service_is_watched_as_unknown(stub, health):
    seen = watch(stub, "later")
    assert next(seen) == UNKNOWN
    health.close()
    assert list(seen) == []


def test_watchers_are_bounded_and_leave_room_for_checks(stub, refused):
    streams = [stub.Watch(request(READY), timeout=SECONDS) for _ in range(WATCHES_MAX)]
    assert [next(stream).status for stream in streams] == [NOT_SERVING] * WATCHES_MAX
    failure = refused(lambda: list(watch(stub, READY)))
    assert failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert check(stub, ALIVE) == SERVING
    for stream in streams:
        stream.cancel()


def test_watcher_that_has_gone_gives_its_place_back(stub):
    for _ in range(3 * WATCHES_MAX):
        stream = stub.Watch(request(READY), timeout=SECONDS)
        assert next(stream).status == NOT_SERVING
        stream.cancel()
        # An ended stream is noticed a moment later: ask until there is a place.
        deadline = time.monotonic() + SECONDS
        while True:
            probe = stub.Watch(request(READY), timeout=SECONDS)
            try:
                next(probe)
                probe.cancel()
                break
            except grpc.RpcError:
                assert time.monotonic() < deadline
