"""Uploads over streams that break, answers that are lost, chunks that are refused; both clients."""

import threading

import grpc
import numpy as np
import pytest

from vecdb_client import Client, errors, limits
from vecdb_client.wire import vecdb_pb2 as pb

ROWS = 60
CHUNKS = 6


@pytest.fixture
def vectors(monkeypatch):
    """60 vectors that go out in 6 chunks of 10."""
    monkeypatch.setattr(limits, "UPLOAD_CHUNK_BYTES", 10 * (4 * 8 + 16))
    return np.arange(ROWS * 8, dtype=np.float32).reshape(ROWS, 8)


@pytest.fixture
def docs(client):
    return client.collection("docs")


def test_every_record_arrives(peer, docs, vectors):
    payloads = [{"row": row} for row in range(ROWS)]
    report = docs.upload(vectors, [f"id{row}" for row in range(ROWS)], payloads, progress=False)
    assert (report.ok, report.failed, report.retries) == (ROWS, (), 0)
    assert peer.records["id17"] == (vectors[17].tolist(), b'{"row":17}')
    assert len(peer.records) == ROWS
    assert report.chunks == peer.applied > CHUNKS  # payloads and names take room too


def test_ids_are_row_numbers_where_none_are_given(peer, docs, vectors):
    docs.upload(vectors, progress=False)
    assert sorted(peer.records) == list(range(ROWS))


def test_chunks_have_the_upload_and_their_number_as_key(peer, docs, vectors):
    report = docs.upload(vectors, progress=False)
    chunks = [request for request in peer.requests if hasattr(request, "batch")]
    prefix = bytes.fromhex(report.upload_id)
    assert [chunk.batch.idempotency_key for chunk in chunks] == [
        prefix + number.to_bytes(8, "big") for number in range(CHUNKS)
    ]
    assert [chunk.chunk for chunk in chunks] == list(range(CHUNKS))


def test_progress_is_told_after_each_acknowledgement(docs, vectors):
    told = []
    report = docs.upload(vectors, progress=lambda records, size: told.append((records, size)))
    assert [records for records, _ in told] == [10, 20, 30, 40, 50, 60]
    assert told[-1][1] == report.bytes


def test_broken_stream_is_taken_up_again(peer, docs, vectors):
    def later(context):
        return None

    peer.script["Chunk"] += [later, later, peer.abort(grpc.StatusCode.UNAVAILABLE)]
    report = docs.upload(vectors, progress=False)
    assert (report.ok, report.retries, peer.applied) == (ROWS, 1, CHUNKS)
    assert peer.count("Upload") == 2
    assert len(peer.records) == ROWS


def test_lost_acknowledgement_applies_no_chunk_twice(peer, docs, vectors):
    peer.after["Chunk"] += [peer.abort(grpc.StatusCode.UNAVAILABLE)] * 2
    report = docs.upload(vectors, progress=False)
    assert (report.ok, report.retries, peer.applied) == (ROWS, 2, CHUNKS)


def test_server_that_is_away_for_a_while_is_waited_for(peer, docs, vectors):
    def stop(context):
        context.abort(grpc.StatusCode.UNAVAILABLE, "draining")

    peer.script["Info"] += [stop, stop]
    peer.script["Upload"] += [stop, stop]
    report = docs.upload(vectors, progress=False)
    assert (report.ok, report.retries) == (ROWS, 4)


def test_silent_server_is_given_up_with_a_report(peer, docs, vectors):
    peer.script["Chunk"] += [lambda context: None, peer.hang]
    with pytest.raises(errors.UploadFailed, match="broke off after 10 records") as caught:
        docs.upload(vectors, progress=False, timeout=0.3)
    report = caught.value.report
    assert report.ok == 10
    assert {failure.code for failure in report.failed} == {"Unavailable"}
    assert report.upload_id in str(caught.value)
    assert caught.value.maybe_applied


