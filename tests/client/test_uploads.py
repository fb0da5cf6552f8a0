"""The state of an upload, driven by hand: order, window, resends, records left out."""

import grpc
import numpy as np
import pytest

from vecdb_client import errors, limits
from vecdb_client.sources import Source
from vecdb_client.uploads import ROUND, ROUNDS, Upload
from vecdb_client.wire import vecdb_pb2 as pb


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    """Chunks of 4 rows of 2 float32 and an integer id."""
    monkeypatch.setattr(limits, "UPLOAD_CHUNK_BYTES", 4 * (2 * 4 + 16))


def make(vectors, ids=None, payloads=None, **options):
    vectors = np.asarray(vectors, np.float32)
    return Upload("docs", Source(vectors, ids, payloads, None), **options)


def stored(chunk):
    return pb.UploadResponse(chunk=chunk.number, result=pb.WriteResponse(count=1))


def refused(chunk, code=grpc.StatusCode.INVALID_ARGUMENT, **detail):
    detail.setdefault("kind", "InvalidArgument")
    return pb.UploadResponse(
        chunk=chunk.number, error=pb.ErrorDetail(**detail), status=code.value[0]
    )


def send_all(job):
    sent = []
    while job.has_room and (chunk := job.next_chunk()) is not None:
        sent.append(chunk)
    return sent


def test_window_is_never_exceeded():
    job = make(np.ones((40, 2)))
    sent = send_all(job)
    assert len(sent) == limits.UPLOAD_WINDOW
    job.acknowledge(stored(sent[0]))
    assert [chunk.number for chunk in send_all(job)] == [4]


def test_upload_is_done_when_the_last_chunk_is_acknowledged():
    job = make(np.ones((8, 2)))
    first, second = send_all(job)
    job.acknowledge(stored(first))
    assert not job.done
    job.acknowledge(stored(second))
    assert job.done
    assert job.finish().ok == 8


def test_chunks_are_sent_again_in_their_order_and_not_as_fresh():
    job = make(np.ones((16, 2)))
    sent = send_all(job)
    job.acknowledge(stored(sent[0]))
    job.restart()
    again = send_all(job)
    assert [chunk.number for chunk in again] == [1, 2, 3]
    assert not any(chunk.fresh for chunk in again)
    assert [chunk.data for chunk in again] == [chunk.data for chunk in sent[1:]]


def test_acknowledgement_out_of_order_is_an_error_of_the_server():
    job = make(np.ones((8, 2)))
    _, second = send_all(job)
    with pytest.raises(errors.VecDBError, match="does not keep the order"):
        job.acknowledge(stored(second))


def test_records_at_fault_are_left_out_at_once_and_the_rest_has_its_own_key(monkeypatch):
    monkeypatch.setattr(limits, "UPLOAD_CHUNK_BYTES", 1000)
    job = make([[1, 1], [np.nan, 1], [1, np.inf], [1, 1]], ids=["a", "b", "c", "d"])
    (chunk,) = send_all(job)
    answer = refused(chunk, reason="NOT_FINITE", field="vectors[1]", message="vectors[1] is NaN")
    assert job.acknowledge(answer) is None
    (rest,) = send_all(job)
    assert rest.number == ROUND
    message = pb.UploadRequest.FromString(rest.data)
    assert list(message.batch.ids.strings.values) == ["a", "d"]
    assert message.batch.idempotency_key[16:] == ROUND.to_bytes(8, "big")
    job.acknowledge(stored(rest))
    with pytest.raises(errors.UploadFailed) as caught:
        job.finish()
    assert [(one.id, one.message) for one in caught.value.report.failed] == [
        ("b", "vectors[1] is NaN"),
        ("c", "vectors[2] is NaN"),
    ]


def test_positions_are_told_within_the_whole_upload():
    job = make(np.ones((8, 2)))
    first, second = send_all(job)
    job.acknowledge(stored(first))
    job.acknowledge(refused(second, field="payloads[2]", message="payloads[2] is no object"))
    assert [one.message for one in job._report().failed] == ["payloads[6] is no object"]


@pytest.mark.parametrize(
    ("reason", "vectors", "ids", "named", "failed"),
    [
        ("ZERO_VECTOR", [[1, 0], [0, 0], [1, 0], [0, 0]], None, 1, [1, 3]),
        ("WRONG_DIMENSION", np.ones((4, 2)), None, 0, [0, 1, 2, 3]),
        ("DUPLICATE_ID", np.ones((4, 2)), [5, 5, 6, 5], 1, [5, 5]),
        ("NOBODY_KNOWS", np.ones((4, 2)), None, 2, [2]),
    ],
)
def test_faults_that_can_be_seen_are_left_out_together(reason, vectors, ids, named, failed):
    job = make(vectors, ids)
    (chunk,) = send_all(job)
    job.acknowledge(refused(chunk, reason=reason, field=f"vectors[{named}]", message="bad"))
    assert [one.id for one in job._report().failed] == failed


