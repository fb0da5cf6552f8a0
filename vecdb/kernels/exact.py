"""The score itself, in float64: equal bits on every machine, for any batch and thread count.

Eight lanes: lane j sums elements j, j + 8, j + 16, ... in that order, and a fixed tree adds the
lanes. Nothing is reordered or contracted (no fastmath), and no BLAS is called.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

MATRIX = types.Array(types.float32, 2, "C", readonly=True)  # takes writable arrays too
INDEX = types.Array(types.int64, 1, "C", readonly=True)

LANES = 8


@njit(nogil=True, cache=True)
def _add_lanes(lanes: NDArray[np.float64]) -> np.float64:
    left: np.float64 = (lanes[0] + lanes[4]) + (lanes[2] + lanes[6])
    right: np.float64 = (lanes[1] + lanes[5]) + (lanes[3] + lanes[7])
    return left + right


@njit(nogil=True, cache=True)
def _dot(x: NDArray[np.float32], y: NDArray[np.float32], lanes: NDArray[np.float64]) -> np.float64:
    lanes[:] = 0.0
    dim = x.shape[0]
    whole = dim - dim % LANES
    for j in range(0, whole, LANES):
        for lane in range(LANES):
            lanes[lane] += np.float64(x[j + lane]) * np.float64(y[j + lane])
    for lane in range(dim - whole):
        lanes[lane] += np.float64(x[whole + lane]) * np.float64(y[whole + lane])
    return _add_lanes(lanes)


@njit(nogil=True, cache=True)
def _squared_gap(
    x: NDArray[np.float32], y: NDArray[np.float32], lanes: NDArray[np.float64]
) -> np.float64:
    lanes[:] = 0.0
    dim = x.shape[0]
    whole = dim - dim % LANES
    for j in range(0, whole, LANES):
        for lane in range(LANES):
            gap = np.float64(x[j + lane]) - np.float64(y[j + lane])
            lanes[lane] += gap * gap
    for lane in range(dim - whole):
        gap = np.float64(x[whole + lane]) - np.float64(y[whole + lane])
        lanes[lane] += gap * gap
    return _add_lanes(lanes)


@njit(
    types.void(types.boolean, MATRIX, MATRIX, INDEX, INDEX, types.float64[::1]),
    nogil=True,
    cache=True,
)
def score_pairs(
    squared_gap: bool,
    queries: NDArray[np.float32],
    rows: NDArray[np.float32],
    query_of: NDArray[np.int64],
    row_of: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """out[p] = |q - x|^2 if ``squared_gap``, else q . x, of pair p.

    Its query q is ``queries[query_of[p]]`` and its row x is ``rows[row_of[p]]``.
    """
    lanes = np.empty(LANES, np.float64)
    for p in range(out.shape[0]):
        query = queries[query_of[p]]
        row = rows[row_of[p]]
        if squared_gap:
            out[p] = _squared_gap(query, row, lanes)
        else:
            out[p] = _dot(query, row, lanes)
