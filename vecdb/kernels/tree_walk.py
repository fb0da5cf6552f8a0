"""The walk of clustering trees: nearest node first, and only nodes that hold slots that may match.

After Curator's search (arXiv 2401.07119, 2601.01291), with these differences:

1. A node is an interval of slots, so how many of them match is the difference of two ranks in a
   mask: no Bloom filter, no list of ids. A node with few is not opened, its slots are estimated.
2. One heap spans the trees of all runs (segments), whose roots are opened at once: walks of their
   own would multiply the patience.
3. Nodes come by the distance to the centroid alone: less a share of its mean square, as Curator
   has it, found fewer at the same cost (GloVe .979, .975 and .963 for shares of 0, .5 and 1). By
   products it helps: of long vectors some are far out (.925 and .957 for 0 and .5 deviations).
4. The walk ends after ``patience`` nodes in a row whose slots improve nothing, but never before
   it has found as many as are wanted. Curator ends at the first of them, which misses most of what
   a query from elsewhere than the matching records is nearest to.

Estimates are those of the scan plane (``codes``). A walk is stopped and goes on where it was, so
that the caller can look at its deadline: all that it knows lies in arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from . import graph_walk
from .addresses import (
    bytes_at,
    codes_at,
    factors_at,
    floats_at,
    rows_of_floats_at,
    slots_at,
    words_at,
)
from .codes import _estimate_pair
from .distance import REASSOCIATE
from .heaps import Bundle, limit_of, make_newcomers, settle_all, take_hits
from .instructions import intrinsic, ir

CODES, FACTORS, REFINE = graph_walk.CODES, graph_walk.FACTORS, graph_walk.REFINE
COUNT, BASE = graph_walk.COUNT, graph_walk.BASE
WORDS, RANKS, CENTROIDS, LO, HI, FIRST_CHILD, CHILDREN, NODES, NODE_BASE, MSD = range(12, 22)
COLUMNS = 22
"""Columns of the table of runs: those of a graph's, of which five are used, and the tree's."""
SMALL = 128
"""A node with no more slots that may match is not opened."""

HEAP, KNOWN, SETTLED, FRUITLESS, VISITED, ESTIMATED = range(6)
STATE = 6
"""Of a walk: entries of its heap, near estimates, slots kept, nodes in a row that improved nothing,
nodes visited, codes estimated."""

_TABLE = types.Array(types.int64, 2, "C", readonly=True)
_VECTOR = types.Array(types.float32, 1, "C", readonly=True)
_PLANES = types.Array(types.uint64, 4, "C", readonly=True)
_TERMS = types.Array(types.float32, 2, "C", readonly=True)
_BLOCKS = SMALL + 2


@intrinsic
def _count_ones(typing_context: Any, word: Any) -> Any:
    """How many bits of a word are set."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), lower


