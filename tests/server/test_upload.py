"""Upload streams: pipelined, acknowledged in order, and going on after a refused chunk."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator

import grpc
import numpy as np
import pytest

from vecdb import limits
from vecdb_client import codec
from vecdb_client.wire import vecdb_pb2 as pb

SECONDS = 30.0


class Feed:
    """Requests of a stream, given one by one while it runs."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[object] = queue.SimpleQueue()

    def send(self, request: object) -> None:
        self._queue.put(request)

    def end(self) -> None:
        self._queue.put(None)

    def __iter__(self) -> Iterator[object]:
        return iter(self._queue.get, None)


@pytest.fixture
def feed():
    made = Feed()
    yield made
    made.end()


def chunk(batch, number: int, *ids: int, **fields) -> pb.UploadRequest:
    return pb.UploadRequest(batch=batch(*ids, **fields), chunk=number)


def count(running) -> int:
    return running.Count(pb.CountRequest(collection="docs")).count


def test_chunks_are_acknowledged_in_order(running, batch):
    chunks = [chunk(batch, n, *range(10 * n, 10 * n + 10)) for n in range(25)]
    answers = list(running.Upload(iter(chunks)))
    assert [answer.chunk for answer in answers] == list(range(25))
    assert all(answer.result.count == 10 for answer in answers)
    sequences = [answer.result.sequence for answer in answers]
    assert sequences == sorted(sequences)
    assert count(running) == 250


def test_client_may_wait_for_each_acknowledgement(running, batch, feed):
    stream = running.Upload(iter(feed))
    for number in range(5):
        feed.send(chunk(batch, number, number))
        assert next(stream).chunk == number
    feed.end()
    assert list(stream) == []


def test_client_may_send_ahead_of_the_window(running, batch, feed):
    ahead = 3 * limits.UPLOAD_WINDOW
    for number in range(ahead):
        feed.send(chunk(batch, number, number))
    stream = running.Upload(iter(feed))
    assert [next(stream).chunk for _ in range(ahead)] == list(range(ahead))


def test_refused_chunk_in_the_middle_does_not_end_the_stream(running, batch):
    bad = np.array([[1, 2, 3, 4], [1, np.nan, 3, 4]], np.float32)
    chunks = [
        chunk(batch, 0, 1, 2),
        chunk(batch, 1, 3, 4, vectors=codec.vectors_to_wire(bad)),
        chunk(batch, 2, 5, 6),
        chunk(batch, 3, 7, collection="none"),
        chunk(batch, 4, 8, ids=codec.ids_to_wire(["text"])),
        chunk(batch, 5, 9),
    ]
    answers = list(running.Upload(iter(chunks)))
    assert [answer.HasField("result") for answer in answers] == [
        *(True, False, True, False, False, True)
    ]
    middle = answers[1]
    assert middle.status == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert (middle.error.kind, middle.error.field) == ("InvalidArgument", "vectors[1]")
    assert answers[3].status == grpc.StatusCode.NOT_FOUND.value[0]
    assert answers[4].error.field.startswith("ids")
    assert count(running) == 5
    running.server.stop(0.0)  # the line of a call is written behind its answer
    assert '"refused": 3' in running.log.getvalue()


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"condition": pb.Condition(if_absent=True)}, "condition"), ({"no_wait": True}, "no_wait")],
)
def test_chunk_takes_no_condition_and_is_always_synced(running, batch, fields, field):
    (answer,) = running.Upload(iter([chunk(batch, 0, 1, **fields)]))
    assert answer.error.field == field
    assert count(running) == 0


def test_chunk_sent_again_with_its_key_is_applied_once(running, batch):
    twice = [chunk(batch, 0, 1, 2, idempotency_key=b"upload-0")] * 2
    first, second = running.Upload(iter(twice))
    assert not first.result.replayed
    assert second.result.replayed
    assert second.result.sequence == first.result.sequence


def test_garbage_ends_the_stream_after_the_chunks_before_it(running, batch, refused):
    make = running.channel.stream_stream(
        "/vecdb.v1.Records/Upload", response_deserializer=pb.UploadResponse.FromString
    )
    good = chunk(batch, 0, 1).SerializeToString()
    stream = make(iter([good, b"\xff\xff", good]), timeout=SECONDS)
    assert next(stream).result.count == 1
    failure = refused(lambda: next(stream))
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert failure.detail.reason == "UNPARSABLE"


def test_empty_stream_ends_at_once(running):
    assert list(running.Upload(iter([]))) == []


def test_drain_ends_an_idle_stream_and_keeps_what_was_acknowledged(running, batch, feed, refused):
    stream = running.Upload(iter(feed))
    feed.send(chunk(batch, 0, 1))
    assert next(stream).result.count == 1
    running.server.stop(SECONDS)  # returns at once: the stream does not wait for its client
    failure = refused(lambda: next(stream))
    assert failure.code == grpc.StatusCode.UNAVAILABLE
    assert failure.detail.reason == "DRAINING"


def test_cancelled_stream_gives_its_thread_back(start_server, batch, feed):
    running = start_server(uploads=1)
    schema = pb.CollectionSchema(dim=4, metric=pb.L2)
    running.CollectionsCreate(pb.CreateCollectionRequest(name="docs", schema=schema))
    stream = running.Upload(iter(feed))
    feed.send(chunk(batch, 0, 1))
    next(stream)
    stream.cancel()
    running.server._pools.uploads.shutdown(wait=True)  # returns once the thread is free
    # To the server a cancelled stream may look like one that ended, so its code may be either.
    end = time.monotonic() + SECONDS
    while "Records/Upload" not in running.log.getvalue():
        assert time.monotonic() < end, running.log.getvalue()
        threading.Event().wait(0.01)
