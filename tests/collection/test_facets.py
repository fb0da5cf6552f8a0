"""Counts by value are the same by columns and by payloads alone, where no vectors are loaded."""

from __future__ import annotations

import numpy as np
import pytest

import vecdb
from vecdb.errors import DeadlineExceeded

FIELDS = {"lang": "keyword", "price": "float", "at": "datetime"}


@pytest.fixture
def directory(tmp_path, rng):
    with vecdb.open(tmp_path / "db") as db:
        docs = db.create_collection("docs", dim=4, fields=FIELDS)
        payloads = [
            None
            if place % 9 == 0
            else {"lang": ["de", ["en", "de", "en"], None][place % 3], "price": place % 4 - 0.0}
            | ({"at": "2024-01-01T01:00:00+01:00"} if place % 2 else {})
            for place in range(200)
        ]
        vectors = rng.standard_normal((200, 4)).astype(np.float32)
        docs.upsert(list(range(150)), vectors[:150], payloads[:150])
        docs.seal()
        docs.upsert(list(range(150, 200)), vectors[150:], payloads[150:])
        docs.delete(list(range(0, 200, 8)))
        docs.set_payload([1], {"lang": "fr", "price": -0.0})
    return tmp_path / "db"


@pytest.mark.parametrize("filter", [None, {"price": {"gte": 1}}])
def test_counts_need_no_vectors(directory, filter):
    with vecdb.open(directory) as db:
        docs = db.collection("docs")
        store = docs._store
        cold = [docs.facets(name, filter, 100) for name in FIELDS]
        assert not store.has_snapshot("docs")
        docs.search(np.ones(4, np.float32))
        assert store.has_snapshot("docs")
        warm = [docs.facets(name, filter, 100) for name in FIELDS]
    for one, other in zip(cold, warm, strict=True):
        assert repr(one.values) == repr(other.values)
        assert one.counts.tolist() == other.counts.tolist()
        assert one.others == other.others == 0
        assert len(one) > 0


def test_deadline_is_kept(directory):
    with vecdb.open(directory) as db, pytest.raises(DeadlineExceeded):
        db.collection("docs").facets("lang", timeout=1e-9)
