"""The newest snapshot: loaded when needed, carried forward, begun again where it fell behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vecdb.collection.live import LiveSnapshot
from vecdb.collection.residence import Residence
from vecdb.collection.segment import quantizer_of
from vecdb.collection.segments import Segments
from vecdb.collection.snapshot import Snapshot
from vecdb.collection.tail import Tail
from vecdb.quantize.planes import Encoder
from vecdb.storage.operations import Operation
from vecdb.storage.operations import scan_operations as scan
from vecdb.storage.page_reader import open_reader

ONE = np.ones((1, 4), np.float32)


@pytest.fixture
def look(docs):
    """What a fresh transaction sees: (transaction, row, state)."""

    class Look:
        def __enter__(self):
            self._view = docs._store.view("docs")
            view = self._view.__enter__()
            return view.transaction, view.row, view.state

        def __exit__(self, *error):
            self._view.__exit__(*error)

    return Look


@pytest.fixture
def live(docs, look):
    with look() as (_, row, _):
        return LiveSnapshot(row, docs._store.segments, Residence(open_reader))


def replayed(look):
    """The records as a replay of everything that is stored gives them: place -> (id, vector)."""
    with look() as (transaction, row, state):
        return content(
            LiveSnapshot(row, Segments(Path("nowhere")), Residence(open_reader)).at(
                transaction, row, state
            )
        )


def content(snapshot):
    found = {}
    for run in snapshot.runs():
        rows = run.part(0, len(run))
        for row in rows.matching().tolist():
            place = rows.first + row
            (id,) = snapshot.ids_of(np.array([place]))
            found[place] = (id, rows.vectors[row].tolist())
    return found


def empty(row):
    encoder = Encoder(quantizer_of(row.schema, row.number), None)
    return Snapshot(sequence=0, manifest=0, tail=Tail(schema=row.schema, encoder=encoder))


def at(state, step):
    return replace(state, sequence=state.sequence + step)


def test_tail_is_loaded_by_the_first_who_asks(docs, live, look):
    docs.upsert([1, 2], np.tile(ONE, (2, 1)))
    assert live.loaded is None
    with look() as (transaction, row, state):
        tail = live.at(transaction, row, state)
    assert live.loaded is tail
    assert tail.sequence == docs.describe().sequence
    assert sorted(id for id, _ in content(tail).values()) == [1, 2]


def test_tail_catches_up_with_what_was_committed_since(docs, live, look, rng):
    with look() as (transaction, row, state):
        assert live.at(transaction, row, state).live == 0
    for turn in range(6):
        docs.upsert([turn, turn + 1], rng.standard_normal((2, 4)).astype(np.float32))
        docs.delete([turn])
        docs.set_payload([turn + 1], {"group": turn})
        before = live.loaded
        with look() as (transaction, row, state):
            tail = live.at(transaction, row, state)
        assert tail.sequence > before.sequence
        assert content(tail) == replayed(look)


def test_older_transaction_is_told_to_begin_again(docs, live, look):
    docs.upsert([1], ONE)
    with look() as (transaction, row, old):
        live.at(transaction, row, old)
    docs.upsert([2], ONE)
    with look() as (transaction, row, state):
        live.at(transaction, row, state)
        assert live.at(transaction, row, old) is None
        assert live.at(transaction, row, state) is live.loaded


def test_writer_carries_a_loaded_tail_forward(docs, live, look):
    docs.upsert([1], ONE)
    with look() as (transaction, row, state):
        live.at(transaction, row, state)
    before = state
    docs.upsert([2], ONE)
    with look() as (transaction, row, state):
        done = list(scan(transaction, row.number, row.schema, before.sequence))
    live.advance(before, state, done)
    assert live.loaded.sequence == state.sequence
    assert content(live.loaded) == replayed(look)


def test_tail_at_another_write_is_left_to_the_readers(docs, live, look):
    docs.upsert([1], ONE)
    with look() as (transaction, row, state):
        done = list(scan(transaction, row.number, row.schema))
        live.advance(at(state, -state.sequence), state, done)
        assert live.loaded is None  # not loaded
        tail = live.at(transaction, row, state)
        live.advance(at(state, 5), at(state, 6), done)
        live.advance(at(state, -1), state, done)
    assert live.loaded is tail


def test_writer_does_not_wait_for_a_reader_that_loads_the_tail(docs, live, look):
    docs.upsert([1], ONE)
    with look() as (transaction, row, state):
        tail = live.at(transaction, row, state)
        done = list(scan(transaction, row.number, row.schema))
    with live._lock:  # as a reader holds it
        live.advance(state, at(state, 1), done)
    assert live.loaded is tail
    docs.upsert([2], ONE)
    with look() as (transaction, row, state):
        assert sorted(id for id, _ in content(live.at(transaction, row, state)).values()) == [1, 2]


def test_tail_behind_what_was_trimmed_starts_over(docs, live, look, rng):
    ids = np.arange(2_000)
    docs.upsert(ids, rng.standard_normal((2_000, 4)).astype(np.float32))
    with look() as (transaction, row, state):
        stale = live.at(transaction, row, state)
    for _ in range(500):
        docs.upsert(ids[1:], rng.standard_normal((1_999, 4)).astype(np.float32))
        with look() as (_, _, state):
            if state.trimmed > stale.sequence:
                break
    assert state.trimmed > stale.sequence, "nothing was trimmed"
    with look() as (transaction, row, state):
        tail = live.at(transaction, row, state)
    assert content(tail) == replayed(look)
    assert sorted(id for id, _ in content(tail).values()) == ids.tolist()
    assert content(stale)[0] == (0, docs.get([0], with_vector=True).vectors[0].tolist())


def test_operations_together_give_what_they_give_one_by_one(docs, look, rng):
    for turn in range(30):
        count = int(rng.integers(1, 6))
        ids = rng.permutation(12)[:count]
        docs.upsert(ids, rng.standard_normal((count, 4)).astype(np.float32))
        if turn % 4 == 0:
            docs.delete(rng.permutation(12)[:3])
    with look() as (transaction, row, _):
        operations = list(scan(transaction, row.number, row.schema))
    one_by_one = empty(row)
    for operation in operations:
        one_by_one = one_by_one.apply([operation])
    together = empty(row).apply(operations)
    assert content(one_by_one) == content(together) == replayed(look)


def test_operations_with_a_gap_between_their_slots_are_kept_apart(look):
    with look() as (_, row, _):
        nothing = empty(row)
    made = [
        Operation(
            sequence=number,
            first_slot=first,
            ids=np.arange(first, first + 2),
            vectors=np.full((2, 4), first, np.float32),
            retired=np.empty(0, np.uint64),
        )
        for number, first in enumerate((0, 2, 10, 12, 20), 1)
    ]
    tail = nothing.apply(made)
    assert sorted(content(tail)) == [0, 1, 2, 3, 10, 11, 12, 13, 20, 21]
    assert {slot: id for slot, (id, _) in content(tail).items()} == {s: s for s in content(tail)}
