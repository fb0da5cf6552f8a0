"""The walk of a graph from neighbour to neighbour, guided by estimates of the scan plane.

A pool keeps the best ``width`` codes seen; the best one that was not expanded yet is expanded, and
so on until there is none. A neighbour's whole block of eight codes is estimated: that takes as many
lines of memory as one code does, and the other seven lie near it. A block is estimated once.

Several runs of codes (segments) share one pool: block b of run r has the number bases[r] + b. Each
has a centre of its own, hence planes of its own of the same query.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numpy.typing import NDArray

from . import instructions as emit
from .addresses import bytes_at, codes_at, factors_at, links_at
from .codes import _estimate_pair
from .instructions import I64, intrinsic

NONE = 0xFFFFFFFF
ENTRIES = 8
"""So many entry points, the best, begin a walk."""
CODES, FACTORS, LINKS, MASK, REFINE, ENTRY_CODES, ENTRY_FACTORS = range(7)
COUNT, ENTRY_COUNT, BASE, ALL_LIVE, STEP = range(7, 12)
COLUMNS = 12
"""Columns of the table of runs: addresses, then numbers."""

_TABLE = types.Array(types.int64, 2, "C", readonly=True)
_PLANES = types.Array(types.uint64, 5, "C", readonly=True)
_TERMS = types.Array(types.float32, 3, "C", readonly=True)


@intrinsic
def _ask_block(typing_context: Any, codes: Any, fac: Any, block: Any) -> Any:
    """Ask for the memory of a block: its code and its factors."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        codes_ = emit.data(context, builder, signature.args[0], arguments[0])
        fac_ = emit.data(context, builder, signature.args[1], arguments[1])
        words = emit.extent(context, builder, signature.args[0], arguments[0], 1)
        start = builder.mul(builder.mul(arguments[2], words), I64(64))
        with cgutils.for_range(builder, words) as loop:
            emit.prefetch(builder, codes_, builder.add(start, builder.mul(loop.index, I64(64))))
        emit.prefetch(builder, fac_, builder.mul(arguments[2], I64(64)))
        return context.get_dummy_value()

    return types.void(codes, fac, types.int64), lower


@intrinsic
def _ask_links(typing_context: Any, links: Any, slot: Any) -> Any:
    """Ask for the memory of a slot's links."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base = emit.data(context, builder, signature.args[0], arguments[0])
        degree = emit.extent(context, builder, signature.args[0], arguments[0], 1)
        start = builder.mul(builder.mul(arguments[1], degree), I64(4))
        emit.prefetch(builder, base, start)
        emit.prefetch(builder, base, builder.add(start, I64(64)))
        return context.get_dummy_value()

    return types.void(links, types.int64), lower


@intrinsic
def _lowest_bit(typing_context: Any, bits: Any) -> Any:
    """The place of the lowest bit that is set; one is."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], emit.ir.Constant(emit.ir.IntType(1), 1))

    return types.int64(types.uint64), lower


@njit(nogil=True, cache=True)
def _insert(
    estimates: NDArray[np.float32], places: NDArray[np.int64], size: int, e: float, place: int
) -> int:
    """Put a pair in its place by (e descending, place ascending); where, or -1: it is too low."""
    at = size
    if size == estimates.shape[0]:
        last = size - 1
        if e < estimates[last] or (e == estimates[last] and place > places[last]):
            return -1
        at = last
    while at > 0 and (estimates[at - 1] < e or (estimates[at - 1] == e and places[at - 1] > place)):
        estimates[at] = estimates[at - 1]
        places[at] = places[at - 1]
        at -= 1
    estimates[at] = e
    places[at] = place
    return at


