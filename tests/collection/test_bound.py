"""The error bound of a scan: what it is asked to find, it finds."""

from __future__ import annotations

import os

import numpy as np
import pytest

from vecdb.collection import scanning

pytestmark = pytest.mark.skipif(
    "NUMBA_DISABLE_JIT" in os.environ, reason="codes are compared with vector instructions"
)


def content(answers):
    return [(list(one.ids), one.scores.tobytes(), one.distances.tobytes()) for one in answers]


@pytest.mark.slow
def test_bound_keeps_as_many_as_it_takes(db, rng, monkeypatch):
    """Gaussian vectors of few dimensions: estimates tell little, every query needs more."""
    docs = db.create_collection("docs", dim=16, metric="l2")
    vectors = rng.standard_normal((3_000, 16)).astype(np.float32)
    docs.upsert(np.arange(3_000), vectors)
    docs.seal()
    queries = rng.standard_normal((12, 16)).astype(np.float32)
    exact = content(docs.search_batch(queries, 5, mode="exact"))
    asked = {"mode": "scan", "effort": "bound"}
    assert content(docs.search_batch(queries, 5, **asked)) == exact
    assert content([docs.search(query, 5, **asked) for query in queries]) == exact
    monkeypatch.setattr(scanning, "KEPT_MAX", 600)  # no wider than the first try
    assert content(docs.search_batch(queries, 5, **asked)) == exact


def test_bound_holds_for_vectors_of_very_different_lengths(db, rng):
    """Under dot the error of an estimate grows with the vector's length."""
    docs = db.create_collection("docs", dim=64, metric="dot")
    vectors = rng.standard_normal((4_000, 64)) * rng.lognormal(0.0, 1.0, (4_000, 1))
    docs.upsert(np.arange(4_000), vectors.astype(np.float32))
    docs.seal()
    queries = rng.standard_normal((20, 64)).astype(np.float32)
    exact = content(docs.search_batch(queries, 10, mode="exact"))
    assert content(docs.search_batch(queries, 10, mode="scan", effort="bound")) == exact
