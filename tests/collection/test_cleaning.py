"""Space of overwritten and deleted vectors comes back, and no record is the worse for it."""

from __future__ import annotations

import numpy as np
import pytest

import vecdb
from vecdb.check import check_directory
from vecdb.collection import cleaning
from vecdb.collection.cleaning import clean_step, dead_rows, needs_cleaning
from vecdb.storage.catalogue import State
from vecdb.storage.operations import scan_operations
from vecdb.testing.model import Model

TURNS = 500
"""Writes after which cleaning must have had its turn: it comes whenever no write waits."""


def settle(docs):
    """Write on until little is left to clean."""
    for _ in range(TURNS):
        if not needs_cleaning_now(docs):
            return
        docs.delete([-1])
        docs.upsert([-1], np.zeros((1, docs.describe().dim), np.float32) + 1)
    raise AssertionError(f"nothing was cleaned in {TURNS} writes: {docs.stats()}")


def needs_cleaning_now(docs):
    stats = docs.stats()
    return stats["dead_rows"] > max(stats["count"], cleaning.DEAD_ROWS)


def operations_of(docs):
    """(first slot, slots) of the stored operations that hold vectors, and the number of all."""
    with docs._store.view(docs.name) as view:
        found = list(scan_operations(view.transaction, view.row.number, view.row.schema))
    return [(one.first_slot, len(one.vectors)) for one in found if len(one.vectors)], len(found)


def test_few_dead_rows_are_left_alone():
    assert not needs_cleaning(State(next_slot=cleaning.DEAD_ROWS, count=0))
    assert needs_cleaning(State(next_slot=cleaning.DEAD_ROWS + 1, count=0))
    assert not needs_cleaning(State(next_slot=20_000, count=10_000))
    assert needs_cleaning(State(next_slot=20_001, count=10_000))
    assert not needs_cleaning(State(next_slot=20_001, first_slot=1, count=10_000))
    assert dead_rows(State(next_slot=30, first_slot=10, count=5)) == 15


@pytest.mark.slow
@pytest.mark.parametrize("texts", [False, True], ids=["int", "str"])
def test_space_comes_back_under_churn(tmp_path, rng, texts):
    """The same 2,000 records again and again, but for ten that are never written again."""
    model = Model(dim=64, metric="l2")
    query = rng.standard_normal(64).astype(np.float32)
    ids = [f"r{row:05}" for row in range(2_000)] if texts else list(range(2_000))
    payloads = [{"row": row} if row % 2 else None for row in range(2_000)]
    sizes = []
    with vecdb.open(tmp_path, threads=1) as db:
        docs = db.create_collection("docs", dim=64, metric="l2", fields={"row": "int"})
        for turn in range(20):
            part = slice(10 if turn else 0, None)
            vectors = rng.standard_normal((2_000, 64)).astype(np.float32)
            done = docs.upsert(ids[part], vectors[part], payloads[part])
            model.upsert(ids[part], vectors[part], payloads[part], sequence=done.sequence)
            for _ in range(TURNS):  # nothing else to do: cleaning gets its turn
                if not needs_cleaning_now(docs):
                    break
                done = docs.set_payload(ids[:1], {"turn": turn})
                model.set_payload(ids[:1], {"turn": turn}, merge=True, sequence=done.sequence)
            assert not needs_cleaning_now(docs)
            model.check_search(docs, query, 20)
            sizes.append(db.stats()["data_bytes"])
        model.check(docs)
        assert docs.get(ids[5:6]).sequences[0] < docs.get(ids[15:16]).sequences[0]
        held, _ = operations_of(docs)
        assert sum(count for _, count in held) <= 2_000 + max(2_000, cleaning.DEAD_ROWS)
        assert held[0][0] > 0
        # 20 x 2,000 x 256 bytes would be 10 MB.
        assert sizes[-1] < 2 * sizes[5] < 8 * 1024 * 1024
        found = docs.search(query, 2_000, with_vector=True)
    with vecdb.open(tmp_path, threads=1) as db:
        docs = db.collection("docs")
        model.check(docs)
        model.check_search(docs, query, 2_000)
        again = docs.search(query, 2_000, with_vector=True)
        assert found.scores.tobytes() == again.scores.tobytes()
        assert docs.count({"row": {"lt": 100}}) == 50
    assert check_directory(tmp_path).ok


