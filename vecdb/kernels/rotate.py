"""Sums, unit vectors and rotation of rows: a function of each row alone, to the bit.

Rows go through in tiles of up to 32, turned on their side (number j of row l lies at [j, l]):
loops run along the rows, permutations move whole lines, and no sum is ever split. One row at a
time took twice as long.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

LIMIT = 2.0**48
"""Numbers beyond it are rotated as if they were it: no factor and no estimate can overflow."""

TILE_ROWS = 32
STRIP = 16  # numbers of a row that are moved at once: a cache line

MATRIX = types.Array(types.float32, 2, "C", readonly=True)  # takes writable arrays too
INDEX = types.Array(types.int32, 2, "C", readonly=True)

_LIMIT = np.float32(LIMIT)


@njit(types.void(MATRIX, types.float64[::1]), nogil=True, cache=True)
def add_rows(rows: NDArray[np.float32], out: NDArray[np.float64]) -> None:
    """out[j] += rows[0, j], then rows[1, j], ..."""
    for i in range(rows.shape[0]):
        row = rows[i]
        for j in range(row.shape[0]):
            out[j] += np.float64(row[j])


@njit(nogil=True, cache=True)
def _load_tile(rows: NDArray[np.float32], tile: NDArray[np.float32]) -> None:
    """tile[j * lanes + l] = rows[l, j], or 0 past the row's end; there are ``lanes`` rows."""
    lanes, dim = rows.shape
    for begin in range(0, dim, STRIP):
        for lane in range(lanes):
            row = rows[lane, begin : begin + STRIP]
            lines = tile[begin * lanes + lane :]
            for j in range(row.shape[0]):
                lines[j * lanes] = row[j]
    tile[dim * lanes :] = np.float32(0.0)


@njit(nogil=True, cache=True)
def _make_unit(tile: NDArray[np.float32], dim: int, inverses: NDArray[np.float64]) -> None:
    """Divide each row by its length: squares are added in float64, in order; zero stays zero."""
    lanes = inverses.shape[0]
    inverses[:] = 0.0
    for j in range(dim):
        line = tile[j * lanes : (j + 1) * lanes]
        for lane in range(lanes):
            inverses[lane] += np.float64(line[lane]) * np.float64(line[lane])
    for lane in range(lanes):
        length = np.sqrt(inverses[lane])
        inverses[lane] = 1.0 / length if length > 0.0 else 0.0
    for j in range(dim):
        line = tile[j * lanes : (j + 1) * lanes]
        for lane in range(lanes):
            line[lane] = np.float32(np.float64(line[lane]) * inverses[lane])


@njit(nogil=True, cache=True)
def _store_tile(tile: NDArray[np.float32], rows: NDArray[np.float32]) -> None:
    lanes, dim = rows.shape
    for begin in range(0, dim, STRIP):
        for lane in range(lanes):
            row = rows[lane, begin : begin + STRIP]
            lines = tile[begin * lanes + lane :]
            for j in range(row.shape[0]):
                row[j] = lines[j * lanes]


@njit(types.void(MATRIX, types.float32[:, ::1]), nogil=True, cache=True)
def unit_rows(rows: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """out[i] = rows[i] / |rows[i]|; zero stays zero."""
    dim = rows.shape[1]
    memory, inverses = np.empty(dim * TILE_ROWS, np.float32), np.empty(TILE_ROWS, np.float64)
    for start in range(0, rows.shape[0], TILE_ROWS):
        part = rows[start : start + TILE_ROWS]
        lanes = part.shape[0]
        tile = memory[: dim * lanes]
        _load_tile(part, tile)
        _make_unit(tile, dim, inverses[:lanes])
        _store_tile(tile, out[start : start + lanes])


@njit(nogil=True, cache=True)
def _hadamard(tile: NDArray[np.float32], block: int, lanes: int) -> None:
    """The unscaled Hadamard transform of every block of lines: pairs 1 apart, then 2, 4, ..."""
    run, end = lanes, block * lanes
    while 4 * run <= end:  # two steps in one pass
        for i in range(0, tile.shape[0], 4 * run):
            w, x = tile[i : i + run], tile[i + run : i + 2 * run]
            y, z = tile[i + 2 * run : i + 3 * run], tile[i + 3 * run : i + 4 * run]
            for j in range(run):
                a, b, c, d = w[j] + x[j], w[j] - x[j], y[j] + z[j], y[j] - z[j]
                w[j], x[j], y[j], z[j] = a + c, b + d, a - c, b - d
        run *= 4
    if run < end:
        for i in range(0, tile.shape[0], 2 * run):
            w, x = tile[i : i + run], tile[i + run : i + 2 * run]
            for j in range(run):
                a, b = w[j], x[j]
                w[j], x[j] = a + b, a - b


@njit(nogil=True, cache=True)
def _turn(
    tile: NDArray[np.float32],
    scales: NDArray[np.float32],
    order: NDArray[np.int32],
    lanes: int,
    out: NDArray[np.float32],
) -> None:
    """Line j of ``out`` is line order[j] of ``tile`` times scales[j]."""
    for j in range(scales.shape[0]):
        scale, start = scales[j], order[j] * lanes
        source, target = tile[start : start + lanes], out[j * lanes : (j + 1) * lanes]
        for lane in range(lanes):
            target[lane] = source[lane] * scale


@njit(
    types.void(MATRIX, types.boolean, MATRIX, INDEX, types.intp, types.float32[:, ::1]),
    nogil=True,
    cache=True,
)
def rotate_rows(
    rows: NDArray[np.float32],
    unit: bool,
    scales: NDArray[np.float32],
    orders: NDArray[np.int32],
    block: int,
    out: NDArray[np.float32],
) -> None:
    """out[i] = R rows[i], of rows made of length 1 if ``unit``, else within ``LIMIT``.

    - ``scales``: f32[3, P], sign times block^-1/2; ``orders``: i32[3, P], where each number of a
      round comes from; ``out``: f32[n, P]
    """
    dim, size = rows.shape[1], out.shape[1]
    memory, inverses = np.empty((2, size * TILE_ROWS), np.float32), np.empty(TILE_ROWS, np.float64)
    for start in range(0, rows.shape[0], TILE_ROWS):
        part = rows[start : start + TILE_ROWS]
        lanes = part.shape[0]
        tile, other = memory[0, : size * lanes], memory[1, : size * lanes]
        _load_tile(part, tile)
        if unit:
            _make_unit(tile, dim, inverses[:lanes])
        else:
            for j in range(dim * lanes):
                tile[j] = min(max(tile[j], -_LIMIT), _LIMIT)
        for turn in range(3):
            _turn(tile, scales[turn], orders[turn], lanes, other)
            _hadamard(other, block, lanes)
            tile, other = other, tile
        _store_tile(tile, out[start : start + lanes])
