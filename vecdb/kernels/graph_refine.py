"""Better neighbours of a slot: walk on the graph from those it has, choose among all that is near.

The walk is a best-first search for the slot itself with exact distances, from its own links on. It
reads one graph and writes another, a range of slots at a time, so ranges do not see each other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from .graph_prune import (
    LINKS,
    MATRIX,
    NONE,
    VECTOR,
    Space,
    make_scratch,
    prune,
    sort_by_distance,
    squared_gap,
)

_SEEN = 8_192  # places of the table of slots that a walk has seen
_SEEN_MAX = 4_096  # at which it ends: 64 steps over lists of 32 see some 1,000

Pool = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.uint8]]
"""Slots and distances, nearest first, and whether their links were followed."""


@njit(nogil=True, cache=True)
def _see(seen: NDArray[np.uint32], slot: Any) -> bool:
    """Whether the walk meets that slot for the first time."""
    place = ((np.int64(slot) * 0x9E3779B1) >> 12) & (_SEEN - 1)
    while seen[place] != NONE:
        if seen[place] == slot:
            return False
        place = (place + 1) & (_SEEN - 1)
    seen[place] = slot
    return True


@njit(nogil=True, cache=True)
def _insert(pool: Pool, size: int, slot: Any, gap: Any) -> int:
    """Put a slot into the pool, which is not full or ends in a farther one; its place."""
    slots, gaps, followed = pool
    place: int = min(size, slots.shape[0] - 1)
    while place > 0 and gaps[place - 1] > gap:
        slots[place], gaps[place] = slots[place - 1], gaps[place - 1]
        followed[place] = followed[place - 1]
        place -= 1
    slots[place], gaps[place], followed[place] = slot, gap, 0
    return place


@njit(nogil=True, cache=True)
def _look_around(
    space: Space,
    slot: int,
    around: NDArray[np.uint32],
    seen: NDArray[np.uint32],
    pool: Pool,
    size: int,
) -> tuple[int, int, int]:
    """Let the slots of a list into the pool: its size, the first place taken, how many were new."""
    slots, gaps, _ = pool
    lowest, fresh = slots.shape[0], 0
    for i in range(around.shape[0]):
        if around[i] == NONE:
            break
        if not _see(seen, around[i]):
            continue
        fresh += 1
        other = np.int64(around[i])
        gap = squared_gap(space, slot, other)
        if size == slots.shape[0] and gap >= gaps[size - 1]:
            continue
        lowest = min(lowest, _insert(pool, size, other, gap))
        size = min(size + 1, slots.shape[0])
    return size, lowest, fresh


@njit(nogil=True, cache=True)
def _walk(
    space: Space, slot: int, links: NDArray[np.uint32], seen: NDArray[np.uint32], pool: Pool
) -> int:
    """Fill the pool with what is found near ``slot``, without itself; how many that is."""
    slots, _, followed = pool
    seen[:] = NONE
    _see(seen, np.uint32(slot))
    size, _, total = _look_around(space, slot, links[slot], seen, pool, 0)
    place = 0
    while place < size and total < _SEEN_MAX:
        if followed[place]:
            place += 1
            continue
        followed[place] = 1
        around = links[slots[place]]
        size, lowest, fresh = _look_around(space, slot, around, seen, pool, size)
        total += fresh
        place = min(place + 1, lowest)
    return size


@njit(
    types.void(
        MATRIX,
        VECTOR,
        LINKS,
        types.int64,
        types.int64,
        types.int64,
        types.float32,
        types.uint32[:, ::1],
    ),
    nogil=True,
    cache=True,
)
def refine_links(
    vectors: NDArray[np.float32],
    scales: NDArray[np.float32],
    links: NDArray[np.uint32],
    begin: int,
    end: int,
    width: int,
    alpha2: float,
    out: NDArray[np.uint32],
) -> None:
    """out[s] = links of slot s, for [begin, end), chosen among the ``width`` nearest found.

    - ``scales``: [n], what each vector is times
    - ``links``: [n, at most 32]: of the graph to walk on
    """
    space = (vectors, scales)
    count, dim = vectors.shape
    scratch = make_scratch(width, dim)
    pool = (scratch[0], scratch[1], np.empty(width, np.uint8))
    seen = np.empty(_SEEN, np.uint32)
    for slot in range(begin, end):
        found = _walk(space, slot, links, seen, pool)
        sort_by_distance(pool[0][:found], pool[1][:found], slot, count)
        prune(space, slot, found, alpha2, scratch, out[slot])
