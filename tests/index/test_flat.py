"""Exact search equals a float64 scan in numpy, to the bit."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecdb.deadline import Deadline
from vecdb.errors import DeadlineExceeded
from vecdb.index import flat
from vecdb.index.flat import Rows, row_norms, search_rows, warm
from vecdb.testing.oracle import nearest_rows, score_all_rows

METRICS = ("cosine", "dot", "l2")
DTYPES = ("float32", "float16", "uint8")


def own(slots):
    """Ids that are the slots."""
    return slots


def content(answers):
    return [(one.slots.tobytes(), one.scores.tobytes(), one.distances.tobytes()) for one in answers]


def assert_exact(rows, queries, k, metric, *, ids=None, min_score=None, **settings):
    """``search_rows`` gives what the oracle gives; the rows' slots begin at 0."""
    vectors = np.concatenate([run.vectors for run in rows])
    mask = np.concatenate([run.mask for run in rows])
    ids = list(range(len(vectors))) if ids is None else ids
    answers = search_rows(
        rows,
        queries,
        k,
        metric=metric,
        ids_of=lambda slots: [ids[slot] for slot in slots.tolist()],
        min_score=min_score,
        **settings,
    )
    assert len(answers) == len(queries)
    for query, answer in zip(queries, answers, strict=True):
        slots, scores = nearest_rows(
            metric, vectors, query, k, ids=ids, mask=mask, min_score=min_score
        )
        assert answer.slots.tolist() == slots
        assert answer.scores.tobytes() == scores.tobytes()
        assert answer.scanned == mask.sum()
    return answers


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dim", [1, 2, 7, 8, 9, 383, 384])
def test_answer_equals_the_float64_scan(draw_vectors, make_rows, rng, metric, dtype, dim):
    vectors = draw_vectors(300, dim, dtype)
    mask = (rng.random(300) < 0.8).astype(np.uint8)
    rows = make_rows(vectors, mask=mask, edges=(1, 64, 190))
    queries = draw_vectors(5, dim)
    for k in (1, 10, 1_000):
        assert_exact(rows, queries[:1], k, metric)
        assert_exact(rows, queries, k, metric)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("share", [0.5, 0.1, 0.003])
def test_masked_rows_never_match(draw_vectors, make_rows, rng, metric, dtype, share):
    vectors = draw_vectors(700, 24, dtype)
    mask = (rng.random(700) < share).astype(np.uint8)
    mask[17] = 1
    rows = make_rows(vectors, mask=mask, edges=(300,))
    for queries in (draw_vectors(1, 24), draw_vectors(6, 24)):
        for answer in assert_exact(rows, queries, 20, metric):
            assert mask[answer.slots].all()
            assert len(answer.slots) == min(20, mask.sum())


@pytest.mark.parametrize("metric", METRICS)
def test_bytes_depend_on_nothing_but_rows_and_query(draw_vectors, make_rows, pool, metric):
    vectors, queries = draw_vectors(20_000, 40), draw_vectors(33, 40)
    vectors[5_000:5_100] = vectors[:100]  # ties
    mask = (np.arange(20_000) % 7 != 3).astype(np.uint8)
    whole = make_rows(vectors, mask=mask)
    expected = content(search_rows(whole, queries, 50, metric=metric, ids_of=own))
    splits = [(), (4_096, 8_192, 16_384), (1, 2, 3, 19_999), (0, 10_000, 10_000)]
    for edges in splits:
        rows = make_rows(vectors, mask=mask, edges=edges)
        for threads in (1, 2, 8):
            for batch in (1, 3, 8, 33):
                answers = [
                    answer
                    for start in range(0, 33, batch)
                    for answer in search_rows(
                        rows[::-1],
                        queries[start : start + batch],
                        50,
                        metric=metric,
                        ids_of=own,
                        pool=pool,
                        threads=threads,
                    )
                ]
                assert content(answers) == expected, (edges, threads, batch)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("batch", [1, 4])
def test_equal_vectors_come_by_id(draw_vectors, make_rows, rng, metric, batch):
    vectors = np.tile(draw_vectors(4, 16), (60, 1))
    rows = make_rows(vectors, edges=(100,))
    numbers = rng.permutation(240).tolist()
    for ids in (numbers, [f"r{number}" for number in numbers], [-n for n in numbers]):
        assert_exact(rows, draw_vectors(batch, 16), 70, metric, ids=ids)


def test_string_ids_order_by_code_point_to_the_last_character(make_rows):
    ids = ["b", "a\0", "a", "Z", "é", "a\0\0", "\U0001f600", "\uffff"]
    rows = make_rows(np.ones((8, 3), np.float32))
    (answer,) = assert_exact(rows, np.ones((1, 3), np.float32), 8, "cosine", ids=ids)
    assert [ids[slot] for slot in answer.slots] == sorted(ids)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("batch", [1, 5])
