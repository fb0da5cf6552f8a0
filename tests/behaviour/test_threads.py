"""Many threads at once: every answer is of one commit, and no write is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

# An AsyncClient is the client that is already here, and its loop is one thread.
KINDS = ("embedded", "remote")

RECORDS = 40


def vectors_of(version):
    """Of all records at a version: each tells which record and which version it is."""
    made = np.zeros((RECORDS, 4), np.float32)
    made[:, 0] = version
    made[:, 1] = np.arange(RECORDS)
    return made


def payloads_of(version):
    return [{"version": version, "record": record} for record in range(RECORDS)]


def together(*works: Callable[[], object]) -> list:
    """Run all at once; raises what the first of them raised."""
    barrier = threading.Barrier(len(works))

    def run(work):
        barrier.wait(30)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result(60) for future in [pool.submit(run, work) for work in works]]


def check_version(ids, payloads, vectors, at_least):
    """All records of one version, whatever the order; returns the version."""
    order = np.argsort(ids)
    version = payloads[0]["version"]
    assert version >= at_least
    assert [payloads[row] for row in order] == payloads_of(version)
    assert vectors[order].tobytes() == vectors_of(version).tobytes()
    return version


@pytest.mark.slow
def test_answers_are_of_one_commit_while_batches_are_written(api):
    docs = api.create(fields={"version": "int"})
    ids = np.arange(RECORDS)
    docs.upsert(ids, vectors_of(0), payloads_of(0))
    done = threading.Event()

    def write():
        try:
            for version in range(1, 25):
                docs.upsert(ids, vectors_of(version), payloads_of(version))
        finally:
            done.set()

    def read(once):
        def run():
            seen = 0
            turns = 0
            while not done.is_set() or turns < 5:
                seen = once(seen)
                turns += 1
            return seen

        return run

    query = np.zeros(4, np.float32)

    def search(seen):
        found = docs.search(query, RECORDS + 10, with_vector=True)
        assert len(found) == RECORDS
        assert (np.diff(found.scores) <= 0).all()
        return check_version(found.ids, found.payloads, found.vectors, seen)

    def search_batch(seen):
        answers = docs.search_batch(np.stack([query, query + 1]), RECORDS, with_vector=True)
        versions = {
            check_version(found.ids, found.payloads, found.vectors, seen) for found in answers
        }
        assert len(versions) == 1
        return versions.pop()

    def filtered(seen):
        newer = {"version": {"gte": seen}}
        found = docs.search(query, RECORDS, filter=newer, with_vector=True)
        return check_version(found.ids, found.payloads, found.vectors, seen)

    def get(seen):
        records = docs.get(ids[::-1], with_vector=True)
        assert len(set(records.sequences.tolist())) == 1
        return check_version(records.ids, records.payloads, records.vectors, seen)

    def scroll(seen):
        page = docs.scroll(with_vector=True)
        return check_version(page.ids, page.payloads, page.vectors, seen)

    readers = (search, search_batch, filtered, get, scroll)
    together(write, *(read(once) for once in readers))
    assert [read(once)() for once in readers] == [24] * 5


@pytest.mark.slow
def test_deletes_and_writes_never_show_half_of_a_batch(api):
    docs = api.create()
    ids = np.arange(RECORDS)
    done = threading.Event()

    def write():
        try:
            for version in range(16):
                docs.upsert(ids, vectors_of(version), payloads_of(version))
                if version % 2:
                    docs.delete(ids)
                else:
                    docs.delete(filter={})
        finally:
            done.set()

    def read():
        turns = 0
        while not done.is_set() or turns < 3:
            turns += 1
            found = docs.search(np.zeros(4, np.float32), 1_000, with_vector=True)
            assert len(found) in (0, RECORDS)
            if len(found):
                check_version(found.ids, found.payloads, found.vectors, 0)
            assert docs.count() in (0, RECORDS)

    together(write, read, read)
    assert docs.count() == 0


def test_records_of_many_writers_are_all_there(api):
    docs = api.create()

    def write(first):
        def run():
            for number in range(20):
                docs.upsert([first + number], np.full((1, 4), first + number, np.float32))

        return run

    together(*(write(100 * writer) for writer in range(6)))
    page = docs.scroll(limit=1_000, with_vector=True)
    assert page.ids.tolist() == [
        100 * writer + number for writer in range(6) for number in range(20)
    ]
    assert (page.vectors[:, 0] == page.ids).all()
    assert len(set(page.sequences.tolist())) == 120


def test_one_of_many_writers_of_a_new_record_wins(api):
    docs = api.create()
    for turn in range(5):

        def write(writer, turn=turn):
            try:
                docs.upsert(
                    [turn],
                    np.full((1, 4), writer, np.float32),
                    [{"writer": writer}],
                    condition={"if_absent": True},
                )
            except api.errors.PreconditionFailed:
                return None
            return writer

        winners = together(*(lambda writer=writer: write(writer) for writer in range(6)))
        (winner,) = [one for one in winners if one is not None]
        assert docs.get([turn]).payloads == [{"writer": winner}]


def test_counters_kept_with_if_sequence_lose_no_step(api):
    docs = api.create()
    vector = np.ones((1, 4), np.float32)
    docs.upsert([1], vector, [{"count": 0}])

    def count():
        steps = 0
        while steps < 8:
            record = docs.get([1])[0]
            try:
                docs.upsert(
                    [1],
                    vector,
                    [{"count": record.payload["count"] + 1}],
                    condition={"if_sequence": record.sequence},
                )
            except api.errors.PreconditionFailed:
                continue
            steps += 1

    together(count, count, count, count)
    assert docs.get([1]).payloads == [{"count": 32}]


def test_one_of_many_repeats_of_a_key_writes(api, rng):
    docs = api.create()
    docs.upsert([1, 2, 3], np.ones((3, 4), np.float32), [{"a": 1}] * 3)
    key = rng.bytes(32) + api.kind.encode()
    results = together(*(lambda: docs.delete([1, 2], idempotency_key=key) for _ in range(8)))
    assert [result.count for result in results] == [2] * 8
    assert [result.replayed for result in results].count(False) == 1
    assert len({result.sequence for result in results}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("dims", [(4, 4), (4, 64)], ids=["same dimension", "other dimension"])
def test_moving_alias_is_always_one_collection_or_the_other(api, dims):
    """A search through it is answered by one of them, or refused for its dimension."""
    for name, dim in zip(("old", "new"), dims, strict=True):
        made = api.create(name, dim=dim, fields={"name": "keyword"})
        made.upsert(np.arange(50), np.ones((50, dim), np.float32), [{"name": name}] * 50)
    api.db.alias("current", "old")
    current = api.db.collection("current")
    done = threading.Event()

    def move():
        try:
            for turn in range(20):
                api.db.alias("current", ("new", "old")[turn % 2])
        finally:
            done.set()

    def search():
        names = set()
        while not done.is_set():
            try:
                found = current.search(
                    np.ones(4, np.float32), 50, filter={"name": {"exists": True}}
                )
            except api.errors.InvalidArgument as error:
                if (error.field, error.reason, dims[1]) != ("vector", "WRONG_DIMENSION", 64):
                    raise
                continue
            (name,) = {payload["name"] for payload in found.payloads}
            assert len(found) == 50
            names.add(name)
        return names

    _, *seen = together(move, search, search)
    assert set().union(*seen) <= {"old", "new"}


@pytest.mark.slow
def test_searches_of_a_dropped_collection_answer_or_are_not_found(api):
    def drop():
        for turn in range(8):
            made = api.create(dim=4 if turn % 2 else 8)
            made.upsert([1, 2], np.ones((2, made.describe().dim), np.float32))
            api.db.delete_collection("docs")
        done.set()

    def search():
        while not done.is_set():
            try:
                found = api.db.collection("docs").search(np.ones(4, np.float32))
                assert found.ids.tolist() in ([], [1, 2])
            except (api.errors.NotFound, api.errors.InvalidArgument) as error:
                if error.reason not in ("NO_COLLECTION", "WRONG_DIMENSION"):
                    raise

    done = threading.Event()
    together(drop, search, search)
