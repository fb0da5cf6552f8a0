"""The best of many (value, slot) pairs: by value descending, then slot ascending.

A heap is two arrays and a size; the worst kept pair is the root.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numpy.typing import NDArray


@njit(nogil=True, cache=True)
def _is_better(value: Any, slot: int, than_value: Any, than_slot: int) -> Any:
    return value > than_value or (value == than_value and slot < than_slot)


@njit(nogil=True, cache=True)
def _sift_down(
    values: NDArray[Any], slots: NDArray[np.int64], size: int, value: Any, slot: int
) -> None:
    """Put (value, slot) in the place of the root."""
    at = 0
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _is_better(
            values[child], slots[child], values[child + 1], slots[child + 1]
        ):
            child += 1
        if not _is_better(value, slot, values[child], slots[child]):
            break
        values[at], slots[at] = values[child], slots[child]
        at = child
    values[at], slots[at] = value, slot


@njit(nogil=True, cache=True)
def push_best(
    values: NDArray[Any], slots: NDArray[np.int64], size: int, value: Any, slot: int
) -> int:
    """Put a pair into a heap, if need be in the place of the worst; the new size. No value is nan."""
    if size == values.shape[0]:
        if _is_better(value, slot, values[0], slots[0]):
            _sift_down(values, slots, size, value, slot)
        return size
    at = size
    while at > 0:
        parent = (at - 1) // 2
        if not _is_better(values[parent], slots[parent], value, slot):
            break
        values[at], slots[at] = values[parent], slots[parent]
        at = parent
    values[at], slots[at] = value, slot
    return size + 1


_SORT = [
    types.void(types.float32[::1], types.int64[::1], types.int64),
    types.void(types.int32[::1], types.int64[::1], types.int64),
]


@njit(_SORT, nogil=True, cache=True)
def sort_heap(values: NDArray[Any], slots: NDArray[np.int64], size: int) -> None:
    """Sort the first ``size`` pairs of a heap in place, best first. It is a heap no more."""
    for left in range(size - 1, 0, -1):
        value, slot = values[left], slots[left]
        values[left], slots[left] = values[0], slots[0]
        _sift_down(values, slots, left, value, slot)