def test_more_equal_vectors_than_a_buffer_holds(draw_vectors, make_rows, pool, metric, batch):
    vectors = np.repeat(draw_vectors(1, 8), 12_000, axis=0)
    rows = make_rows(vectors, edges=(5_000,))
    ids = list(range(12_000, 0, -1))
    answers = assert_exact(rows, draw_vectors(batch, 8), 3, metric, ids=ids, pool=pool, threads=2)
    assert [one.slots.tolist() for one in answers] == [[11_999, 11_998, 11_997]] * batch
    assert {one.candidates for one in answers} == {12_000}


@pytest.mark.parametrize("batch", [1, 5])
def test_one_hard_query_of_a_batch_leaves_the_others_alone(draw_vectors, make_rows, batch):
    """Only the last query sees all rows alike."""
    vectors = np.zeros((9_000, 6), np.float32)
    vectors[:, :5] = draw_vectors(9_000, 5)
    queries = draw_vectors(batch, 6)
    queries[-1] = [0, 0, 0, 0, 0, 1]
    answers = assert_exact(make_rows(vectors), queries, 4, "dot")
    assert [one.candidates == 9_000 for one in answers] == [False] * (batch - 1) + [True]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("batch", [1, 4])
def test_neighbours_closer_than_float32_can_tell(draw_vectors, make_rows, rng, metric, batch):
    """Far from the origin, all rows within a few units in the last place of each other."""
    vectors = (1_000.0 + rng.integers(0, 4, (6_000, 48)) * 2.0**-13).astype(np.float32)
    queries = (1_000.0 + rng.integers(0, 4, (batch, 48)) * 2.0**-13).astype(np.float32)
    assert_exact(make_rows(vectors, edges=(2_500,)), queries, 12, metric)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("size", [3e38, 1e30, 1e18, 1e-18, 1e-30, 1e-45])
@pytest.mark.parametrize("batch", [1, 4])
def test_numbers_at_the_ends_of_float32(draw_vectors, make_rows, metric, size, batch):
    with np.errstate(under="ignore"):
        vectors = np.clip(draw_vectors(200, 12), -1, 1) * np.float32(size)
    vectors[::3] = draw_vectors(67, 12)
    vectors[::7] = 0
    queries = draw_vectors(batch, 12)
    assert_exact(make_rows(vectors), queries, 9, metric)
    assert_exact(make_rows(vectors), vectors[1 : 1 + batch], 9, metric)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("batch", [1, 4])
