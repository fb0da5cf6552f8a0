"""A full disk is emptied by deleting: no delete is refused, and afterwards writes go on.

Nothing else gives room here: what the database leaves free a file beside it takes.
"""

from __future__ import annotations

import random
import threading
from contextlib import ExitStack

import numpy as np
import pytest

import vecdb
from vecdb.check import check_directory
from vecdb.collection import sealer
from vecdb.collection.cleaning import needs_cleaning
from vecdb.collection.writes import delete
from vecdb.errors import Unauthenticated
from vecdb.storage.environment import DiskFull
from vecdb.storage.records import id_keys
from vecdb.storage.reserve import LEAST_BYTES, RESERVE_BYTES, RESERVE_FILE
from vecdb.testing.faults import tiny_disk, why_no_tiny_disk

MIB = 1024 * 1024
DIM = 64


@pytest.fixture
def make_disk(tmp_path):
    """Mount a disk of that size; gone after the test."""
    reason = why_no_tiny_disk()
    if reason:
        pytest.skip(reason)
    with ExitStack() as mounted:
        yield lambda size_bytes: mounted.enter_context(tiny_disk(tmp_path / "disk", size_bytes))


class Filled:
    """A collection on a disk that is full. ``alive``: the ids that are stored."""

    def __init__(self, disk, *, rows, payload_bytes):
        self.disk = disk
        self.rows = rows
        self.payload = {"a": "x" * payload_bytes} if payload_bytes else None
        self.alive = []
        self.next_id = 0
        self.rng = random.Random(1)
        self.open()
        self.docs = self.db.create_collection("docs", dim=DIM, metric="l2")
        self.fill()
        disk.fill()

    def open(self):
        self.db = vecdb.open(self.disk.path / "db", threads=1)
        self.docs = self.db.collection("docs")

    @property
    def reserve(self):
        return self.db._store.environment._reserve

    def upsert(self, ids):
        vectors = np.array([vector_of(id) for id in ids])
        return self.docs.upsert(ids, vectors, [self.payload] * len(ids))

    def fill(self):
        """Write until a batch is refused twice; how many records that were."""
        before, refused = len(self.alive), 0
        while refused < 2:
            ids = list(range(self.next_id, self.next_id + self.rows))
            try:
                self.upsert(ids)
            except DiskFull:
                refused += 1
            else:
                refused = 0
                self.alive += ids
                self.next_id += self.rows
        return len(self.alive) - before

    def has_room_for_a_key(self):
        """Make a key, twice tried; whether there was room for it."""
        for _ in range(2):
            try:
                self.db.create_key("more", "read", all_tenants=True)
            except DiskFull:
                continue
            return True
        return False

    def delete(self, share, chunk):
        """Delete that share of the records here and there, ``chunk`` at a time."""
        self.rng.shuffle(self.alive)
        cut = int(share * len(self.alive))
        gone, self.alive = self.alive[:cut], self.alive[cut:]
        for start in range(0, cut, chunk):
            ids = gone[start : start + chunk]
            assert self.docs.delete(ids).count == len(ids)

    def needs_cleaning(self):
        """Whether the space of dead rows is still taken, after enough turns to give it back."""
        for _ in range(200):  # a step has its turn after each write
            with self.db._store.view("docs") as view:
                if not needs_cleaning(view.state):
                    return False
            self.docs.delete([-1])
        return True

    def check(self):
        """All that is alive is stored, and only that."""
        assert self.docs.count() == len(self.alive)
        some = sorted(self.rng.sample(self.alive, min(len(self.alive), 100)))
        found = self.docs.get(some, with_vector=True)
        assert found.ids.tolist() == some
        assert np.array_equal(found.vectors, [vector_of(id) for id in some])
        assert found.payloads == [self.payload] * len(some)
        if some:
            assert self.docs.search(vector_of(some[0]), 1, mode="exact").ids.tolist() == some[:1]


def vector_of(id):
    return np.random.default_rng(id).standard_normal(DIM, np.float32)