def test_after_many_rounds_the_rest_of_a_chunk_fails(monkeypatch):
    monkeypatch.setattr(limits, "UPLOAD_CHUNK_BYTES", 100 * 24)
    job = make(np.ones((40, 2)))
    for _ in range(ROUNDS + 1):
        (chunk,) = send_all(job)
        job.acknowledge(refused(chunk, field="ids[0]", message="ids[0] is too long"))
    assert job.done
    assert job.settled == 40
    failed = job._report().failed
    assert failed[0].message == "ids[0] is too long"
    assert failed[-1].message == "16 rounds refused others of its chunk"


def test_moment_of_the_server_asks_for_a_pause_and_sends_the_chunk_again():
    job = make(np.ones((4, 2)))
    (chunk,) = send_all(job)
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    error = job.acknowledge(refused(chunk, code, kind="LimitExceeded", retry_after_ms=250))
    assert error.retry_after == 0.25
    assert [again.number for again in send_all(job)] == [0]


def test_chunk_that_ran_out_of_time_is_sent_again():
    job = make(np.ones((4, 2)))
    (chunk,) = send_all(job)
    code = grpc.StatusCode.DEADLINE_EXCEEDED
    assert job.acknowledge(refused(chunk, code, kind="DeadlineExceeded", message="late"))
    assert [again.number for again in send_all(job)] == [0]


def test_payload_that_is_no_json_fails_alone():
    payloads = [{"a": 1}, {"a": object()}, {"a": float("nan")}, None]
    job = make(np.ones((4, 2)), payloads=payloads)
    (chunk,) = send_all(job)
    assert chunk.columns.ids.tolist() == [0, 3]
    job.acknowledge(stored(chunk))
    report = job._report()
    assert [one.id for one in report.failed] == [1, 2]
    assert report.failed[1].message.startswith("payloads[2] cannot be written as JSON")


def test_broken_off_upload_counts_what_is_in_flight_as_failed():
    job = make(np.ones((8, 2)))
    first, _ = send_all(job)
    job.acknowledge(stored(first))
    error = job.broken_off(errors.Unavailable("gone"))
    assert isinstance(error, errors.UploadFailed)
    assert (error.report.ok, len(error.report.failed)) == (4, 4)
    assert job.upload_id in error.hint


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        (grpc.StatusCode.NOT_FOUND, "NotFound", "NO_COLLECTION"),
        (grpc.StatusCode.PERMISSION_DENIED, "PermissionDenied", "PERMISSION_DENIED"),
        (grpc.StatusCode.UNAUTHENTICATED, "Unauthenticated", "UNAUTHENTICATED"),
        (grpc.StatusCode.INTERNAL, "StorageError", "STORE_FAILED"),
    ],
)
def test_upload_ends_with_what_every_chunk_would_meet(code, kind, reason):
    job = make(np.ones((40, 2)), on_error="collect")
    first, second, *_ = send_all(job)
    job.acknowledge(stored(first))
    with pytest.raises(getattr(errors, kind)) as caught:
        job.acknowledge(refused(second, code, kind=kind, reason=reason, message="no"))
    assert (caught.value.reason, job.settled, job.done) == (reason, 4, False)


def test_error_of_one_chunk_alone_does_not_end_the_upload():
    job = make(np.ones((8, 2)), on_error="collect")
    first, second = send_all(job)
    internal = grpc.StatusCode.INTERNAL
    assert job.acknowledge(refused(first, internal, kind="StorageError", reason="LMDB")) is None
    job.acknowledge(stored(second))
    report = job.finish()
    assert (report.ok, [one.id for one in report.failed]) == (4, [0, 1, 2, 3])


@pytest.mark.parametrize("resume", ["", "xyz", "00" * 15, 5, b"0" * 32])
def test_resume_takes_an_upload_id(resume):
    with pytest.raises(errors.InvalidArgument, match="resume"):
        make(np.ones((1, 2)), resume=resume)


def test_on_error_takes_two_words():
    with pytest.raises(errors.InvalidArgument, match="on_error"):
        make(np.ones((1, 2)), on_error="ignore")


def test_seconds_come_from_the_clock():
    times = iter([10.0, 12.5])
    job = make(np.ones((1, 2)), clock=lambda: next(times))
    assert job._report().seconds == 2.5
