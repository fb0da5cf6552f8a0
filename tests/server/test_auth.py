"""Keys: who is let in, alone and before anything is parsed."""

from __future__ import annotations

import json
import logging
import threading

import grpc
import pytest

from vecdb.errors import Unauthenticated
from vecdb_client.wire import vecdb_pb2 as pb
from vecdb_server.auth import Keys
from vecdb_server.caller import EVERYTHING

KEY = "correct-horse-battery-staple"
GARBAGE = b"\xff\xff\xff\xff"


def check(*values: str | bytes, name: str = "authorization") -> bool:
    try:
        Keys(["another-key-of-ours", KEY]).caller([(name, value) for value in values])
    except Unauthenticated:
        return False
    return True


def test_known_key_is_let_in():
    assert check(f"Bearer {KEY}")
    assert check(f"bearer {KEY}")
    assert check("Bearer another-key-of-ours")


@pytest.mark.parametrize(
    "value",
    [
        "",
        KEY,
        "Bearer",
        "Bearer ",
        f"Basic {KEY}",
        f"Bearer {KEY}x",
        f"Bearer {KEY[:-1]}",
        f"Bearer {KEY.upper()}",
        b"\xff\xfe",
    ],
)
def test_anything_else_is_refused(value):
    assert not check(value)


def test_missing_or_repeated_entry_is_refused():
    assert not check()
    assert not check(f"Bearer {KEY}", f"Bearer {KEY}")
    assert not check(f"Bearer {KEY}", name="x-authorization")


def test_without_keys_all_are_let_in():
    assert Keys([]).caller([]) == EVERYTHING


def test_refusal_tells_no_key():
    with pytest.raises(Unauthenticated) as caught:
        Keys([KEY]).caller([("authorization", "Bearer a-wrong-key-of-somebody")])
    assert "a-wrong-key" not in str(caught.value)
    assert KEY not in str(caught.value)


def test_keys_are_not_kept():
    keys = Keys([KEY])
    assert KEY.encode() not in repr(keys._digests).encode()


# ------------------------------------------------------------------------- before the parsing


@pytest.mark.parametrize("key", [None, "a-wrong-key-of-somebody"])
def test_unary_garbage_without_key_is_unauthenticated(serve_handlers, refused, key):
    harness = serve_handlers(keys=(KEY,))
    failure = refused(lambda: harness.unary(GARBAGE, key=key))
    assert failure.code == grpc.StatusCode.UNAUTHENTICATED
    assert failure.detail.kind == "Unauthenticated"
    assert failure.detail.hint in failure.text


@pytest.mark.parametrize("key", [None, "a-wrong-key-of-somebody"])
def test_stream_of_garbage_without_key_is_unauthenticated(serve_handlers, refused, key):
    harness = serve_handlers(keys=(KEY,))
    failure = refused(lambda: list(harness.stream(iter([GARBAGE]), key=key)))
    assert failure.code == grpc.StatusCode.UNAUTHENTICATED


def test_unary_garbage_with_key_is_invalid(serve_handlers, refused, caplog):
    harness = serve_handlers(keys=(KEY,))
    with caplog.at_level(logging.DEBUG):
        failure = refused(lambda: harness.unary(GARBAGE, key=KEY))
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert failure.detail.reason == "UNPARSABLE"
    assert "/test.Calls/Echo" in failure.detail.message
    assert "Exception deserializing" not in caplog.text


def test_stream_of_garbage_with_key_is_invalid(serve_handlers, refused):
    harness = serve_handlers(keys=(KEY,))
    failure = refused(lambda: list(harness.stream(iter([GARBAGE]), key=KEY)))
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT


def test_call_with_key_is_answered(serve_handlers):
    harness = serve_handlers(keys=(KEY,))
    request = pb.InfoRequest(client_version="1").SerializeToString()
    assert harness.unary(request, key=KEY) == request
    assert list(harness.stream(iter([request, request]), key=KEY)) == [request, request]


def test_refusal_does_not_wait_for_the_request(serve_handlers, refused):
    harness = serve_handlers(keys=(KEY,))
    never = threading.Event()

    def silent():
        never.wait()  # a client that opens a call and sends nothing
        yield b""

    call = harness.channel.stream_unary("/test.Calls/Echo")
    try:
        failure = refused(lambda: call(silent(), timeout=30))
    finally:
        never.set()
    assert failure.code == grpc.StatusCode.UNAUTHENTICATED


def test_methods_are_not_told_to_strangers(serve_handlers, refused):
    harness = serve_handlers(keys=(KEY,))
    assert refused(lambda: harness.unary(method="Nothing")).code == (
        grpc.StatusCode.UNAUTHENTICATED
    )
    known = refused(lambda: harness.unary(method="Nothing", key=KEY))
    assert known.code == grpc.StatusCode.UNIMPLEMENTED


def test_strangers_make_up_no_names_in_the_counters(serve_handlers, refused):
    harness = serve_handlers(keys=(KEY,))
    for method in ("A", "B", "Echo"):
        refused(lambda method=method: harness.unary(method=method))
    calls = harness.counters.to_dict()["calls"]
    assert calls == {
        "/test.Calls/Echo": {"UNAUTHENTICATED": 1},
        "unknown": {"UNAUTHENTICATED": 2},
    }


def test_refusals_are_logged_without_keys(serve_handlers, refused):
    harness = serve_handlers(keys=(KEY,))
    refused(lambda: harness.unary(key="a-wrong-key-of-somebody"))
    line = json.loads(harness.log.getvalue())
    assert line["event"] == "refused"
    assert line["code"] == "UNAUTHENTICATED"
    assert "a-wrong-key" not in harness.log.getvalue()
