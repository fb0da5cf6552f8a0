"""The thread that seals and compacts: when it does, in what order, and what it does on failure."""

from __future__ import annotations

import errno
import logging
import os
import threading
from types import SimpleNamespace
from uuid import UUID

import numpy as np
import pytest

import vecdb
from vecdb.check import check_directory
from vecdb.collection import sealer
from vecdb.collection.sealer import choose_compaction, needs_seal, tail_limit
from vecdb.collection.sealing import Swap
from vecdb.errors import DeadlineExceeded, StorageError, Unavailable
from vecdb.results import SealResult
from vecdb.storage.catalogue import State
from vecdb.storage.manifest import scan_segments
from vecdb.storage.segment_files import SEGMENTS
from vecdb.storage.segment_writer import SegmentWriter
from vecdb.testing.faults import flip_bit

SECONDS = 60


@pytest.fixture
def fill(docs, rng):
    def write(count, first=0):
        vectors = rng.standard_normal((count, 4)).astype(np.float32)
        docs.upsert(np.arange(first, first + count), vectors)

    return write


@pytest.fixture
def thread(db):
    """The sealer, and what to hold it by."""
    return db._store.sealer


@pytest.fixture
def tended(thread, monkeypatch):
    """Waits until the thread has done, by itself, what a collection needs."""
    tend, done = thread._tend, threading.Semaphore(0)

    def watched(*arguments):
        tend(*arguments)
        done.release()

    monkeypatch.setattr(thread, "_tend", watched)

    def wait():
        assert done.acquire(timeout=SECONDS)

    return wait


@pytest.fixture
def held(thread, monkeypatch):
    """Holds the next build at its first sign of progress, until told to go on."""
    entered, leave = threading.Event(), threading.Event()
    show = thread._show

    def stop(share):
        show(share)
        entered.set()
        assert leave.wait(SECONDS)

    monkeypatch.setattr(thread, "_show", stop)
    yield SimpleNamespace(wait=lambda: entered.wait(SECONDS), go=leave.set)
    leave.set()


def sizes(docs):
    with docs._store.view(docs.name) as view:
        return [one.count for one in scan_segments(view.transaction, view.row.number)]


# ---------------------------------------------------------------------------------------- policy


def test_tail_is_sealed_from_a_share_of_the_collection_on_within_bounds():
    assert tail_limit(0) == tail_limit(400_000) == sealer.SEAL_RECORDS
    assert tail_limit(1_000_000) == 50_000
    assert tail_limit(10**9) == sealer.SEAL_RECORDS_MAX
    assert not needs_seal(State(count=19_999))
    assert needs_seal(State(count=20_000))
    assert not needs_seal(State(count=1_000_000, sealed=950_001))
    assert needs_seal(State(count=1_000_000, sealed=950_000))


def sealed(number, live, dead=0):
    class Segment(SimpleNamespace):
        def __len__(self):
            return live + dead

    return Segment(live=live, segment=SimpleNamespace(uuid=UUID(int=number)))


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ([], []),
        ([(100, 0)], []),
        ([(100, 20)], []),
        ([(100, 26)], [0]),
        ([(100, 0), (49, 0)], []),
        ([(100, 0), (50, 0)], [0, 1]),
        ([(50, 0), (100, 0)], [1, 0]),
        ([(1_000, 0), (100, 0), (50, 0)], [1, 2]),
        ([(1_000, 0), (400, 0), (100, 0)], [0, 1, 2]),  # none alone, but together
        ([(1_000, 0), (300, 0), (199, 0)], [1, 2]),
        ([(1_000, 0), (300, 0), (200, 0)], [0, 1, 2]),
        ([(1_000, 500), (100, 90)], [0]),
        ([(1_000, 0), (0, 10)], [1]),
        ([(0, 10), (0, 10)], [0, 1]),
    ],
)
def test_segments_join_those_that_are_not_much_larger(segments, expected):
    made = tuple(sealed(number, *sizes) for number, sizes in enumerate(segments))
    assert [made.index(one) for one in choose_compaction(made)] == expected


def test_each_record_is_written_again_a_logarithmic_number_of_times():
    """1,024 seals of equal size, compacted as the thread does."""
    segments, written = [], 0
    for number in range(1_024):
        segments.append(sealed(number, 1))
        while chosen := choose_compaction(tuple(segments)):
            live = sum(one.live for one in chosen)
            written += live
            segments = [one for one in segments if one not in chosen]
            segments.append(sealed(10_000 + number, live))
        assert len(segments) <= 11
    assert written < 16 * 1_024


