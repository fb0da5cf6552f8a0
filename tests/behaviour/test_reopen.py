"""What a database that is closed and opened again holds; time; who may open it. Embedded only."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import vecdb
from vecdb import errors
from vecdb.check import check_directory
from vecdb.testing.clock import ManualClock
from vecdb.testing.model import Model

DAY = 24 * 3600.0
FIELDS = {"group": "int"}
ONE = np.array([[1, 2, 3, 4]], np.float32)


def answers(docs, queries):
    """Everything that a search gives, as bytes."""
    found = []
    for filter in (None, {"group": {"in": [0, 1]}}, {"group": {"exists": False}}):
        for one in docs.search_batch(queries, 50, filter=filter, with_vector=True):
            ids = repr(list(one.ids)).encode()
            parts = (ids, one.scores, one.distances, one.vectors, *one.payload_bytes)
            found.append(b"|".join(bytes(part) for part in parts))
    return found


@pytest.mark.parametrize("texts", [False, True], ids=["int", "str"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_reopened_database_answers_to_the_byte(tmp_path, rng, dtype, texts):
    model = Model(dim=8, metric="cosine", dtype=dtype)
    queries = rng.standard_normal((5, 8)).astype(np.float32)
    with vecdb.open(tmp_path, threads=2) as db:
        docs = db.create_collection("docs", dim=8, dtype=dtype, fields=FIELDS)
        for turn in range(12):
            ids = rng.permutation(200)[:60].tolist()
            ids = [f"r{id}" for id in ids] if texts else ids
            vectors = rng.integers(1, 200, (60, 8)).astype(np.float32)
            payloads = [{"group": row % 4} if row % 3 else None for row in range(60)]
            done = docs.upsert(ids, vectors, payloads)
            model.upsert(ids, vectors, payloads, sequence=done.sequence)
            docs.delete(ids[:9])
            model.delete(ids[:9])
            done = docs.set_payload(ids[9:12], {"group": turn})
            model.set_payload(ids[9:12], {"group": turn}, merge=True, sequence=done.sequence)
        db.alias("current", "docs")
        before, described = answers(docs, queries), docs.describe()
        model.check(docs)
    for _ in range(2):
        with vecdb.open(tmp_path, threads=1) as db:
            docs = db.collection("current")
            assert docs.describe() == described
            assert answers(docs, queries) == before
            model.check(docs)
            model.check_search(docs, queries[0], 1_000)
    assert check_directory(tmp_path).ok


def test_reopened_database_goes_on_where_it_was(tmp_path):
    with vecdb.open(tmp_path) as db:
        identity = db.database_id
        docs = db.create_collection("docs", dim=4)
        last = docs.upsert([1], ONE).sequence
        db.create_collection("gone", dim=4)
        db.delete_collection("gone")
    with vecdb.open(tmp_path) as db:
        assert db.database_id == identity
        assert [info.name for info in db.collections()] == ["docs"]
        assert db.collection("docs").upsert([2], ONE).sequence > last
        db.create_collection("gone", dim=2)
        assert db.collection("gone").count() == 0


def test_closing_finishes_the_writes_that_wait(tmp_path):
    with vecdb.open(tmp_path) as db:
        docs = db.create_collection("docs", dim=4)
        for id in range(200):
            docs.upsert([id], ONE, [{"id": id}], wait=False)
    with vecdb.open(tmp_path) as db:
        assert db.collection("docs").count() == 200


def test_closed_database_says_so(tmp_path):
    db = vecdb.open(tmp_path)
    docs = db.create_collection("docs", dim=4)
    docs.upsert([1], ONE)
    db.close()
    db.close()
    for call in (
        lambda: docs.upsert([2], ONE),
        lambda: docs.search(ONE[0]),
        lambda: docs.get([1]),
        lambda: docs.count(),
        lambda: docs.delete([1]),
        lambda: docs.upload(ONE, progress=False),
        lambda: db.create_collection("other", dim=4),
        db.collections,
        db.aliases,
        db.stats,
    ):
        with pytest.raises(errors.Unavailable) as caught:
            call()
        assert caught.value.reason == "CLOSED"


def test_one_process_writes_at_a_time(tmp_path):
    with vecdb.open(tmp_path) as db:
        for read_only in (False, True):
            with pytest.raises(errors.Unavailable) as caught:
                vecdb.open(tmp_path, read_only=read_only)
            assert caught.value.reason == "LOCKED"
        db.create_collection("docs", dim=4)
    with vecdb.open(tmp_path) as db:
        assert db.collection("docs").count() == 0


def test_database_open_for_reading_refuses_every_write(tmp_path):
    with vecdb.open(tmp_path) as db:
        db.create_collection("docs", dim=4).upsert([1], ONE)
    with vecdb.open(tmp_path, read_only=True) as db:
        docs = db.collection("docs")
        for call in (
            lambda: db.create_collection("other", dim=4),
            lambda: db.delete_collection("docs"),
            lambda: db.alias("other", "docs"),
            lambda: db.delete_alias("other"),
            lambda: docs.upsert([2], ONE),
            lambda: docs.delete([1]),
            lambda: docs.delete(filter={}),
            lambda: docs.set_payload([1], {}),
            lambda: docs.upload(ONE, progress=False),
        ):
            with pytest.raises(errors.PreconditionFailed) as caught:
                call()
            assert caught.value.reason == "READ_ONLY"
        assert docs.search(ONE[0]).ids.tolist() == [1]
        assert (db.read_only, db.stats()["read_only"]) == (True, True)


def test_database_that_is_not_there_is_not_made_by_a_reader(tmp_path):
    with pytest.raises(errors.NotFound):
        vecdb.open(tmp_path / "nothing", read_only=True)
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("threads", [0, -1, 1_025, 2.0, True, "2"])
def test_threads_is_a_whole_number_in_bounds(tmp_path, threads):
    with pytest.raises(errors.InvalidArgument) as caught:
        vecdb.open(tmp_path, threads=threads)
    assert caught.value.field == "threads"


def test_number_of_threads_changes_no_answer(tmp_path, rng):
    vectors = rng.standard_normal((4_000, 80)).astype(np.float32)
    vectors[::3] = vectors[1]
    seen = set()
    for threads in (1, 2, 5):
        with vecdb.open(tmp_path, threads=threads) as db:
            if not db.collections():
                db.create_collection("docs", dim=80, fields=FIELDS).upload(vectors, progress=False)
            seen.add(b"".join(answers(db.collection("docs"), vectors[:40])))
    assert len(seen) == 1


# -------------------------------------------------------------------------------------- time


@pytest.fixture
def clock():
    return ManualClock()


def test_key_is_kept_across_a_reopen(tmp_path, clock):
    with vecdb.open(tmp_path, clock=clock) as db:
        first = db.create_collection("docs", dim=4).upsert([1], ONE, idempotency_key=b"key")
    clock.advance(DAY - 1)
    with vecdb.open(tmp_path, clock=clock) as db:
        docs = db.collection("docs")
        again = docs.upsert([1], ONE, idempotency_key=b"key")
        assert (again.replayed, again.count, again.sequence) == (True, 1, first.sequence)
        with pytest.raises(errors.InvalidArgument) as caught:
            docs.upsert([1], -ONE, idempotency_key=b"key")
        assert caught.value.reason == "KEY_REUSED"


def test_key_is_forgotten_after_a_day(tmp_path, clock):
    with vecdb.open(tmp_path, clock=clock) as db:
        docs = db.create_collection("docs", dim=4)
        first = docs.upsert([1], ONE, idempotency_key=b"key")
        clock.advance(DAY + 1)
        docs.upsert([2], ONE, idempotency_key=b"another")
        again = docs.upsert([1], -ONE, idempotency_key=b"key")
        assert not again.replayed
        assert again.sequence > first.sequence
        assert docs.upsert([1], -ONE, idempotency_key=b"key").replayed  # for a day of its own
        clock.advance(DAY - 1)
        docs.upsert([3], ONE, idempotency_key=b"a third")
        assert docs.upsert([1], -ONE, idempotency_key=b"key").replayed


def test_time_alone_changes_nothing(tmp_path, clock):
    with vecdb.open(tmp_path, clock=clock) as db:
        docs = db.create_collection("docs", dim=4)
        docs.upsert([1], ONE, [{"a": 1}])
        before = docs.describe()
        clock.advance(1_000 * DAY)
        assert docs.describe() == before
        assert docs.search(ONE[0]).payloads == [{"a": 1}]


def test_manual_clock_stands_still_and_never_goes_back():
    clock = ManualClock(100)
    assert clock() == clock() == 100.0
    assert clock.advance(0.5) == clock() == 100.5
    for seconds in (-1, float("nan")):
        with pytest.raises(ValueError, match="go back"):
            clock.advance(seconds)


FORKING = """
import os, sys
import numpy as np
import vecdb

with vecdb.open(sys.argv[1]) as db:
    docs = db.collection("docs")
    if os.fork() == 0:
        for call in (docs.count, lambda: docs.upsert([2], np.ones((1, 4))), db.collections):
            try:
                print(call(), flush=True)
            except vecdb.errors.Unavailable as error:
                print(error.reason, "spawn" in error.hint, flush=True)
        try:
            vecdb.open(sys.argv[1], read_only=True)
        except vecdb.errors.Unavailable as error:
            print(error.reason, "spawn" in error.hint, flush=True)
        with vecdb.open(sys.argv[2]) as db:
            print(db.create_collection("docs", dim=4).count(), flush=True)
        os._exit(0)
    os.wait()
    docs.upsert([3], np.ones((1, 4)))
    print(docs.count())
"""


@pytest.mark.slow
def test_forked_child_is_told_to_be_spawned_and_opens_what_its_parent_has_not(tmp_path):
    with vecdb.open(tmp_path / "db") as db:
        db.create_collection("docs", dim=4).upsert([1], ONE)
    done = subprocess.run(
        [sys.executable, "-c", FORKING, str(tmp_path / "db"), str(tmp_path / "other")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == ["FORKED True"] * 3 + ["LOCKED True", "0", "2"]
