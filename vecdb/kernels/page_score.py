"""The score of vectors wherever they lie: the same bits as ``exact.score_pairs`` of a matrix."""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from .addresses import bytes_at, floats_at, halves_at
from .distance import widen_halves
from .exact import LANES, MATRIX, _dot, _squared_gap

FLOAT32, FLOAT16, UINT8 = 1, 2, 3
"""Codes of the types of numbers, as ``storage.format.DTYPE_CODES`` has them."""
INDEX = types.Array(types.int64, 1, "C", readonly=True)


@njit(nogil=True, cache=True)
def widen_at(address: int, dtype_code: int, out: NDArray[np.float32]) -> None:
    """out = the numbers at the address, as float32."""
    dim = out.shape[0]
    if dtype_code == FLOAT32:
        out[:] = floats_at(address, dim)
    elif dtype_code == FLOAT16:
        widen_halves(halves_at(address, dim), out.view(np.uint32), out)
    else:
        numbers = bytes_at(address, dim)
        for j in range(dim):
            out[j] = np.float32(numbers[j])


@njit(
    types.void(
        *(types.boolean, types.int64, MATRIX, INDEX, INDEX),
        *(types.float64[::1], types.float64[::1]),
    ),
    nogil=True,
    cache=True,
)
def score_on_pages(
    squared_gap: bool,
    dtype_code: int,
    queries: NDArray[np.float32],
    query_of: NDArray[np.int64],
    addresses: NDArray[np.int64],
    out: NDArray[np.float64],
    squares: NDArray[np.float64],
) -> None:
    """out[p] = |q - x|^2 if ``squared_gap``, else q . x, of pair p; squares[p] = x . x.

    Its query q is ``queries[query_of[p]]``, its vector x lies at ``addresses[p]``.
    """
    lanes = np.empty(LANES, np.float64)
    row = np.empty(queries.shape[1], np.float32)
    for p in range(out.shape[0]):
        widen_at(addresses[p], dtype_code, row)
        query = queries[query_of[p]]
        if squared_gap:
            out[p] = _squared_gap(query, row, lanes)
            squares[p] = 0.0
        else:
            out[p] = _dot(query, row, lanes)
            squares[p] = _dot(row, row, lanes)


@njit(types.void(INDEX, types.int64, types.uint8[:, ::1]), nogil=True, cache=True)
def copy_rows(addresses: NDArray[np.int64], nbytes: int, out: NDArray[np.uint8]) -> None:
    """out[i] = the ``nbytes`` at ``addresses[i]``."""
    for i in range(addresses.shape[0]):
        out[i] = bytes_at(addresses[i], nbytes)
