"""A server's life inside this process: bind, open, ready, drain, close."""

from __future__ import annotations

import io
import socket
import ssl
import threading
import warnings

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import vecdb
from vecdb.errors import Unavailable
from vecdb_client.wire import vecdb_pb2 as pb
from vecdb_server import logs
from vecdb_server.config import ServerConfig
from vecdb_server.health import READY
from vecdb_server.lifecycle import Server

SECONDS = 30.0
KEY = "correct-horse-battery-staple"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def watch_ready(channel):
    request = health_pb2.HealthCheckRequest(service=READY)
    stream = health_pb2_grpc.HealthStub(channel).Watch(request, timeout=SECONDS)
    return (answer.status for answer in stream)


def test_started_server_is_ready(start_server):
    running = start_server()
    host, _, port = running.server.address.rpartition(":")
    assert host == "127.0.0.1"
    assert int(port) > 0
    assert next(watch_ready(running.channel)) == SERVING
    assert '"event": "ready"' in running.log.getvalue()


def test_watcher_sees_the_stop_before_the_end(start_server):
    running = start_server()
    statuses = watch_ready(running.channel)
    assert next(statuses) == SERVING
    running.server.stop()
    assert list(statuses) == [NOT_SERVING]


def test_stop_with_an_idle_server_does_not_wait_for_the_drain_time(start_server):
    running = start_server(drain_seconds=3600.0)
    watcher = watch_ready(running.channel)
    next(watcher)
    running.server.stop()  # would outlast any patience
    assert list(watcher) == [NOT_SERVING]


def test_stopping_twice_is_fine(start_server):
    running = start_server()
    running.server.stop()
    running.server.stop()
    assert running.log.getvalue().count('"event": "stopped"') == 1


def test_stopped_server_gives_directory_and_port_back(start_server, tmp_path):
    first = start_server()
    first.server.stop()
    second = start_server(listen=first.server.address)
    assert second.server.address == first.server.address
    second.server.stop()
    with vecdb.open(tmp_path / "db") as db:
        assert db.collections() == []


def test_taken_port_is_an_error_that_says_so(start_server, tmp_path):
    first = start_server()
    with pytest.raises(Unavailable, match="cannot listen") as caught:
        start_server(listen=first.server.address, directory=tmp_path / "other")
    assert caught.value.reason == "ADDRESS_IN_USE"
    assert "--listen" in caught.value.hint
    start_server(directory=tmp_path / "other")  # nothing of it stayed behind


def test_locked_directory_is_an_error_and_frees_the_port(start_server, tmp_path):
    start_server()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(Unavailable):
        start_server(listen=f"127.0.0.1:{port}")
    start_server(listen=f"127.0.0.1:{port}", directory=tmp_path / "other")


def test_server_is_a_context_manager(tmp_path):
    config = ServerConfig(directory=tmp_path / "db", listen="[::1]:0")
    with Server(config, log=logs.make_logger(stream=io.StringIO())) as server:
        assert server.address.startswith("[::1]:")
        with grpc.insecure_channel(server.address) as channel:
            assert next(watch_ready(channel)) == SERVING


def test_call_in_flight_ends_before_the_database_is_closed(running, batch):
    sent = threading.Event()

    def chunks():
        yield pb.UploadRequest(batch=batch(1), chunk=0)
        sent.set()

    stream = running.Upload(chunks())
    first = next(stream)
    running.server.stop(SECONDS)
    assert first.result.count == 1
    with vecdb.open(running.server.config.directory) as db:
        assert db.collection("docs").count() == 1


def test_dev_server_says_so(start_server):
    assert start_server(dev=True).DatabaseInfo(pb.InfoRequest()).dev


# ---------------------------------------------------------------------------------------- TLS


def test_tls_and_key_end_to_end(start_server, tls_files, refused):
    running = start_server(listen="0.0.0.0:0", tls=tls_files, key=KEY)
    port = running.server.address.rpartition(":")[2]
    trust = grpc.ssl_channel_credentials(tls_files.ca.read_bytes())
    with grpc.secure_channel(f"localhost:{port}", trust) as running.channel:
        assert running.DatabaseInfo(pb.InfoRequest()).api == "v1"
        running.key = "a-wrong-key-of-somebody"
        failure = refused(lambda: running.DatabaseInfo(pb.InfoRequest()))
        assert failure.code == grpc.StatusCode.UNAUTHENTICATED


def test_stranger_to_the_certificate_does_not_connect(start_server, tls_files, refused):
    running = start_server(tls=tls_files)
    with grpc.secure_channel(running.server.address, grpc.ssl_channel_credentials()) as channel:
        running.channel = channel
        failure = refused(lambda: running.DatabaseInfo(pb.InfoRequest()))
        assert failure.code == grpc.StatusCode.UNAVAILABLE


def test_plain_text_is_not_answered_under_tls(start_server, tls_files, refused):
    running = start_server(tls=tls_files)
    with grpc.insecure_channel(running.server.address) as running.channel:
        failure = refused(lambda: running.DatabaseInfo(pb.InfoRequest()))
        assert failure.code == grpc.StatusCode.UNAVAILABLE


def handshake(address: str, ca: str, version: ssl.TLSVersion) -> str | None:
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(["h2"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the version that must fail
        context.minimum_version = context.maximum_version = version
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # or OpenSSL would not even offer it
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        return secured.version()


def test_tls_is_1_2_or_newer(start_server, tls_files):
    address = start_server(tls=tls_files).server.address
    ca = str(tls_files.ca)
    assert handshake(address, ca, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    assert handshake(address, ca, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(address, ca, ssl.TLSVersion.TLSv1_1)
