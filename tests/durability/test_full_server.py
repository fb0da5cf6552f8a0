"""A server whose disk is full: its clients are told so, reads go on, writes resume with room."""

from __future__ import annotations

import grpc
import numpy as np
import pytest

from vecdb.testing.faults import tiny_disk, why_no_tiny_disk
from vecdb_client import Client, calls, errors, limits, write_requests

RESOURCE_EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
DIM = 64
DISK_BYTES = 3 * 1024 * 1024
UPLOAD_ROWS = 2 * DISK_BYTES // (4 * DIM)
IMPATIENT_SECONDS = 0.5
"""Less than the second after which a full disk is to be tried again."""

pytestmark = pytest.mark.slow


@pytest.fixture
def disk(tmp_path):
    reason = why_no_tiny_disk()
    if reason:
        pytest.skip(reason)
    with tiny_disk(tmp_path / "disk", DISK_BYTES) as made:
        yield made


@pytest.fixture
def docs(disk, servers):
    """A collection behind a server on the tiny disk."""
    servers.directory = disk.path / "db"
    with Client(servers.start()) as client:
        yield client.create_collection("docs", dim=DIM, metric="l2", fields={"batch": "int"})
    servers.kill()  # before the disk is unmounted


@pytest.fixture
def vectors(monkeypatch):
    """More than the disk holds, for an upload in chunks of 32 KiB."""
    monkeypatch.setattr(limits, "UPLOAD_CHUNK_BYTES", 32 * 1024)
    return np.random.default_rng(0).standard_normal((UPLOAD_ROWS, DIM), np.float32)


def make_batch(number: int, rows: int) -> dict:
    vectors = np.random.default_rng(number).standard_normal((rows, DIM), np.float32)
    ids = list(range(number * rows, (number + 1) * rows))
    return {
        "ids": ids,
        "vectors": vectors,
        "payloads": [{"batch": number}] * rows,
        "idempotency_key": f"batch {number}".encode(),
    }


def fill(docs, rows: int) -> tuple[int, errors.LimitExceeded]:
    """Write batches until one is refused twice: how many were stored, and the refusal."""
    number, refused = 0, 0
    while number < 10_000:
        try:
            docs.upsert(**make_batch(number, rows), timeout=IMPATIENT_SECONDS)
            number, refused = number + 1, 0
        except errors.LimitExceeded as error:
            refused += 1
            if refused == 2:
                return number, error
    raise AssertionError("the disk is not full")


def code_of_refusal(address: str, batch: dict) -> grpc.StatusCode:
    """What a client in another language would see."""
    options = {"rows": None, "tenants": None, "tenant": None, "condition": None}
    request = write_requests.upsert("docs", **batch, **options, wait=True)
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(request.path)(request.data, timeout=60.0)
    return caught.value.code()


def require_stored(docs, batches: int, rows: int, *, deleted: int = 0) -> None:
    """Exactly these batches are stored, but for the first ids, and a search finds the last."""
    made = [make_batch(number, rows) for number in range(batches)]
    vectors = np.concatenate([batch["vectors"] for batch in made])
    found = docs.get(np.arange(batches * rows), with_vector=True)
    assert docs.count() == batches * rows - deleted
    assert found.ids.tolist() == list(range(deleted, batches * rows))
    assert np.array_equal(found.vectors, vectors[deleted:])
    assert [one["batch"] for one in found.payloads] == [id // rows for id in found.ids.tolist()]
    assert docs.search(vectors[-1], 1).ids.tolist() == [batches * rows - 1]


@pytest.mark.parametrize("rows", [10, 100, 500])
def test_full_disk_refuses_writes_and_nothing_else(docs, disk, servers, rows):
    stored, refusal = fill(docs, rows)
    assert stored > 0
    assert (refusal.reason, refusal.retry_after) == ("DISK_FULL", 1.0)
    assert not refusal.maybe_applied
    assert "no space left" in refusal.message
    assert code_of_refusal(servers.address, make_batch(stored, rows)) is RESOURCE_EXHAUSTED
    require_stored(docs, stored, rows)
    assert docs.count({"batch": stored - 1}) == rows
    assert len(docs.scroll({"batch": 0}, limit=rows)) == rows

    assert docs.delete([0]).count == 1
    require_stored(docs, stored, rows, deleted=1)

    disk.resize(4 * DISK_BYTES)
    refused = make_batch(stored, rows)
    result = docs.upsert(**refused)
    assert (result.count, result.replayed) == (rows, False)
    again = docs.upsert(**refused)
    assert (again.count, again.sequence, again.replayed) == (rows, result.sequence, True)
    servers.kill()
    servers.start()
    require_stored(docs, stored + 1, rows, deleted=1)


def test_upload_onto_a_full_disk_gives_up_with_a_report_and_is_resumed(docs, disk, vectors):
    with pytest.raises(errors.UploadFailed) as caught:
        docs.upload(vectors, progress=False, timeout=IMPATIENT_SECONDS)
    report = caught.value.report
    assert caught.value.reason == "DISK_FULL"
    assert 0 < report.ok < UPLOAD_ROWS
    assert report.upload_id in caught.value.hint
    disk.resize(8 * DISK_BYTES)
    resumed = docs.upload(vectors, progress=False, resume=report.upload_id)
    require_uploaded(docs, resumed, vectors)


def test_upload_goes_on_by_itself_once_there_is_room(docs, disk, vectors, monkeypatch):
    refusals = []
    wait = calls.Caller._pause

    def make_room_and_wait(caller, retry, job, error):
        refusals.append(error)
        disk.resize(8 * DISK_BYTES)
        wait(caller, retry, job, error)

    monkeypatch.setattr(calls.Caller, "_pause", make_room_and_wait)
    report = docs.upload(vectors, progress=False)
    assert {error.reason for error in refusals} == {"DISK_FULL"}
    assert report.retries == len(refusals) > 0
    require_uploaded(docs, report, vectors)


def require_uploaded(docs, report, vectors) -> None:
    assert (report.ok, report.failed) == (UPLOAD_ROWS, ())
    assert docs.count() == UPLOAD_ROWS
    assert docs.describe().sequence == report.chunks  # no chunk was applied twice
    for start in range(0, UPLOAD_ROWS, limits.GET_RECORDS):
        ids = np.arange(start, min(start + limits.GET_RECORDS, UPLOAD_ROWS))
        assert np.array_equal(docs.get(ids, with_vector=True).vectors, vectors[ids])
