"""Writes in the writer thread: each all or nothing, once for each key, within its time."""

from __future__ import annotations

import logging
import threading

import numpy as np
import pytest

from vecdb import limits
from vecdb.collection.writes import result_of
from vecdb.deadline import Deadline
from vecdb.errors import (
    DeadlineExceeded,
    InvalidArgument,
    LimitExceeded,
    NotFound,
    PreconditionFailed,
)
from vecdb.testing.model import Model

ONE = np.ones((1, 4), np.float32)
DAY = limits.IDEMPOTENCY_SECONDS


class Block:
    """Keeps the writer thread busy, so that what is written meanwhile becomes one group."""

    def __init__(self, docs):
        self._store = docs._store
        self._entered = threading.Event()
        self._go_on = threading.Event()

    def __enter__(self):
        def wait(group):
            self._entered.set()
            assert self._go_on.wait(30)

        self._future = self._store.submit(wait, 1)
        assert self._entered.wait(30)
        return self

    def __exit__(self, *error):
        self._go_on.set()
        self._future.result(30)


def wait_for(happened):
    """Look again and again, for as long as a busy machine may need."""
    pause = threading.Event()
    for _ in range(30_000):
        if happened():
            return
        pause.wait(0.001)
    raise AssertionError("it did not happen")


def test_writes_that_wait_share_a_commit_and_see_each_other(db, docs):
    with Block(docs):
        futures = [
            docs.submit_upsert([1], ONE, [{"a": 1}]),
            docs.submit_upsert([1], 2 * ONE, [{"a": 2}], condition={"if_present": True}),
            docs.submit_upsert([2], ONE, condition={"if_absent": True}),
            docs.submit_upsert([2], ONE, condition={"if_absent": True}),
            docs.submit_upsert([3], ONE),
        ]
        before = db.stats()["commits"]
        assert docs.count() == 0
    results = [future.result() for future in futures if future.exception() is None]
    assert isinstance(futures[3].exception(), PreconditionFailed)
    assert [one.sequence for one in results] == sorted({one.sequence for one in results})
    assert db.stats()["commits"] - before == 2  # the block, and these
    assert docs.get([1]).payloads == [{"a": 2}]
    assert docs.scroll().ids.tolist() == [1, 2, 3]


def test_refused_write_leaves_no_trace_in_its_group(db, docs):
    """Kinds of ids, keys and conditions are decided in the order of the writes."""
    model = Model(dim=4, metric="l2")
    with Block(docs):
        texts = docs.submit_upsert(["a"], ONE, condition={"if_present": True})
        numbers = docs.submit_upsert([1], ONE, idempotency_key=b"k")
        other = docs.submit_upsert(["a"], ONE)
        again = docs.submit_upsert([1], ONE, idempotency_key=b"k")
        reused = docs.submit_upsert([2], ONE, idempotency_key=b"k")
    assert isinstance(texts.exception(), PreconditionFailed)
    assert isinstance(other.exception(), InvalidArgument)
    assert other.exception().reason == "WRONG_ID_KIND"
    assert again.result().replayed
    assert again.result().sequence == numbers.result().sequence
    assert reused.exception().reason == "KEY_REUSED"
    model.upsert([1], ONE, sequence=numbers.result().sequence)
    model.check(docs)
    model.check_search(docs, ONE[0], 10)


def test_write_to_a_collection_dropped_in_the_same_group_is_not_found(db, docs):
    docs.upsert([1], ONE)
    docs.search(ONE[0])
    with Block(docs):
        before = docs.submit_upsert([2], ONE)
        dropping = threading.Thread(target=lambda: db.delete_collection("docs"))
        dropping.start()
        wait_for(lambda: docs._store.writer.depth == 2)
        after = docs.submit_upsert([3], ONE)
    dropping.join()
    assert before.result().count == 1
    assert isinstance(after.exception(), NotFound)
    assert db.collections() == []
    db.create_collection("docs", dim=4)
    assert (docs.count(), len(docs.search(ONE[0]))) == (0, 0)


def test_answers_of_a_group_are_those_of_one_write_after_the_other(docs, rng):
    model = Model(dim=4, metric="l2")
    with Block(docs):
        futures = []
        for turn in range(40):
            ids = rng.permutation(15)[:4].tolist()
            vectors = rng.standard_normal((4, 4)).astype(np.float32)
            payloads = [{"group": turn}] * 4
            futures.append((ids, vectors, payloads, docs.submit_upsert(ids, vectors, payloads)))
    for ids, vectors, payloads, future in futures:
        model.upsert(ids, vectors, payloads, sequence=future.result().sequence)
    model.check(docs)
    model.check_search(docs, ONE[0], 100)
    last = futures[-1][0]
    assert docs.count({"group": 39}) == len(last)


