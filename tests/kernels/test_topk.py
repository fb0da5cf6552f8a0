"""Which rows ``collect_candidates`` keeps, beside the table in its module."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.kernels import topk

FORMS = {
    "dot": topk.DOT,
    "cosine": topk.COSINE,
    "l2 block": topk.L2_BLOCK,
    "l2 rows": topk.L2_ROWS,
}
ERRORS = (1e-3, 1e-30, 1e-12)
NO_INDEX = np.empty(0, np.int64)


class State:
    """Heaps and candidates of the queries, and the calls."""

    def __init__(self, queries, k, capacity=1_000):
        self.heaps = np.full((queries, k), np.nan)
        self.sizes = np.zeros(queries, np.int64)
        self.slots = np.full((queries, capacity), -1, np.int64)
        self.highs = np.full((queries, capacity), np.nan)
        self.counts = np.zeros(queries, np.int64)

    def collect(
        self, form, scores, norms, *, query_norms, mask=None, floors=None, index=NO_INDEX, first=0
    ):
        if mask is None:
            mask = np.ones(len(norms), np.uint8)
        if floors is None:
            floors = np.full(len(query_norms), -np.inf)
        return topk.collect_candidates(
            form,
            ERRORS,
            query_norms,
            floors,
            scores,
            norms,
            mask,
            first,
            index,
            self.heaps,
            self.sizes,
            self.slots,
            self.highs,
            self.counts,
        )

    def kept(self, query=0):
        """Slots of the candidates that the k-th best low leaves."""
        heap = self.heaps[query, : self.sizes[query]]
        least = heap.min() if len(heap) == self.heaps.shape[1] else -np.inf
        count = self.counts[query]
        slots, highs = self.slots[query, :count], self.highs[query, :count]
        return sorted(slots[highs >= least].tolist())


def intervals(form, scores, norms, query_norm):
    """(lows, highs) of one query: the table, in numpy."""
    relative, tiny, slack = ERRORS
    scores = scores.astype(np.float64)
    values = {
        topk.DOT: (scores, relative * query_norm * norms + tiny),
        topk.COSINE: (scores / norms, relative * query_norm + tiny / norms),
        topk.L2_BLOCK: (
            2.0 * scores - (norms**2 + query_norm**2),
            2.0 * (relative * query_norm * norms + tiny) + slack * (norms**2 + query_norm**2),
        ),
        topk.L2_ROWS: (scores, tiny - relative * scores),
    }
    value, error = values[form]
    return value - error, value + error


def draw(form, queries=1, n=500, seed=3):
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((queries, n)).astype(np.float32)
    if form == topk.L2_ROWS:
        scores = -np.abs(scores)
    return scores, rng.uniform(0.5, 2.0, n), rng.uniform(0.5, 2.0, queries)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("k", [1, 2, 3, 10, 33, 499, 500, 501])
def test_candidates_are_the_rows_that_reach_the_kth_low(form, k):
    scores, norms, query_norms = draw(form)
    state = State(1, k)
    left = state.collect(form, scores, norms, query_norms=query_norms)
    lows, highs = intervals(form, scores[0], norms, query_norms[0])
    least = np.sort(lows)[::-1][k - 1] if k <= 500 else -np.inf
    assert left == 1
    assert state.sizes[0] == min(k, 500)
    assert np.allclose(np.sort(state.heaps[0, : state.sizes[0]]), np.sort(lows)[-k:])
    assert state.kept() == np.flatnonzero(highs >= least).tolist()


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_tiles_and_queries_add_up(form):
    scores, norms, query_norms = draw(form, queries=3)
    state = State(3, 10)
    for start, stop in ((0, 1), (1, 64), (64, 65), (65, 300), (300, 300), (300, 500)):
        state.collect(
            form,
            np.ascontiguousarray(scores[:, start:stop]),
            norms[start:stop],
            query_norms=query_norms,
            first=start,
        )
    for query in range(3):
        alone = State(1, 10)
        alone.collect(
            form, scores[query : query + 1], norms, query_norms=query_norms[query : query + 1]
        )
        assert state.kept(query) == alone.kept()
        assert len(alone.kept()) >= 10


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_masked_rows_are_no_candidates_and_raise_no_floor(form):
    scores, norms, query_norms = draw(form)
    mask = (np.arange(500) % 3 == 0).astype(np.uint8)
    state = State(1, 5)
    state.collect(form, scores, norms, query_norms=query_norms, mask=mask)
    subset = State(1, 5)
    subset.collect(
        form,
        np.ascontiguousarray(scores[:, mask == 1]),
        norms[mask == 1],
        query_norms=query_norms,
        index=np.flatnonzero(mask),
    )
    assert state.kept() == subset.kept()
    assert all(slot % 3 == 0 for slot in state.kept())


def test_index_and_first_name_the_slots():
    state = State(1, 2)
    state.collect(
        topk.DOT,
        np.array([[5.0, 1.0, 9.0]], np.float32),
        np.ones(3),
        query_norms=np.ones(1),
        index=np.array([4, 6, 8]),
        first=100,
    )
    assert state.kept() == [104, 108]


def test_rows_under_the_floor_are_no_candidates():
    scores = np.arange(200, dtype=np.float32)[None, :]
    state = State(1, 100)
    state.collect(topk.DOT, scores, np.ones(200), query_norms=np.zeros(1), floors=np.array([150.0]))
    assert state.kept() == list(range(150, 200))


def test_equal_scores_are_all_candidates():
    state = State(1, 3)
    scores = np.array([[1.0] * 70 + [0.0] * 70], np.float32)
    state.collect(topk.DOT, scores, np.ones(140), query_norms=np.ones(1))
    assert state.kept() == list(range(70))


def test_full_buffer_drops_what_cannot_win_any_more():
    state = State(1, 2, capacity=16)
    scores = np.arange(300, dtype=np.float32)[None, :]
    assert state.collect(topk.DOT, scores, np.ones(300), query_norms=np.ones(1)) == 1
    assert state.kept() == [298, 299]


def test_query_with_too_many_candidates_is_given_up_alone():
    state = State(2, 2, capacity=16)
    scores = np.stack([np.zeros(300), np.arange(300)]).astype(np.float32)
    for first in (0, 150):
        part = np.ascontiguousarray(scores[:, first : first + 150])
        left = state.collect(topk.DOT, part, np.ones(150), query_norms=np.ones(2), first=first)
        assert left == 1
    assert state.counts[0] == -1
    assert set(state.kept(1)) == {298, 299}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_rows_too_long_for_float32_are_candidates_without_a_score(form, score):
    scores, norms, query_norms = draw(form)
    scores[0, [70, 130]], norms[[70, 130]] = score, 1e30
    query_norms[0] = 1e10
    state = State(1, 1)
    with np.errstate(all="ignore"):
        state.collect(form, scores, norms, query_norms=query_norms)
    assert {70, 130} < set(state.kept())
    assert np.isfinite(state.heaps[0, 0])


@pytest.mark.parametrize("form", [topk.DOT, topk.COSINE])
def test_vectors_of_length_0_score_0(form):
    state = State(1, 2)
    scores = np.array([[-1.0] * 64 + [0.0] * 2 + [-1.0] * 64], np.float32)
    norms = np.where(scores[0] == 0.0, 0.0, 1.0)
    with np.errstate(all="ignore"):
        state.collect(form, scores, norms, query_norms=np.ones(1))
    assert state.kept() == [64, 65]
