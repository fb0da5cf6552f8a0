"""An embedded upload: what it submits and when, and how it ends where writes fail."""

from __future__ import annotations

from concurrent.futures import Future

import numpy as np
import pytest

import vecdb
from vecdb import limits
from vecdb.collection import chunks
from vecdb.collection import upload as module
from vecdb.collection.progress import open_progress
from vecdb.collection.sources import Source
from vecdb.collection.upload import ROUND, Upload
from vecdb.errors import (
    DeadlineExceeded,
    InvalidArgument,
    LimitExceeded,
    NotFound,
    StorageError,
    Unavailable,
    UploadFailed,
)
from vecdb.results import WriteResult

UPLOAD_ID = "000102030405060708090a0b0c0d0e0f"


class Writes:
    """Takes batches as ``Collection.submit_upsert`` does; ``script``: what becomes of each.

    A function of the script is called with the ids; it may raise (refused at the door), or return
    an error (refused by the writer) or None (stored, as is all that comes after the script).
    """

    def __init__(self, *script):
        self.script = list(script)
        self.keys = []
        self.ids = []
        self.waiting = []
        self.most = 0

    def __call__(self, ids, vectors, payloads, *, idempotency_key, timeout):
        outcome = self.script.pop(0)(list(ids)) if self.script else None
        future: Future[WriteResult] = Future()
        self.keys.append(int.from_bytes(idempotency_key[16:], "big"))
        self.ids.append(list(ids))
        self.waiting.append((future, outcome))
        self.most = max(self.most, len(self.waiting))
        future.result = lambda timeout=None: self._settle(future)  # type: ignore[method-assign]
        return future

    def _settle(self, future):
        found, outcome = self.waiting.pop(0)
        assert found is future, "chunks are settled in the order they were submitted"
        if outcome is not None:
            raise outcome
        return WriteResult(count=1, sequence=1)


def refuse(error):
    """Refused at the door."""

    def step(ids):
        raise error

    return step


def fail(error):
    """Refused by the writer."""
    return lambda ids: error


def run(writes, rows=6, *, vectors=None, timeout=None, on_error="raise", payloads=None):
    """Upload in chunks of 2 rows."""
    given = np.ones((rows, 4), np.float32) if vectors is None else vectors
    source = Source(given, None, payloads, None, warn=False)
    job = Upload(
        writes, source, {"year": "int"}, on_error=on_error, resume=UPLOAD_ID, timeout=timeout
    )
    with open_progress(False, None) as progress:
        return job.run(progress)


@pytest.fixture(autouse=True)
def chunks_of_two(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_RECORDS", 2)
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.001)


BUSY = LimitExceeded("the queue is full", retry_after=0.001)


def test_few_chunks_are_in_flight_at_once():
    writes = Writes()
    report = run(writes, rows=40)
    assert (report.ok, report.chunks, writes.most) == (40, 20, limits.UPLOAD_WINDOW)
    assert writes.keys == list(range(20))
    assert writes.ids == [[row, row + 1] for row in range(0, 40, 2)]


def test_source_is_read_no_further_than_needed():
    read = []

    def source():
        for number in range(10):
            read.append(number)
            yield np.ones((2, 4), np.float32)

    writes = Writes(*[lambda ids: read.append(f"sent {ids[0]}")] * 10)
    run(writes, vectors=source())
    assert read.index("sent 0") < read.index(3)


def test_full_queue_is_waited_for():
    writes = Writes(refuse(BUSY), refuse(BUSY), lambda ids: None, refuse(BUSY))
    report = run(writes)
    assert (report.ok, report.failed) == (6, ())
    assert report.retries >= 2
    assert writes.keys == [0, 1, 2]


def test_full_disk_is_waited_for_and_the_chunk_written_again():
    writes = Writes(fail(BUSY), lambda ids: None, fail(BUSY))
    report = run(writes)
    assert (report.ok, report.retries) == (6, 2)
    assert sorted(writes.keys) == [0, 0, 1, 2, 2]


@pytest.mark.parametrize("step", [refuse(BUSY), fail(BUSY)], ids=["at the door", "by the writer"])
def test_waiting_ends_with_the_time_of_a_chunk(step):
    with pytest.raises(UploadFailed, match="broke off after 0 records") as caught:
        run(Writes(*[step] * 100_000), timeout=0.02)
    report = caught.value.report
    assert (report.ok, len(report.failed) >= 2) == (0, True)
    assert UPLOAD_ID in caught.value.hint
    assert caught.value.maybe_applied


@pytest.mark.parametrize(
    "error", [DeadlineExceeded("too late"), Unavailable("closed", reason="CLOSED")]
)
def test_upload_that_breaks_off_tells_how_to_go_on(error):
    with pytest.raises(UploadFailed) as caught:
        run(Writes(lambda ids: None, fail(error)), rows=8, on_error="collect")
    report = caught.value.report
    assert report.ok == 2
    assert [one.id for one in report.failed] == [2, 3, 4, 5, 6, 7]
    assert {one.code for one in report.failed} == {type(error).__name__}
    assert caught.value.reason == error.reason
    assert caught.value.__cause__ is error
    assert f"resume={UPLOAD_ID!r}" in caught.value.hint


