"""The graph of a segment, a range of slots at a time.

Each call writes rows of its own range only and reads nothing that another call writes, so the graph
is the same however the ranges fall to threads. Products are by ``dot_block``: as fast as numpy's,
whose bits may change with the number of threads that the library takes.
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
    SLOTS,
    VECTOR,
    Scratch,
    Space,
    make_scratch,
    prune,
    sort_by_distance,
    squared_gap,
)

OFFERS_MAX = 128  # of the slots that link to one: of more, the nearest are considered

_LEAVES = types.Array(types.int32, 1, "C", readonly=True)
_ROOM = 3  # times m: how much gathers before the m lowest are found among it

Gathered = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]

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


@njit(
    types.void(MATRIX, VECTOR, types.int64, types.int64, types.int32[:, ::1]),
    nogil=True,
    cache=True,
)
def find_near_leaves(
    centroids: NDArray[np.float32],
    half_squares: NDArray[np.float32],
    begin: int,
    end: int,
    near: NDArray[np.int32],
) -> None:
    """near[l], for leaves [begin, end): the leaves nearest by centroid; leaf l itself first."""
    count, dim = centroids.shape
    wanted = near.shape[1]
    asked = np.zeros((4, dim), np.float32)
    products = np.empty((4, count), np.float32)
    leaves = np.empty(count, np.int64)
    gaps = np.empty(count, np.float32)
    for start in range(begin, end, 4):
        stop = min(start + 4, end)
        asked[: stop - start] = centroids[start:stop]
        dot_block(asked, centroids, products)
        for leaf in range(start, stop):
            for other in range(count):
                leaves[other] = other
                gaps[other] = half_squares[other] - products[leaf - start, other]
            gaps[leaf] = -np.inf
            _keep_nearest(gaps, leaves, count, wanted)
            sort_by_distance(leaves[:wanted], gaps[:wanted], leaf, count)
            for place in range(wanted):
                near[leaf, place] = leaves[place]


# ------------------------------------------------------------------------------- links from leaves


@njit(nogil=True, cache=True)
def _to_distances(
    space: Space, half_squares: NDArray[np.float32], first: int, start: int, table: Any
) -> None:
    """From products of slots first + i and start + j with a minus, half their squared distances.

    But for a constant of each i.
    """
    scales = space[1]
    for i in range(table.shape[0]):
        # Behind the last slot are products with zeros.
        own = scales[min(first + i, scales.shape[0] - 1)]
        for j in range(table.shape[1]):
            table[i, j] = half_squares[start + j] + own * scales[start + j] * table[i, j]


@njit(nogil=True, cache=True)
def _make_room(count: int, m: int) -> Gathered:
    """What each of some slots gathers: values, slots, how many, and what the next must be below."""
    return (
        np.empty((count, _ROOM * m), np.float32),
        np.empty((count, _ROOM * m), np.int64),
        np.zeros(count, np.int64),
        np.full(count, np.inf, np.float32),
    )


@njit(nogil=True, cache=True)
def _gather(
    table: NDArray[np.float32],
    first: int,
    start: int,
    state: Gathered,
    m: int,
) -> None:
    """Of each slot from ``first`` on, gather what of a run may be among its ``m`` lowest.

    - ``table``: [slots, slots of the run], by what they are compared
    - ``state``: see ``_make_room``
    """
    values, slots, counts, limits = state
    room = values.shape[1]
    for i in range(counts.shape[0]):
        count, limit = counts[i], limits[i]
        for j in range(table.shape[1]):
            value = table[i, j]
            if value < limit and start + j != first + i:
                values[i, count], slots[i, count] = value, start + j
                count += 1
                if count == room:
                    limit = _keep_nearest(values[i], slots[i], count, m)
                    count = m
        counts[i], limits[i] = count, limit


@njit(nogil=True, cache=True)
def _choose(
    space: Space,
    slot: int,
    values: NDArray[np.float32],
    slots: NDArray[np.int64],
    m: int,
    alpha2: Any,
    scratch: Scratch,
    out: NDArray[np.uint32],
) -> None:
    """Choose the links of a slot among the ``m`` nearest that it has gathered."""
    found = values.shape[0]
    if found > m:
        _keep_nearest(values, slots, found, m)
        found = m
    for j in range(found):
        scratch[0][j] = slots[j]
        scratch[1][j] = squared_gap(space, slot, slots[j])
    sort_by_distance(scratch[0][:found], scratch[1][:found], slot, space[1].shape[0])
    prune(space, slot, found, alpha2, scratch, out)


@njit(
    types.void(
        *(MATRIX, VECTOR, VECTOR, INDEX, _LEAVES),
        *(types.int64, types.int64, types.int64, types.float32),
        *(types.uint32[:, ::1], types.uint32[:, ::1]),
    ),
    nogil=True,
    cache=True,
)
def link_run(
    vectors: NDArray[np.float32],
    scales: NDArray[np.float32],
    half_squares: NDArray[np.float32],
    leaves: NDArray[np.int64],
    near: NDArray[np.int32],
    first: int,
    last: int,
    m: int,
    alpha2: float,
    links: NDArray[np.uint32],
    outer: NDArray[np.uint32],
) -> None:
    """Link each of the slots [first, last) to some of its m nearest in the leaves ``near``.

    - ``scales``: [n], what each vector is times; ``half_squares``: [n], of squared lengths then
    - ``leaves``: slots of leaf l are [leaves[l], leaves[l + 1])
    - ``outer``: [n, some]; those of the highest products of vectors, the scales left out
    """
    space = (vectors, scales)
    count, dim = last - first, vectors.shape[1]
    longest = 0
    for leaf in near:
        longest = max(longest, leaves[leaf + 1] - leaves[leaf])
    own = np.zeros(((count + 3) // 4 * 4, dim), np.float32)
    for i in range(count):
        for j in range(dim):
            own[i, j] = -vectors[first + i, j]
    products = np.empty(own.shape[0] * longest, np.float32)
    nearest, farthest = _make_room(count, m), _make_room(count, outer.shape[1])
    for leaf in near:
        start, stop = leaves[leaf], leaves[leaf + 1]
        size = own.shape[0] * (stop - start)
        table = products[:size].reshape((own.shape[0], stop - start))
        dot_block(own, vectors[start:stop], table)
        if outer.shape[1] > 0:
            _gather(table, first, start, farthest, outer.shape[1])
        _to_distances(space, half_squares, first, start, table)
        _gather(table, first, start, nearest, m)
    scratch = make_scratch(m, dim)
    for i in range(count):
        found, out = nearest[2][i], links[first + i]
        values, slots = nearest[0][i, :found], nearest[1][i, :found]
        _choose(space, first + i, values, slots, m, alpha2, scratch, out)
        found, wanted = farthest[2][i], outer.shape[1]
        if found > wanted > 0:
            _keep_nearest(farthest[0][i], farthest[1][i], found, wanted)
        outer[first + i] = NONE
        for j in range(min(found, wanted)):
            outer[first + i, j] = farthest[1][i, j]


@njit(types.void(LINKS, LINKS, types.uint32[:, ::1]), nogil=True, cache=True)
def join_lists(
    links: NDArray[np.uint32], outer: NDArray[np.uint32], out: NDArray[np.uint32]
) -> None:
    """out[s] = the links of slot s and then the outer ones, each once; there is room."""
    for slot in range(links.shape[0]):
        out[slot] = NONE
        found = 0
        while found < links.shape[1] and links[slot, found] != NONE:
            out[slot, found] = links[slot, found]
            found += 1
        own = found
        for i in range(outer.shape[1]):
            known = outer[slot, i] == NONE
            for j in range(own):
                known |= out[slot, j] == outer[slot, i]
            if not known:
                out[slot, found] = outer[slot, i]
                found += 1


# -------------------------------------------------------------------------------------- links back


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


@njit(nogil=True, cache=True)
def _join_offers(space: Space, slot: int, offers: Any, own: int, scratch: Scratch) -> int:
    """Put the offers behind the ``own`` candidates, each once; how many there are then."""
    slots, gaps, _ = scratch
    found = own
    for i in range(offers.shape[0]):
        other = np.int64(offers[i])
        known = False
        for j in range(own):
            known |= slots[j] == other
        if known:
            continue
        slots[found], gaps[found] = other, squared_gap(space, slot, other)
        found += 1
        if found == slots.shape[0]:
            _keep_nearest(gaps[own:], slots[own:], found - own, OFFERS_MAX)
            found = own + OFFERS_MAX
    return found


@njit(
    types.void(
        *(MATRIX, VECTOR, INDEX, SLOTS, types.int64, types.int64, types.float32),
        types.uint32[:, ::1],
    ),
    nogil=True,
    cache=True,
)
def accept_offers(
    vectors: NDArray[np.float32],
    scales: NDArray[np.float32],
    ends: NDArray[np.int64],
    offers: NDArray[np.uint32],
    begin: int,
    end: int,
    alpha2: float,
    links: NDArray[np.uint32],
) -> None:
    """Let slots [begin, end) link back to those that link to them, pruning where they do not fit.

    - ``offers``: those of slot v end before ``ends[v]``
    """
    space = (vectors, scales)
    count, dim = vectors.shape
    degree = links.shape[1]
    scratch = make_scratch(degree + 2 * OFFERS_MAX, dim)
    slots, gaps, _ = scratch
    for v in range(begin, end):
        own = 0
        while own < degree and links[v, own] != NONE:
            slots[own] = links[v, own]
            gaps[own] = squared_gap(space, v, slots[own])
            own += 1
        start = ends[v - 1] if v > 0 else 0
        found = _join_offers(space, v, offers[start : ends[v]], own, scratch)
        if found == own:
            continue
        sort_by_distance(slots[:found], gaps[:found], v, count)
        if found > degree:
            prune(space, v, found, alpha2, scratch, links[v])
        else:
            for i in range(found):
                links[v, i] = slots[i]
