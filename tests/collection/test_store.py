"""The store: one view of one collection at a time, whatever its name comes to mean meanwhile."""

from __future__ import annotations

import threading

import lmdb
import numpy as np
import pytest

import vecdb
from vecdb.collection import cleaning, scanning
from vecdb.errors import DataCorruption, InvalidArgument, NotFound, Unavailable
from vecdb.storage import format
from vecdb.storage.files import DirectoryLock
from vecdb.storage.lmdb_errors import disk_full

ONE = np.ones((1, 4), np.float32)
FIELDS = {"group": "int"}


class Meddling:
    """A filter that does something while it is being read: the moment between check and view."""

    def __init__(self, meddle, tree):
        self._meddle = meddle
        self._tree = tree

    def to_dict(self):
        self._meddle()
        return self._tree


@pytest.fixture
def two(db):
    """Collections "old" and "new" of different dimensions, and the alias "current" of the old."""
    for name, dim in (("old", 4), ("new", 6)):
        made = db.create_collection(name, dim=dim, metric="l2", fields=FIELDS)
        made.upsert(np.arange(10), np.ones((10, dim), np.float32), [{"group": dim}] * 10)
    db.alias("current", "old")
    return db.collection("current")


def move_once(db):
    """A function that moves the alias when it is first called."""
    moves = iter([lambda: db.alias("current", "new")])
    return lambda: next(moves, lambda: None)()


# ------------------------------------------------------------- between the check and the view


def test_search_is_checked_again_if_its_name_has_moved(db, two):
    """The query was right for the old collection; in the new one it would read other memory."""
    filter = Meddling(move_once(db), {"group": {"gte": 0}})
    with pytest.raises(InvalidArgument) as caught:
        two.search(ONE[0], filter=filter)
    assert (caught.value.reason, caught.value.limit) == ("WRONG_DIMENSION", 6)


def test_search_of_a_name_that_has_moved_is_answered_by_the_new_collection(db):
    for name in ("old", "new"):
        made = db.create_collection(name, dim=4, fields=FIELDS)
        made.upsert([1], ONE, [{"group": 1 if name == "old" else 2}])
    db.alias("current", "old")
    filter = Meddling(move_once(db), {"group": {"gte": 0}})
    found = db.collection("current").search(ONE[0], filter=filter)
    assert found.payloads == [{"group": 2}]


def test_handle_whose_name_has_moved_before_a_search_follows_it(db, two):
    two.search(ONE[0])
    db.alias("current", "new")
    assert len(two.search(np.ones(6, np.float32))) == 10
    with pytest.raises(InvalidArgument) as caught:
        two.search(ONE[0])
    assert (caught.value.reason, caught.value.limit) == ("WRONG_DIMENSION", 6)


def test_counts_and_pages_are_of_the_collection_that_has_the_name_at_last(db, two):
    """The filter is read before there is a view, so it may write as it likes."""

    def everything():
        return Meddling(move_once(db), {"group": {"gte": 6}})

    assert two.count(everything()) == 10
    db.alias("current", "old")
    assert len(two.scroll(everything(), limit=20)) == 10


@pytest.mark.parametrize(
    "ask",
    [
        lambda docs, filter: docs.facets("group", filter),
        lambda docs, filter: docs.search_groups(ONE[0], "group", filter=filter),
        lambda docs, filter: docs.scroll(filter, order_by="group"),
    ],
    ids=["facets", "groups", "order"],
)
def test_field_that_is_dropped_meanwhile_is_no_field(db, ask):
    docs = db.create_collection("docs", dim=4, fields=FIELDS | {"lang": "keyword"})
    docs.upsert([1], ONE, [{"group": 1, "lang": "en"}])
    drops = iter([lambda: docs.drop_field("group")])
    filter = Meddling(lambda: next(drops, lambda: None)(), {"lang": "en"})
    with pytest.raises(InvalidArgument) as caught:
        ask(docs, filter)
    assert caught.value.reason == "UNINDEXED_FIELD"


