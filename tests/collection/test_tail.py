"""The tail: a value whose arrays are shared, so an older one never changes."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.collection import tail as module
from vecdb.collection.segment import quantizer_of
from vecdb.collection.tail import Tail
from vecdb.index.flat import row_norms
from vecdb.quantize.planes import Encoder
from vecdb.schema import CollectionSchema

SCHEMA = CollectionSchema(dim=3)
ENCODER = Encoder(quantizer_of(SCHEMA, 1), None)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of 8 rows, so that a few rows cross many edges."""
    monkeypatch.setattr(module, "_BLOCK_ROWS", (8, 8))


def vectors(first, count):
    return (np.arange(3 * count, dtype=np.float32) + 3 * first).reshape(count, 3)


def fill(*counts, texts=False):
    tail = Tail(schema=SCHEMA, encoder=ENCODER)
    for count in counts:
        first = tail.size
        ids = np.arange(first, first + count) * 10
        tail = tail.append(first, [f"r{id}" for id in ids] if texts else ids, vectors(first, count))
    return tail


def slots(*numbers):
    return np.array(numbers, np.uint64)


def content(tail):
    """slot -> (id, vector, norm) of the live rows, as a search would see them."""
    found = {}
    for rows in tail.rows:
        for row in rows.matching().tolist():
            slot = rows.first + row
            (id,) = tail.ids_of(np.array([slot]))
            found[slot] = (id, rows.vectors[row].tolist(), float(rows.norms[row]))
    return found


def expected(*numbers, texts=False):
    return {
        slot: (
            f"r{slot * 10}" if texts else slot * 10,
            vectors(slot, 1)[0].tolist(),
            float(row_norms(vectors(slot, 1))[0]),
        )
        for slot in numbers
    }


@pytest.mark.parametrize("texts", [False, True], ids=["int", "str"])
@pytest.mark.parametrize("counts", [(1,), (8,), (9,), (3, 3, 3), (8, 8, 1), (30,), (7, 2, 20)])
def test_appended_rows_are_all_there(counts, texts):
    tail = fill(*counts, texts=texts)
    assert content(tail) == expected(*range(sum(counts)), texts=texts)
    assert (tail.size, tail.live) == (sum(counts), sum(counts))


def test_empty_tail_has_no_rows():
    tail = Tail(schema=SCHEMA, encoder=ENCODER)
    assert (tail.size, tail.live, tail.rows, tail.memory_bytes) == (0, 0, [], 0)
    assert tail.rows_where(np.empty(0, np.int64)) == []
    assert tail.ids_of(np.empty(0, np.int64)).tolist() == []
    assert tail.vectors_of(np.empty(0, np.int64)).shape == (0, 3)
    assert tail.retire(slots(5)).live == 0


def test_retired_slots_hold_nothing():
    tail = fill(20).retire(slots(19, 0, 8, 7))
    kept = [slot for slot in range(20) if slot not in (0, 7, 8, 19)]
    assert content(tail) == expected(*kept)
    assert (tail.size, tail.live) == (20, 16)


def test_slots_that_are_not_here_are_passed_over():
    tail = fill(10).retire(slots(3, 3, 500, 2**40))
    assert tail.live == 9
    assert tail.retire(slots(3)).live == 9


def test_older_tail_is_never_changed():
    first = fill(5)
    before = content(first)
    second = first.append(5, np.array([50, 60]), vectors(5, 2))
    third = second.retire(slots(0, 6))
    fourth = third.append(7, np.arange(70, 370, 10), vectors(7, 30))
    assert content(first) == before == expected(*range(5))
    assert content(second) == expected(*range(7))
    assert content(third) == expected(1, 2, 3, 4, 5)
    assert content(fourth) == expected(1, 2, 3, 4, 5, *range(7, 37))
    assert (first.live, second.live, third.live, fourth.live) == (5, 7, 5, 35)


def test_vectors_are_copied_in_and_out():
    given = vectors(0, 2)
    tail = Tail(schema=SCHEMA, encoder=ENCODER).append(0, np.array([0, 10]), given)
    given[:] = -1
    tail.vectors_of(np.array([0, 1]))[:] = -2
    assert content(tail) == expected(0, 1)