@pytest.fixture
def filled(make_disk, monkeypatch):
    """A ``Filled`` whose vectors stay in LMDB; closed after the test."""
    monkeypatch.setattr(sealer, "SEAL_RECORDS", sealer.SEAL_RECORDS_MAX)
    made = []

    def fill(size_bytes=4 * MIB, *, rows=100, payload_bytes=0):
        made.append(Filled(make_disk(size_bytes), rows=rows, payload_bytes=payload_bytes))
        return made[-1]

    yield fill
    for one in made:
        one.db.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "payload_bytes", "chunk"), [(10, 200, 3), (100, 0, 50), (500, 200, 50)]
)
def test_deletes_empty_a_full_disk_and_writes_resume(filled, rows, payload_bytes, chunk):
    full = filled(rows=rows, payload_bytes=payload_bytes)
    stored = len(full.alive)
    for turn in range(3):
        full.delete(2 / 3, chunk)
        assert not full.needs_cleaning()
        full.check()
        written = full.fill()
        if turn:  # in the first there is little to clean away yet
            assert written > stored // 10
        full.check()
    full.db.close()
    assert check_directory(full.disk.path / "db").ok
    full.open()
    full.check()
    full.disk.resize(8 * MIB)
    full.upsert(full.alive[:1])
    assert full.reserve.is_whole


@pytest.mark.slow
def test_space_of_deleted_vectors_comes_back_on_a_full_disk(filled):
    """What is alive of a whole step of cleaning has no room; of a small one it has."""
    full = filled(8 * MIB, rows=500, payload_bytes=20)
    full.delete(2 / 3, 20)
    assert full.reserve.held > LEAST_BYTES  # what was given up is held again at once
    assert not full.needs_cleaning()
    full.check()


def test_dropped_collection_empties_a_full_disk(filled):
    full = filled()
    stored = len(full.alive)
    full.db.delete_collection("docs")
    full.docs = full.db.create_collection("docs", dim=DIM, metric="l2")
    for _ in range(100):  # the sweep has its turn after each write
        full.docs.delete([0])
    full.alive = []
    assert full.fill() > stored // 2
    full.check()


def test_write_that_waits_with_a_delete_is_refused_alone(filled):
    full = filled()
    entered, leave = threading.Event(), threading.Event()

    def hold(group):
        entered.set()
        leave.wait()

    store = full.db._store
    store.submit(hold, 1)
    entered.wait()
    ids = list(range(full.next_id, full.next_id + full.rows))
    refused = full.docs.submit_upsert(ids, np.array([vector_of(id) for id in ids]))
    row = store.row("docs")
    keys = id_keys(row.number, np.array(full.alive[:3]))
    done = store.submit(lambda group: delete(group, group.state(row.number), row, keys), 1)
    leave.set()
    with pytest.raises(DiskFull):
        refused.result()
    assert done.result().count == 3
    full.alive = full.alive[3:]
    full.check()


def test_delete_that_is_too_large_for_the_reserve_takes_nothing_of_it(filled):
    """Each of its ids is on a page of its own, and there are more pages than the reserve has."""
    full = filled(8 * MIB, payload_bytes=1_900)
    held = full.reserve.held
    with pytest.raises(DiskFull):
        full.docs.delete(full.alive[::2])
    full.delete(0.01, 1)
    full.fill()
    assert full.reserve.held > held - LEAST_BYTES
    full.check()


def test_database_opens_without_room_for_a_reserve_and_waits_for_it(filled):
    full = filled()
    full.db.close()
    (full.disk.path / "db" / RESERVE_FILE).unlink()
    full.disk.free()
    full.disk.fill(leave_bytes=RESERVE_BYTES // 2)
    full.open()
    assert LEAST_BYTES < full.reserve.held < RESERVE_BYTES
    full.check()
    with pytest.raises(DiskFull):
        full.upsert(full.alive[:1])
    full.delete(0.01, 10)
    full.disk.resize(8 * MIB)
    full.upsert(full.alive[:1])
    assert full.reserve.is_whole
    full.check()


def test_keys_are_revoked_on_a_full_disk(filled):
    full = filled()
    full.delete(0.3, 50)
    assert not full.needs_cleaning()
    made = [full.db.create_key(f"k{n}", "read", all_tenants=True) for n in range(20)]
    full.fill()
    for info, secret in made:
        while full.has_room_for_a_key():
            pass
        full.db.revoke_key(info.id)
        with pytest.raises(Unauthenticated):
            full.db.authenticate(secret)
    full.check()
