"""Matching records: found in the order of their ids, and remembered while nothing changes."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.collection import filtering
from vecdb.collection.filtering import FilterCache, make_test, scan_matching
from vecdb.deadline import Deadline
from vecdb.errors import DeadlineExceeded
from vecdb.filters import EVERYTHING, NOTHING, parse_filter
from vecdb.storage.records import ids_of_keys

FIELDS = {"group": "int"}
NEVER = Deadline()


@pytest.fixture
def filled(docs):
    """Records 0 .. 29; those that 3 divides have no payload, those that 5 divides no group."""
    payloads = [
        None if id % 3 == 0 else {"other": id} if id % 5 == 0 else {"group": id % 7}
        for id in range(30)
    ]
    docs.upsert(np.arange(30), np.ones((30, 4), np.float32), payloads)
    docs.delete([1, 28])
    return docs


def groups(id):
    return None if id % 3 == 0 or id % 5 == 0 else id % 7


LIVE = [id for id in range(30) if id not in (1, 28)]


def matching(docs, tree, start=None):
    with docs._store.view("docs") as view:
        test = make_test(parse_filter(tree, FIELDS), view.row)
        found = list(scan_matching(view.transaction, view.row, test, NEVER, start))
        return ids_of_keys([key for key, _, _ in found], view.state.id_kind).tolist(), found


def test_matching_records_come_in_the_order_of_their_ids(filled):
    assert matching(filled, None)[0] == LIVE
    assert matching(filled, {})[0] == LIVE
    assert matching(filled, {"group": 2})[0] == [id for id in LIVE if groups(id) == 2]
    assert matching(filled, {"group": {"exists": False}})[0] == [
        id for id in LIVE if groups(id) is None
    ]
    assert matching(filled, {"or": []})[0] == []


def test_scan_may_begin_anywhere(filled):
    _, found = matching(filled, None)
    for place in (0, 5, len(found) - 1):
        start = found[place][0]
        for tree in (None, {"group": {"gte": 0}}, {"group": {"exists": False}}):
            ids, _ = matching(filled, tree)
            expected = [id for id in ids if id >= LIVE[place]]
            assert matching(filled, tree, start)[0] == expected
            assert matching(filled, tree, start + b"\0")[0] == [
                id for id in expected if id != LIVE[place]
            ]


def test_records_of_other_collections_are_not_looked_at(db, filled):
    for name in ("a", "z"):
        other = db.create_collection(name, dim=1, fields=FIELDS)
        other.upsert(np.arange(50), np.ones((50, 1), np.float32), [{"group": 2}] * 50)
    assert matching(filled, {"group": 2})[0] == [id for id in LIVE if groups(id) == 2]


def test_everything_needs_no_test_and_nothing_no_scan(filled):
    with filled._store.view("docs") as view:
        assert make_test(EVERYTHING, view.row) is None
        assert make_test(None, view.row) is None
        cache = FilterCache()
        slots = cache.matching_slots(
            view.transaction, view.row, view.state, NOTHING, Deadline.after(1e-9)
        )
        assert slots.tolist() == []


def test_scan_ends_at_its_deadline(filled):
    with filled._store.view("docs") as view, pytest.raises(DeadlineExceeded):
        list(scan_matching(view.transaction, view.row, None, Deadline.after(1e-9)))


# -------------------------------------------------------------------------------------- cache


def slots(docs, cache, tree):
    with docs._store.view("docs") as view:
        node = parse_filter(tree, FIELDS)
        return cache.matching_slots(view.transaction, view.row, view.state, node, NEVER)


def test_result_is_remembered_while_the_collection_stays_as_it_was(filled):
    cache = FilterCache()
    first = slots(filled, cache, {"group": 2})
    assert (np.diff(first) > 0).all()
    assert slots(filled, cache, {"group": {"in": [2, 2]}}) is first  # the same filter, written anew
    assert slots(filled, cache, {"group": 3}) is not first
    assert not first.flags.writeable


@pytest.mark.parametrize(
    "write",
    [
        lambda docs: docs.upsert([100], np.ones((1, 4), np.float32), [{"group": 2}]),
        lambda docs: docs.upsert([2], np.ones((1, 4), np.float32), [{"group": 2}]),
        lambda docs: docs.delete([2]),
        lambda docs: docs.set_payload([4], {"group": 2}),
        lambda docs: docs.set_payload([2], {"group": 3}),
        lambda docs: docs.set_payload([2], {}, replace=True),
        lambda docs: docs.delete(filter={"group": 2}),
    ],
    ids=["insert", "overwrite", "delete", "patch in", "patch out", "replace", "delete matching"],
)
def test_any_write_makes_a_result_stale(filled, write):
    cache = FilterCache()
    slots(filled, cache, {"group": 2})
    write(filled)
    fresh = slots(filled, FilterCache(), {"group": 2})
    assert slots(filled, cache, {"group": 2}).tolist() == fresh.tolist()
    assert filled.count({"group": 2}) == len(fresh)


def test_collection_made_again_has_results_of_its_own(db, filled):
    cache = filled._store.filters
    assert len(slots(filled, cache, {"group": 2})) > 0
    db.delete_collection("docs")
    db.create_collection("docs", dim=4, fields=FIELDS)
    assert slots(filled, cache, {"group": 2}).tolist() == []


def test_cache_is_bounded_in_entries_and_in_slots(filled):
    cache = FilterCache()
    for number in range(200):
        slots(filled, cache, {"group": {"gte": -number}})
    assert len(cache._found) == filtering._CACHE_ENTRIES
    kept = slots(filled, cache, {"group": {"gte": -199}})
    assert slots(filled, cache, {"group": {"gte": -199}}) is kept
    cache._found.most = 40
    slots(filled, cache, {"group": 2})
    assert sum(len(one.origins) for one in cache._found.values()) <= 40
    cache._found.most = 1
    assert len(slots(filled, cache, {"group": {"gte": 0}})) > 1  # too large to keep, still right
    assert not cache._found