def test_space_of_deleted_records_comes_back(docs, rng):
    for _ in range(4):
        ids = np.arange(3_000)
        docs.upsert(ids, rng.standard_normal((3_000, 4)).astype(np.float32))
        docs.delete(ids[1:])
    settle(docs)
    assert docs.get([0]).ids.tolist() == [0]
    docs.delete(filter={})
    held, _ = operations_of(docs)
    assert sum(count for _, count in held) <= 2 * cleaning.DEAD_ROWS


def test_many_small_deletions_are_cleaned_away_too(db, docs, rng):
    """Operations that hold no vector are taken out on the way."""
    ids = np.arange(5_000)
    docs.upsert(ids, rng.standard_normal((5_000, 4)).astype(np.float32))
    for id in range(600):
        docs.delete([id], wait=False)
    docs.delete(ids[600:4_990])
    settle(docs)
    model = dict.fromkeys(range(4990, 5000), True)
    assert set(docs.scroll(limit=10_000).ids.tolist()) - {-1} == set(model)
    _, number = operations_of(docs)
    assert number < 600


def test_step_takes_out_the_oldest_and_writes_again_what_lives(docs, rng, state_of, monkeypatch):
    monkeypatch.setattr(cleaning, "DEAD_ROWS", 10)
    monkeypatch.setattr(cleaning, "_STEP_PARTS", 2)
    store = docs._store
    monkeypatch.setattr(store, "_unclean", Forgetful())  # the thread does nothing by itself
    model = Model(dim=4, metric="l2")
    for turn in range(5):
        ids = list(range(10 * turn, 10 * turn + 10))
        vectors = rng.standard_normal((10, 4)).astype(np.float32)
        done = docs.upsert(ids, vectors, [{"group": turn}] * 10)
        model.upsert(ids, vectors, [{"group": turn}] * 10, sequence=done.sequence)
    docs.delete([id for id in range(50) if id not in (3, 17, 44)])
    model.delete([id for id in range(50) if id not in (3, 17, 44)])
    before = state_of(docs)
    row = store.row("docs")
    store.submit(lambda group: clean_step(group, row, docs._store.segments.bury), 1).result()
    now = state_of(docs)
    assert (now.first_slot, now.count) == (20, 3)
    assert now.next_slot == before.next_slot + 2  # 3 and 17 are at the end again
    assert now.sequence == before.sequence + 1
    assert before.sequence > now.trimmed > before.trimmed == 0
    model.check(docs)
    model.check_search(docs, np.ones(4, np.float32), 10)
    docs.upsert([3], np.ones((1, 4), np.float32))  # retires the moved row
    model.upsert([3], np.ones((1, 4)), sequence=docs.describe().sequence)
    while needs_cleaning(state_of(docs)):
        store.submit(lambda group: clean_step(group, row, docs._store.segments.bury), 1).result()
    model.check(docs)
    model.check_search(docs, np.ones(4, np.float32), 10)


def test_step_for_a_collection_that_is_gone_does_nothing(db, docs):
    store = docs._store
    row = store.row("docs")
    db.delete_collection("docs")
    before = db.stats()["sequence"]
    store.submit(lambda group: clean_step(group, row, docs._store.segments.bury), 1).result()
    assert db.stats()["sequence"] == before


def test_collections_that_need_cleaning_are_found_at_open(tmp_path, rng, monkeypatch):
    with vecdb.open(tmp_path, threads=1) as db:
        monkeypatch.setattr(cleaning, "DEAD_ROWS", 1_000_000)
        docs = db.create_collection("docs", dim=4)
        for _ in range(6):
            docs.upsert(np.arange(1_000), rng.standard_normal((1_000, 4)).astype(np.float32))
        assert docs.stats()["dead_rows"] == 5_000
    monkeypatch.undo()
    with vecdb.open(tmp_path, threads=1) as db:
        docs = db.collection("docs")
        settle(docs)
        assert docs.count() in (1_000, 1_001)


class Forgetful(dict):
    """Keeps nothing."""

    def __setitem__(self, key, value):
        pass
