"""The score's sums, bit for bit as the lanes and the tree say."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.kernels.exact import score_pairs
from vecdb.testing.oracle import add_in_lanes

DIMS = (1, 2, 7, 8, 9, 15, 16, 17, 383, 384)


def in_lanes(terms):
    """One sum, element by element."""
    lanes = [0.0] * 8
    for position, term in enumerate(terms):
        lanes[position % 8] += term
    a, b, c, d, e, f, g, h = lanes
    return ((a + e) + (c + g)) + ((b + f) + (d + h))


def pairs(squared_gap, queries, rows):
    query_of = np.repeat(np.arange(len(queries)), len(rows))
    row_of = np.tile(np.arange(len(rows)), len(queries))
    out = np.empty(len(row_of))
    score_pairs(squared_gap, queries, rows, query_of, row_of, out)
    return out.reshape(len(queries), len(rows))


def spread(rng, shape):
    """Numbers over many orders of magnitude, so that the order of additions shows."""
    return (rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 7, shape)).astype(np.float32)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("squared_gap", [False, True])
def test_sums_equal_the_twin_to_the_bit(dim, squared_gap):
    rng = np.random.default_rng(dim)
    queries, rows = spread(rng, (3, dim)), spread(rng, (5, dim))
    out = pairs(squared_gap, queries, rows)
    for q, query in enumerate(queries.astype(np.float64)):
        for r, row in enumerate(rows.astype(np.float64)):
            terms = (query - row) ** 2 if squared_gap else query * row
            assert out[q, r] == in_lanes(terms.tolist())


def test_another_order_of_additions_would_show():
    rng = np.random.default_rng(1)
    rows = spread(rng, (50, 384))
    products = rows[:1].astype(np.float64) * rows.astype(np.float64)
    assert (pairs(False, rows[:1], rows)[0] != products.cumsum(1)[:, -1]).any()


@pytest.mark.parametrize("dim", DIMS)
def test_oracle_adds_in_the_same_lanes(dim):
    terms = np.random.default_rng(dim).standard_normal((4, dim))
    assert add_in_lanes(terms).tolist() == [in_lanes(row) for row in terms.tolist()]


def test_pairs_are_scored_in_the_order_asked():
    rows = np.eye(3, dtype=np.float32)
    out = np.empty(4)
    score_pairs(False, rows, rows, np.array([2, 0, 1, 1]), np.array([2, 1, 1, 0]), out)
    assert out.tolist() == [1.0, 0.0, 1.0, 0.0]


def test_largest_and_smallest_numbers_neither_overflow_nor_vanish():
    rows = np.array([[3e38] * 9, [1e-45] * 9], np.float32)
    out = pairs(False, rows, rows)
    assert np.isfinite(out).all()
    assert (out > 0.0).all()
    assert np.isfinite(pairs(True, rows, -rows)).all()