@intrinsic
def _lowest_bit(typing_context: Any, bits: Any) -> Any:
    """The place of the lowest bit that is set; one is."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), lower


@njit(nogil=True, cache=True)
def _rank(words: NDArray[np.uint64], ranks: NDArray[np.uint32], slot: Any) -> Any:
    """How many slots below ``slot`` may match."""
    at = slot >> 6
    below = (np.uint64(1) << np.uint64(slot & 63)) - np.uint64(1)
    return np.int64(ranks[at]) + _count_ones(words[at] & below)


@njit(nogil=True, cache=True, fastmath=REASSOCIATE)
def _product(query: NDArray[np.float32], centroid: NDArray[np.float32]) -> np.float32:
    total = np.float32(0.0)
    for j in range(query.shape[0]):
        total += query[j] * centroid[j]
    return total


@njit(nogil=True, cache=True, fastmath=REASSOCIATE)
def _squared_gap(query: NDArray[np.float32], centroid: NDArray[np.float32]) -> np.float32:
    total = np.float32(0.0)
    for j in range(query.shape[0]):
        gap = query[j] - centroid[j]
        total += gap * gap
    return total


# ------------------------------------------------------------------------------------ the heap


@njit(nogil=True, cache=True)
def _before(key: Any, node: Any, other_key: Any, other: Any) -> Any:
    return key < other_key or (key == other_key and node < other)


@njit(nogil=True, cache=True)
def _push(
    keys: NDArray[np.float32],
    entries: NDArray[np.int64],
    size: int,
    key: Any,
    node: int,
    count: int,
) -> None:
    """Add an entry to a heap of ``size``; entries: [nodes, 2], a node and how many match in it."""
    at = size
    while at > 0:
        above = (at - 1) // 2
        if not _before(key, node, keys[above], entries[above, 0]):
            break
        keys[at] = keys[above]
        entries[at, 0], entries[at, 1] = entries[above, 0], entries[above, 1]
        at = above
    keys[at] = key
    entries[at, 0], entries[at, 1] = node, count


@njit(nogil=True, cache=True)
def _pop(keys: NDArray[np.float32], entries: NDArray[np.int64], size: int) -> tuple[Any, Any]:
    """Take the first entry out of a heap of ``size``: its node and how many match in it."""
    node, count = entries[0, 0], entries[0, 1]
    last = size - 1
    key, moved, many = keys[last], entries[last, 0], entries[last, 1]
    at = 0
    while True:
        below = 2 * at + 1
        if below >= last:
            break
        right = below + 1
        if right < last and _before(keys[right], entries[right, 0], keys[below], entries[below, 0]):
            below = right
        if not _before(keys[below], entries[below, 0], key, moved):
            break
        keys[at] = keys[below]
        entries[at, 0], entries[at, 1] = entries[below, 0], entries[below, 1]
        at = below
    keys[at] = key
    entries[at, 0], entries[at, 1] = moved, many
    return node, count


# ------------------------------------------------------------------------------------- nodes


@njit(nogil=True, cache=True)
def _run_of(table: NDArray[np.int64], node: int) -> int:
    """The run whose tree has a node."""
    r = 0
    while r + 1 < table.shape[0] and table[r + 1, NODE_BASE] <= node:
        r += 1
    return r


@njit(nogil=True, cache=True)
def _push_children(
    row: NDArray[np.int64],
    node: int,
    by_product: bool,
    lean: float,
    query: NDArray[np.float32],
    keys: NDArray[np.float32],
    entries: NDArray[np.int64],
    size: int,
) -> int:
    """Push the children of a node of a run that hold what may match; the heap's new size."""
    nodes, slots = row[NODES], row[COUNT]
    first = slots_at(row[FIRST_CHILD], nodes)[node]
    children = bytes_at(row[CHILDREN], nodes)[node]
    lo, hi = slots_at(row[LO], nodes), slots_at(row[HI], nodes)
    words, ranks = words_at(row[WORDS], slots // 64 + 1), slots_at(row[RANKS], slots // 64 + 1)
    centroids = rows_of_floats_at(row[CENTROIDS], nodes, query.shape[0])
    msd = floats_at(row[MSD], nodes)
    before = _rank(words, ranks, np.int64(lo[first]))
    for child in range(np.int64(first), np.int64(first) + np.int64(children)):
        rank = _rank(words, ranks, np.int64(hi[child]))
        count = rank - before
        before = rank
        if count == 0:
            continue
        if by_product:
            key = -_product(query, centroids[child]) - lean * np.sqrt(msd[child])
        else:
            key = _squared_gap(query, centroids[child])
        if np.isnan(key):
            key = np.float32(-np.inf)
        _push(keys, entries, size, key, row[NODE_BASE] + child, count)
        size += 1
    return size


@njit(nogil=True, cache=True)
def _take_blocks(
    row: NDArray[np.int64],
    planes: NDArray[np.uint64],
    terms: NDArray[np.float32],
    blocks: NDArray[np.int64],
    masks: NDArray[np.uint8],
    count: int,
    near: NDArray[np.float32],
    known: int,
    kept: Bundle,
    newcomers: Bundle,
    limits: NDArray[np.float32],
    out: NDArray[np.float32],
) -> tuple[int, bool]:
    """Estimate ``count`` blocks, one more has room; how many are near, and whether one came."""
    slots = row[COUNT]
    every = (slots + 7) // 8
    codes = codes_at(row[CODES], every, planes.shape[0])
    fac = factors_at(row[FACTORS], every)
    no_tables = np.empty(0, np.uint8)
    if count % 2:
        blocks[count], masks[count] = blocks[count - 1], 0
    improved = False
    most = near.shape[0]
    for i in range(0, count, 2):
        later = min(i + 8, count - 1)
        pair = (blocks[i], blocks[i + 1], blocks[later], blocks[min(later + 1, count - 1)])
        hits = _estimate_pair(
            (0,), codes, fac, pair, planes, 0, no_tables, terms, limits, out
        )  # fmt: skip
        hits &= np.uint64(masks[i]) | np.uint64(masks[i + 1]) << np.uint64(8)
        if hits == 0:
            continue
        left = hits
        while left != 0:
            e = out[0, _lowest_bit(left)]
            left &= left - np.uint64(1)
            if known == most and e <= near[most - 1]:
                continue
            improved = True
            at = min(known, most - 1)
            while at > 0 and near[at - 1] < e:
                near[at] = near[at - 1]
                at -= 1
            near[at] = e
            known = min(known + 1, most)
        places = (row[BASE] + pair[0], row[BASE] + pair[1])
        take_hits(hits, 16, out, places, kept, newcomers, limits)
    return known, improved


@njit(nogil=True, cache=True)
def _take_slots(
    row: NDArray[np.int64],
    node: int,
    planes: NDArray[np.uint64],
    terms: NDArray[np.float32],
    blocks: NDArray[np.int64],
    masks: NDArray[np.uint8],
    near: NDArray[np.float32],
    known: int,
    kept: Bundle,
    newcomers: Bundle,
    limits: NDArray[np.float32],
    out: NDArray[np.float32],
) -> tuple[int, bool]:
    """Estimate the slots of a node that may match; as ``_take_blocks``."""
    nodes = row[NODES]
    lo = np.int64(slots_at(row[LO], nodes)[node])
    hi = np.int64(slots_at(row[HI], nodes)[node])
    words = words_at(row[WORDS], row[COUNT] // 64 + 1)
    improved = False
    count = 0
    for at in range(lo >> 6, (hi + 63) >> 6):
        word = words[at]
        if at == lo >> 6:
            word &= ~((np.uint64(1) << np.uint64(lo & 63)) - np.uint64(1))
        if at == hi >> 6:
            word &= (np.uint64(1) << np.uint64(hi & 63)) - np.uint64(1)
        while word != 0:
            byte = _lowest_bit(word) >> 3
            lanes = word >> np.uint64(8 * byte) & np.uint64(0xFF)
            word &= ~(np.uint64(0xFF) << np.uint64(8 * byte))
            blocks[count], masks[count] = 8 * at + byte, lanes
            count += 1
            if count == SMALL:
                known, came = _take_blocks(
                    row, planes, terms, blocks, masks, count,
                    near, known, kept, newcomers, limits, out,
                )  # fmt: skip
                improved |= came
                count = 0
    known, came = _take_blocks(
        row, planes, terms, blocks, masks, count, near, known, kept, newcomers, limits, out
    )
    return known, improved | came


# -------------------------------------------------------------------------------------- walk


@njit(
    types.boolean(
        *(_TABLE, types.boolean, types.float32, _VECTOR, _PLANES, _TERMS),
        *(types.int64, types.int64, types.int64),
        *(types.float32[::1], types.int64[:, ::1], types.float32[::1], types.int64[::1]),
        *(types.float32[:, ::1], types.int64[:, ::1]),
    ),
    nogil=True,
    cache=True,
)
def walk_trees_kernel(
    table: NDArray[np.int64],
    by_product: bool,
    lean: float,
    query: NDArray[np.float32],
    planes: NDArray[np.uint64],
    terms: NDArray[np.float32],
    wanted: int,
    patience: int,
    steps: int,
    keys: NDArray[np.float32],
    entries: NDArray[np.int64],
    near: NDArray[np.float32],
    state: NDArray[np.int64],
    found_e: NDArray[np.float32],
    found: NDArray[np.int64],
) -> bool:
    """Visit up to ``steps`` more nodes for one query; whether the walk has ended.

    - ``table``: int64[runs, ``COLUMNS``]; the memory that it names is the caller's
    - ``by_product``: nodes come by q . centroid + ``lean`` * their vectors' deviation, largest
      first; else by the distance of q to the centroid, least first
    - ``query``: float32[dim], as the trees were built of vectors
    - ``planes``: uint64[runs, words, 4, 1]; ``terms``: float32[runs, 3]: delta, constant,
      7.5 * padded
    - ``wanted``: the walk does not end before so many slots are found, if the trees hold them
    - ``patience``: nodes in a row whose slots do not improve ``near`` that end it
    - ``keys``, ``entries``: [nodes of all trees], [the same, 2] the heap
    - ``near``: the best estimates, highest first; ``state``: [``STATE``], zeros at first
    - ``found_e``, ``found``: [1, width] the best slots so far by estimate, in no order; a place is
      8 times the number of the block, counted over all runs, plus the lane
    """
    blocks, masks = np.empty(_BLOCKS, np.int64), np.empty(_BLOCKS, np.uint8)
    out = np.empty((1, 16), np.float32)
    limits = np.empty(1, np.float32)
    sizes = np.empty(1, np.int64)
    sizes[0] = state[SETTLED]
    kept = (found_e, found, sizes)
    newcomers = make_newcomers(found_e)
    limits[0] = limit_of(found_e[0], sizes[0], np.float32(np.nan))
    if state[VISITED] == 0:
        for r in range(table.shape[0]):
            row = table[r]
            some = row[COUNT] // 64 + 1
            words, ranks = words_at(row[WORDS], some), slots_at(row[RANKS], some)
            count = _rank(words, ranks, row[COUNT])
            if count > 0:
                _push(keys, entries, state[HEAP], np.float32(-np.inf), row[NODE_BASE], count)
                state[HEAP] += 1
    ended = False
    for _ in range(steps):
        if state[HEAP] == 0:
            ended = True
            break
        node, count = _pop(keys, entries, state[HEAP])
        state[HEAP] -= 1
        state[VISITED] += 1
        r = _run_of(table, node)
        row = table[r]
        own = node - row[NODE_BASE]
        leaf = bytes_at(row[CHILDREN], row[NODES])[own] == 0
        if not leaf and count > SMALL:
            state[HEAP] = _push_children(
                row, own, by_product, lean, query, keys, entries, state[HEAP]
            )
            continue
        state[KNOWN], improved = _take_slots(
            row, own, planes[r], terms[r : r + 1], blocks, masks,
            near, state[KNOWN], kept, newcomers, limits, out,
        )  # fmt: skip
        state[ESTIMATED] += count
        state[FRUITLESS] = 0 if improved else state[FRUITLESS] + 1
        if state[FRUITLESS] >= patience and state[ESTIMATED] >= wanted:
            ended = True
            break
    settle_all(kept, newcomers, limits)
    state[SETTLED] = sizes[0]
    return ended