def test_delete_by_filter_keeps_to_the_collection_it_was_checked_for(db, two):
    result = two.delete(filter=Meddling(move_once(db), {"group": {"gte": 0}}))
    assert result.count == 10
    assert (db.collection("old").count(), db.collection("new").count()) == (0, 10)
    assert len(db.collection("new").search(np.ones(6, np.float32), 100)) == 10


def test_delete_by_filter_of_a_collection_made_again_touches_nothing(db, docs):
    docs.upsert([1], ONE, [{"group": 1}])

    def again():
        db.delete_collection("docs")
        db.create_collection("docs", dim=4, fields=FIELDS).upsert([1, 2], np.ones((2, 4)))

    with pytest.raises(NotFound):
        docs.delete(filter=Meddling(again, {}))
    assert docs.count() == 2


# -------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["a/b", "a" * 512, "a" * 10_000, ".", "\x00", "é"])
def test_text_that_is_no_name_is_just_not_found(db, name):
    with pytest.raises(NotFound) as caught:
        db.collection(name).describe()
    assert caught.value.reason == "NO_COLLECTION"
    assert len(str(caught.value)) < 1_000


# -------------------------------------------------------------------------------------- tails


def snapshots_of(db):
    return len(db._store._live)


def test_tail_is_made_when_vectors_are_asked_for(db, docs):
    docs.upsert([1], ONE)
    docs.count()
    docs.get([1])
    docs.describe()
    assert snapshots_of(db) == 0
    assert set(docs.stats()["memory_bytes"].values()) == {0}
    docs.search(ONE[0])
    assert snapshots_of(db) == 1
    assert docs.stats()["memory_bytes"]["tail"] > 0


def test_tails_of_dropped_collections_are_given_back(db):
    for turn in range(5):
        made = db.create_collection(f"c{turn}", dim=4)
        made.upsert([1], ONE)
        made.search(ONE[0])
        db.delete_collection(f"c{turn}")
    assert snapshots_of(db) == 0


def test_tail_that_a_late_reader_made_goes_with_the_next(db, docs):
    """Its transaction still sees the collection that is gone."""
    docs.upsert([1], ONE)
    store = db._store
    with store.view("docs") as view:
        dropped = threading.Thread(target=lambda: db.delete_collection("docs"))
        dropped.start()
        dropped.join()
        live = store._live_in(view.transaction, view.row)
        assert live.at(view.transaction, view.row, view.state).live == 1
    assert snapshots_of(db) == 1
    other = db.create_collection("other", dim=4)
    assert len(other.search(ONE[0])) == 0
    assert snapshots_of(db) == 1


# ------------------------------------------------------------------------------------- chores


@pytest.fixture
def fail_commits(db, monkeypatch):
    """Lets the first commit fail for which ``when(group)`` holds; tells by a list."""
    environment = db._store.environment
    write = environment.write
    failed = []

    def arm(when):
        def with_failure(apply):
            def apply_and_fail(transaction):
                group = apply(transaction)
                if not failed and when(group):
                    failed.append(True)
                    raise disk_full(environment.directory)
                return group

            return write(apply_and_fail)

        monkeypatch.setattr(environment, "write", with_failure)
        return failed

    return arm


def write_until(docs, done):
    for turn in range(200):
        if done():
            return
        docs.upsert([turn % 3], ONE)
    raise AssertionError("200 writes, and the chore is not done")


def entries(db, table):
    with db._store.environment.read() as transaction:
        return transaction.entries(table)


def test_space_of_a_dropped_collection_comes_back_after_a_failure(db, docs, fail_commits):
    made = db.create_collection("gone", dim=4)
    made.upsert(np.arange(1_000), np.ones((1_000, 4), np.float32), [{"a": 1}] * 1_000)
    failed = fail_commits(lambda group: group.swept)
    db.delete_collection("gone")
    write_until(docs, lambda: failed and entries(db, "dropped") == 0)
    assert entries(db, "records") == docs.count()
    assert entries(db, "payloads") == 0


