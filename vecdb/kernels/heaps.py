"""The best of many (value, slot) pairs that come by ascending slot: by value, and first come.

``values``, ``slots`` [queries, k] and ``sizes`` [queries] hold what was kept so far, by ascending
slot. Newcomers above a query's limit gather beside them; when there are as many, the k-th best of
all is found, becomes the limit, and the others are dropped. That takes 20 ns a newcomer whatever k;
a heap took 90 for k = 650 and 120 for k = 5,000.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numpy.typing import NDArray

from .instructions import I64, intrinsic, ir

_LEAST = 64  # newcomers that gather at least

Bundle = tuple[NDArray[Any], ...]


@intrinsic
def _lowest_bit(typing_context: Any, bits: Any) -> Any:
    """The place of the lowest set bit; one is set."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), lower


@njit(nogil=True, cache=True)
def make_newcomers(values: NDArray[Any], places: int) -> Bundle:
    """Values, slots and counts of newcomers, as ``take_hits`` wants them, for some queries."""
    room = max(_LEAST, values.shape[1]) + 16
    return (
        np.empty((places, room), values.dtype),
        np.empty((places, room), np.int64),
        np.zeros(places, np.int64),
    )


@njit(nogil=True, cache=True)
def _kth_best(pool: NDArray[Any], spare: NDArray[Any], count: int, k: int) -> Any:
    """The k-th highest of the first ``count`` values of ``pool``. Both arrays are used up."""
    while True:
        a, b, c = pool[count // 4], pool[count // 2], pool[count - 1 - count // 4]
        pivot = max(min(a, b), min(max(a, b), c))
        above = below = 0
        for i in range(count):
            value = pool[i]
            pool[above] = value
            above += value > pivot
            spare[below] = value
            below += value < pivot
        if k <= above:
            count = above
        elif k <= count - below:
            return pivot
        else:
            k -= count - below
            count = below
            pool, spare = spare, pool


@njit(nogil=True, cache=True)
def _keep_above(
    values: NDArray[Any],
    slots: NDArray[np.int64],
    count: int,
    least: Any,
    ties: int,
    to: tuple[Any, ...],
    size: int,
) -> tuple[int, int]:
    """Append the pairs above ``least``, and the first ``ties`` equal to it; size and ties left."""
    to_values, to_slots = to
    for i in range(count):
        value, slot = values[i], slots[i]
        tie = (value == least) & (ties > 0)
        if size < to_values.shape[0]:
            to_values[size], to_slots[size] = value, slot
        size += (value > least) | tie
        ties -= tie
    return size, ties


@njit(nogil=True, cache=True)
def _settle(row: int, heaps: Bundle, newcomers: Bundle) -> None:
    """Let the newcomers of a query join what is kept of it."""
    values, slots, sizes = heaps
    new_values, new_slots, counts = newcomers
    k, size, count = values.shape[1], sizes[row], counts[row]
    counts[row] = 0
    if size + count <= k:
        values[row, size : size + count] = new_values[row, :count]
        slots[row, size : size + count] = new_slots[row, :count]
        sizes[row] = size + count
        return
    pool = np.concatenate((values[row, :size], new_values[row, :count]))
    spare = pool.copy()
    least = _kth_best(spare, np.empty_like(pool), size + count, k)
    ties = k - np.sum(pool > least)
    to = (values[row], slots[row])
    size, ties = _keep_above(values[row], slots[row], size, least, ties, to, 0)
    _keep_above(new_values[row], new_slots[row], count, least, ties, to, size)
    sizes[row] = k


@njit(nogil=True, cache=True)
def settle_all(heaps: Bundle, newcomers: Bundle) -> None:
    """The end of a call: what is kept is all there is."""
    for row in range(heaps[2].shape[0]):
        if newcomers[2][row] > 0:
            _settle(row, heaps, newcomers)


@njit(nogil=True, cache=True)
def limit_of(values: NDArray[Any], slots: NDArray[np.int64], sizes: NDArray[np.int64], row: int, none: Any) -> Any:
    """What a value has to exceed to be kept; ``none`` while there is room."""
    return values[row].min() if sizes[row] == values.shape[1] else none
