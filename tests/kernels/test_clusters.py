"""Nearest centroids, means and distances equal numpy's."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.kernels.clusters import assign_rows, mean_of_rows, spread_of_rows


@pytest.fixture
def rng():
    return np.random.default_rng(41)


def assign(vectors, rows, centroids):
    child = np.full(len(rows), 255, np.uint8)
    half_squares = 0.5 * (centroids.astype(np.float64) ** 2).sum(axis=1)
    assign_rows(vectors, rows, centroids, half_squares.astype(np.float32), child)
    return child


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 37])
@pytest.mark.parametrize("clusters", [1, 2, 5, 32])
@pytest.mark.parametrize("dim", [1, 9, 40])
def test_each_row_joins_the_nearest_centroid(rng, count, clusters, dim):
    vectors = rng.standard_normal((50, dim)).astype(np.float32)
    centroids = rng.standard_normal((clusters, dim)).astype(np.float32)
    rows = rng.permutation(50)[:count]
    gaps = ((vectors[rows, None].astype(np.float64) - centroids[None]) ** 2).sum(axis=2)
    np.testing.assert_array_equal(assign(vectors, rows, centroids), gaps.argmin(axis=1))


def test_first_of_equally_near_centroids_is_taken(rng):
    centroids = np.repeat(rng.standard_normal((3, 8)).astype(np.float32), 3, axis=0)
    child = assign(centroids, np.arange(9), centroids)
    np.testing.assert_array_equal(child, [0, 0, 0, 3, 3, 3, 6, 6, 6])


def test_equal_rows_join_the_same_centroid_wherever_they_stand(rng):
    """Also where two centroids are equally near but for rounding."""
    vectors = rng.standard_normal((40, 33)).astype(np.float32)
    centroids = np.repeat(rng.standard_normal((1, 33)), 30, axis=0)
    centroids = (centroids * (1.0 + 1e-7 * rng.standard_normal((30, 33)))).astype(np.float32)
    whole = assign(vectors, np.arange(40), centroids)
    for rows in (np.arange(1, 40), np.arange(2, 40), np.arange(3, 40), rng.permutation(40)):
        np.testing.assert_array_equal(assign(vectors, rows, centroids), whole[rows])


@pytest.mark.parametrize("dim", [1, 7, 64])
def test_mean_and_spread_of_rows(rng, dim):
    vectors = rng.standard_normal((60, dim)).astype(np.float32)
    rows = rng.permutation(60)[:23]
    mean = np.empty(dim, np.float32)
    mean_of_rows(vectors, rows, mean)
    sums = np.add.accumulate(vectors[rows].astype(np.float64))[-1]
    np.testing.assert_array_equal(mean, (sums / 23).astype(np.float32))
    gaps = ((vectors[rows].astype(np.float64) - mean) ** 2).sum(axis=1)
    total, largest = spread_of_rows(vectors, rows, mean)
    assert total == pytest.approx(gaps.sum(), rel=1e-12)
    assert largest == pytest.approx(gaps.max(), rel=1e-12)
