"""Readiness, room, deadlines and outcomes, through a real port."""

from __future__ import annotations

import json
import queue

import grpc
import pytest

from vecdb import limits
from vecdb.errors import DataCorruption, InvalidArgument
from vecdb_client.errors import NotFound
from vecdb_client.wire import vecdb_pb2 as pb
from vecdb_server.gate import draining

SECONDS = 30.0
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def fail_with(error):
    def handler(request, call):
        raise error

    return handler


def lines(harness):
    """The log once the server has ended: the line of a call is written behind its answer."""
    harness.stop()
    return [json.loads(line) for line in harness.log.getvalue().splitlines()]


# ---------------------------------------------------------------------------------- readiness


def test_calls_are_refused_while_starting(serve_handlers, refused):
    harness = serve_handlers(opened=False)
    failure = refused(harness.unary)
    assert failure.code == grpc.StatusCode.UNAVAILABLE
    assert failure.detail.reason == "STARTING"
    assert failure.detail.retry_after_ms > 0
    harness.gate.open(object())
    assert harness.unary() == b""


def test_calls_are_refused_while_draining(serve_handlers, refused):
    harness = serve_handlers()
    harness.gate.drain()
    assert refused(harness.unary).detail.reason == "DRAINING"
    assert refused(lambda: list(harness.stream(iter([])))).detail.reason == "DRAINING"


def test_call_in_flight_survives_the_drain(serve_handlers, blocker):
    harness = serve_handlers(blocker)
    call = harness.channel.unary_unary("/test.Calls/Echo").future(b"", timeout=SECONDS)
    blocker.wait_entered()
    harness.gate.drain()
    blocker.go_on.set()
    assert call.result() == b""


# --------------------------------------------------------------------------------------- room


def test_more_calls_than_fit_are_told_to_come_again(serve_handlers, refused, blocker):
    harness = serve_handlers(blocker, threads=1, queue=1)
    method = harness.channel.unary_unary("/test.Calls/Echo")
    admitted = [method.future(b"", timeout=SECONDS) for _ in range(2)]
    blocker.wait_entered()  # one runs, the other was sent before what follows: it waits
    outcomes: queue.SimpleQueue[grpc.Future] = queue.SimpleQueue()
    third = method.future(b"", timeout=SECONDS)
    for call in (*admitted, third):
        call.add_done_callback(outcomes.put)
    turned_away = outcomes.get(timeout=SECONDS)  # while the others are held up
    failure = refused(turned_away.result)
    assert failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert failure.detail.kind == "LimitExceeded"
    assert failure.detail.reason == "BUSY"
    assert failure.detail.retry_after_ms == 100
    blocker.go_on.set()
    for call in {*admitted, third} - {turned_away}:
        assert call.result() == b""


def test_full_streams_leave_room_for_calls(serve_handlers, refused):
    harness = serve_handlers(uploads=1, threads=1)
    sent: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    stream = harness.stream(iter(sent.get, None))
    sent.put(b"")
    assert next(stream) == b""  # it runs
    failure = refused(lambda: list(harness.stream(iter([b""]))))
    assert failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert failure.detail.retry_after_ms == 1000
    assert harness.unary() == b""
    sent.put(None)
    assert list(stream) == []


# ---------------------------------------------------------------------------------- deadlines


def test_handler_gets_the_deadline_of_the_caller(serve_handlers):
    seen: queue.SimpleQueue[float] = queue.SimpleQueue()

    def handler(request, call):
        seen.put(call.timeout)
        return request

    harness = serve_handlers(handler)
    method = harness.channel.unary_unary("/test.Calls/Echo")
    method(b"", timeout=7.0)
    assert 0.0 < seen.get() < 8.0  # gRPC rounds up
    method(b"")  # without one: the server's own
    assert 8.0 < seen.get() <= limits.TIMEOUT_SECONDS


def test_stream_without_deadline_may_last(serve_handlers):
    seen = []

    def handler(requests, call):
        seen.append(call.timeout)
        yield from requests

    harness = serve_handlers(stream=handler)
    assert list(harness.channel.stream_stream("/test.Calls/Stream")(iter([b""]))) == [b""]
    assert seen == [None]


def test_call_whose_time_is_over_is_not_begun(serve_handlers, refused, blocker):
    begun = []

    def handler(request, call):
        if call.timeout:  # raises where none is left
            begun.append(request.client_version)
        return blocker(request, call)

    harness = serve_handlers(handler, threads=1)
    method = harness.channel.unary_unary("/test.Calls/Echo")
    first = method.future(b"", timeout=SECONDS)
    blocker.wait_entered()
    failure = refused(lambda: method(b"", timeout=0.05))  # waits behind the first
    assert failure.code == grpc.StatusCode.DEADLINE_EXCEEDED
    blocker.go_on.set()
    assert first.result() == b""
    harness.pools.calls.shutdown(wait=True)
    assert begun == [""]


# ----------------------------------------------------------------------------------- outcomes


def test_error_arrives_with_all_its_detail(serve_handlers, refused):
    error = InvalidArgument(
        "dim must be from 1 to 9", reason="BAD_DIM", field="dim", limit=9, actual=12, hint="Cut"
    )
    failure = refused(serve_handlers(fail_with(error)).unary)
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert failure.text == "dim must be from 1 to 9. Cut"
    assert failure.detail == pb.ErrorDetail(
        reason="BAD_DIM",
        field="dim",
        limit=9,
        actual=12,
        hint="Cut",
        kind="InvalidArgument",
        message="dim must be from 1 to 9",
    )


def test_error_of_the_shared_codec_is_mapped_too(serve_handlers, refused):
    failure = refused(serve_handlers(fail_with(NotFound("no such thing"))).unary)
    assert failure.code == grpc.StatusCode.NOT_FOUND