@pytest.mark.parametrize("error", [NotFound("gone"), StorageError("the disk failed")])
def test_error_of_every_chunk_ends_the_upload_as_it_is(error):
    with pytest.raises(type(error)) as caught:
        run(Writes(lambda ids: None, fail(error)), on_error="collect")
    assert caught.value is error
    assert any(UPLOAD_ID in note for note in error.__notes__)


def test_error_of_the_first_chunk_has_nothing_to_resume():
    error = NotFound("gone")
    with pytest.raises(NotFound):
        run(Writes(refuse(error)))
    assert not hasattr(error, "__notes__")


def test_refused_records_leave_their_chunk_and_change_its_key():
    bad = InvalidArgument("ids[1] is bad", field="ids[1]")
    writes = Writes(lambda ids: None, refuse(bad))
    report = run(writes, on_error="collect")
    assert report.ok == 5
    assert [(one.id, one.message) for one in report.failed] == [(3, "ids[3] is bad")]
    assert writes.keys == [0, 1 + ROUND, 2]
    assert writes.ids == [[0, 1], [2], [4, 5]]


def test_chunk_that_is_refused_as_a_whole_fails_as_a_whole():
    bad = InvalidArgument("ids are strings", field="ids", hint="They are never mixed")
    report = run(Writes(fail(bad)), on_error="collect")
    assert [one.id for one in report.failed] == [0, 1]
    assert report.failed[0].message == "ids are strings. They are never mixed"
    assert report.ok == 4


def test_refusal_that_names_no_record_ends_the_upload():
    for field in ("", "vectors", "ids[7]", "timeout"):
        error = InvalidArgument("no", field=field)
        with pytest.raises(InvalidArgument) as caught:
            run(Writes(refuse(error)), on_error="collect")
        assert caught.value is error


def test_bad_records_of_one_kind_cost_one_more_try(db, monkeypatch):
    """However many there are: else a chunk of nothing but zeros would be tried 10,000 times."""
    monkeypatch.undo()
    docs = db.create_collection("many", dim=4, metric="cosine", fields={"year": "int"})
    vectors = np.ones((4_000, 4), np.float32)
    vectors[::3] = 0
    vectors[1::3, 2] = np.nan
    payloads = [{"year": "bad"} if row % 5 == 0 else None for row in range(4_000)]
    tries = []
    submit = docs.submit_upsert

    def counted(*arguments, **options):
        tries.append(len(arguments[0]))
        return submit(*arguments, **options)

    monkeypatch.setattr(docs, "submit_upsert", counted)
    report = docs.upload(vectors, payloads=payloads, on_error="collect", progress=False)
    good = [row for row in range(4_000) if row % 3 == 2 and row % 5]
    assert docs.scroll(limit=10_000).ids.tolist() == good
    assert report.ok == len(good)
    assert len(tries) == 4
    assert len({one.id for one in report.failed}) == len(report.failed) == 4_000 - len(good)


def test_upload_waits_for_other_writers(db, docs, monkeypatch):
    """The queue of the database is as good as full of writes that are not the upload's."""
    monkeypatch.setattr(limits, "WRITE_QUEUE", 1)
    others = docs._store.submit
    held = [others(lambda group: None, 1)]
    report = docs.upload(np.ones((50, 4), np.float32), progress=False)
    assert (report.ok, docs.count()) == (50, 50)
    assert held[0].result() is None


def test_closing_under_an_upload_breaks_it_off(tmp_path, monkeypatch):
    db = vecdb.open(tmp_path, threads=1)
    docs = db.create_collection("docs", dim=4)

    def source():
        for number in range(100):
            if number == 5:
                db.close()
            yield np.ones((2, 4), np.float32)

    with pytest.raises((UploadFailed, Unavailable)) as caught:
        docs.upload(source(), resume=UPLOAD_ID, progress=False)
    assert caught.value.reason == "CLOSED"
    with vecdb.open(tmp_path, threads=1) as db:
        docs = db.collection("docs")
        stored = docs.count()
        assert stored % 2 == 0
        report = docs.upload(np.ones((200, 4), np.float32), resume=UPLOAD_ID, progress=False)
        assert (report.ok, docs.count()) == (200, 200)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"on_error": "skip"}, "on_error"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": "1"}, "timeout"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_anything_is_read(settings, field):
    def source():
        raise AssertionError("was read")
        yield

    with pytest.raises(InvalidArgument) as caught:
        run(Writes(), vectors=source(), **settings)
    assert caught.value.field == field


def test_progress_is_told_to_a_function_or_to_nobody(capsys):
    told = []
    with open_progress(lambda records, size: told.append((records, size)), 10) as progress:
        progress.show(5, 100)
    for quiet in (True, False):  # stderr is no terminal here
        with open_progress(quiet, None) as progress:
            progress.show(1, 1)
    assert told == [(5, 100)]
    assert capsys.readouterr().err == ""
    with pytest.raises(InvalidArgument):
        open_progress("yes", None)
