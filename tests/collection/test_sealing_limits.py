"""Builds beside cleaning, drops and closes, and with little memory: records stay what they are."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest

import vecdb
from vecdb.check import check_directory
from vecdb.collection import cleaning, plans
from vecdb.collection.building import build_bytes
from vecdb.collection.cleaning import needs_cleaning
from vecdb.collection.sealing import Outdated, tail_rows
from vecdb.errors import InvalidArgument, LimitExceeded, NotFound, Unavailable
from vecdb.storage.catalogue import State
from vecdb.storage.manifest import get_tombs, scan_segments

MOMENTS = (0.0, 0.7, 0.95, 1.0)
"""Shares of a build: begun; the tree is made; codes are written; the folder has its name."""


def test_memory_for_builds_is_an_option_of_open(tmp_path, rng):
    with pytest.raises(InvalidArgument, match="build_memory"):
        vecdb.open(tmp_path, build_memory=0)
    with vecdb.open(tmp_path, threads=1, build_memory=1) as db:
        docs = db.create_collection("docs", dim=4)
        docs.upsert(range(10), rng.standard_normal((10, 4)).astype(np.float32))
        with pytest.raises(LimitExceeded, match="memory for builds") as caught:
            docs.seal()
        assert "build_memory=" in str(caught.value.hint)
        assert docs.describe().tail == 10


# ------------------------------------------------------------------------------------- cleaning


@pytest.fixture
def eager_cleaning(monkeypatch):
    monkeypatch.setattr(cleaning, "DEAD_ROWS", 20)
    monkeypatch.setattr(cleaning, "_STEP_PARTS", 2)


def churn(one, numbers, turns=6):
    for _ in range(turns):
        one.upsert(numbers)


def test_cleaning_waits_for_a_build(pair, during, eager_cleaning):
    one = pair()
    one.upsert(range(100))
    one.docs.seal()
    one.upsert(range(50, 150))
    seen = []

    def write():
        churn(one, range(100, 140))
        with one.store.view("docs") as view:
            seen.append((needs_cleaning(view.state), view.state.first_slot))

    during(one.store, 0.7, write)
    done = one.docs.seal()
    assert seen == [(True, 100)]
    assert (done.records, one.segments()) == (100, [100, 100])
    for _ in range(500):  # now it comes, between writes
        with one.store.view("docs") as view:
            if not needs_cleaning(view.state):
                break
        one.patch([3])
    assert not needs_cleaning(view.state)
    one.reopen()


def test_seal_begins_again_when_cleaning_has_moved_records(
    pair, during, eager_cleaning, monkeypatch
):
    """The race that waiting does not rule out: a step that was chosen before the build began."""
    one = pair()
    one.upsert(range(100))
    one.docs.seal()
    one.upsert(range(50, 150))
    monkeypatch.setattr(one.store.sealer, "is_sealing", lambda number: False)
    plan, planned = plans.plan_seal, []

    def plan_again(*arguments):
        planned.append(plan(*arguments))
        return planned[-1]

    monkeypatch.setattr("vecdb.collection.sealer.plan_seal", plan_again)

    def write():
        churn(one, range(100, 140))
        for _ in range(500):
            with one.store.view("docs") as view:
                if view.state.trimmed > 1:
                    return
            one.patch([3])
        raise AssertionError("nothing was cleaned")

    during(one.store, 0.7, write)
    done = one.docs.seal()
    assert len(planned) == 2
    assert done.segments == 2
    assert one.folders() == 2
    one.reopen()


def test_retired_rows_of_segments_are_buried(pair, monkeypatch):
    """Deletions of sealed records do not stay in the operations for ever."""
    monkeypatch.setattr(cleaning, "BURIED_ROWS", 30)
    one = pair()
    one.upsert(range(200))
    one.docs.seal()
    one.compare()
    for number in range(60):
        one.delete([number])
    for _ in range(500):
        with one.store.view("docs") as view:
            (row,) = scan_segments(view.transaction, view.row.number)
            dead = get_tombs(view.transaction, view.row.number, row.uuid, 25)
        if not needs_cleaning(view.state):
            break
        one.patch([100])
    assert np.bitwise_count(dead).sum() > 0
    one.reopen()
    one.docs.compact()
    one.reopen()


@pytest.mark.parametrize("kind", ["seal", "compact"])
def test_rows_that_were_buried_during_a_compaction_stay_dead(pair, during, monkeypatch, kind):
    monkeypatch.setattr(cleaning, "BURIED_ROWS", 5)
    one = pair()
    one.upsert(range(100))
    one.docs.seal()
    one.upsert(range(100, 200))
    if kind == "compact":
        one.docs.seal()
        one.delete([1])
    monkeypatch.setattr(one.store.sealer, "is_sealing", lambda number: False)

    def write():
        for number in range(2, 60, 2):
            one.delete([number, 100 + number])

    during(one.store, 0.7, write)
    one.docs.seal() if kind == "seal" else one.docs.compact()
    one.reopen()


@pytest.mark.parametrize("plan", ["seal", "compact"])
def test_segment_that_another_one_has_overtaken_does_not_fit(pair, plan):
    one = pair()
    one.upsert(range(100))
    if plan == "compact":
        one.docs.seal()
        one.upsert(range(50, 150))
        one.docs.seal()
    row = one.store.row("docs")

    def make():
        if plan == "seal":
            return plans.plan_seal(one.store, row, 1, lambda _: None, lambda: None)
        return plans.plan_compaction(
            one.store, row, lambda all: all, 1, lambda _: None, lambda: None
        )

    first, second = make(), make()
    one.store.submit(first.commit, 0).result()
    first.clean_up(one.path)
    with pytest.raises(Outdated):
        one.store.submit(second.commit, 0).result()
    one.store.segments.remove(second.segment.uuid)
    one.reopen()


# ----------------------------------------------------------------------------- drop, close, memory


@pytest.mark.parametrize("again", [False, True], ids=["dropped", "made again"])
@pytest.mark.parametrize("moment", [0.0, 1.0])
def test_collection_that_is_dropped_during_a_build_leaves_nothing(pair, during, moment, again):
    one = pair()
    one.upsert(range(100))

    def drop():
        one.db.delete_collection("docs")
        if again:
            one.db.create_collection("docs", dim=3).upsert([1], np.ones((1, 3)))

    during(one.store, moment, drop)
    with pytest.raises(NotFound) as caught:
        one.docs.seal()
    assert caught.value.reason == "NO_COLLECTION"
    assert one.folders() == 0
    if again:
        assert one.docs.describe().count == 1
        assert one.docs.seal().records == 1
    one.db.close()
    report = check_directory(one.path)
    assert report.ok
    assert "unfinished segments" not in report.counts


def test_files_of_a_dropped_collection_are_removed(pair, monkeypatch):
    one = pair()
    one.upsert(range(50))
    one.docs.seal()
    swept = threading.Event()
    sweep = one.store.segments.sweep
    monkeypatch.setattr(
        one.store.segments, "sweep", lambda transaction: (sweep(transaction), swept.set())
    )
    one.db.delete_collection("docs")
    assert swept.wait(60)
    assert one.folders() == 0


@pytest.mark.parametrize("moment", MOMENTS)
def test_close_ends_a_build_and_keeps_the_records(pair, during, moment):
    one = pair()
    one.upsert(range(300))
    closer = threading.Thread(target=one.db.close)

    def close():
        closer.start()
        while not one.store.sealer._closing:
            pass

    left = during(one.store, moment, close)
    future = one.store.build(one.store.row("docs"), "seal")
    error = future.exception(60)
    closer.join()
    assert not left
    if moment < 1:
        assert isinstance(error, Unavailable)
        assert error.reason == "CLOSED"
    segments = 0 if error else 1
    assert one.folders() == segments
    one.db = vecdb.open(one.path, threads=2)
    one.docs = one.db.collection("docs")
    assert one.docs.describe().segments == segments
    one.reopen()
    assert one.docs.seal().segments == 1


def allow_rows(one, rows):
    schema = one.store.row("docs").schema
    one.store.build_memory = build_bytes(schema, rows)


def test_seal_takes_the_oldest_batches_that_fit_the_memory(pair, during):
    one = pair()
    for start in (0, 100, 200):
        one.upsert(range(start, start + 100))
    one.delete([5, 105, 205])
    allow_rows(one, 250)
    during(one.store, 0.7, lambda: one.upsert([0, 5, 150, 250, 400]))
    done = one.docs.seal()
    assert (done.records, one.segments()) == (198, [198])
    one.reopen()
    allow_rows(one, 250)
    assert one.docs.seal().segments == 2
    assert one.docs.seal().records == 0
    done = one.docs.compact()
    assert (done.records, done.segments) == (0, 2)  # both together do not fit
    one.reopen()


def test_oldest_batch_that_does_not_fit_the_memory_is_refused(pair):
    one = pair()
    one.upsert(range(100))
    allow_rows(one, 99)
    with pytest.raises(LimitExceeded) as caught:
        one.docs.seal()
    assert caught.value.reason == "BUILD_MEMORY"
    assert one.docs.describe().segments == 0
    one.docs.delete([3])
    one.model.delete([3])
    assert one.docs.seal().records == 99
    one.reopen()


def operation(sequence, first_slot, count):
    return SimpleNamespace(sequence=sequence, first_slot=first_slot, vectors=np.empty((count, 1)))


@pytest.mark.parametrize(
    ("rows_max", "expected"),
    [
        (100, ([10, 11, 13, 14, 15, 16, 18], 20, 9)),
        (7, ([10, 11, 13, 14, 15, 16, 18], 20, 9)),
        (6, ([10, 11, 13, 14, 15, 16], 18, 7)),
        (5, ([10, 11, 13], 14, 5)),  # the parts of one operation stay together
        (3, ([10, 11, 13], 14, 5)),
        (2, ([10, 11], 12, 4)),
        (1, ([], 10, 3)),
    ],
)
def test_rows_to_seal_end_behind_a_whole_operation(rows_max, expected):
    """Sequence 6 has two parts, 7 no vectors."""
    operations = [
        operation(4, 10, 2),
        operation(5, 12, 2),
        operation(6, 14, 2),
        operation(6, 16, 2),
        operation(7, 0, 0),
        operation(8, 18, 2),
    ]
    slots = np.array([10, 11, 13, 14, 15, 16, 18])
    snapshot = SimpleNamespace(tail=SimpleNamespace(live_slots=lambda: slots))
    state = State(first_slot=10, next_slot=20, trimmed=3, sequence=9)
    found, boundary, through = tail_rows(operations, snapshot, state, rows_max)
    assert (found.tolist(), boundary, through) == expected
