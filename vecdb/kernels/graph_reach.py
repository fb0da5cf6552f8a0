"""What can be reached by the links of a graph, the missing ways, and the lists of pages."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from .graph_prune import LINKS, NONE

UNREACHED = -2
"""In ``parents``, which names the slot that each was reached from; -1 for a root."""


@njit(
    types.int64(LINKS, types.int64, types.int64, types.int64, types.int32[::1], types.int64[::1]),
    nogil=True,
    cache=True,
)
def spread(
    links: NDArray[np.uint32],
    head: int,
    tail: int,
    most: int,
    parents: NDArray[np.int32],
    queue: NDArray[np.int64],
) -> int:
    """Follow the links of slots ``queue[head:tail]``, of at most ``most``; the new tail."""
    for place in range(head, min(head + most, tail)):
        u = queue[place]
        for i in range(links.shape[1]):
            v = links[u, i]
            if v == NONE:
                break
            if parents[v] == UNREACHED:
                parents[v] = u
                queue[tail] = v
                tail += 1
    return tail


@njit(nogil=True, cache=True)
def _give_link(
    links: NDArray[np.uint32], parents: NDArray[np.int32], giver: Any, slot: int
) -> bool:
    """Link ``giver`` to a slot, in place of the longest link that no slot is reached by."""
    if parents[giver] == UNREACHED:
        return False
    own = links[giver]
    last = own.shape[0] - 1
    if own[last] == NONE:
        while last > 0 and own[last - 1] == NONE:
            last -= 1
        own[last] = slot
        return True
    for i in range(last, -1, -1):
        if parents[own[i]] != giver:
            for j in range(i, last):
                own[j] = own[j + 1]
            own[last] = slot
            return True
    return False


@njit(nogil=True, cache=True)
def _find_giver(links: NDArray[np.uint32], parents: NDArray[np.int32], slot: int) -> Any:
    """A slot that has linked to this one: one that it links to, else one near in order."""
    for i in range(links.shape[1]):
        other = links[slot, i]
        if other == NONE:
            break
        if _give_link(links, parents, other, slot):
            return np.int64(other)
    for step in range(1, links.shape[0]):
        if slot >= step and _give_link(links, parents, slot - step, slot):
            return slot - step
        if slot + step < links.shape[0] and _give_link(links, parents, slot + step, slot):
            return slot + step
    return -1


@njit(types.int64(types.uint32[:, ::1], types.int32[::1], types.int64), nogil=True, cache=True)
def attach_next(links: NDArray[np.uint32], parents: NDArray[np.int32], start: int) -> int:
    """Make the first slot from ``start`` on that is not reached reachable; which it is.

    One is not reached, and one is. Links by which slots are reached stay: they make a forest, in
    which some slot has no child, so that one at least has room, or a link to spare.
    """
    while parents[start] != UNREACHED:
        start += 1
    parents[start] = _find_giver(links, parents, start)
    return start


@njit(
    types.void(LINKS, types.int64, types.int64, types.int64, types.uint32[:, ::1]),
    nogil=True,
    cache=True,
)
def merge_pages(
    links: NDArray[np.uint32], per_page: int, begin: int, end: int, out: NDArray[np.uint32]
) -> None:
    """out[p], for pages [begin, end): the links of its members by rank, no member, none twice."""
    count, degree = links.shape
    wanted = out.shape[1]
    size = 64
    while size < 4 * wanted:
        size *= 2
    known = np.empty(size, np.uint32)
    for page in range(begin, end):
        first, stop = page * per_page, min((page + 1) * per_page, count)
        out[page] = NONE
        known[:] = NONE
        found = 0
        for rank in range(degree):
            for slot in range(first, stop):
                v = links[slot, rank]
                if v == NONE or first <= v < stop or found == wanted:
                    continue
                place = (np.int64(v) * 0x9E3779B1) & (size - 1)
                while known[place] != NONE and known[place] != v:
                    place = (place + 1) & (size - 1)
                if known[place] == NONE:
                    known[place] = v
                    out[page, found] = v
                    found += 1
