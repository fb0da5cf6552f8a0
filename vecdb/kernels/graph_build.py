"""The graph of a segment, a range of slots at a time.

Each call writes rows of its own range only and reads nothing that another call writes, so the graph
is the same however the ranges fall to threads. Products are by ``dot_block``: numpy's may change
their bits with the number of threads that the library takes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from .distance import dot_block
from .graph_prune import (
    INDEX,
    LINKS,
    MATRIX,
    NONE,
    VECTOR,
    make_scratch,
    prune,
    sort_by_distance,
    squared_gap,
)

NEAR = types.Array(types.int32, 2, "C", readonly=True)
OFFERS_MAX = 128  # of the slots that offer a link to one: more are cut to the nearest

# ----------------------------------------------------------------------------------- the nearest m


@njit(nogil=True, cache=True)
def _keep_nearest(values: Any, slots: Any, count: int, m: int) -> Any:
    """Move the ``m`` lowest of ``count`` values to the front; the highest of them."""
    low, high = 0, count - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                slots[i], slots[j] = slots[j], slots[i]
                i += 1
                j -= 1
        if m - 1 <= j:
            high = j
        elif m - 1 >= i:
            low = i
        else:
            break
    return values[m - 1]


@njit(nogil=True, cache=True)
def _gather_near(
    products: NDArray[np.float32],
    squares: NDArray[np.float32],
    bounds: tuple[int, int, int],
    values: NDArray[np.float32],
    slots: NDArray[np.int64],
    state: tuple[NDArray[np.int64], NDArray[np.float32]],
    m: int,
) -> None:
    """Of each slot of a leaf, gather what of another run of slots may be among its nearest.

    - ``products``: [slots of the leaf, slots of the run]
    - ``bounds``: the leaf's first slot, first and last slot of the run
    - ``state``: how many each has gathered, and the value that the next must be below
    """
    counts, limits = state
    first, start, stop = bounds
    room = values.shape[1]
    half = np.float32(0.5)
    for i in range(counts.shape[0]):
        count, limit = counts[i], limits[i]
        for j in range(stop - start):
            value = half * squares[start + j] - products[i, j]
            if value < limit and start + j != first + i:
                values[i, count], slots[i, count] = value, start + j
                count += 1
                if count == room:
                    limit = _keep_nearest(values[i], slots[i], count, m)
                    count = m
        counts[i], limits[i] = count, limit


@njit(
    types.void(
        MATRIX,
        VECTOR,
        VECTOR,
        INDEX,
        NEAR,
        types.int64,
        types.int64,
        types.int64,
        types.float32,
        types.uint32[:, ::1],
    ),
    nogil=True,
    cache=True,
)
def link_leaves(
    vectors: NDArray[np.float32],
    extra: NDArray[np.float32],
    squares: NDArray[np.float32],
    leaves: NDArray[np.int64],
    near: NDArray[np.int32],
    begin: int,
    end: int,
    m: int,
    alpha2: float,
    links: NDArray[np.uint32],
) -> None:
    """Link each slot of leaves ``begin`` to ``end`` to some of its m nearest in the leaves around.

    - ``extra``: [n], one more coordinate; ``squares``: [n], squared lengths with it
    - ``leaves``: slots of leaf l are [leaves[l], leaves[l + 1])
    - ``near``: [leaves, some], the leaves to look in, nearest first; -1 for none
    """
    space = (vectors, extra)
    count, dim = vectors.shape
    longest = 0
    for leaf in range(leaves.shape[0] - 1):
        longest = max(longest, leaves[leaf + 1] - leaves[leaf])
    own = np.zeros(((longest + 3) // 4 * 4, dim), np.float32)
    products = np.empty(own.shape[0] * longest, np.float32)
    values = np.empty((longest, 3 * m), np.float32)
    slots = np.empty((longest, 3 * m), np.int64)
    counts = np.empty(longest, np.int64)
    limits = np.empty(longest, np.float32)
    scratch = make_scratch(3 * m, dim)
    for leaf in range(begin, end):
        first, size = leaves[leaf], leaves[leaf + 1] - leaves[leaf]
        padded = (size + 3) // 4 * 4
        own[:size] = vectors[first : first + size]
        counts[:] = 0
        limits[:] = np.inf
        state = (counts[:size], limits[:size])
        for place in range(near.shape[1]):
            other = near[leaf, place]
            if other < 0:
                break
            start, stop = leaves[other], leaves[other + 1]
            table = products[: padded * (stop - start)].reshape((padded, stop - start))
            dot_block(own[:padded], vectors[start:stop], table)
            for i in range(size):
                for j in range(stop - start):
                    table[i, j] += extra[first + i] * extra[start + j]
            _gather_near(table, squares, (first, start, stop), values, slots, state, m)
        for i in range(size):
            found = counts[i]
            if found > m:
                _keep_nearest(values[i], slots[i], found, m)
                found = m
            for j in range(found):
                scratch[0][j] = slots[i, j]
                scratch[1][j] = squared_gap(space, first + i, slots[i, j])
            sort_by_distance(scratch[0][:found], scratch[1][:found], first + i, count)
            prune(space, first + i, found, alpha2, scratch, links[first + i])


# ----------------------------------------------------------------------------------- links back


@njit(types.void(LINKS, types.int64, types.int64, types.int64[::1]), nogil=True, cache=True)
def count_offers(
    links: NDArray[np.uint32], begin: int, end: int, counts: NDArray[np.int64]
) -> None:
    """counts[v] += the slots of [begin, end) that link to v."""
    for u in range(begin, end):
        for i in range(links.shape[1]):
            if links[u, i] == NONE:
                break
            counts[links[u, i]] += 1


@njit(
    types.void(LINKS, types.int64, types.int64, types.int64[::1], types.uint32[::1]),
    nogil=True,
    cache=True,
)
def place_offers(
    links: NDArray[np.uint32],
    begin: int,
    end: int,
    places: NDArray[np.int64],
    offers: NDArray[np.uint32],
) -> None:
    """offers[places[v]++] = each slot of [begin, end) that links to v."""
    for u in range(begin, end):
        for i in range(links.shape[1]):
            v = links[u, i]
            if v == NONE:
                break
            offers[places[v]] = u
            places[v] += 1


@njit(
    types.void(
        MATRIX,
        VECTOR,
        INDEX,
        types.Array(types.uint32, 1, "C", readonly=True),
        types.int64,
        types.int64,
        types.float32,
        types.uint32[:, ::1],
    ),
    nogil=True,
    cache=True,
)
def accept_offers(
    vectors: NDArray[np.float32],
    extra: NDArray[np.float32],
    ends: NDArray[np.int64],
    offers: NDArray[np.uint32],
    begin: int,
    end: int,
    alpha2: float,
    links: NDArray[np.uint32],
) -> None:
    """Let slots [begin, end) link back to those that link to them, pruning what does not fit.

    - ``offers``: those of slot v end before ``ends[v]``
    """
    space = (vectors, extra)
    count, dim = vectors.shape
    degree = links.shape[1]
    scratch = make_scratch(degree + 2 * OFFERS_MAX, dim)
    slots, gaps = scratch[0], scratch[1]
    for v in range(begin, end):
        found = 0
        for i in range(degree):
            if links[v, i] == NONE:
                break
            slots[found] = links[v, i]
            gaps[found] = squared_gap(space, v, slots[found])
            found += 1
        own = found
        for i in range(ends[v - 1] if v > 0 else 0, ends[v]):
            u = np.int64(offers[i])
            known = False
            for j in range(own):
                known |= slots[j] == u
            if known:
                continue
            slots[found] = u
            gaps[found] = squared_gap(space, v, u)
            found += 1
            if found == slots.shape[0]:
                _keep_nearest(gaps[own:], slots[own:], found - own, OFFERS_MAX)
                found = own + OFFERS_MAX
        if found == own:
            continue
        sort_by_distance(slots[:found], gaps[:found], v, count)
        if found > degree:
            prune(space, v, found, alpha2, scratch, links[v])
        else:
            for i in range(found):
                links[v, i] = slots[i]


# ------------------------------------------------------------------------------- what is reachable


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
    """Follow the links of slots ``queue[head:tail]``, at most ``most`` of them; the new tail.

    - ``parents``: -2 where not reached; a slot that is reached now gets its parent
    """
    for place in range(head, min(head + most, tail)):
        u = queue[place]
        for i in range(links.shape[1]):
            v = links[u, i]
            if v == NONE:
                break
            if parents[v] == -2:
                parents[v] = u
                queue[tail] = v
                tail += 1
    return tail


@njit(nogil=True, cache=True)
def _give_link(links: Any, parents: Any, giver: int, to: int) -> bool:
    """Link ``giver`` to a slot, in place of the longest link that no slot is reached by."""
    degree = links.shape[1]
    for i in range(degree):
        if links[giver, i] == NONE:
            links[giver, i] = to
            return True
    for i in range(degree - 1, -1, -1):
        if parents[links[giver, i]] != giver:
            for j in range(i, degree - 1):
                links[giver, j] = links[giver, j + 1]
            links[giver, degree - 1] = to
            return True
    return False


@njit(types.boolean(types.uint32[:, ::1], types.int32[::1], types.int64), nogil=True, cache=True)
def attach(links: NDArray[np.uint32], parents: NDArray[np.int32], slot: int) -> bool:
    """Make a slot reachable from one that is: of its neighbours, else of the slots around it.

    Links by which slots are reached stay. They make a forest, and what is reached by a link but
    leads to no other slot has a link to spare: so there is a giver, if anything is reached.
    """
    for i in range(links.shape[1]):
        giver = links[slot, i]
        if giver == NONE:
            break
        if parents[giver] != -2 and _give_link(links, parents, giver, slot):
            parents[slot] = giver
            return True
    for step in range(1, links.shape[0]):
        for giver in (slot - step, slot + step):
            if (
                0 <= giver < links.shape[0]
                and parents[giver] != -2
                and _give_link(links, parents, giver, slot)
            ):
                parents[slot] = giver
                return True
    return False


# ----------------------------------------------------------------------------------- merged lists


@njit(
    types.void(LINKS, types.int64, types.int64, types.int64, types.uint32[:, ::1]),
    nogil=True,
    cache=True,
)
def merge_pages(
    links: NDArray[np.uint32], per_page: int, begin: int, end: int, out: NDArray[np.uint32]
) -> None:
    """out[p], for pages [begin, end): the links of its members by rank, without members, once each."""
    count, degree = links.shape
    wanted = out.shape[1]
    size = 64
    while size < 4 * wanted:
        size *= 2
    table = np.empty(size, np.uint32)
    for page in range(begin, end):
        first, stop = page * per_page, min((page + 1) * per_page, count)
        out[page] = NONE
        table[:] = NONE
        found = 0
        for rank in range(degree):
            for slot in range(first, stop):
                v = links[slot, rank]
                if v == NONE or first <= v < stop or found == wanted:
                    continue
                place = (np.int64(v) * 0x9E3779B1) & (size - 1)
                while table[place] != NONE and table[place] != v:
                    place = (place + 1) & (size - 1)
                if table[place] == NONE:
                    table[place] = v
                    out[page, found] = v
                    found += 1