# ---------------------------------------------------------------------------------- deadlines


def test_write_that_waited_too_long_is_not_applied(docs):
    with Block(docs):
        with pytest.raises(DeadlineExceeded) as caught:
            docs.upsert([1], ONE, timeout=0.02)
        assert not caught.value.maybe_applied  # it was taken out of the queue
        late = docs.submit_upsert([2], ONE, timeout=1e-9)
    assert isinstance(late.exception(), DeadlineExceeded)
    assert docs.count() == 0


def test_write_under_way_at_its_deadline_may_be_applied(docs):
    entered, go_on = threading.Event(), threading.Event()

    def slow(group):
        entered.set()
        assert go_on.wait(30)
        return "done"

    future = docs._store.submit(slow, 1)
    assert entered.wait(30)
    with pytest.raises(DeadlineExceeded) as caught:
        result_of(future, Deadline.after(0.02), wait=True)
    assert caught.value.maybe_applied
    go_on.set()
    assert future.result(30) == "done"


def test_full_queue_refuses_with_a_hint(docs, monkeypatch):
    monkeypatch.setattr(limits, "WRITE_QUEUE", 3)
    with Block(docs):
        futures = [docs.submit_upsert([id], ONE) for id in range(3)]
        for call in (
            lambda: docs.upsert([9], ONE),
            lambda: docs.delete([9]),
            lambda: docs.set_payload([9], {}),
            lambda: docs.upsert([9], ONE, wait=False),
        ):
            with pytest.raises(LimitExceeded) as caught:
                call()
            assert (caught.value.reason, caught.value.limit) == ("QUEUE_FULL", 3)
            assert caught.value.retry_after is not None
    assert [future.result().count for future in futures] == [1, 1, 1]
    assert docs.scroll().ids.tolist() == [0, 1, 2]


def test_failure_of_a_write_nobody_waits_for_is_logged(docs, caplog):
    with caplog.at_level(logging.WARNING, "vecdb"):
        docs.upsert([1], ONE, condition={"if_present": True}, wait=False)
        docs.upsert([1], ONE)
    assert "wait=False" in caplog.text
    assert "if_present" in caplog.text
    assert docs.count() == 1


# --------------------------------------------------------------------------- idempotency keys


def test_old_keys_are_forgotten_some_with_each_write(db, docs, clock):
    for number in range(200):
        docs.delete([number], idempotency_key=b"old %d" % number, wait=False)
    docs.delete([0], idempotency_key=b"barrier")
    assert keys_of(db) == 201
    clock.advance(DAY + 1)
    for number in range(4):
        docs.delete([0], idempotency_key=b"new %d" % number)
    assert keys_of(db) == 4
    assert docs.delete([0], idempotency_key=b"new 0").replayed


def test_key_is_forgotten_after_a_day_in_which_nothing_was_written(docs, clock):
    """Answers are deleted with later writes; here there was none."""
    docs.upsert([1], ONE, idempotency_key=b"key")
    clock.advance(DAY)
    assert docs.upsert([1], ONE, idempotency_key=b"key").replayed
    clock.advance(1)
    again = docs.upsert([1], -ONE, idempotency_key=b"key")
    assert (again.replayed, again.sequence) == (False, 2)
    assert docs.upsert([1], -ONE, idempotency_key=b"key").replayed  # for a day of its own


def test_write_without_a_key_leaves_none(db, docs):
    docs.upsert([1], ONE)
    docs.delete([1])
    assert keys_of(db) == 0


def test_key_of_a_collection_that_was_made_again_is_another_request(db, docs):
    docs.upsert([1], ONE, idempotency_key=b"key")
    db.delete_collection("docs")
    db.create_collection("docs", dim=4)
    with pytest.raises(InvalidArgument) as caught:
        docs.upsert([1], ONE, idempotency_key=b"key")
    assert caught.value.reason == "KEY_REUSED"


def keys_of(db):
    with db._store.environment.read() as transaction:
        keys, times = transaction.entries("keys"), transaction.entries("key_times")
    assert keys == times
    return keys
