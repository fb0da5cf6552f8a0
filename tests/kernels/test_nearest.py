"""The nearest few rows, against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.kernels.nearest import nearest_estimated, nearest_of, nearest_rows

K = 4


@pytest.fixture
def data():
    rng = np.random.default_rng(2)
    rows = rng.standard_normal((50, 24)).astype(np.float32)
    rows[7] = rows[3]  # a tie
    return rows, rng.standard_normal(24).astype(np.float32), (rng.random(50) < 0.7).astype(np.uint8)


def expected(rows, query, live, some):
    scores = rows @ query
    some = [row for row in some if 0 <= row < len(live) and live[row]]
    order = sorted(some, key=lambda row: (-round(float(scores[row]), 4), some.index(row)))
    return order[:K], scores


def run(kernel, rows, query, live, *more):
    slots, scores = np.empty(K, np.int64), np.empty(K, np.float32)
    count = kernel(query, rows, live, *more, slots, scores)
    return slots[:count].tolist(), scores[:count]


def test_rows_of_a_span(data):
    rows, query, live = data
    for begin, end in ((0, 50), (10, 30), (0, 2), (5, 5)):
        found, scores = run(nearest_rows, rows, query, live, begin, end)
        wanted, all_scores = expected(rows, query, live, list(range(begin, end)))
        assert found == wanted
        assert np.allclose(scores, all_scores[wanted], atol=1e-5)


def test_rows_of_a_list_without_dead_or_absent_ones(data):
    rows, query, live = data
    live[[3, 7]] = 1
    some = np.array([7, -1, 3, 49, 20, 51, 11, 2], np.int64)
    found, _ = run(nearest_of, rows, query, live, some)
    assert found == expected(rows, query, live, some.tolist())[0]


def test_rows_have_the_same_score_whichever_kernel_finds_them(data):
    rows, query, live = data
    live[:] = 1
    slots, scores = run(nearest_rows, rows, query, live, 0, 50)
    again, same = run(nearest_of, rows, query, live, np.array(slots[::-1], np.int64))
    assert again == slots
    assert same.tolist() == scores.tolist()


def test_rows_below_the_floor_are_not_read_but_the_first(data):
    rows, query, live = data
    live[:] = 1
    truth = (rows @ query).astype(np.float32)
    some = np.argsort(-truth).astype(np.int64)
    factors = np.ones((7, 2, 8), np.float32)
    poisoned = rows.copy()
    floor = float(truth[some[2]]) + 1e-3
    poisoned[some[5:]] = np.nan  # must not be read: their estimates are too low
    gap = float(truth[some[2]] - truth[some[5]]) / 2

    def ask(floor):
        slots, scores = np.empty(K, np.int64), np.empty(K, np.float32)
        count = nearest_estimated(
            query, poisoned, live, some, truth[some], factors, 50, gap, floor, slots, scores
        )
        return slots[:count].tolist()

    assert ask(floor)[:2] == some[:2].tolist()
    assert ask(1e9) == [int(some[0])]
    live[some[0]] = 0
    assert ask(1e9) == [int(some[1])]