def test_columns_of_slots_in_any_order_and_number():
    tail = fill(8, 12)
    wanted = np.array([19, 0, 8, 7, 8])
    assert tail.ids_of(wanted).tolist() == [190, 0, 80, 70, 80]
    assert tail.vectors_of(wanted).tolist() == [vectors(s, 1)[0].tolist() for s in wanted]
    assert fill(20, texts=True).ids_of(wanted) == ["r190", "r0", "r80", "r70", "r80"]


def test_rows_where_are_those_slots_alone():
    tail = fill(30).retire(slots(4))
    wanted = np.array([0, 7, 8, 29])
    found = [
        rows.first + row for rows in tail.rows_where(wanted) for row in rows.matching().tolist()
    ]
    assert found == wanted.tolist()
    assert [rows.first for rows in tail.rows_where(np.array([9, 10]))] == [8]


def test_slots_between_appended_runs_hold_nothing():
    tail = fill(5).append(11, np.arange(110, 300, 10), vectors(11, 19))
    assert content(tail) == expected(*range(5), *range(11, 30))
    assert tail.size == 30
    assert tail.ids_of(np.array([4, 11, 29])).tolist() == [40, 110, 290]


def test_block_without_records_gives_its_memory_back():
    tail = fill(24)
    before = tail.memory_bytes
    emptied = tail.retire(np.arange(8, 16, dtype=np.uint64))
    assert emptied.memory_bytes == before * 2 // 3
    assert content(emptied) == expected(*range(8), *range(16, 24))
    assert emptied.ids_of(np.array([7, 16])).tolist() == [70, 160]
    all_gone = emptied.retire(np.arange(24, dtype=np.uint64))
    assert all_gone.live == 0
    assert content(all_gone.append(24, np.array([240]), vectors(24, 1))) == expected(24)


def test_memory_counts_what_blocks_reserve():
    row_bytes = 3 * 4 + 8 + 1 + 8 + 16  # vector, norm, mask, id, code and factors
    assert fill(1).memory_bytes == fill(8).memory_bytes == 8 * row_bytes
    assert fill(9).memory_bytes == 16 * row_bytes


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_vectors_keep_their_dtype(dtype):
    schema = CollectionSchema(dim=2, dtype=dtype)
    given = np.array([[1, 2], [3, 4]]).astype(schema.numpy_dtype)
    tail = Tail(schema=schema, encoder=Encoder(quantizer_of(schema, 1), None)).append(
        0, np.array([1, 2]), given
    )
    assert tail.vectors_of(np.array([1])).dtype == schema.numpy_dtype
    assert tail.vectors_of(np.array([1])).tolist() == [[3, 4]]


def test_sealed_slots_leave_the_tail():
    tail = fill(20)
    left = tail.without_first(10)
    assert content(left) == expected(*range(10, 20))
    assert (left.first, left.live) == (10, 10)
    assert content(left.append(20, np.array([200]), vectors(20, 1))) == expected(*range(10, 21))
    assert content(tail) == expected(*range(20))
    assert content(tail.without_first(20)) == {}


def test_live_slots_are_those_with_a_record():
    tail = fill(20).retire(slots(3, 11))
    assert tail.live_slots().tolist() == [s for s in range(20) if s not in (3, 11)]
    asked = slots(11, 12, 3, 4, 400)
    assert tail.holds(asked).tolist() == [False, True, False, True, False]


@pytest.mark.parametrize("counts", [(20,), (3, 5, 12), (1,) * 20])
def test_rows_are_coded_alike_however_they_came(counts):
    rows = np.concatenate([vectors(first, 1) for first in range(20)])
    codes, factors, _ = ENCODER.quantizer.empty_codes(20)
    ENCODER.encode(rows, 0, codes, factors)
    runs = fill(*counts).coded
    found = np.concatenate([run.codes for run in runs])
    assert (found == codes).all()
    assert (np.concatenate([run.factors for run in runs]) == factors).all()


def test_tail_is_coded_again_about_another_centre():
    other = Encoder(quantizer_of(SCHEMA, 1), np.array([5, 6, 7], np.float32))
    tail = fill(20).retire(slots(2))
    again = tail.coded_by(other)
    assert content(again) == content(tail)
    assert sum(run.matching_count() for run in again.coded) == 19
    fresh = Tail(schema=SCHEMA, encoder=other)
    for first in range(20):
        fresh = fresh.append(first, np.array([10 * first]), vectors(first, 1))
    pairs = zip(again.coded, fresh.coded, strict=True)
    assert all((a.codes == b.codes).all() and (a.factors == b.factors).all() for a, b in pairs)
