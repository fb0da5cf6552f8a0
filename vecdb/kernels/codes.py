"""The scan: which codes of a segment have the highest estimates?

The estimate of a code with signs s for a rotated query y is e = (add + mul * <s, y>) + constant, in
float32 and in that order. y stands as 4 bit planes, so <s, y> = delta * (7.5 * padded - S), and S,
the sum over j of 2^j * popcount(code xor plane j), is an integer. Nothing is reordered or
contracted: a query gets the same bits alone, in a batch, and on any processor.

Two blocks (16 codes) and one or four queries make a step, ``_estimate_pair``. S comes

- from tables, where the processor can look up 64 bytes at once (AVX-512 VBMI): four dimensions of
  a code are an index into 16 bytes that hold their part of S. 1.4 times as fast as popcounts for
  four queries, as fast for one;
- from popcounts of 8 words anywhere else.

Hits go to ``heaps``. Blocks must come in ascending order: a code never replaces an equal one, so
the smaller slot stays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from . import instructions as emit
from .heaps import Bundle, limit_of, make_newcomers, settle_all, take_hits
from .instructions import F32, I16, I64, intrinsic, ir
from .mismatches import sum_by_popcounts, sum_by_tables

GROUP = 4  # queries that go through a pair of blocks together
TILE_BYTES = 256 * 1024  # of codes, which stay in the second cache while all groups pass
PASS_BYTES = 4 * 1024 * 1024  # the same where only one group passes

CODES = types.Array(types.uint64, 3, "C", readonly=True)  # takes writable arrays too
FACTORS = types.Array(types.float32, 3, "C", readonly=True)
MASK = types.Array(types.uint8, 1, "C", readonly=True)
INDEX = types.Array(types.int64, 1, "C", readonly=True)
NUMBERS = types.Array(types.float32, 1, "C", readonly=True)

_LANES, _FLOATS = ir.VectorType(F32, 8), ir.VectorType(F32, 16)

# ------------------------------------------------------------------------------------- the step


@intrinsic
def _estimate_pair(
    typing_context: Any,
    group: Any,
    codes: Any,
    fac: Any,
    blocks: Any,
    operand: Any,
    terms: Any,
    half: Any,
    out: Any,
) -> Any:
    """Estimates of two blocks for ``len(group)`` queries.

    - ``blocks``: the two, and two that will come later, for which memory is asked
    - ``operand``: tables [words, 4, group, 64] or planes [words, 4, group, 8], in bytes
    - ``terms``: [3 * group] deltas, constants, limits; ``half``: 7.5 * padded
    - ``out``: [group, 16], gets e; -inf for nan

    Bit 16 q + i of the result: e of code i is above the limit of query q, or the limit is nan.
    """
    queries = group.count

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        codes_, fac_, operand_, terms_, out_ = (
            emit.data(context, builder, signature.args[i], arguments[i]) for i in (1, 2, 4, 5, 7)
        )
        words = emit.extent(context, builder, codes, arguments[1], 1)
        numbers = [builder.extract_value(arguments[3], i) for i in range(4)]
        rows = [builder.mul(builder.mul(block, words), I64(64)) for block in numbers]
        lines = [builder.mul(block, I64(64)) for block in numbers]
        find = sum_by_tables if emit.has_tables(context) else sum_by_popcounts
        sums = find(builder, codes_, rows[:2], rows[2:], words, operand_, queries)
        for line in lines[2:]:
            emit.prefetch(builder, fac_, line)
        first, second = (
            [emit.load(builder, fac_, builder.add(at, I64(byte)), _LANES) for byte in (0, 32)]
            for at in lines[:2]
        )
        add, mul = (
            emit.shuffle(builder, pair, range(16)) for pair in zip(first, second, strict=True)
        )
        whole = emit.spread(builder, arguments[6], _FLOATS)
        least = emit.splat(_FLOATS, float("-inf"))
        hits = I64(0)
        for q in range(queries):
            delta, constant, limit = (
                emit.spread(builder, emit.load(builder, terms_, I64(4 * at), F32), _FLOATS)
                for at in (q, queries + q, 2 * queries + q)
            )
            product = builder.fmul(delta, builder.fsub(whole, builder.sitofp(sums[q], _FLOATS)))
            e = builder.fadd(builder.fadd(add, builder.fmul(mul, product)), constant)
            number = builder.fcmp_ordered(">", e, least)
            e = builder.select(number, e, least)
            emit.store(builder, out_, I64(64 * q), e)
            above = builder.bitcast(builder.fcmp_unordered(">", e, limit), I16)
            hits = builder.or_(hits, builder.shl(builder.zext(above, I64), I64(16 * q)))
        return hits

    return types.uint64(group, codes, fac, blocks, operand, terms, types.float32, out), lower


@intrinsic
def _uses_tables(typing_context: Any) -> Any:
    """Whether ``_estimate_pair`` reads tables instead of planes."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(ir.IntType(1), int(emit.has_tables(context)))

    return types.boolean(), lower