# ------------------------------------------------------------------------------------- by itself


def test_tail_is_sealed_when_it_is_large_enough(docs, fill, tended, monkeypatch):
    monkeypatch.setattr(sealer, "SEAL_RECORDS", 100)
    fill(99)
    assert sizes(docs) == []
    fill(1, first=99)
    tended()
    info = docs.describe()
    assert (info.segments, info.tail, info.sealing) == (1, 0, "")
    fill(40, first=100)
    docs.delete(np.arange(40))
    fill(60, first=140)
    tended()
    assert sizes(docs) == [160]  # it was compacted too
    assert docs.count() == 160


def test_segments_with_many_dead_slots_are_written_anew(docs, fill, tended, monkeypatch):
    monkeypatch.setattr(sealer, "SEAL_RECORDS", 100)
    fill(1_000)
    tended()
    assert sizes(docs) == [1_000]
    docs.delete(np.arange(300))
    fill(100, first=1_000)
    tended()
    assert sizes(docs) == [700, 100]


def test_automatic_work_and_what_was_asked_for_take_turns(docs, fill, thread, tended, monkeypatch):
    monkeypatch.setattr(sealer, "SEAL_RECORDS", 100)
    for first in range(0, 1_000, 50):
        fill(50, first)
        if first % 200 == 0:
            docs.compact(wait=False)
    docs.seal()
    docs.compact()
    assert sum(sizes(docs)) == 1_000
    assert docs.describe().tail == 0


def test_seal_that_fails_is_tried_again_when_the_tail_has_grown(
    docs, fill, thread, tended, monkeypatch, caplog
):
    monkeypatch.setattr(sealer, "SEAL_RECORDS", 100)
    plan, tries = sealer.plan_seal, []

    def fail(*arguments):
        tries.append(arguments)
        raise StorageError("no luck", reason="SEGMENT_FAILED")

    monkeypatch.setattr(sealer, "plan_seal", fail)
    with caplog.at_level(logging.WARNING, "vecdb"):
        fill(100)
        tended()
        assert "collection docs could not be sealed: no luck" in caplog.text
        fill(24, first=100)
        tended()
        assert len(tries) == 1
        fill(1, first=124)
        tended()
        assert len(tries) == 2
    monkeypatch.setattr(sealer, "plan_seal", plan)
    fill(100, first=125)
    tended()
    assert sizes(docs) == [225]


def test_collection_that_was_dropped_meanwhile_is_no_failure(
    db, docs, fill, held, tended, monkeypatch, caplog
):
    monkeypatch.setattr(sealer, "SEAL_RECORDS", 100)
    with caplog.at_level(logging.WARNING, "vecdb"):
        fill(100)
        held.wait()
        db.delete_collection("docs")
        held.go()
        tended()
    assert caplog.text == ""
    assert db._store.sealer._failed == {}


# ------------------------------------------------------------------------------------ asked for


def test_progress_is_told_while_a_build_goes_on(docs, fill, held):
    fill(50)
    future = docs._store.build(docs._store.row("docs"), "seal")
    assert held.wait()
    told = docs.describe().sealing
    assert told.startswith("sealing ")
    assert told.endswith(" %")
    held.go()
    assert future.result(SECONDS) == SealResult(records=50, segments=1)
    assert docs.describe().sealing == ""
    fill(20)
    docs.seal()


def test_result_that_comes_after_the_deadline_is_not_waited_for(docs, fill, held):
    fill(50)
    with pytest.raises(DeadlineExceeded):
        docs.seal(timeout=0.001)
    held.go()
    assert docs.seal().segments == 1
    assert sizes(docs) == [50]


def test_request_that_waits_is_given_up_at_its_deadline(docs, fill, held, thread):
    fill(50)
    first = docs._store.build(docs._store.row("docs"), "seal")
    held.wait()
    with pytest.raises(DeadlineExceeded):
        docs.compact(timeout=0.001)
    held.go()
    first.result(SECONDS)
    assert docs.seal().segments == 1


def test_close_fails_what_waits(db, docs, fill, held):
    fill(50)
    row = docs._store.row("docs")
    under_way = docs._store.build(row, "seal")
    held.wait()
    waiting = docs._store.build(row, "compact")
    closer = threading.Thread(target=db.close)
    closer.start()
    while not db._store.sealer._closing:
        pass
    held.go()
    for future in (under_way, waiting):
        error = future.exception(SECONDS)
        assert isinstance(error, Unavailable)
        assert error.reason == "CLOSED"
    closer.join()
    with pytest.raises(Unavailable):
        docs.seal()


