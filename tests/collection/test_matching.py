"""Matching by columns, patches and the tail finds what testing every payload finds."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest

import vecdb
from vecdb.check import check_directory
from vecdb.collection import cleaning
from vecdb.collection.changing import delete_ids
from vecdb.collection.filtering import FilterCache
from vecdb.collection.record_tests import RecordFields
from vecdb.collection.segment_columns import SegmentColumns
from vecdb.deadline import Deadline
from vecdb.errors import DataCorruption, DeadlineExceeded
from vecdb.filters import parse_filter
from vecdb.storage.patches import scan_patches
from vecdb.storage.segment_files import SEGMENTS
from vecdb.testing.faults import flip_bit
from vecdb.testing.forgery import change_tables

FIELDS = {"group": "int"}
NEVER = Deadline()
TREES = [
    {"group": 77},
    {"group": {"ne": 3}},
    {"group": {"exists": False}},
    {"or": [{"group": {"lt": 2}}, {"group": {"between": [4, 80]}}]},
]


def match_in(view, cache, tree, *, by_columns=True, deadline=NEVER):
    node = parse_filter(tree, FIELDS)
    snapshot = view.snapshot if by_columns else None
    return cache.matching_slots(
        view.transaction, view.row, view.state, node, deadline, snapshot
    ).tolist()


def match(one, tree, cache=None):
    """By columns and by payloads: both must say the same."""
    with one.store.view("docs", with_snapshot=True) as view:
        found = match_in(view, cache or one.store.filters, tree)
        assert found == match_in(view, FilterCache(), tree, by_columns=False)
    return found


def compare(one):
    for tree in TREES:
        match(one, tree)
        match(one, tree, FilterCache())


def patched(one):
    """The ids that have a patch."""
    with one.store.view("docs", with_snapshot=True) as view:
        origins = scan_patches(view.transaction, view.row.number).origins
        places = view.snapshot.places_of(origins)
        return sorted(view.snapshot.ids_of(places).tolist()) if len(places) else []


@pytest.fixture
def tested(monkeypatch):
    """How many payloads were read to be tested since it was last asked."""
    texts, counts = RecordFields.texts, []

    def watched(self, ids):
        counts.append(len(ids))
        return texts(self, ids)

    def ask():
        total = sum(counts)
        counts.clear()
        return total

    monkeypatch.setattr(RecordFields, "texts", watched)
    return ask


# ------------------------------------------------------------------------------------- patches


@pytest.mark.parametrize("kind", ["seal", "compact"])
@pytest.mark.parametrize("moment", [0.0, 1.0])
def test_payload_changed_while_columns_are_written_is_not_lost(pair, during, kind, moment):
    one = pair()
    one.upsert(range(100))
    if kind == "compact":
        one.docs.seal()
        one.upsert(range(100, 150))
        one.docs.seal()
    one.patch([3, 4, 5])
    compare(one)

    def write():
        one.patch([4, 40, 41, 42])
        one.delete([41])
        one.upsert([42])

    left = during(one.store, moment, write)
    (one.docs.seal if kind == "seal" else one.docs.compact)()
    assert not left
    assert patched(one) == [4, 40]  # 3 and 5 are in the columns as they are
    compare(one)
    one.reopen()
    compare(one)
    one.docs.seal()
    one.docs.compact()
    assert patched(one) == []
    compare(one)


def test_patch_goes_with_its_record(pair):
    one = pair()
    one.upsert(range(20))
    one.docs.seal()
    one.upsert(range(20, 30))
    one.patch([1, 2, 3, 21, 22])
    assert patched(one) == [1, 2, 3, 21, 22]
    one.delete([1])
    one.upsert([2, 21])
    assert patched(one) == [3, 22]
    one.docs.delete(filter={"group": 77})
    assert patched(one) == []


def test_compaction_writes_a_segment_anew_for_its_columns(pair):
    one = pair()
    one.upsert(range(100))
    one.docs.seal()
    one.patch(range(5))
    assert one.docs.compact().records == 0  # few are no reason
    assert patched(one) == list(range(5))
    one.patch([5])
    assert one.docs.compact().records == 100
    assert patched(one) == []
    compare(one)
    one.reopen()


def test_delete_of_a_changed_record_stores_nothing_new(pair):
    """So that it may use the last room of the disk."""
    one = pair()
    one.upsert(range(10))
    one.docs.seal()
    one.patch([1])
    run, _ = delete_ids(one.store.row("docs"), [1], None, NEVER)
    adds = one.store.submit(lambda group: (run(group), group.transaction.adds)[1], 1).result()
    assert patched(one) == []
    assert not adds
    one.patch([2])
    assert patched(one) == [2]


def test_cleaned_record_leaves_its_patch_behind(pair, monkeypatch):
    one = pair()
    one.upsert(range(10))
    one.upsert(range(5))
    one.patch([7, 8])
    compare(one)
    monkeypatch.setattr(cleaning, "needs_cleaning", lambda state: cleaning.dead_rows(state) > 0)
    row = one.store.row("docs")
    bury = one.store.segments.bury
    one.store.submit(lambda group: cleaning.clean_step(group, row, bury), 1).result()
    assert patched(one) == []
    compare(one)
    one.reopen()


def test_checker_finds_columns_and_patches_that_are_wrong(pair):
    one = pair()
    one.upsert(range(10))
    one.docs.seal()
    one.patch([4])
    with one.store.view("docs", with_snapshot=True) as view:
        (key, value) = next(view.transaction.scan("patches"))
    one.db.close()
    assert check_directory(one.path).ok
    change_tables(one.path, lambda transaction: transaction.delete("patches", key))
    (problem,) = check_directory(one.path).problems
    assert "column group: slot" in problem.what
    stray = key[:-1] + b"\xff"

    def put(transaction):
        transaction.put("patches", key, value)
        transaction.put("patches", stray, b"\xff" * 7 + b"\0")

    change_tables(one.path, put)
    what = [problem.what for problem in check_directory(one.path).problems]
    assert what == [
        "1 patches belong to no record, the first to slot 255",
        "a patch is newer than its collection",
    ]


# --------------------------------------------------------------------------- what is not repeated


def test_only_what_is_new_is_tested(pair, tested):
    one = pair()
    one.upsert(range(200))
    one.docs.seal()
    one.upsert(range(200, 250))
    cache, tree = FilterCache(), {"group": {"gte": 1}}

    def again(write):
        write()
        with one.store.view("docs", with_snapshot=True) as view:
            tested()
            found = match_in(view, cache, tree)
            count = tested()
            assert found == match_in(view, FilterCache(), tree, by_columns=False)
        return count

    assert again(lambda: None) == 50  # the tail; no sealed record
    assert again(lambda: None) == 0
    assert again(lambda: one.upsert([1, 250, 251])) == 3
    assert again(lambda: one.patch([7, 8, 250])) == 3
    assert again(lambda: one.patch([8, 9])) == 2
    assert again(lambda: one.delete([7, 10, 250])) == 0
    assert again(lambda: one.docs.seal()) == 0
    assert again(lambda: one.upsert([300])) == 1
    assert again(lambda: one.docs.compact()) == 0


def while_reading(one, write):
    """What all of TREES match, in a view that was opened before ``write``."""
    entered, go = threading.Event(), threading.Event()
    found = []

    def read():
        with one.store.view("docs", with_snapshot=True) as view:
            entered.set()
            go.wait()
            found.extend(match_in(view, one.store.filters, tree) for tree in TREES)

    reader = threading.Thread(target=read)
    reader.start()
    entered.wait()
    write()
    go.set()
    reader.join()
    return found


def test_reader_of_an_older_commit_finds_what_was_then(pair):
    one = pair()
    one.upsert(range(100))
    one.docs.seal()
    one.upsert(range(100, 120))
    before, after = [match(one, tree) for tree in TREES], []

    def write():
        one.patch([1, 2, 101])
        one.delete([5, 105])
        one.upsert([6, 130])
        one.docs.seal()
        one.docs.compact()
        after.extend(match(one, tree) for tree in TREES)

    assert while_reading(one, write) == before
    assert [match(one, tree) for tree in TREES] == after != before


# ------------------------------------------------------------------------------ without a column


class NoColumns(Mapping):
    def of(self, fields):
        return self

    def __getitem__(self, name):
        raise KeyError(name)

    def __iter__(self):
        return iter(())

    def __len__(self):
        return 0


def test_segment_without_the_column_is_tested_once_for_each_filter(pair, tested):
    one = pair()
    one.upsert(range(60))
    one.delete([0])
    one.docs.seal()
    one.delete([1])
    one.upsert([100])
    with one.store.view("docs", with_snapshot=True) as view:
        view.snapshot.segments[0].segment.columns = NoColumns()
    cache, tree = FilterCache(), {"group": {"gte": 1}}
    match(one, tree, cache)
    assert tested() == 58 + 1
    one.patch([2])
    one.upsert([101])
    match(one, tree, cache)
    assert tested() == 2
    match(one, {"group": 77}, cache)
    assert tested() == 58


def test_segment_whose_files_a_compaction_took_is_tested_by_payload(pair, tested):
    one = pair()
    one.upsert(range(30))
    one.docs.seal()
    with one.store.view("docs", with_snapshot=True) as view:
        before = [match_in(view, FilterCache(), tree, by_columns=False) for tree in TREES]

    def write():
        one.upsert([30])
        one.docs.seal()
        one.docs.compact()

    assert while_reading(one, write) == before
    assert tested() == len(TREES) * 30
    compare(one)


def test_damaged_column_is_named(pair):
    one = pair()
    one.upsert(range(30))
    one.docs.seal()
    one.db.close()
    (path,) = one.path.glob(f"{SEGMENTS}/*/columns/0")
    flip_bit(path, 4_096, 3)
    one.db = vecdb.open(one.path, threads=1)
    one.docs = one.db.collection("docs")
    one.docs.search(one.vectors(1)[0], 3)  # reads no column
    for _ in range(2):
        with pytest.raises(DataCorruption) as caught:
            one.docs.count({"group": 1})
        assert caught.value.path.endswith("columns/0")


# ------------------------------------------------------------------------------------- bounds


def test_columns_are_let_go_after_a_search_under_a_budget(pair, monkeypatch):
    released = []
    release = SegmentColumns.release
    monkeypatch.setattr(
        SegmentColumns, "release", lambda self: (released.append(self), release(self))
    )
    one = pair()
    one.upsert(range(300))
    one.docs.seal()
    one.docs.search(one.vectors(1)[0], 3, filter={"group": 1})
    assert not released
    one.docs.set_memory_budget(1024 * 1024)
    one.docs.search(one.vectors(1)[0], 3, filter={"group": 2})
    assert released
    compare(one)


def test_declared_fields_are_read_once_for_all_filters(pair, tested):
    one = pair()
    one.upsert(range(40))
    one.docs.seal()
    one.upsert(range(40, 60))
    one.patch([2, 50])
    cache = FilterCache()
    for tree in TREES:
        match(one, tree, cache)
    assert tested() == 19 + 2
    one.patch([50])
    one.docs.set_payload([2], {"group": 3})
    for tree in TREES:
        match(one, tree, cache)
    assert tested() == 2


def test_matching_ends_at_its_deadline(pair):
    one = pair()
    one.upsert(range(30))
    one.docs.seal()
    with (
        one.store.view("docs", with_snapshot=True) as view,
        pytest.raises(DeadlineExceeded),
    ):
        match_in(view, FilterCache(), {"group": 1}, deadline=Deadline.after(1e-9))
