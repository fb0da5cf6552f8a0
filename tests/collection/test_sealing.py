"""Records go into segments and out of them; whatever is written meanwhile, none is lost."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import vecdb
from vecdb.check import check_directory
from vecdb.collection import cleaning, plans
from vecdb.collection.building import build_bytes
from vecdb.collection.cleaning import needs_cleaning
from vecdb.collection.sealing import tail_rows
from vecdb.errors import LimitExceeded, NotFound, Unavailable
from vecdb.storage.catalogue import State
from vecdb.storage.manifest import get_tombs, scan_segments
from vecdb.storage.segment_files import SEGMENTS
from vecdb.testing.model import Model

DIM = 16
FIELDS = {"group": "int"}
MOMENTS = (0.0, 0.7, 0.95, 1.0)
"""Shares of a build: begun; the tree is made; codes are written; the folder has its name."""


class Pair:
    """A collection and what it should hold."""

    def __init__(self, path: Path, **schema) -> None:
        self.path = path
        self.texts = schema.pop("texts", False)
        self.rng = np.random.default_rng(5)
        schema = {"dim": DIM, "metric": "l2", **schema}
        self.model = Model(
            dim=schema["dim"], metric=schema["metric"], dtype=schema.get("dtype", "float32")
        )
        self.db = vecdb.open(path, threads=2)
        self.docs = self.db.create_collection("docs", fields=FIELDS, **schema)

    @property
    def store(self):
        return self.docs._store

    def ids(self, numbers) -> list:
        return [f"é{number}" if self.texts else int(number) for number in numbers]

    def vectors(self, count):
        if self.model.dtype == np.uint8:
            return self.rng.integers(1, 256, (count, DIM)).astype(np.float32)
        return self.rng.standard_normal((count, DIM)).astype(np.float32)

    def upsert(self, numbers) -> None:
        ids, vectors = self.ids(numbers), self.vectors(len(numbers))
        payloads = [{"group": number % 5} if number % 3 else None for number in numbers]
        done = self.docs.upsert(ids, vectors, payloads)
        self.model.upsert(ids, vectors, payloads, sequence=done.sequence)

    def delete(self, numbers) -> None:
        self.docs.delete(self.ids(numbers))
        self.model.delete(self.ids(numbers))

    def patch(self, numbers) -> None:
        done = self.docs.set_payload(self.ids(numbers), {"group": 77})
        self.model.set_payload(self.ids(numbers), {"group": 77}, merge=True, sequence=done.sequence)

    def compare(self) -> None:
        """Everything that can be read; and codes and counters fit."""
        self.model.check(self.docs)
        self.model.check_search(self.docs, self.vectors(1)[0], 50)
        self.model.check_search(
            self.docs,
            self.vectors(1)[0],
            len(self.model) + 1,
            filter={"group": 77},
            predicate=lambda payload: payload.get("group") == 77,
        )
        some = self.model.matching()[::7]
        if some:
            self.model.check_records(self.docs.get(some, with_vector=True), some)
        with self.store.view("docs", with_snapshot=True) as view:
            assert view.snapshot.live == view.state.count == len(self.model)
            assert view.snapshot.tail.live == view.state.count - view.state.sealed

    def reopen(self) -> None:
        """Compare, close, verify the files, open, compare."""
        self.compare()
        self.db.close()
        report = check_directory(self.path, deep=True)
        assert report.ok, report.problems
        assert "unfinished segments" not in report.counts
        self.db = vecdb.open(self.path, threads=2)
        self.docs = self.db.collection("docs")
        self.compare()

    def folders(self) -> int:
        folder = self.path / SEGMENTS
        return len(list(folder.iterdir())) if folder.exists() else 0

    def segments(self) -> list[int]:
        """Slots of each segment."""
        with self.store.view("docs") as view:
            return [one.count for one in scan_segments(view.transaction, view.row.number)]


@pytest.fixture
def pair(tmp_path):
    made = []

    def make(**schema):
        made.append(Pair(tmp_path / "db", **schema))
        return made[-1]

    yield make
    for one in made:
        one.db.close()


@pytest.fixture
def during(monkeypatch):
    """Calls ``action`` once in the next build, when that share of it is done."""

    def install(store, share, action):
        show, left = store.sealer._show, [action]

        def watch(done):
            show(done)
            if done >= share and left:
                left.pop()()

        monkeypatch.setattr(store.sealer, "_show", watch)
        return left

    return install


# ------------------------------------------------------------------------------------ contents


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "metric", "texts"),
    [
        ("float32", "cosine", False),
        ("float32", "dot", True),
        ("float32", "l2", False),
        ("float16", "cosine", True),
        ("float16", "dot", False),
        ("uint8", "cosine", False),
        ("uint8", "l2", True),
    ],
)
def test_records_are_the_same_in_the_tail_in_segments_and_after_reopening(
    pair, dtype, metric, texts
):
    one = pair(dtype=dtype, metric=metric, texts=texts)
    one.upsert(range(200))
    assert one.docs.seal().records == 200
    one.compare()
    one.upsert(range(150, 260))  # 50 of them sealed
    one.delete([0, 5, 199, 255])
    one.patch([1, 2, 250])
    one.reopen()
    done = one.docs.seal()
    assert (done.records, done.segments) == (108, 2)
    one.reopen()
    one.delete(range(40, 60))
    done = one.docs.compact()
    assert (done.records, done.segments) == (len(one.model), 1)
    assert one.segments() == [236]
    one.reopen()


@pytest.mark.parametrize("code_bits", [1, 2, 8])
@pytest.mark.parametrize("page_bytes", [4_096, 16_384])
def test_codes_and_pages_of_every_size_are_sealed(pair, code_bits, page_bytes):
    one = pair(code_bits=code_bits, page_bytes=page_bytes)
    one.upsert(range(150))
    one.docs.seal()
    one.reopen()


def test_single_record_and_equal_vectors_are_sealed(pair):
    one = pair(metric="cosine")
    one.upsert([7])
    one.docs.seal()
    ids, vectors = one.ids(range(10, 400)), np.zeros((390, DIM), np.float32)
    vectors[:300] = 2.0
    vectors[300:, 1] = 1.0
    done = one.docs.upsert(ids, vectors)
    one.model.upsert(ids, vectors, sequence=done.sequence)
    one.docs.seal()
    assert one.segments() == [1, 390]
    one.docs.compact()
    one.reopen()


# -------------------------------------------------------------------- writes during a build


def mixed_writes(one):
    """Old segment: 0-199. Tail: 200-399."""
    one.upsert([*range(10, 20), *range(210, 220), *range(500, 520)])
    one.delete([0, 15, 25, 205, 215, 225, 505])
    one.patch([30, 230, 510])
    one.upsert([0, 225])


def delete_all(one):
    one.delete(range(400))


def overwrite_all(one):
    one.upsert(range(400))


@pytest.mark.slow
@pytest.mark.parametrize("writes", [mixed_writes, delete_all, overwrite_all])
@pytest.mark.parametrize("moment", [0.0, 1.0])
@pytest.mark.parametrize("kind", ["seal", "compact"])
def test_writes_during_a_build_are_neither_lost_nor_doubled(pair, during, kind, moment, writes):
    one = pair()
    one.upsert(range(200))
    one.docs.seal()
    one.upsert(range(200, 400))
    if kind == "compact":
        one.docs.seal()
        one.delete([7, 207])
    one.compare()  # with the snapshot loaded, which the swap changes
    left = during(one.store, moment, lambda: writes(one))
    done = one.docs.seal() if kind == "seal" else one.docs.compact()
    assert not left
    assert done.records == (200 if kind == "seal" else 398)
    one.reopen()
    one.docs.seal()
    one.docs.compact()
    one.reopen()


def test_records_that_nobody_has_loaded_are_sealed_too(pair):
    """No snapshot in memory before the seal; in it, writes that the swap must not lose."""
    one = pair()
    one.upsert(range(100))
    assert one.store.live_of(one.store.row("docs")) is None
    one.docs.seal()
    one.upsert(range(50, 120))
    one.reopen()


@pytest.mark.parametrize("kind", ["seal", "compact"])
def test_swap_in_one_transaction_with_writes_before_and_behind_it(pair, monkeypatch, kind):
    one = pair()
    one.upsert(range(100))
    one.docs.seal()
    one.upsert(range(100, 200))
    if kind == "compact":
        one.docs.seal()
    one.compare()
    store, submit = one.store, one.store.submit
    done = []

    def write(numbers):
        ids, vectors = one.ids(numbers), one.vectors(len(numbers))
        one.model.upsert(ids, vectors)
        row = store.row("docs")
        return submit_upsert(row, ids, vectors)

    def submit_upsert(row, ids, vectors):
        monkeypatch.setattr(store, "submit", submit)
        return one.docs.submit_upsert(ids, vectors)

    def submit_between(run, size_bytes):
        entered, leave = threading.Event(), threading.Event()
        held = submit(lambda _: (entered.set(), leave.wait()), 1)
        entered.wait()
        commits = store.writer.commits
        first = write([5, 105, 300])
        swap = submit(run, size_bytes)
        second = write([6, 105, 106, 300, 301])
        leave.set()
        for future in (held, first, swap, second):
            future.result()
        done.append(store.writer.commits - commits)
        for id, record in one.model.records.items():
            sequence = int(one.docs.get([id]).sequences[0])
            one.model.records[id] = type(record)(
                vector=record.vector, payload=record.payload, sequence=sequence
            )
        return swap

    monkeypatch.setattr(store, "submit", submit_between)
    if kind == "seal":
        one.docs.seal()
    else:
        one.docs.compact()
    assert done == [2]  # what held the writer, then all three
    one.reopen()
    one.docs.seal()
    one.docs.compact()
    one.reopen()


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
    during(one.store, 0.7, lambda: mixed_writes(one))
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