@intrinsic
def _eight_masks(typing_context: Any, mask: Any, at: Any) -> Any:
    """``mask[at:at + 8]`` as one number."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base = emit.data(context, builder, signature.args[0], arguments[0])
        return emit.load(builder, base, arguments[1], I64)

    return types.uint64(mask, types.int64), lower


# ---------------------------------------------------------------------------------- the queries


@njit(nogil=True, cache=True)
def _level(planes4: NDArray[np.uint64], w: int, i: int, query: int) -> Any:
    """The number of 4 bits that stands for dimension 64 w + i of a query."""
    level = np.uint64(0)
    for j in range(4):
        bit = planes4[w, j, query] >> np.uint64(i) & np.uint64(1)
        level |= bit << np.uint64(j)
    return np.int64(level)


@njit(nogil=True, cache=True)
def _fill_operand(
    planes4: NDArray[np.uint64], query: int, out: NDArray[np.uint8], width: int, at: int
) -> None:
    """What ``_estimate_pair`` reads of one query: place ``at`` of ``width`` in a group."""
    words = out.view(np.uint64)
    for w in range(planes4.shape[0]):
        if not _uses_tables():
            for j in range(4):
                words[width * (4 * w + j) + at] = planes4[w, j, query]
            continue
        for nibble in range(16):
            place = nibble // 2
            t = 2 * (place // 4) + nibble % 2
            row = 64 * (width * (4 * w + t) + at) + 16 * (place % 4)
            total = 0
            for i in range(4 * nibble, 4 * nibble + 4):
                total += _level(planes4, w, i, query)
            out[row] = total
            for bit in range(4):
                gain = 15 - 2 * _level(planes4, w, 4 * nibble + bit, query)
                for v in range(1 << bit):
                    out[row + v + (1 << bit)] = np.int64(out[row + v]) + gain


@njit(nogil=True, cache=True)
def _count_grouped(queries: int) -> int:
    """Queries that go in groups, free places included. One or two that are left go alone."""
    return (queries + GROUP - 3) // GROUP * GROUP


@njit(nogil=True, cache=True)
def _prepare(
    planes4: NDArray[np.uint64],
    delta: NDArray[np.float32],
    constant: NDArray[np.float32],
    heap_e: NDArray[np.float32],
    sizes: NDArray[np.int64],
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Operand and terms of all groups, one after the other, then of the queries that go alone."""
    words, queries = planes4.shape[0], planes4.shape[2]
    grouped = _count_grouped(queries)
    places = max(grouped, queries)
    size = words * (256 if _uses_tables() else 32)
    room = np.zeros(places * size + 64, np.uint8)
    skip = -room.ctypes.data % 64  # tables begin on a line of the cache
    operand = room[skip : skip + places * size]
    terms = np.empty(3 * places, np.float32)
    for i in range(3 * places):
        terms[i] = np.inf  # no estimate is above it: so free places stay
    for q in range(queries):
        width = GROUP if q < grouped else 1
        first, at = q - q % width, q % width
        _fill_operand(planes4, q, operand[first * size : (first + width) * size], width, at)
        terms[3 * first + at] = delta[q]
        terms[3 * first + width + at] = constant[q]
        limit = limit_of(heap_e[q], sizes[q], np.float32(np.nan))
        terms[3 * first + 2 * width + at] = limit
    return operand, terms


# ------------------------------------------------------------------------------------- the scan


