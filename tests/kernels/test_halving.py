"""Runs are cut where they fall apart, and rows that look alike keep their order."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from vecdb.kernels.halving import ROUNDS, halve_runs


@pytest.fixture
def rng():
    return np.random.default_rng(42)


def halve(vectors, rows, edges, unit):
    ordered = np.array(rows)
    edges = np.array(edges)
    block = np.full((np.diff(edges).max(), vectors.shape[1]), np.nan, np.float32)
    halve_runs(vectors, ordered, edges, unit, block)
    return ordered


def halve_in_numpy(vectors, rows, unit):
    units = -(-len(rows) // unit)
    if units < 2:
        return rows
    x = vectors[rows].astype(np.float64)
    low = x[((x - x.mean(axis=0)) ** 2).sum(axis=1).argmax()]
    high = x[((x - low) ** 2).sum(axis=1).argmax()]
    for _ in range(ROUNDS):
        near = x @ (high - low) < (high - low) @ (high + low) / 2
        low, high = x[near].mean(axis=0), x[~near].mean(axis=0)
    rows = rows[np.argsort(x @ (high - low), kind="stable")]
    cut = (units + 1) // 2 * unit
    halves = (rows[:cut], rows[cut:])
    return np.concatenate([halve_in_numpy(vectors, half, unit) for half in halves])


@pytest.mark.parametrize("unit", [2, 3, 8, 64, 200])
@pytest.mark.parametrize("dim", [2, 16, 33])
def test_order_is_that_of_the_twin_in_numpy(rng, unit, dim):
    vectors = rng.standard_normal((300, dim)).astype(np.float32)
    rows = rng.permutation(300)[:140]
    edges = [0, 5, 77, 140]
    parts = [rows[start:stop] for start, stop in pairwise(edges)]
    expected = np.concatenate([halve_in_numpy(vectors, part, unit) for part in parts])
    np.testing.assert_array_equal(halve(vectors, rows, edges, unit), expected)


@pytest.mark.parametrize("groups", [2, 3, 5, 8])
def test_groups_of_a_page_stay_together(rng, groups):
    """Far apart groups of 8 rows: every cut falls between two of them."""
    group = np.arange(8 * groups) // 8
    vectors = 1e-3 * rng.standard_normal((len(group), 6)).astype(np.float32)
    vectors[:, 0] += 10.0 * group
    ordered = group[halve(vectors, rng.permutation(len(group)), [0, len(group)], 8)]
    pages = ordered.reshape(groups, 8)
    assert (pages == pages[:, :1]).all()


def test_equal_rows_keep_their_order(rng):
    vectors = np.tile(rng.standard_normal((5, 7)).astype(np.float32), (30, 1))
    rows = rng.permutation(150)
    ordered = halve(vectors, rows, [0, 150], 4)
    assert sorted(ordered) == list(range(150))
    for one in range(5):
        np.testing.assert_array_equal(ordered[ordered % 5 == one], rows[rows % 5 == one])


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e38])
def test_numbers_too_small_or_too_large_to_square(rng, size):
    vectors = np.tile((size * rng.uniform(-1, 1, (10, 5))).astype(np.float32), (5, 1))
    rows = rng.permutation(50)
    with np.errstate(all="ignore"):  # of the interpreted kernel
        ordered = halve(vectors, rows, [0, 50], 1)
    for one in range(10):
        np.testing.assert_array_equal(ordered[ordered % 10 == one], rows[rows % 10 == one])
