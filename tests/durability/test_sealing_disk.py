"""A disk that is full while a segment is built: nothing is left behind, nothing is lost."""

from __future__ import annotations

import numpy as np
import pytest

import vecdb
from vecdb.check import check_directory
from vecdb.storage.environment import DiskFull
from vecdb.storage.segment_files import SEGMENTS
from vecdb.testing.faults import tiny_disk, why_no_tiny_disk
from vecdb.testing.model import Model

MIB = 1024 * 1024
DIM = 64


@pytest.fixture
def disk(tmp_path):
    reason = why_no_tiny_disk()
    if reason:
        pytest.skip(reason)
    with tiny_disk(tmp_path / "disk", 24 * MIB) as made:
        yield made


@pytest.fixture
def db(disk):
    with vecdb.open(disk.path / "db", threads=1) as opened:
        yield opened


@pytest.fixture
def docs(db):
    return db.create_collection("docs", dim=DIM, metric="l2")


@pytest.fixture
def model():
    return Model(dim=DIM, metric="l2")


@pytest.fixture
def write(docs, model, rng):
    def upsert(first, count):
        ids = list(range(first, first + count))
        vectors = rng.standard_normal((count, DIM)).astype(np.float32)
        model.upsert(ids, vectors, sequence=docs.upsert(ids, vectors).sequence)

    return upsert


@pytest.fixture
def rng():
    return np.random.default_rng(4)


def names(disk):
    folder = disk.path / "db" / SEGMENTS
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def reopened(db, disk, model):
    """Close, check, open again: the database; everything is there."""
    db.close()
    report = check_directory(disk.path / "db")
    assert report.ok, report.problems
    again = vecdb.open(disk.path / "db", threads=1)
    model.check(again.collection("docs"))
    return again


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["seal", "compact"])
def test_build_on_a_full_disk_is_refused_and_works_once_there_is_room(
    db, docs, disk, model, write, rng, kind
):
    """With more room each time: for no file, for some of them, for all but the commit, for all."""
    write(0, 600)
    if kind == "compact":
        docs.seal()
        write(600, 600)
        docs.seal()
        docs.delete([5])
        model.delete([5])
    before, refusals = names(disk), 0
    for room in range(0, 3 * MIB, 192 * 1024):
        disk.fill(leave_bytes=room)
        try:
            docs.seal() if kind == "seal" else docs.compact()
        except DiskFull:
            refusals += 1
        else:
            break
        finally:
            disk.free()
        assert names(disk) == before
        assert db._store.environment.failed is None
        model.check_search(docs, rng.standard_normal(DIM).astype(np.float32), 20)
    assert 1 < refusals < 16
    assert len(names(disk)) == 1
    model.check(docs)
    write(2_000, 50)
    assert docs.seal().records == 50
    reopened(db, disk, model).close()


def test_seal_that_has_no_room_to_be_committed_leaves_no_files(db, docs, disk, model, write, rng):
    """The files are there; LMDB refuses to name them."""
    write(0, 300)
    environment = db._store.environment
    show, filled = db._store.sealer._show, []

    def fill(share):
        show(share)
        if share == 1.0 and not filled:
            environment._reserve.give_up()
            disk.fill()
            filled.append(share)

    db._store.sealer._show = fill
    try:
        with pytest.raises(DiskFull):
            docs.seal()
    finally:
        disk.free()
    assert names(disk) == []
    model.check(docs)
    assert docs.seal().records == 300
    reopened(db, disk, model).close()
