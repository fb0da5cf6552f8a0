"""float32 kernels beside float64 numpy: every result within the error that scan relies on."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.kernels.distance import dot_block, dot_rows, l2_rows, widen_halves

DIMS = (1, 2, 7, 8, 9, 64, 383, 384)
UNIT = 2.0**-24


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def draw(rng, shape, dtype):
    if dtype == np.uint8:
        return rng.integers(0, 256, shape).astype(np.uint8)
    return rng.standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize("dim", DIMS)
def test_dot_rows_is_the_product_within_its_error(rng, dim, dtype):
    query, rows = draw(rng, dim, np.float32), draw(rng, (11, dim), dtype)
    out = np.empty(11, np.float32)
    dot_rows(query, rows, np.ones(11, np.uint8), out)
    exact = rows.astype(np.float64) @ query.astype(np.float64)
    magnitudes = np.abs(rows.astype(np.float64)) @ np.abs(query.astype(np.float64))
    assert (np.abs(out - exact) <= (dim + 1) * UNIT * magnitudes).all()


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize("dim", DIMS)
def test_l2_rows_is_minus_the_squared_distance_within_its_error(rng, dim, dtype):
    query, rows = draw(rng, dim, np.float32), draw(rng, (11, dim), dtype)
    out = np.empty(11, np.float32)
    l2_rows(query, rows, np.ones(11, np.uint8), out)
    exact = ((rows.astype(np.float64) - query.astype(np.float64)) ** 2).sum(1)
    assert (np.abs(-out - exact) <= (dim + 4) * UNIT * exact).all()


@pytest.mark.parametrize("kernel", [dot_rows, l2_rows])
def test_rows_that_are_masked_out_score_nothing(rng, kernel):
    query, rows = draw(rng, 9, np.float32), draw(rng, (5, 9), np.float32)
    mask = np.array([1, 0, 1, 0, 0], np.uint8)
    out = np.zeros(5, np.float32)
    kernel(query, rows, mask, out)
    assert np.isneginf(out).tolist() == [False, True, False, True, True]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8, 9, 33])
@pytest.mark.parametrize("queries", [4, 8])
def test_dot_block_is_every_product(rng, queries, count):
    for dim in DIMS:
        points = draw(rng, (queries, dim), np.float32)
        rows = draw(rng, (count, dim), np.float32)
        out = np.full((queries, count + 2), np.nan, np.float32)
        dot_block(points, rows, out)
        exact = points.astype(np.float64) @ rows.T.astype(np.float64)
        magnitudes = np.abs(points.astype(np.float64)) @ np.abs(rows.T.astype(np.float64))
        assert (np.abs(out[:, :count] - exact) <= (dim + 1) * UNIT * magnitudes).all()
        assert np.isnan(out[:, count:]).all(), "wrote past the rows"


def test_kernels_take_no_rows():
    nothing = np.empty((0, 3), np.float32)
    dot_rows(np.ones(3, np.float32), nothing, np.empty(0, np.uint8), np.empty(0, np.float32))
    l2_rows(np.ones(3, np.float32), nothing, np.empty(0, np.uint8), np.empty(0, np.float32))
    dot_block(np.ones((4, 3), np.float32), nothing, np.empty((4, 0), np.float32))


def test_kernels_take_read_only_arrays(rng):
    rows = draw(rng, (3, 4), np.float32)
    expected = np.empty(3, np.float32)
    dot_rows(rows[0], rows, np.ones(3, np.uint8), expected)
    frozen = rows.copy()
    frozen.setflags(write=False)
    out = np.empty(3, np.float32)
    dot_rows(frozen[0], frozen, np.ones(3, np.uint8), out)
    assert out.tobytes() == expected.tobytes()


def test_every_finite_half_widens_exactly():
    halves = np.arange(65_536, dtype=np.uint16)
    halves = halves[np.isfinite(halves.view(np.float16))]
    out = np.empty(len(halves), np.float32)
    widen_halves(halves, out.view(np.uint32), out)
    assert out.tobytes() == halves.view(np.float16).astype(np.float32).tobytes()
