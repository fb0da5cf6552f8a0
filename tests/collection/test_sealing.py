"""Records go into segments and out of them; whatever is written meanwhile, none is lost."""

from __future__ import annotations

import threading

import numpy as np
import pytest

DIM = 16

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