def test_resumed_upload_writes_only_what_is_missing(peer, docs, vectors):
    peer.script["Chunk"] += [lambda context: None] * 3 + [peer.hang]
    with pytest.raises(errors.UploadFailed) as caught:
        docs.upload(vectors, progress=False, timeout=0.3)
    before = peer.applied
    peer.script.clear()
    report = docs.upload(vectors, progress=False, resume=caught.value.report.upload_id)
    assert (report.ok, report.upload_id) == (ROWS, caught.value.report.upload_id)
    assert before == 3
    assert peer.applied == CHUNKS
    assert len(peer.records) == ROWS


def test_refused_records_fail_and_the_others_are_stored(peer, docs, vectors):
    vectors[[3, 7, 41]] = np.nan
    with pytest.raises(errors.UploadFailed, match="3 of 60 records were not stored") as caught:
        docs.upload(vectors, progress=False)
    report = caught.value.report
    assert report.ok == ROWS - 3
    assert [(one.id, one.code, one.message) for one in report.failed] == [
        (row, "InvalidArgument", f"vectors[{row}] holds NaN") for row in (3, 7, 41)
    ]
    assert sorted(peer.records) == [row for row in range(ROWS) if row not in (3, 7, 41)]


def test_failures_are_collected_on_request(docs, vectors):
    vectors[5] = np.inf
    report = docs.upload(vectors, progress=False, on_error="collect")
    assert (report.ok, len(report.failed)) == (ROWS - 1, 1)


def test_resumed_upload_with_refused_records_writes_nothing_twice(peer, docs, vectors):
    vectors[[3, 41]] = np.nan
    first = docs.upload(vectors, progress=False, on_error="collect")
    applied = peer.applied
    again = docs.upload(vectors, progress=False, on_error="collect", resume=first.upload_id)
    assert peer.applied == applied
    assert (again.ok, again.failed) == (first.ok, first.failed)


def test_chunk_that_may_come_later_is_sent_again(peer, docs, vectors):
    busy = peer.refuse(
        grpc.StatusCode.RESOURCE_EXHAUSTED, kind="LimitExceeded", message="full", retry_after_ms=10
    )
    peer.script["Chunk"] += [busy, busy]
    report = docs.upload(vectors, progress=False)
    assert (report.ok, report.retries, report.failed) == (ROWS, 2, ())
    assert peer.count("Upload") == 1


def test_chunk_refused_as_a_whole_fails_whole(peer, docs, vectors):
    full = peer.refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, kind="LimitExceeded", message="no room")
    peer.script["Chunk"].append(full)
    report = docs.upload(vectors, progress=False, on_error="collect")
    assert [one.id for one in report.failed] == list(range(10))
    assert {one.message for one in report.failed} == {"no room"}
    assert report.ok == ROWS - 10


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.NOT_FOUND, "NotFound"),
        (grpc.StatusCode.PERMISSION_DENIED, "PermissionDenied"),
    ],
)
def test_what_every_chunk_would_meet_ends_the_upload(peer, docs, vectors, code, kind):
    gone = peer.refuse(code, kind=kind, message="no collection 'docs'")
    peer.script["Chunk"] += [lambda context: None, gone]
    with pytest.raises(getattr(errors, kind)) as caught:
        docs.upload(vectors, progress=False, on_error="collect")
    assert "10 records of the upload are stored" in caught.value.__notes__[0]


def test_stream_refused_at_once_tells_why(peer, docs, vectors):
    detail = pb.ErrorDetail(kind="Unauthenticated", message="unknown key")
    peer.script["Upload"] += [peer.abort(grpc.StatusCode.UNAUTHENTICATED, detail)] * 2
    with pytest.raises(errors.Unauthenticated, match="unknown key"):
        docs.upload(vectors, progress=False)


def test_fault_of_the_source_ends_the_upload(peer, docs, vectors):
    def arrays():
        yield vectors
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        docs.upload(arrays(), progress=False)


def test_upload_of_nothing_is_nothing(docs):
    report = docs.upload(iter([]), progress=False)
    assert (report.ok, report.chunks) == (0, 0)


def test_upload_leaves_no_thread_behind(peer, vectors):
    with Client(peer.address) as client:
        client.collection("docs").upload(vectors, progress=False)
        assert "vecdb-upload" not in [thread.name for thread in threading.enumerate()]