@njit(nogil=True, cache=True)
def _best_entries(
    table: NDArray[np.int64],
    planes: NDArray[np.uint64],
    terms: NDArray[np.float32],
    words: int,
    best_e: NDArray[np.float32],
    best: NDArray[np.int64],
    out: NDArray[np.float32],
    limits: NDArray[np.float32],
) -> int:
    """The best entry points over all runs: 8 times the block's number, plus the lane."""
    size = 0
    no_tables = np.empty(0, np.uint8)
    for r in range(table.shape[0]):
        count, step, base = table[r, ENTRY_COUNT], table[r, STEP], table[r, BASE]
        blocks = (count + 7) // 8
        codes = codes_at(table[r, ENTRY_CODES], blocks, words)
        fac = factors_at(table[r, ENTRY_FACTORS], blocks)
        for b in range(0, blocks, 2):
            second, later = min(b + 1, blocks - 1), min(b + 8, blocks - 1)
            limits[0] = best_e[ENTRIES - 1] if size == ENTRIES else np.float32(-np.inf)
            hits = _estimate_pair(
                (0,), codes, fac, (b, second, later, later), planes[r], 0, no_tables,
                terms[r : r + 1], limits, out,
            )  # fmt: skip
            if b == second:
                hits &= np.uint64(0xFF)
            while hits != 0:
                lane = _lowest_bit(hits)
                hits &= hits - np.uint64(1)
                number = 8 * b + lane
                if number >= count:
                    continue
                slot = 8 * base + step * number
                if _insert(best_e, best, size, out[0, lane], slot) >= 0:
                    size = min(size + 1, ENTRIES)
    return size


@njit(nogil=True, cache=True)
def _run_of(table: NDArray[np.int64], block: int) -> int:
    """The run that holds a block."""
    r = 0
    while r + 1 < table.shape[0] and table[r + 1, BASE] <= block:
        r += 1
    return r


