"""Rows and the centroids that they lie nearest to.

``rows`` are positions in ``vectors``; a run of them is a cluster. The product of a row and a
centroid has the same bits wherever the row stands, so equal rows always join the same centroid.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

REASSOCIATE = {"reassoc", "contract"}

VECTOR = types.Array(types.float32, 1, "C", readonly=True)  # takes writable arrays too
MATRIX = types.Array(types.float32, 2, "C", readonly=True)
INDEX = types.Array(types.int64, 1, "C", readonly=True)
TWO_SUMS = types.Tuple([types.float64] * 2)  # type: ignore[no-untyped-call]


@njit(
    types.void(MATRIX, INDEX, MATRIX, VECTOR, types.uint8[::1]),
    nogil=True,
    cache=True,
    fastmath=REASSOCIATE,
)
def assign_rows(
    vectors: NDArray[np.float32],
    rows: NDArray[np.int64],
    centroids: NDArray[np.float32],
    half_squares: NDArray[np.float32],
    child: NDArray[np.uint8],
) -> None:
    """child[i] = the centroid nearest to row ``rows[i]``, the first of equally near ones.

    - ``centroids``: [1 .. 256, dim]; ``half_squares``: half of each one's squared length

    Sixteen sums run in registers: four rows by four centroids.
    """
    dim = vectors.shape[1]
    count = rows.shape[0]
    last = centroids.shape[0] - 1
    best = np.empty(4, np.float32)
    near = np.empty(4, np.int64)
    sums = np.empty((4, 4), np.float32)
    for i in range(0, count, 4):
        # Past the end the last row, or centroid, is computed again, to the same bits.
        x0, x1 = vectors[rows[i]], vectors[rows[min(i + 1, count - 1)]]
        x2, x3 = vectors[rows[min(i + 2, count - 1)]], vectors[rows[min(i + 3, count - 1)]]
        best[:] = np.inf
        near[:] = 0
        for c in range(0, last + 1, 4):
            m0, m1 = centroids[c], centroids[min(c + 1, last)]
            m2, m3 = centroids[min(c + 2, last)], centroids[min(c + 3, last)]
            s00 = s01 = s02 = s03 = np.float32(0.0)
            s10 = s11 = s12 = s13 = np.float32(0.0)
            s20 = s21 = s22 = s23 = np.float32(0.0)
            s30 = s31 = s32 = s33 = np.float32(0.0)
            for j in range(dim):
                s00 += x0[j] * m0[j]
                s01 += x0[j] * m1[j]
                s02 += x0[j] * m2[j]
                s03 += x0[j] * m3[j]
                s10 += x1[j] * m0[j]
                s11 += x1[j] * m1[j]
                s12 += x1[j] * m2[j]
                s13 += x1[j] * m3[j]
                s20 += x2[j] * m0[j]
                s21 += x2[j] * m1[j]
                s22 += x2[j] * m2[j]
                s23 += x2[j] * m3[j]
                s30 += x3[j] * m0[j]
                s31 += x3[j] * m1[j]
                s32 += x3[j] * m2[j]
                s33 += x3[j] * m3[j]
            sums[0, 0], sums[0, 1], sums[0, 2], sums[0, 3] = s00, s01, s02, s03
            sums[1, 0], sums[1, 1], sums[1, 2], sums[1, 3] = s10, s11, s12, s13
            sums[2, 0], sums[2, 1], sums[2, 2], sums[2, 3] = s20, s21, s22, s23
            sums[3, 0], sums[3, 1], sums[3, 2], sums[3, 3] = s30, s31, s32, s33
            for r in range(4):
                for s in range(min(4, last + 1 - c)):
                    gap = half_squares[c + s] - sums[r, s]
                    if gap < best[r]:
                        best[r] = gap
                        near[r] = c + s
        for r in range(min(4, count - i)):
            child[i + r] = near[r]


@njit(nogil=True, cache=True, fastmath=REASSOCIATE)
def _squared_gap(x: NDArray[np.float32], y: NDArray[np.float32]) -> float:
    total = 0.0
    for j in range(x.shape[0]):
        gap = np.float64(x[j]) - np.float64(y[j])
        total += gap * gap
    return total


@njit(types.void(MATRIX, INDEX, types.float32[::1]), nogil=True, cache=True)
def mean_of_rows(
    vectors: NDArray[np.float32], rows: NDArray[np.int64], mean: NDArray[np.float32]
) -> None:
    """mean = the mean of one or more rows, summed in float64 in their order."""
    sums = np.zeros(mean.shape[0], np.float64)
    for i in range(rows.shape[0]):
        row = vectors[rows[i]]
        for j in range(sums.shape[0]):
            sums[j] += np.float64(row[j])
    for j in range(sums.shape[0]):
        mean[j] = sums[j] / rows.shape[0]


@njit(TWO_SUMS(MATRIX, INDEX, VECTOR), nogil=True, cache=True)
def spread_of_rows(
    vectors: NDArray[np.float32], rows: NDArray[np.int64], centroid: NDArray[np.float32]
) -> tuple[float, float]:
    """Sum, and largest, of the rows' squared distances to the centroid."""
    total = 0.0
    largest = 0.0
    for i in range(rows.shape[0]):
        gap = _squared_gap(vectors[rows[i]], centroid)
        total += gap
        largest = max(largest, gap)
    return total, largest