def test_large_dropped_collection_is_swept_piece_by_piece(db, docs):
    made = db.create_collection("gone", dim=1)
    made.upload(np.ones((9_000, 1), np.float32), payloads=[{"a": 1}] * 9_000, progress=False)
    db.delete_collection("gone")
    write_until(docs, lambda: entries(db, "dropped") == 0)
    assert (entries(db, "payloads"), entries(db, "records")) == (0, docs.count())


def test_sweep_goes_on_when_the_database_is_opened_again(tmp_path):
    with vecdb.open(tmp_path, threads=1) as db:
        made = db.create_collection("gone", dim=1)
        made.upload(np.ones((9_000, 1), np.float32), progress=False)
        db.delete_collection("gone")
    with vecdb.open(tmp_path, threads=1) as db:
        docs = db.create_collection("docs", dim=4)
        write_until(docs, lambda: entries(db, "dropped") == 0)
        assert entries(db, "records") == docs.count()


def test_cleaning_goes_on_after_a_failure(db, docs, fail_commits, monkeypatch):
    monkeypatch.setattr(cleaning, "DEAD_ROWS", 100)
    failed = fail_commits(
        lambda group: any(one.now.trimmed > one.before.trimmed for one in group.changes.values())
    )
    ids = np.arange(200)
    for _ in range(4):
        docs.upsert(ids, np.ones((200, 4), np.float32))
    write_until(docs, lambda: failed and docs.stats()["dead_rows"] <= 300)
    assert docs.count() == 200
    assert len(docs.search(ONE[0], 1_000)) == 200


def test_write_whose_commit_fails_leaves_no_trace(db, docs, fail_commits):
    docs.upsert([1], ONE, [{"group": 1}])
    docs.search(ONE[0])
    before = docs.describe()
    fail_commits(lambda group: bool(group.changes))
    with pytest.raises(vecdb.errors.LimitExceeded) as caught:
        docs.upsert([1, 2], -np.ones((2, 4), np.float32))
    assert caught.value.retry_after is not None
    assert docs.describe() == before
    assert docs.search(ONE[0], with_vector=True).vectors.tolist() == ONE.tolist()
    docs.upsert([1, 2], -np.ones((2, 4), np.float32))
    assert docs.search(-ONE[0], 2).ids.tolist() == [1, 2]


def test_closing_ends_a_search_that_comes_too_late(db, docs):
    docs.upsert([1], ONE)
    with pytest.raises(Unavailable):
        docs.search(ONE[0], filter=Meddling(db.close, {"group": 1}))


def test_closing_under_a_search_on_several_threads_says_so(tmp_path, monkeypatch):
    """Without payloads nothing is read while vectors are compared, so closing does not wait."""
    with vecdb.open(tmp_path, threads=2) as db:
        docs = db.create_collection("docs", dim=512)
        docs.upsert(np.arange(10_000), np.ones((10_000, 512), np.float16))
        found = docs.search(np.ones(512, np.float32), with_payload=False)
        assert len(found) == 10
        compare = scanning.search_rows

        def close_first(*arguments, **options):
            db.close()
            return compare(*arguments, **options)

        monkeypatch.setattr(scanning, "search_rows", close_first)
        with pytest.raises(Unavailable) as caught:
            docs.search(np.ones(512, np.float32), mode="exact", with_payload=False)
        assert caught.value.reason == "CLOSED"


# ------------------------------------------------------------------------------------ opening


def test_database_that_cannot_be_opened_is_given_back(tmp_path):
    with vecdb.open(tmp_path, threads=1) as db:
        db.create_collection("docs", dim=4)
    with lmdb.open(str(tmp_path), max_dbs=len(format.TABLES)) as raw:
        states = raw.open_db(b"states")
        with raw.begin(write=True) as transaction:
            ((key, value),) = transaction.cursor(states)
            transaction.put(key, value[:-1] + bytes([value[-1] ^ 1]), db=states)
    before = threading.active_count()
    for _ in range(2):  # not LOCKED the second time
        with pytest.raises(DataCorruption, match="states"):
            vecdb.open(tmp_path, threads=2)
    DirectoryLock(tmp_path).release()
    assert threading.active_count() == before
