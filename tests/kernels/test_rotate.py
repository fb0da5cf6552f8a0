"""Rotation, unit vectors and sums beside numpy: the same bits."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.kernels.rotate import LIMIT, TILE_ROWS, add_rows, rotate_rows, unit_rows


@pytest.fixture
def rng():
    return np.random.default_rng(31)


def draw(rng, count, dim):
    return rng.standard_normal((count, dim)).astype(np.float32)


def draw_turns(rng, size):
    """Scales and orders of three rounds."""
    scales = np.where(rng.random((3, size)) < 0.5, -0.1, 0.1).astype(np.float32)
    return scales, np.array([rng.permutation(size) for _ in range(3)], np.int32)


def hadamard(rows, block):
    gap = 1
    while gap < block:
        pairs = rows.reshape(len(rows), -1, 2, gap)
        rows = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2)
        gap *= 2
    return rows.reshape(len(rows), -1)


def unit(rows):
    squares = np.zeros(len(rows))
    for column in rows.astype(np.float64).T:
        squares += column * column
    lengths = np.sqrt(squares)
    inverses = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0.0)
    return (rows * inverses[:, None]).astype(np.float32)


def rotate(rows, scales, orders, block):
    turned = np.zeros((len(rows), scales.shape[1]), np.float32)
    turned[:, : rows.shape[1]] = np.clip(rows, np.float32(-LIMIT), np.float32(LIMIT))
    for scale, order in zip(scales, orders, strict=True):
        turned = hadamard(turned[:, order] * scale, block)
    return turned


@pytest.mark.parametrize(("dim", "size", "block"), [(3, 64, 64), (128, 128, 128), (150, 192, 64)])
@pytest.mark.parametrize("count", [1, 5, TILE_ROWS + 1])
def test_rotated_rows_are_those_of_numpy(rng, count, dim, size, block):
    rows, (scales, orders) = draw(rng, count, dim), draw_turns(rng, size)
    out = np.full((count, size), np.nan, np.float32)
    rotate_rows(rows, False, scales, orders, block, out)
    assert out.tobytes() == rotate(rows, scales, orders, block).tobytes()
    rotate_rows(rows, True, scales, orders, block, out)
    assert out.tobytes() == rotate(unit(rows), scales, orders, block).tobytes()


def test_numbers_beyond_the_limit_are_rotated_as_if_they_were_it(rng):
    rows, (scales, orders) = draw(rng, 2, 64), draw_turns(rng, 64)
    rows[0, :3] = [3e38, -3e38, 1e15]
    out = np.empty((2, 64), np.float32)
    rotate_rows(rows, False, scales, orders, 64, out)
    assert np.isfinite(out).all()
    assert out.tobytes() == rotate(rows, scales, orders, 64).tobytes()


@pytest.mark.parametrize("dim", [1, 17, 100])
def test_unit_rows_are_those_of_numpy(rng, dim):
    rows = draw(rng, TILE_ROWS + 3, dim) * np.float32(7.0)
    rows[1] = 0.0
    rows[2], rows[3] = 1e-45, 3e38  # squares that float32 does not hold
    out = np.full_like(rows, np.nan)
    unit_rows(rows, out)
    assert out.tobytes() == unit(rows).tobytes()
    assert not out[1].any()
    lengths = np.linalg.norm(out.astype(np.float64), axis=1)
    assert np.allclose(np.delete(lengths, 1), 1.0, atol=1e-6)


def test_rows_are_added_in_order(rng):
    rows = draw(rng, 40, 5) * np.float32(10.0) ** rng.integers(-6, 6, (40, 5)).astype(np.float32)
    out = np.full(5, 0.5)
    add_rows(rows, out)
    expected = np.full(5, 0.5)
    for row in rows.astype(np.float64):
        expected += row
    assert out.tobytes() == expected.tobytes()


def test_kernels_take_no_rows_and_read_only_rows(rng):
    scales, orders = draw_turns(rng, 64)
    nothing, none = np.empty((0, 9), np.float32), np.empty((0, 64), np.float32)
    rotate_rows(nothing, True, scales, orders, 64, none)
    unit_rows(nothing, nothing.copy())
    total = np.zeros(9)
    add_rows(nothing, total)
    assert not total.any()
    rows = draw(rng, 2, 9)
    expected, out = np.empty((2, 64), np.float32), np.empty((2, 64), np.float32)
    rotate_rows(rows, True, scales, orders, 64, expected)
    rows.setflags(write=False)
    rotate_rows(rows, True, scales, orders, 64, out)
    assert out.tobytes() == expected.tobytes()
