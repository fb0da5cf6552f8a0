"""Version 2 did not note changed payloads: its sealed records may differ from their columns."""

from __future__ import annotations

import lmdb
import numpy as np
import pytest

import vecdb
from vecdb.check import check_directory
from vecdb.storage import format
from vecdb.storage.checksum import seal, unseal
from vecdb.storage.patches import scan_patches


@pytest.fixture
def directory(tmp_path):
    """Records 0-39 in two segments, 40-49 in the tail; those of two tens were changed later."""
    path = tmp_path / "db"
    with vecdb.open(path, threads=1) as db:
        docs = db.create_collection("docs", dim=2, metric="l2", fields={"n": "int"})
        for start in range(0, 50, 20):
            ids = np.arange(start, min(50, start + 20))
            docs.upsert(ids, np.ones((len(ids), 2), np.float32), [{"n": 1}] * len(ids))
            if start < 40:
                docs.seal()
        docs.set_payload(list(range(0, 50, 5)), {"n": 2})
    _take_back(path)
    return path


def _take_back(path):
    """Make version 2 of it: without the tables that came later."""
    with lmdb.open(str(path), max_dbs=len(format.TABLES)) as raw, raw.begin(write=True) as change:
        for name in set(format.TABLES) - set(format.TABLES_OF[2]):
            change.drop(raw.open_db(name.encode(), change))
        database = raw.open_db(b"database", change)
        header = np.frombuffer(
            unseal("database", format.FORMAT_KEY, change.get(format.FORMAT_KEY, db=database)),
            format.FORMAT,
        ).copy()
        header["version"] = 2
        stored = seal("database", format.FORMAT_KEY, header.tobytes())
        change.put(format.FORMAT_KEY, stored, db=database)


def test_records_changed_after_their_seal_are_found_by_what_they_are(directory):
    with vecdb.open(directory, threads=1) as db:
        docs = db.collection("docs")
        docs.search([1.0, 1.0], 3)
        assert docs.count({"n": 2}) == 10
        assert docs.count({"n": 1}) == 40
        number = db._store.row("docs").number
        with db._store.environment.read() as transaction:
            patches = scan_patches(transaction, number)
        assert patches.origins.tolist() == list(range(0, 40, 5))  # those of the tail need none
    assert check_directory(directory).ok