@njit(nogil=True, cache=True)
def _score_blocks(
    table: NDArray[np.int64],
    r: int,
    words: int,
    planes: NDArray[np.uint64],
    terms: NDArray[np.float32],
    blocks: NDArray[np.int64],
    count: int,
    pool: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.uint8]],
    found: tuple[NDArray[np.float32], NDArray[np.int64]],
    sizes: NDArray[np.int64],
    limits: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Estimate ``count`` blocks of run r; sizes: of pool and found, and the first not expanded."""
    estimates, places, expanded = pool
    found_e, found_places = found
    width = estimates.shape[0]
    slots, base = table[r, COUNT], table[r, BASE]
    codes = codes_at(table[r, CODES], (slots + 7) // 8, words)
    fac = factors_at(table[r, FACTORS], (slots + 7) // 8)
    mask = bytes_at(table[r, MASK], (slots + 7) // 8)
    all_live = table[r, ALL_LIVE] != 0
    no_tables = np.empty(0, np.uint8)
    low = np.float32(-np.inf)
    for i in range(0, count, 2):
        first, second = blocks[i], blocks[min(i + 1, count - 1)]
        limit = estimates[width - 1] if sizes[0] == width else low
        if not all_live:
            limit = min(limit, found_e[width - 1] if sizes[1] == width else low)
        limits[0] = np.nextafter(limit, low)  # an equal one may come first by its place
        hits = _estimate_pair(
            (0,), codes, fac, (first, second, second, second), planes[r], 0, no_tables,
            terms[r : r + 1], limits, out,
        )  # fmt: skip
        if i + 1 == count:
            hits &= np.uint64(0xFF)
        while hits != 0:
            at = _lowest_bit(hits)
            hits &= hits - np.uint64(1)
            block, lane = (first if at < 8 else second), at & 7
            slot = 8 * block + lane
            if slot >= slots:
                continue
            e, place = out[0, at], 8 * base + slot
            position = _insert(estimates, places, sizes[0], e, place)
            if position >= 0:
                end = min(sizes[0], width - 1)
                for j in range(end, position, -1):
                    expanded[j] = expanded[j - 1]
                expanded[position] = 0
                sizes[0] = end + 1
                sizes[2] = min(sizes[2], position)
            live = not all_live and mask[block] >> np.uint8(lane) & 1
            if live and _insert(found_e, found_places, sizes[1], e, place) >= 0:
                sizes[1] = min(sizes[1] + 1, width)


@njit(nogil=True, cache=True)
def _walk(
    table: NDArray[np.int64],
    words: int,
    degree: int,
    planes: NDArray[np.uint64],
    terms: NDArray[np.float32],
    stamps: NDArray[np.uint32],
    stamp: int,
    pool: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.uint8]],
    found: tuple[NDArray[np.float32], NDArray[np.int64]],
    sizes: NDArray[np.int64],
    scratch: tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]],
    entries: tuple[NDArray[np.float32], NDArray[np.int64]],
    counts: NDArray[np.int64],
) -> None:
    """One query; counts: nodes expanded and blocks estimated."""
    blocks, limits, out = scratch
    places, expanded = pool[1], pool[2]
    sizes[:] = 0
    begun = _best_entries(table, planes, terms, words, entries[0], entries[1], out, limits)
    for i in range(begun):
        block = entries[1][i] // 8
        if stamps[block] != stamp:
            stamps[block] = stamp
            r = _run_of(table, block)
            blocks[0] = block - table[r, BASE]
            counts[1] += 1
            _score_blocks(
                table, r, words, planes, terms, blocks, 1, pool, found, sizes, limits, out
            )
    sizes[2] = 0
    while True:
        at = sizes[2]
        while at < sizes[0] and expanded[at]:
            at += 1
        if at == sizes[0]:
            break
        sizes[2] = at + 1
        expanded[at] = 1
        counts[0] += 1
        place = places[at]
        r = _run_of(table, place // 8)
        slots, base = table[r, COUNT], table[r, BASE]
        links = links_at(table[r, LINKS], slots, degree)
        codes = codes_at(table[r, CODES], (slots + 7) // 8, words)
        fac = factors_at(table[r, FACTORS], (slots + 7) // 8)
        node = place - 8 * base
        count = 0
        for j in range(degree):
            neighbour = np.int64(links[node, j])
            if neighbour == NONE:
                break
            block = neighbour // 8
            if stamps[base + block] != stamp:
                stamps[base + block] = stamp
                _ask_block(codes, fac, block)
                blocks[count] = block
                count += 1
        later = at + 1
        while later < sizes[0] and expanded[later]:
            later += 1
        if later < sizes[0] and table.shape[0] == 1:
            _ask_links(links, places[later])
        counts[1] += count
        _score_blocks(
            table, r, words, planes, terms, blocks, count, pool, found, sizes, limits, out
        )


@njit(
    types.void(
        *(_TABLE, types.int64, types.int64, _PLANES, _TERMS, types.int64, types.int64),
        *(types.uint32[::1], types.int64[::1]),
        *(types.float32[:, ::1], types.int64[:, ::1], types.int64[::1], types.int64[:, ::1]),
    ),
    nogil=True,
    cache=True,
)
def walk_graph_kernel(
    table: NDArray[np.int64],
    words: int,
    degree: int,
    planes: NDArray[np.uint64],
    terms: NDArray[np.float32],
    begin: int,
    end: int,
    stamps: NDArray[np.uint32],
    stamp: NDArray[np.int64],
    found_e: NDArray[np.float32],
    found_places: NDArray[np.int64],
    found_sizes: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Walk for the queries from ``begin`` to before ``end``.

    - ``table``: int64[runs, ``COLUMNS``]
    - ``planes``: uint64[queries, runs, words, 4, 1]; ``terms``: float32[queries, runs, 3]: delta,
      constant, 7.5 * padded
    - ``stamps``: one for each block of all runs, ``stamp``: [1], the last one used; of this thread
    - ``found_e``, ``found_places``: [queries, width] the best of the slots whose bits are set in
      the masks, by estimate; ``found_sizes``: [queries]. A place is 8 times the block's number,
      plus the lane
    - ``counts``: [queries, 2] nodes expanded, blocks estimated
    """
    width = found_e.shape[1]
    pool = (np.empty(width, np.float32), np.empty(width, np.int64), np.zeros(width, np.uint8))
    scratch = (
        np.empty(max(degree, 1), np.int64),
        np.empty(1, np.float32),
        np.empty((1, 16), np.float32),
    )
    entries = (np.empty(ENTRIES, np.float32), np.empty(ENTRIES, np.int64))
    sizes = np.zeros(3, np.int64)
    all_live = True
    for r in range(table.shape[0]):
        all_live &= table[r, ALL_LIVE] != 0
    for q in range(begin, end):
        stamp[0] += 1
        if stamp[0] == 0xFFFFFFFF:
            stamps[:] = 0
            stamp[0] = 1
        _walk(
            table, words, degree, planes[q], terms[q], stamps, stamp[0], pool,
            (found_e[q], found_places[q]), sizes, scratch, entries, counts[q],
        )  # fmt: skip
        found_sizes[q] = sizes[1]
        if all_live:
            found_e[q] = pool[0]
            found_places[q] = pool[1]
            found_sizes[q] = sizes[0]
