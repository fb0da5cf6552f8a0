"""Recall and rates: the arithmetic behind what the demo prints."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb_server.measure import Rate, exact_cosines, rate, recall

EXACT = np.array([[0.9, 0.8, 0.7, 0.7, 0.1]])


def measured(rows, scores=None, exact=EXACT, k=3):
    given = exact[0, rows] if scores is None else np.array(scores)
    return recall([np.array(rows, np.int64)], [given], exact, k)


def test_the_exact_answer_has_full_recall():
    result = measured([0, 1, 2])
    assert (result.by_distance, result.by_id, result.worst, result.score_error) == (1, 1, 1, 0)


def test_an_equally_near_row_counts_by_distance_but_not_by_id():
    result = measured([0, 1, 3])
    assert result.by_distance == 1
    assert result.by_id == pytest.approx(2 / 3)


def test_a_farther_row_counts_as_wrong():
    result = measured([0, 1, 4])
    assert result.by_distance == pytest.approx(2 / 3)
    assert result.by_id == pytest.approx(2 / 3)


@pytest.mark.parametrize("rows", [[0], [0, 0, 0]])
def test_missing_and_repeated_rows_count_as_wrong(rows):
    assert measured(rows).by_distance == pytest.approx(1 / 3)


def test_an_empty_answer_has_no_recall():
    result = measured([])
    assert (result.by_distance, result.by_id, result.score_error) == (0, 0, 0)


def test_fewer_rows_than_places_can_still_be_complete():
    assert measured([0, 1, 2, 3, 4], k=10).by_distance == 1


def test_score_error_is_the_largest_difference_from_the_exact_cosine():
    assert measured([0, 1], scores=[0.9, 0.75]).score_error == pytest.approx(0.05)


def test_means_run_over_queries_and_the_worst_one_is_told():
    exact = np.repeat(EXACT, 2, axis=0)
    found = [np.array([0, 1, 2]), np.array([4])]
    result = recall(found, [exact[0, found[0]], exact[1, found[1]]], exact, 3)
    assert result.queries == 2
    assert result.by_distance == 0.5
    assert result.worst == 0


def test_cosines_do_not_depend_on_length():
    generator = np.random.default_rng(5)
    queries, vectors = generator.normal(size=(3, 8)), generator.normal(size=(7, 8))
    expected = exact_cosines(queries, vectors)
    np.testing.assert_allclose(exact_cosines(queries * 3, vectors / 7), expected, rtol=1e-12)
    np.testing.assert_allclose(np.diag(exact_cosines(vectors, vectors)), 1, rtol=1e-12)


def test_rate_counts_queries_not_calls():
    sizes = []
    figures = rate(lambda batch: sizes.append(batch.shape), [np.zeros((4, 8)), np.zeros(8)])
    assert sizes == [(4, 8), (8,)]
    assert (figures.calls, figures.queries) == (2, 5)
    assert Rate(calls=2, queries=5, seconds=0.5, median_ms=1.0).per_second == 10