@njit(nogil=True, cache=True)
def _scan_group(
    group: tuple[int, ...],
    codes: NDArray[np.uint64],
    fac: NDArray[np.float32],
    listed: Bundle,
    query: Bundle,
    half: np.float32,
    kept: Bundle,
    newcomers: Bundle,
    out: NDArray[np.float32],
) -> None:
    """The queries of a group over an even number of blocks."""
    blocks, masks = listed
    operand, terms = query
    limits = terms[2 * len(group) :]
    last = blocks.shape[0] - 2
    ahead = max(1, emit.PREFETCH_BYTES // (128 * (codes.shape[1] + 1))) * 2
    for i in range(0, last + 1, 2):
        later = min(i + ahead, last)
        pair = (blocks[i], blocks[i + 1], blocks[later], blocks[later + 1])
        hits = _estimate_pair(group, codes, fac, pair, operand, terms, half, out)
        live = np.uint64(masks[i]) | np.uint64(masks[i + 1]) << np.uint64(8)
        hits &= live * np.uint64(0x0001000100010001)
        if hits != 0:
            take_hits(hits, 16, out, (pair[0], pair[1]), kept, newcomers, limits)


@njit(nogil=True, cache=True)
def _part(some: Bundle, begin: int, end: int) -> Bundle:
    return (some[0][begin:end], some[1][begin:end], some[2][begin:end])


@njit(nogil=True, cache=True)
def _scan_tile(
    codes: NDArray[np.uint64],
    fac: NDArray[np.float32],
    listed: Bundle,
    count: int,
    query: Bundle,
    half: np.float32,
    kept: Bundle,
    newcomers: Bundle,
    out: NDArray[np.float32],
) -> None:
    """All queries over the first ``count`` blocks of a list that has room for one more."""
    blocks, masks = listed
    operand, terms = query
    if count % 2:
        blocks[count], masks[count] = blocks[count - 1], 0
        count += 1
    queries = kept[2].shape[0]
    grouped = _count_grouped(queries)
    size = operand.shape[0] // max(grouped, queries)
    some = (blocks[:count], masks[:count])
    for q in range(0, grouped, GROUP):
        end = q + GROUP
        asked = (operand[q * size : end * size], terms[3 * q : 3 * end])
        had, new = _part(kept, q, end), _part(newcomers, q, end)
        _scan_group((0, 0, 0, 0), codes, fac, some, asked, half, had, new, out)
    for q in range(grouped, queries):
        end = q + 1
        asked = (operand[q * size : end * size], terms[3 * q : 3 * end])
        had, new = _part(kept, q, end), _part(newcomers, q, end)
        _scan_group((0,), codes, fac, some, asked, half, had, new, out)


@njit(nogil=True, cache=True)
def _make_list(words: int, queries: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Blocks and masks of a tile, and one more."""
    wanted = TILE_BYTES if queries > GROUP else PASS_BYTES
    room = max(2, wanted // (64 * (words + 1)))
    return np.empty(room + 1, np.int64), np.empty(room + 1, np.uint8)


@njit(
    types.void(
        *(CODES, FACTORS, INDEX, MASK, types.int64, types.int64),
        *(types.Array(types.uint64, 3, "C", readonly=True), NUMBERS, NUMBERS, types.int64),
        *(types.float32[:, ::1], types.int64[:, ::1], types.int64[::1]),
    ),
    nogil=True,
    cache=True,
)
def _scan(
    codes: NDArray[np.uint64],
    fac: NDArray[np.float32],
    blocks: NDArray[np.int64],
    masks: NDArray[np.uint8],
    begin: int,
    end: int,
    planes4: NDArray[np.uint64],
    delta: NDArray[np.float32],
    constant: NDArray[np.float32],
    padded: int,
    heap_e: NDArray[np.float32],
    heap_slot: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> None:
    """Masks from ``begin`` to before ``end``: of those ``blocks``, or if it is empty of all blocks.

    One kernel for both, because it takes seconds to compile.
    """
    half = np.float32(7.5 * padded)
    query = _prepare(planes4, delta, constant, heap_e, sizes)
    some, live = _make_list(codes.shape[1], planes4.shape[2])
    out = np.empty((GROUP, 16), np.float32)
    kept = (heap_e, heap_slot, sizes)
    newcomers = make_newcomers(heap_e)
    at = begin
    while at < end:
        count = 0
        while at < end and count < some.shape[0] - 1:
            if masks[at] == 0 and at + 8 <= end and _eight_masks(masks, at) == 0:
                at += 8
                continue
            some[count] = blocks[at] if blocks.shape[0] > 0 else at
            live[count] = masks[at]
            count += masks[at] != 0
            at += 1
        _scan_tile(codes, fac, (some, live), count, query, half, kept, newcomers, out)
    settle_all(kept, newcomers, np.empty(sizes.shape[0], np.float32))


_EVERY_BLOCK = np.empty(0, np.int64)


def scan_estimates(
    codes: NDArray[np.uint64],
    fac: NDArray[np.float32],
    mask: NDArray[np.uint8],
    first_block: int,
    end_block: int,
    planes4: NDArray[np.uint64],
    delta: NDArray[np.float32],
    constant: NDArray[np.float32],
    padded: int,
    heap_e: NDArray[np.float32],
    heap_slot: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> None:
    """Go on with each query's best codes over blocks from ``first_block`` to before the end.

    - ``codes``: [blocks, words, 8], ``fac``: [blocks, 2, 8], ``mask``: [blocks], bit l: lane l
      counts. A block with none is not touched
    - ``planes4``: [words, 4, queries]; ``delta``, ``constant``: [queries]
    - ``heap_e``, ``heap_slot``: [queries, k] the best so far, of which ``sizes`` are there
    """
    span = (_EVERY_BLOCK, mask, first_block, end_block)
    query = (planes4, delta, constant, padded)
    _scan(codes, fac, *span, *query, heap_e, heap_slot, sizes)


def estimate_blocks(
    codes: NDArray[np.uint64],
    fac: NDArray[np.float32],
    blocks: NDArray[np.int64],
    masks: NDArray[np.uint8],
    planes4: NDArray[np.uint64],
    delta: NDArray[np.float32],
    constant: NDArray[np.float32],
    padded: int,
    heap_e: NDArray[np.float32],
    heap_slot: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> None:
    """``scan_estimates`` over a list of blocks, ascending, each with the lanes that count."""
    span = (blocks, masks, 0, len(blocks))
    query = (planes4, delta, constant, padded)
    _scan(codes, fac, *span, *query, heap_e, heap_slot, sizes)