def test_error_in_a_stream_ends_it_after_its_answers(serve_handlers, refused):
    def handler(requests, call):
        yield next(requests)
        raise InvalidArgument("no more", field="x")

    stream = serve_handlers(stream=handler).stream(iter([b"", b""]))
    assert next(stream) == b""
    failure = refused(lambda: next(stream))
    assert failure.detail.field == "x"


def test_bug_is_hidden_from_the_caller_and_logged(serve_handlers, refused):
    harness = serve_handlers(fail_with(KeyError("the payload of somebody")))
    failure = refused(harness.unary)
    assert failure.code == grpc.StatusCode.INTERNAL
    assert failure.detail.kind == "VecDBError"
    assert failure.detail.error_id in failure.text
    assert "KeyError" not in failure.text
    bug, call = lines(harness)
    assert bug["event"] == "bug"
    assert bug["error"] == "KeyError"
    assert bug["error_id"] == call["error_id"] == failure.detail.error_id
    assert any("fail_with" in frame or "handler" in frame for frame in bug["traceback"])
    assert "somebody" not in harness.log.getvalue()


def test_answer_above_the_message_limit_is_a_typed_error(serve_handlers, refused):
    def handler(request, call):
        return pb.InfoRequest(client_version="x" * (limits.MESSAGE_BYTES + 1))

    failure = refused(serve_handlers(handler).unary)
    assert failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert failure.detail.reason == "ANSWER_TOO_LARGE"
    assert failure.detail.limit == limits.MESSAGE_BYTES
    assert failure.detail.actual > limits.MESSAGE_BYTES
    assert not failure.detail.HasField("retry_after_ms")
    assert "fewer queries" in failure.detail.hint


def test_very_long_error_still_arrives(serve_handlers, refused):
    error = InvalidArgument("ü" * 100_000, field="f" * 100_000, hint="h" * 100_000)
    failure = refused(serve_handlers(fail_with(error)).unary)
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert failure.detail.message.endswith("…")


# ---------------------------------------------------------------------------------------- log


def test_each_call_is_a_line(serve_handlers, refused):
    harness = serve_handlers()
    method = harness.channel.unary_unary("/test.Calls/Echo")
    method(b"", metadata=(("traceparent", TRACE), ("x-secret", "hidden")))
    line = lines(harness)[0]
    assert line.keys() == {
        *("time", "level", "event", "request_id", "method", "code", "ms", "peer", "traceparent")
    }
    assert (line["level"], line["event"], line["code"]) == ("info", "call", "OK")
    assert line["method"] == "/test.Calls/Echo"
    assert line["traceparent"] == TRACE
    assert line["ms"] >= 0


def test_malformed_traceparent_is_not_logged(serve_handlers):
    harness = serve_handlers()
    harness.channel.unary_unary("/test.Calls/Echo")(b"", metadata=(("traceparent", "injected"),))
    assert "injected" not in harness.log.getvalue()


def test_error_of_the_caller_is_logged_by_reason_and_field(serve_handlers, refused):
    error = InvalidArgument("a sentence with a value", field="ids[3]", reason="BAD_ID")
    harness = serve_handlers(fail_with(error))
    refused(harness.unary)
    line = lines(harness)[0]
    assert (line["level"], line["code"]) == ("info", "INVALID_ARGUMENT")
    assert (line["reason"], line["field"]) == ("BAD_ID", "ids[3]")
    assert "sentence" not in harness.log.getvalue()


def test_error_of_the_disk_is_logged_in_full(serve_handlers, refused):
    harness = serve_handlers(fail_with(DataCorruption("page 3 does not match its checksum")))
    refused(harness.unary)
    line = lines(harness)[0]
    assert (line["level"], line["code"]) == ("error", "DATA_LOSS")
    assert line["text"] == "page 3 does not match its checksum"


def test_refusals_for_want_of_room_are_warnings(serve_handlers, refused):
    harness = serve_handlers()
    harness.gate.drain()
    refused(harness.unary)
    assert lines(harness)[0]["level"] == "warning"
    assert draining().reason == lines(harness)[0]["reason"]


# ----------------------------------------------------------------------------------- counters


def test_calls_are_counted_by_method_and_code(serve_handlers, refused):
    harness = serve_handlers(fail_with(NotFound("x")))
    refused(harness.unary)
    refused(harness.unary)
    list(harness.stream(iter([b""])))
    counted = harness.counters.to_dict()
    assert counted["calls"]["/test.Calls/Echo"] == {"NOT_FOUND": 2}


def test_running_calls_are_counted(serve_handlers, blocker):
    harness = serve_handlers(blocker)
    call = harness.channel.unary_unary("/test.Calls/Echo").future(b"", timeout=SECONDS)
    blocker.wait_entered()
    assert harness.counters.in_flight == 1
    blocker.go_on.set()
    call.result()
    assert harness.counters.in_flight == 0


def test_cancelled_stream_is_counted_and_gives_its_thread_back(serve_handlers):
    harness = serve_handlers(uploads=1)
    never: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    never.put(b"")
    stream = harness.stream(iter(never.get, None))
    assert next(stream) == b""
    stream.cancel()
    harness.channel.close()
    harness.pools.uploads.shutdown(wait=True)  # returns once the thread is free
    assert harness.counters.in_flight == 0
    # To a handler a cancelled stream may look like one that ended.
    assert harness.counters.to_dict()["calls"]["/test.Calls/Stream"] in (
        {"CANCELLED": 1},
        {"OK": 1},
    )
    never.put(None)


@pytest.mark.parametrize("size", [0, 1, 70_000])
def test_bytes_pass_unchanged(serve_handlers, size):
    data = pb.InfoRequest(client_version="x" * size).SerializeToString()
    assert serve_handlers().unary(data) == data
