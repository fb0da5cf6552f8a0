"""The nearest few of some rows, by their products with a query: exact, in float32.

Rows and query have length 1, so a product is the cosine. All three kernels add in the same order,
so a row has the same score whichever of them finds it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from .distance import MATRIX, REASSOCIATE, VECTOR

MASK = types.Array(types.uint8, 1, "C", readonly=True)
INDEX = types.Array(types.int64, 1, "C", readonly=True)

_OUT = (types.int64[::1], types.float32[::1])


@njit(types.float32(VECTOR, MATRIX, types.int64), nogil=True, cache=True, fastmath=REASSOCIATE)
def _product(query: NDArray[np.float32], rows: NDArray[np.float32], row: int) -> np.float32:
    total = np.float32(0.0)
    for j in range(query.shape[0]):
        total += rows[row, j] * query[j]
    return total


@njit(types.int64(types.int64, types.float32, types.int64, *_OUT), nogil=True, cache=True)
def _keep(
    slot: int, score: Any, count: int, slots: NDArray[np.int64], scores: NDArray[np.float32]
) -> int:
    """Insert into the sorted best, of which ``count`` are there; the new count."""
    k = slots.shape[0]
    if count == k and not score > scores[k - 1]:
        return count
    at = min(count, k - 1)
    while at > 0 and score > scores[at - 1]:
        slots[at], scores[at] = slots[at - 1], scores[at - 1]
        at -= 1
    slots[at], scores[at] = slot, score
    return count + 1 if count < k else k


@njit(types.int64(VECTOR, MATRIX, MASK, types.int64, types.int64, *_OUT), nogil=True, cache=True)
def nearest_rows(
    query: NDArray[np.float32],
    rows: NDArray[np.float32],
    live: NDArray[np.uint8],
    begin: int,
    end: int,
    slots: NDArray[np.int64],
    scores: NDArray[np.float32],
) -> int:
    """The best of the live rows from ``begin`` to before ``end``; how many there are.

    - ``live``: [rows]; ``slots``, ``scores``: [k], get the best first, of equals the first
    """
    count = 0
    for row in range(begin, end):
        if live[row]:
            count = _keep(row, _product(query, rows, row), count, slots, scores)
    return count


@njit(types.int64(VECTOR, MATRIX, MASK, INDEX, *_OUT), nogil=True, cache=True)
def nearest_of(
    query: NDArray[np.float32],
    rows: NDArray[np.float32],
    live: NDArray[np.uint8],
    some: NDArray[np.int64],
    slots: NDArray[np.int64],
    scores: NDArray[np.float32],
) -> int:
    """As ``nearest_rows``, of the rows ``some`` (each once; those below 0 are passed over)."""
    count = 0
    for i in range(some.shape[0]):
        row = some[i]
        if 0 <= row < live.shape[0] and live[row]:
            count = _keep(row, _product(query, rows, row), count, slots, scores)
    return count


@njit(
    types.int64(
        *(VECTOR, MATRIX, MASK, INDEX, VECTOR, types.Array(types.float32, 3, "C", readonly=True)),
        *(types.int64, types.float32, types.float32, *_OUT),
    ),
    nogil=True,
    cache=True,
)
def nearest_estimated(
    query: NDArray[np.float32],
    rows: NDArray[np.float32],
    live: NDArray[np.uint8],
    some: NDArray[np.int64],
    estimates: NDArray[np.float32],
    factors: NDArray[np.float32],
    listed: int,
    sigmas: float,
    floor: float,
    slots: NDArray[np.int64],
    scores: NDArray[np.float32],
) -> int:
    """As ``nearest_of``, reading only the vectors that may matter.

    A row is passed over if its estimate plus its error is below ``floor``, or below the worst that
    is kept; the first one, which has the highest estimate, is always scored.

    - ``some``, ``estimates``: [>= listed], by estimate, best first
    - ``factors``: f32[blocks, 2, 8] of the codes; ``sigmas`` times a row's ``mul`` is its error
    """
    count = 0
    k = slots.shape[0]
    for i in range(listed):
        row = some[i]
        if not live[row]:
            continue
        most = estimates[i] + sigmas * factors[row >> 3, 1, row & 7]
        if count > 0 and (most < floor or (count == k and most < scores[k - 1])):
            continue
        count = _keep(row, _product(query, rows, row), count, slots, scores)
    return count
