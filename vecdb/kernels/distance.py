"""Fast float32 scores: the first stage of exact search, whose errors the caller bounds.

Additions may be reordered here, so results differ in the last bits between machines and between
kernels. Nobody sees them: they only decide which rows ``exact`` scores again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

REASSOCIATE = {"reassoc", "contract"}

VECTOR = types.Array(types.float32, 1, "C", readonly=True)  # takes writable arrays too
MATRIX = types.Array(types.float32, 2, "C", readonly=True)
BYTE_MATRIX = types.Array(types.uint8, 2, "C", readonly=True)
HALVES = types.Array(types.uint16, 1, "C", readonly=True)
MASK = types.Array(types.uint8, 1, "C", readonly=True)

_ROW_KERNELS = [
    types.void(VECTOR, MATRIX, MASK, types.float32[::1]),
    types.void(VECTOR, BYTE_MATRIX, MASK, types.float32[::1]),
]


@njit(_ROW_KERNELS, nogil=True, cache=True, fastmath=REASSOCIATE)
def dot_rows(
    query: NDArray[np.float32],
    rows: NDArray[Any],
    mask: NDArray[np.uint8],
    out: NDArray[np.float32],
) -> None:
    """out[i] = query . rows[i] where mask[i] is set, else -inf.

    One row after the other: reading four at a time from one place was 2.5 times slower, because
    the processor fetches ahead along one stream.
    """
    dim = query.shape[0]
    for i in range(rows.shape[0]):
        if mask[i] == 0:
            out[i] = -np.inf
            continue
        total = np.float32(0.0)
        for j in range(dim):
            total += np.float32(rows[i, j]) * query[j]
        out[i] = total


@njit(_ROW_KERNELS, nogil=True, cache=True, fastmath=REASSOCIATE)
def l2_rows(
    query: NDArray[np.float32],
    rows: NDArray[Any],
    mask: NDArray[np.uint8],
    out: NDArray[np.float32],
) -> None:
    """out[i] = -|rows[i] - query|^2 where mask[i] is set, else -inf."""
    dim = query.shape[0]
    for i in range(rows.shape[0]):
        if mask[i] == 0:
            out[i] = -np.inf
            continue
        total = np.float32(0.0)
        for j in range(dim):
            gap = np.float32(rows[i, j]) - query[j]
            total += gap * gap
        out[i] = -total


@njit(
    types.void(MATRIX, MATRIX, types.float32[:, ::1]),
    nogil=True,
    cache=True,
    fastmath=REASSOCIATE,
)
def dot_block(
    queries: NDArray[np.float32], rows: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """out[q, i] = queries[q] . rows[i]. The number of queries is a multiple of 4.

    Sixteen sums run in registers: four queries by four rows, the rows a quarter of the block apart
    so that each quarter is one stream in memory (adjacent rows: 1.1 times slower for 64 queries,
    2 times for 4). One thread of OpenBLAS needs 1.1 times as long at 384 dimensions (0.7 times
    at 100), and cannot be told how many threads to take.
    """
    dim = rows.shape[1]
    last = rows.shape[0] - 1
    quarter = (rows.shape[0] + 3) // 4
    for i0 in range(quarter):
        # Past the end the last row is computed again, to the same bits.
        i1 = min(i0 + quarter, last)
        i2 = min(i0 + 2 * quarter, last)
        i3 = min(i0 + 3 * quarter, last)
        x0, x1, x2, x3 = rows[i0], rows[i1], rows[i2], rows[i3]
        for c in range(0, queries.shape[0], 4):
            q0, q1, q2, q3 = queries[c], queries[c + 1], queries[c + 2], queries[c + 3]
            s00 = s01 = s02 = s03 = np.float32(0.0)
            s10 = s11 = s12 = s13 = np.float32(0.0)
            s20 = s21 = s22 = s23 = np.float32(0.0)
            s30 = s31 = s32 = s33 = np.float32(0.0)
            for j in range(dim):
                s00 += q0[j] * x0[j]
                s01 += q0[j] * x1[j]
                s02 += q0[j] * x2[j]
                s03 += q0[j] * x3[j]
                s10 += q1[j] * x0[j]
                s11 += q1[j] * x1[j]
                s12 += q1[j] * x2[j]
                s13 += q1[j] * x3[j]
                s20 += q2[j] * x0[j]
                s21 += q2[j] * x1[j]
                s22 += q2[j] * x2[j]
                s23 += q2[j] * x3[j]
                s30 += q3[j] * x0[j]
                s31 += q3[j] * x1[j]
                s32 += q3[j] * x2[j]
                s33 += q3[j] * x3[j]
            out[c, i0], out[c, i1], out[c, i2], out[c, i3] = s00, s01, s02, s03
            out[c + 1, i0], out[c + 1, i1], out[c + 1, i2], out[c + 1, i3] = s10, s11, s12, s13
            out[c + 2, i0], out[c + 2, i1], out[c + 2, i2], out[c + 2, i3] = s20, s21, s22, s23
            out[c + 3, i0], out[c + 3, i1], out[c + 3, i2], out[c + 3, i3] = s30, s31, s32, s33


@njit(types.void(HALVES, types.uint32[::1], types.float32[::1]), nogil=True, cache=True)
def widen_halves(
    halves: NDArray[np.uint16], bits: NDArray[np.uint32], out: NDArray[np.float32]
) -> None:
    """out = the finite float16 numbers whose bits are ``halves``; exact.

    ``bits`` is the same memory as ``out``. A half's fields, moved to where a float32 has them, make
    its value divided by 2^112, subnormals included. numpy's conversion took 7 times as long.
    """
    for i in range(halves.shape[0]):
        half = np.uint32(halves[i])
        bits[i] = ((half & np.uint32(0x8000)) << np.uint32(16)) | (
            (half & np.uint32(0x7FFF)) << np.uint32(13)
        )
    scale = np.float32(2.0**112)
    for i in range(halves.shape[0]):
        out[i] *= scale