def test_query_of_length_0_ties_where_products_do(draw_vectors, make_rows, metric, batch):
    queries = np.zeros((batch, 5), np.float32)
    for least in (None, 0.0, -1.0, 0.1):
        assert_exact(make_rows(draw_vectors(50, 5)), queries, 7, metric, min_score=least)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 400),
    dim=st.integers(1, 40),
    k=st.integers(1, 40),
    batch=st.integers(1, 6),
    metric=st.sampled_from(METRICS),
    dtype=st.sampled_from(DTYPES),
    steps=st.sampled_from([2, 5, 1_000_000]),
    edges=st.lists(st.integers(0, 400), max_size=4),
    least=st.sampled_from([None, "some row's", "above all"]),
)
def test_answer_equals_the_float64_scan_for_any_rows(
    seed, count, dim, k, batch, metric, dtype, steps, edges, least
):
    """Few steps on each axis make ties and near-ties."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, steps, (count + batch, dim))
    numbers = cells * 255.0 // steps if dtype == "uint8" else cells / steps * 7 - 3
    vectors, queries = numbers[:count].astype(dtype), numbers[count:].astype(np.float32)
    mask = (rng.random(count) < 0.7).astype(np.uint8)
    bounds = [0, *sorted(min(edge, count) for edge in edges), count]
    rows = [
        Rows(first=a, vectors=vectors[a:b], norms=row_norms(vectors[a:b]), mask=mask[a:b])
        for a, b in pairwise(bounds)
    ]
    scores = score_all_rows(metric, vectors, queries[0])
    chosen = {None: None, "some row's": float(scores[0]), "above all": float(scores.max()) + 1}
    assert_exact(rows, queries, k, metric, min_score=chosen[least])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("batch", [1, 4])
def test_min_score_is_inclusive(draw_vectors, make_rows, metric, batch):
    rows, queries = make_rows(draw_vectors(500, 20)), draw_vectors(batch, 20)
    scores = search_rows(rows, queries, 10, metric=metric, ids_of=own)[0].scores
    least = float(scores[4])
    assert len(assert_exact(rows, queries, 10, metric, min_score=least)[0].slots) == 5
    above = float(np.nextafter(least, np.inf))
    assert len(assert_exact(rows, queries, 10, metric, min_score=above)[0].slots) == 4


def test_min_score_saves_work(draw_vectors, make_rows):
    vectors = np.repeat(draw_vectors(1, 8), 12_000, axis=0)
    query = -vectors[:1]
    (answer,) = assert_exact(make_rows(vectors), query, 5, "cosine", min_score=0.5)
    assert (len(answer.slots), answer.candidates, answer.scanned) == (0, 0, 12_000)


@pytest.mark.parametrize(
    ("metric", "score", "distance"),
    [("cosine", 0.6, 0.4), ("dot", 15.0, -15.0), ("l2", -np.sqrt(20.0), np.sqrt(20.0))],
)
def test_score_is_higher_and_distance_smaller_for_nearer_rows(make_rows, metric, score, distance):
    rows = make_rows(np.array([[3.0, 4.0], [-3.0, -4.0]], np.float32))
    query = np.array([[5.0, 0.0]], np.float32)
    (answer,) = search_rows(rows, query, 2, metric=metric, ids_of=own)
    assert answer.slots.tolist() == [0, 1]
    assert answer.scores[0] == pytest.approx(score)
    assert answer.distances[0] == pytest.approx(distance)
    assert answer.scores[0] > answer.scores[1]
    assert answer.distances[0] < answer.distances[1]


@pytest.mark.parametrize("dtype", DTYPES)
def test_vector_finds_itself(draw_vectors, make_rows, dtype):
    vectors = draw_vectors(400, 96, dtype)
    rows = make_rows(vectors)
    for metric, score in (("cosine", 1.0), ("l2", 0.0)):
        answers = search_rows(rows, vectors[:9].astype(np.float32), 1, metric=metric, ids_of=own)
        assert [one.slots.tolist() for one in answers] == [[row] for row in range(9)]
        assert [one.scores[0] for one in answers] == pytest.approx([score] * 9, abs=1e-15)
        assert all(one.scores[0] <= score for one in answers)
        assert not any(np.signbit(one.distances[0]) for one in answers)


def test_slots_need_neither_begin_at_0_nor_be_dense(draw_vectors, make_rows):
    vectors = draw_vectors(30, 4)
    rows = make_rows(vectors[20:], first=5_000) + make_rows(vectors[:20], first=70)
    (answer,) = search_rows(rows, vectors[25:26], 30, metric="l2", ids_of=own)
    assert answer.slots[0] == 5_005
    assert sorted(answer.slots.tolist()) == [*range(70, 90), *range(5_000, 5_010)]


def test_no_rows_or_none_that_match_give_empty_answers(draw_vectors, make_rows):
    queries = draw_vectors(3, 4)
    hidden = make_rows(draw_vectors(9, 4), mask=np.zeros(9, np.uint8))
    for rows in ([], make_rows(draw_vectors(0, 4)), hidden):
        answers = search_rows(rows, queries, 5, metric="dot", ids_of=own)
        assert [len(one.slots) for one in answers] == [0, 0, 0]
        assert [one.scanned for one in answers] == [0, 0, 0]


def test_no_query_gives_no_answer(draw_vectors, make_rows):
    rows = make_rows(draw_vectors(9, 4))
    assert search_rows(rows, draw_vectors(0, 4), 5, metric="dot", ids_of=own) == []


def test_groups_of_a_large_batch_answer_in_order(draw_vectors, make_rows, monkeypatch):
    rows, queries = make_rows(draw_vectors(300, 12)), draw_vectors(130, 12)
    assert_exact(rows, queries, 3, "cosine")
    monkeypatch.setattr(flat, "_GROUP_CANDIDATES", 1)
    assert_exact(rows, queries[:9], 3, "cosine")


def test_read_only_rows_are_searched(draw_vectors, make_rows, tmp_path):
    vectors = draw_vectors(40, 6)
    vectors.tofile(tmp_path / "vectors")
    mapped = np.memmap(tmp_path / "vectors", np.float32, "r", shape=(40, 6))
    assert_exact(make_rows(mapped), draw_vectors(1, 6), 5, "l2")
    assert_exact(make_rows(mapped), draw_vectors(4, 6), 5, "l2")


@pytest.mark.parametrize("batch", [1, 4])
def test_search_ends_at_its_deadline(draw_vectors, make_rows, pool, batch):
    rows = make_rows(draw_vectors(3_000, 32), edges=(1_000, 2_000))
    for threads in (1, 4):
        with pytest.raises(DeadlineExceeded, match="comparing vectors"):
            search_rows(
                rows,
                draw_vectors(batch, 32),
                5,
                metric="dot",
                ids_of=own,
                deadline=Deadline(time.monotonic() - 1.0),
                pool=pool,
                threads=threads,
            )


def test_warm_runs_every_kernel():
    warm()