def test_reader_cannot_seal(tmp_path, db):
    db.create_collection("other", dim=4)
    db.close()
    with vecdb.open(tmp_path / "db", read_only=True) as reader:
        for call in (reader.collection("other").seal, reader.collection("other").compact):
            with pytest.raises(vecdb.errors.PreconditionFailed):
                call()


# ---------------------------------------------------------------------------------- what fails


FAILURES = {
    "no room": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "disk": OSError(errno.EIO, os.strerror(errno.EIO)),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_seal_whose_files_cannot_be_written_leaves_nothing(
    db, docs, fill, tmp_path, monkeypatch, kind
):
    def fail(*_):
        raise FAILURES[kind]

    fill(50)
    with monkeypatch.context() as patched:
        patched.setattr("vecdb.storage.segment_writer.sync_directory", fail)
        with pytest.raises((StorageError, vecdb.errors.LimitExceeded)) as caught:
            docs.seal()
    assert caught.value.reason == ("DISK_FULL" if kind == "no room" else "SEGMENT_FAILED")
    assert list((tmp_path / "db" / SEGMENTS).iterdir()) == []
    assert docs.count() == 50
    fill(10, first=50)
    assert docs.seal() == SealResult(records=60, segments=1)


def test_segment_that_the_disk_has_damaged_is_found_before_it_is_named(
    docs, fill, tmp_path, monkeypatch
):
    commit = SegmentWriter.commit

    def damage(self, info):
        made = commit(self, info)
        (folder,) = (tmp_path / "db" / SEGMENTS).iterdir()
        flip_bit(folder / "ids", 4_100, 1)
        return made

    fill(50)
    with monkeypatch.context() as patched:
        patched.setattr(SegmentWriter, "commit", damage)
        with pytest.raises(vecdb.errors.DataCorruption):
            docs.seal()
    assert list((tmp_path / "db" / SEGMENTS).iterdir()) == []
    assert docs.count() == 50
    assert docs.seal().records == 50


@pytest.mark.parametrize("maybe", [False, True])
def test_files_stay_where_the_commit_may_have_happened(
    db, docs, fill, tmp_path, monkeypatch, maybe
):
    """A meta page whose write has failed may be on the disk all the same, and name the segment."""
    fill(50)
    environment = db._store.environment
    write_once = environment._write_once

    def fail_behind(apply, ways_out=()):
        if maybe:
            write_once(apply, ways_out)
        raise StorageError("the disk refused a write", reason="STORE_FAILED", maybe_applied=maybe)

    monkeypatch.setattr(environment, "_write_once", fail_behind)
    with pytest.raises(StorageError):
        docs.seal()
    monkeypatch.setattr(environment, "_write_once", write_once)
    db.close()
    with vecdb.open(tmp_path / "db", threads=1) as again:
        docs = again.collection("docs")
        assert docs.describe().segments == maybe
        assert docs.count() == len(docs.search(np.ones(4), 100)) == 50
    report = check_directory(tmp_path / "db")
    assert report.ok, report.problems
    assert "unfinished segments" not in report.counts


def test_thread_outlives_files_that_cannot_be_swept(db, docs, fill, thread, monkeypatch, caplog):
    fill(50)
    docs.seal()

    def fail(transaction):
        raise StorageError("no luck")

    with caplog.at_level(logging.WARNING, "vecdb"), monkeypatch.context() as patched:
        patched.setattr(db._store.segments, "sweep", fail)
        thread.sweep()
        assert docs.compact().segments == 1
        assert docs.compact().segments == 1
    assert "could not be removed" in caplog.text


def test_deleting_sealed_records_calls_for_a_compaction(tmp_path, rng, monkeypatch):
    """Without a seal: nothing is written but deletes."""
    monkeypatch.setattr(sealer, "BURIED_RECORDS", 50)
    done = threading.Event()
    clean_up = Swap.clean_up
    monkeypatch.setattr(Swap, "clean_up", lambda *given: (clean_up(*given), done.set()))
    with vecdb.open(tmp_path, threads=1) as db:
        docs = db.create_collection("docs", dim=4)
        docs.upsert(range(400), rng.standard_normal((400, 4)).astype(np.float32))
        docs.seal()
        done.clear()
        docs.delete(range(40))
        docs.delete(range(40, 200))
        assert done.wait(60.0), "nothing was compacted"
        (segment,) = docs.stats()["segments"]
        assert segment["slots"] == 200
