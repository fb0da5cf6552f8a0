"""A search: its arguments, its one view, its deadline."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.collection import tail
from vecdb.collection.search import make_request
from vecdb.deadline import Deadline
from vecdb.errors import DeadlineExceeded, InvalidArgument
from vecdb.filters import EVERYTHING
from vecdb.testing.model import Model

OPTIONS = {
    "tenant": None,
    "filter": None,
    "mode": "auto",
    "min_score": None,
    "with_payload": True,
    "with_vector": False,
    "with_relevance": False,
    "with_surprise": False,
    "effort": None,
    "estimator": "rabitq",
    "single": True,
}


@pytest.fixture
def row(docs):
    return docs._store.row("docs")


def test_request_holds_what_the_kernels_take(row):
    request = make_request(row, [1, 2, 3, 4], np.int32(7), **OPTIONS)
    assert request.queries.tolist() == [[1, 2, 3, 4]]
    assert (request.queries.dtype, request.k, request.node) == (np.float32, 7, None)
    strided = np.arange(8, dtype=np.float64)[::2]
    request = make_request(row, strided, 1, **{**OPTIONS, "filter": {}, "min_score": np.float16(2)})
    assert request.queries.flags.c_contiguous
    assert (request.node, request.min_score) == (EVERYTHING, 2.0)
    batch = {**OPTIONS, "single": False}
    assert make_request(row, np.empty((0, 4)), 1, **batch).queries.shape == (0, 4)


@pytest.mark.parametrize(
    ("min_score", "taken"), [(1, 1.0), (np.int8(-3), -3.0), (0.1, 0.1), (-1e300, -1e300)]
)
def test_least_score_is_any_finite_number(row, min_score, taken):
    assert (
        make_request(row, [1, 2, 3, 4], 1, **{**OPTIONS, "min_score": min_score}).min_score == taken
    )


@pytest.mark.parametrize("min_score", [float("nan"), float("-inf"), 10**400, "1", True, [1], 1j])
def test_least_score_that_is_no_number_is_refused(row, min_score):
    with pytest.raises(InvalidArgument) as caught:
        make_request(row, [1, 2, 3, 4], 1, **{**OPTIONS, "min_score": min_score})
    assert caught.value.field == "min_score"


def test_search_past_its_deadline_ends(docs):
    docs.upsert([1], np.ones((1, 4), np.float32))
    for call in (
        lambda: docs.search(np.ones(4, np.float32), timeout=1e-9),
        lambda: docs.search(np.ones(4, np.float32), filter={"group": 1}, timeout=1e-9),
        lambda: docs.search_batch(np.ones((2, 4), np.float32), timeout=1e-9),
        lambda: docs.count({"group": 1}, timeout=1e-9),
        lambda: docs.count(timeout=1e-9),
        lambda: docs.get([1], timeout=1e-9),
        lambda: docs.scroll(timeout=1e-9),
        lambda: docs.describe(timeout=1e-9),
        lambda: docs.stats(timeout=1e-9),
    ):
        with pytest.raises(DeadlineExceeded) as caught:
            call()
        assert not caught.value.maybe_applied


def test_answers_after_any_number_of_blocks_and_holes(docs, rng, monkeypatch):
    """Small blocks, many of them with retired slots, some of them gone."""
    monkeypatch.setattr(tail, "_BLOCK_ROWS", (16, 16))
    model = Model(dim=4, metric="l2")
    for turn in range(25):
        ids = rng.permutation(60)[: 1 + turn % 20].tolist()
        vectors = rng.integers(0, 3, (len(ids), 4)).astype(np.float32)
        payloads = [{"group": turn}] * len(ids)
        done = docs.upsert(ids, vectors, payloads)
        model.upsert(ids, vectors, payloads, sequence=done.sequence)
        if turn % 3 == 0:
            gone = rng.permutation(60)[:10].tolist()
            docs.delete(gone)
            model.delete(gone)
        query = rng.integers(0, 3, 4).astype(np.float32)
        model.check_search(docs, query, 13)
        model.check_search(
            docs,
            query,
            13,
            filter={"group": {"gte": turn - 5}},
            predicate=lambda one, turn=turn: one["group"] >= turn - 5,
        )
    model.check(docs)


def test_deadline_of_a_batch_is_one_for_all_its_queries(docs, row, monkeypatch):
    """It is checked again and again while queries are worked on."""
    docs.upsert(np.arange(100), np.ones((100, 4), np.float32))
    checks = []
    monkeypatch.setattr(Deadline, "check", lambda self, doing: checks.append(doing))
    docs.search_batch(np.ones((200, 4), np.float32), timeout=60)
    assert len(checks) >= 4
