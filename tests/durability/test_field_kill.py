"""SIGKILL while fields are declared and taken back: the old fields or the new, filters exact."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

import vecdb
from vecdb.check import check_directory
from vecdb.collection.adding_columns import missing_columns
from vecdb.storage.added_columns import list_leftovers
from vecdb.storage.catalogue import columns_due
from vecdb.storage.manifest import scan_segments

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).resolve().parent
SECONDS = 120.0
COUNT = 90
STEPS = [
    {"lang": "keyword"},
    {"lang": "keyword", "year": "int"},
    {"lang": "keyword", "year": "int", "body": "text"},
    {"year": "int", "body": "text"},
    {"lang": "keyword", "year": "int", "body": "text"},
    {"lang": "keyword", "year": "int", "body": "text", "key": "uuid"},
]
"""The declared fields, after each step of the worker."""
STRIKES = {
    "schema not written": (1, 3),
    "schema written": (1, 3, 5),
    "schema committed": (1, 4),
    "column not written": (1, 4),
    "column written": (1, 2, 6),
    "names not written": (1, 3),
    "all written": (1, 5),
    "manifest written": (1, 2),
    "manifest committed": (1, 2),
    "nothing due": (1, 2),
}


def payload_of(id):
    return {
        "lang": "en" if id % 2 else "de",
        "year": 2000 + id % 5,
        "body": f"some words, the {id % 3} of them",
        "key": str(UUID(int=id % 4)),
    }


FILTERS = {
    "lang": ({"lang": "en"}, lambda payload: payload["lang"] == "en"),
    "year": ({"year": {"gte": 2003}}, lambda payload: payload["year"] >= 2003),
    "body": ({"body": {"phrase": "the 2 of"}}, lambda payload: "the 2 of" in payload["body"]),
    "key": ({"key": str(UUID(int=3))}, lambda payload: payload["key"] == str(UUID(int=3))),
}


@pytest.fixture
def payloads():
    return {id: payload_of(id) for id in range(COUNT)}


@pytest.fixture
def directory(tmp_path, payloads):
    """Two segments, changed since, and a tail."""
    with vecdb.open(tmp_path / "db") as db:
        docs = db.create_collection("docs", dim=4, metric="l2", fields=STEPS[0])
        rng = np.random.default_rng(1)
        for start in range(0, COUNT, 30):
            ids = range(start, start + 30)
            vectors = rng.standard_normal((30, 4), dtype=np.float32)
            docs.upsert(ids, vectors, [payloads[id] for id in ids])
            if start < 60:
                docs.seal()
        payloads[5] = payload_of(6)
        docs.set_payload([5], payloads[5])
    return tmp_path / "db"


def is_exact(docs, payloads):
    fields = dict(docs.describe().fields)
    for name in fields:
        tree, holds = FILTERS[name]
        expected = [id for id, payload in payloads.items() if holds(payload)]
        assert docs.scroll(tree, limit=1_000).ids.tolist() == expected
        found = docs.search(np.ones(4, np.float32), COUNT, filter=tree)
        assert sorted(found.ids.tolist()) == expected
    return fields


def wait_for_columns(db):
    """Until nothing is due; then no segment lacks a column, and nothing is left of a stop."""
    store, end = db._store, time.monotonic() + SECONDS
    row = store.row("docs")
    while True:
        with store.environment.read() as transaction:
            if not columns_due(transaction, row.number):
                break
        assert time.monotonic() < end
        time.sleep(0.01)
    with store.environment.read() as transaction:
        for segment in scan_segments(transaction, row.number):
            info = store.segments.info(segment)
            assert not missing_columns(info, row.schema.fields)
            assert not list_leftovers(store.directory, info, segment.json_checksum)


@pytest.mark.parametrize(
    ("point", "strike"), [(point, strike) for point, some in STRIKES.items() for strike in some]
)
def test_killed_while_fields_change(directory, payloads, point, strike):
    worker = [sys.executable, str(FOLDER / "field_worker.py")]
    ended = subprocess.run(
        [*worker, str(directory), point, str(strike)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert ended.returncode == -9, ended.stderr
    assert check_directory(directory).problems == ()
    with vecdb.open(directory, read_only=True) as db:
        assert is_exact(db.collection("docs"), payloads) in STEPS
    with vecdb.open(directory) as db:
        docs = db.collection("docs")
        fields = is_exact(docs, payloads)
        assert fields in STEPS
        wait_for_columns(db)
        assert is_exact(docs, payloads) == fields
    assert check_directory(directory, deep=True).problems == ()


def test_points_are_those_of_the_worker():
    sys.path.insert(0, str(FOLDER))
    try:
        assert set(importlib.import_module("field_worker").POINTS) == set(STRIKES)
    finally:
        sys.path.remove(str(FOLDER))
