"""Which of a slot's candidates become its neighbours.

After RobustPrune of Vamana (DiskANN, NeurIPS 2019), with these differences:

1. Distances are squared, so alpha is too.
2. Candidates stand as differences from the slot, ``block[i] = vector - own``: the products of close
   vectors far from the origin would lose the digits that tell them apart.
3. Equally far candidates come by the way from the slot on, round the segment: copies of a vector
   then link in a ring, not all to the first of them. And one that is as far from a chosen
   neighbour as from the slot stays: else a slot that has a copy would link to nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

NONE = np.uint32(0xFFFFFFFF)
REASSOCIATE = {"reassoc", "contract"}

VECTOR = types.Array(types.float32, 1, "C", readonly=True)  # takes writable arrays too
MATRIX = types.Array(types.float32, 2, "C", readonly=True)
LINKS = types.Array(types.uint32, 2, "C", readonly=True)
INDEX = types.Array(types.int64, 1, "C", readonly=True)
SLOTS = types.Array(types.uint32, 1, "C", readonly=True)

Space = tuple[NDArray[np.float32], NDArray[np.float32]]
"""What distances are between: vectors [n, dim], each times its scale [n]."""
Scratch = tuple[NDArray[Any], ...]
"""See ``make_scratch``."""


@njit(nogil=True, cache=True)
def make_scratch(room: int, dim: int) -> Scratch:
    """Room for the candidates of a slot: slots, distances, and their differences from it."""
    return (
        np.empty(room, np.int64),
        np.empty(room, np.float32),
        np.empty((room, dim), np.float32),
    )


@njit(nogil=True, cache=True, fastmath=REASSOCIATE)
def squared_gap(space: Space, slot: Any, other: Any) -> Any:
    """The squared distance of two slots."""
    vectors, scales = space
    x, y = vectors[slot], vectors[other]
    own, its = scales[slot], scales[other]
    total = np.float32(0.0)
    for j in range(x.shape[0]):
        gap = its * y[j] - own * x[j]
        total += gap * gap
    return total


@njit(nogil=True, cache=True, fastmath=REASSOCIATE)
def _take_differences(
    space: Space, slot: int, slots: NDArray[np.int64], block: NDArray[np.float32], out: Any
) -> None:
    """block[i] = slots[i] - slot; out[i] = its squared length."""
    vectors, scales = space
    x, own = vectors[slot], scales[slot]
    for i in range(slots.shape[0]):
        row, y, its = block[i], vectors[slots[i]], scales[slots[i]]
        total = np.float32(0.0)
        for j in range(x.shape[0]):
            gap = its * y[j] - own * x[j]
            row[j] = gap
            total += gap * gap
        out[i] = total


@njit(nogil=True, cache=True, fastmath=REASSOCIATE)
def _dot(x: NDArray[np.float32], y: NDArray[np.float32]) -> Any:
    total = np.float32(0.0)
    for j in range(x.shape[0]):
        total += x[j] * y[j]
    return total


@njit(nogil=True, cache=True)
def sort_by_distance(
    slots: NDArray[np.int64], gaps: NDArray[np.float32], slot: Any, count: int
) -> None:
    """Sort candidates of ``slot`` in place: nearest first, equally near ones from the slot on.

    ``count`` is that of all slots. They are few, or nearly sorted: insertion is the fastest way.
    """
    for i in range(1, slots.shape[0]):
        other, gap = slots[i], gaps[i]
        way = other - slot if other > slot else other - slot + count
        place = i
        while place > 0 and gaps[place - 1] >= gap:
            before = slots[place - 1]
            nearer = before - slot if before > slot else before - slot + count
            if gaps[place - 1] == gap and nearer < way:
                break
            slots[place], gaps[place] = before, gaps[place - 1]
            place -= 1
        slots[place], gaps[place] = other, gap


@njit(nogil=True, cache=True)
def prune(
    space: Space, slot: Any, found: int, alpha2: Any, scratch: Scratch, out: NDArray[np.uint32]
) -> None:
    """Choose the neighbours of ``slot`` among ``found`` candidates, nearest first.

    - ``scratch``: its first ``found`` slots and distances are the candidates: distinct, not the
      slot itself, sorted by ``sort_by_distance``; used up
    - ``alpha2``: a candidate v goes if alpha2 * |u - v|^2 < |v - slot|^2 for a chosen u
    - ``out``: [degree], filled with ``NONE``
    """
    slots, gaps, block = scratch
    _take_differences(space, slot, slots[:found], block, gaps)
    kept = 0
    out[:] = NONE
    for i in range(found):
        if slots[i] < 0:
            continue
        out[kept] = slots[i]
        kept += 1
        if kept == out.shape[0]:
            return
        for other in range(i + 1, found):
            if slots[other] >= 0:
                gap = gaps[i] + gaps[other] - np.float32(2.0) * _dot(block[i], block[other])
                if alpha2 * gap < gaps[other]:
                    slots[other] = -1
