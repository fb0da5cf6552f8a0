"""Rows put into another order where they are: a second copy would double the memory of a build."""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numpy.typing import NDArray


@njit(
    types.void(types.float32[:, ::1], types.Array(types.int64, 1, "C", readonly=True)),
    nogil=True,
    cache=True,
)
def permute_rows(rows: NDArray[np.float32], order: NDArray[np.int64]) -> None:
    """Row i becomes what row ``order[i]`` was; ``order`` is a permutation."""
    done = np.zeros(order.shape[0], np.bool_)
    first = np.empty(rows.shape[1], rows.dtype)
    for start in range(order.shape[0]):
        if done[start]:
            continue
        first[:] = rows[start]
        at = start
        while order[at] != start:  # along a cycle
            rows[at] = rows[order[at]]
            done[at] = True
            at = order[at]
        rows[at] = first
        done[at] = True
