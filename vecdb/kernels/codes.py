"""The scan: which codes of a segment have the highest estimates?

The estimate of a code with signs s for a rotated query y is e = (add + mul * <s, y>) + constant, in
float32 and in that order. y stands as 4 bit planes, so <s, y> = delta * (7.5 * padded - S), and S,
the sum over j of 2^j * popcount(code xor plane j), is an integer. Nothing is reordered or
contracted: a query gets the same bits alone, in a batch, and on any processor.

Two blocks (16 codes) make a step, ``_estimate_pair``. S comes

- for one query from popcounts, of 8 words at once;
- for four queries from tables, where the processor looks up 64 bytes at once (AVX-512 VBMI): four
  dimensions of a code are an index to their part of S. A part less the least of its table is
  small, so eight make a sum of 8 bits before it has to be widened. 1.8 times as fast. The rare
  query whose parts are too large for that goes alone, and three others with it.

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
from .mismatches import GROUP, fill_tables, sum_by_popcounts, sum_by_tables

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
    planes4: Any,
    query: Any,
    tables: Any,
    terms: Any,
    limits: Any,
    out: Any,
) -> Any:
    """Estimates of two blocks: for ``query`` from ``planes4``, or for four from ``tables``.

    - ``group``: its length tells which
    - ``blocks``: the two, and two that will come later, for which memory is asked
    - ``terms``: [queries, 3] delta, constant, 7.5 * padded less what the tables leave out
    - ``limits``: [queries]; ``out``: [queries, 16], gets e; -inf for nan

    Bit 16 q + i of the result: e of code i is above the limit of query q, or the limit is nan.
    """
    queries = group.count

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if queries > 1 and not emit.has_tables(context):
            return I64(0)
        codes_, fac_, planes4_, tables_, terms_, limits_, out_ = (
            emit.data(context, builder, signature.args[i], arguments[i])
            for i in (1, 2, 4, 6, 7, 8, 9)
        )
        words = emit.extent(context, builder, codes, arguments[1], 1)
        numbers = [builder.extract_value(arguments[3], i) for i in range(4)]
        rows = [builder.mul(builder.mul(block, words), I64(64)) for block in numbers]
        lines = [builder.mul(block, I64(64)) for block in numbers]
        if queries == 1:
            step = builder.mul(emit.extent(context, builder, planes4, arguments[4], 2), I64(8))
            plane = builder.gep(planes4_, [builder.mul(arguments[5], I64(8))])
            sums = [sum_by_popcounts(builder, codes_, rows[:2], rows[2:], words, plane, step)]
        else:
            sums = sum_by_tables(builder, codes_, rows[:2], rows[2:], words, tables_)
        for line in lines[2:]:
            emit.prefetch(builder, fac_, line)
        first, second = (
            [emit.load(builder, fac_, builder.add(at, I64(byte)), _LANES) for byte in (0, 32)]
            for at in lines[:2]
        )
        add, mul = (
            emit.shuffle(builder, pair, range(16)) for pair in zip(first, second, strict=True)
        )
        least = emit.splat(_FLOATS, float("-inf"))
        hits = I64(0)
        for q in range(queries):
            delta, constant, whole = (
                emit.spread(builder, emit.load(builder, terms_, I64(12 * q + byte), F32), _FLOATS)
                for byte in (0, 4, 8)
            )
            product = builder.fmul(delta, builder.fsub(whole, builder.sitofp(sums[q], _FLOATS)))
            e = builder.fadd(builder.fadd(add, builder.fmul(mul, product)), constant)
            e = builder.select(builder.fcmp_ordered(">", e, least), e, least)
            emit.store(builder, out_, I64(64 * q), e)
            limit = emit.spread(builder, emit.load(builder, limits_, I64(4 * q), F32), _FLOATS)
            above = builder.bitcast(builder.fcmp_unordered(">", e, limit), I16)
            hits = builder.or_(hits, builder.shl(builder.zext(above, I64), I64(16 * q)))
        return hits

    result = types.uint64(
        *(group, codes, fac, blocks, planes4, types.int64, tables, terms, limits, out)
    )
    return result, lower


@intrinsic
def _uses_tables(typing_context: Any) -> Any:
    """Whether ``_estimate_pair`` works for four queries here."""

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
def _prepare(
    planes4: NDArray[np.uint64],
    delta: NDArray[np.float32],
    constant: NDArray[np.float32],
    padded: int,
    heap_e: NDArray[np.float32],
    sizes: NDArray[np.int64],
) -> tuple[NDArray[np.uint8], int, NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Tables of all groups, bytes of a group's, whether they are used; terms and limits."""
    words, queries = planes4.shape[0], planes4.shape[2]
    places = -(-queries // GROUP) * GROUP
    terms, limits = np.zeros((places, 3), np.float32), np.empty(places, np.float32)
    for q in range(places):
        limits[q] = np.inf  # nothing is above it: for free places
    for q in range(queries):
        terms[q, 0], terms[q, 1], terms[q, 2] = delta[q], constant[q], 7.5 * padded
        limits[q] = limit_of(heap_e[q], sizes[q], np.float32(np.nan))
    size = 256 * GROUP * (words + words % 2)
    grouped = np.zeros(places // GROUP, np.uint8)
    wanted = queries >= GROUP - 1 and _uses_tables()
    room = np.zeros(places // GROUP * size + 64 if wanted else 64, np.uint8)
    tables = room[-room.ctypes.data % 64 :]  # from the beginning of a line of the cache
    left_out = np.zeros(GROUP, np.int64)
    for group in range(places // GROUP if wanted else 0):
        first, end = group * GROUP, min(group * GROUP + GROUP, queries)
        fits = end - first >= GROUP - 1  # one or two are as fast alone
        for q in range(first, end if fits else first):
            part = tables[group * size : (group + 1) * size]
            left_out[q - first], fit = fill_tables(planes4, q, part, q - first)
            fits &= fit
        for q in range(first, end if fits else first):
            terms[q, 2] = 7.5 * padded - left_out[q - first]
        grouped[group] = fits
    return tables, size, grouped, terms, limits


# ------------------------------------------------------------------------------------- the scan


@njit(nogil=True, cache=True)
def _scan_group(
    group: tuple[int, ...],
    codes: NDArray[np.uint64],
    fac: NDArray[np.float32],
    listed: Bundle,
    planes4: NDArray[np.uint64],
    query: int,
    tables: NDArray[np.uint8],
    terms: NDArray[np.float32],
    limits: NDArray[np.float32],
    kept: Bundle,
    newcomers: Bundle,
    out: NDArray[np.float32],
) -> None:
    """One or four queries over an even number of blocks."""
    blocks, masks = listed
    last = blocks.shape[0] - 2
    ahead = max(1, emit.PREFETCH_BYTES // (128 * (codes.shape[1] + 1))) * 2
    for i in range(0, last + 1, 2):
        later = min(i + ahead, last)
        pair = (blocks[i], blocks[i + 1], blocks[later], blocks[later + 1])
        hits = _estimate_pair(group, codes, fac, pair, planes4, query, tables, terms, limits, out)
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
    planes4: NDArray[np.uint64],
    prepared: tuple[NDArray[np.uint8], int, NDArray[np.uint8], Any, Any],
    kept: Bundle,
    newcomers: Bundle,
    out: NDArray[np.float32],
) -> None:
    """All queries over the first ``count`` blocks of a list that has room for one more."""
    blocks, masks = listed
    tables, size, grouped, terms, limits = prepared
    if count % 2:
        blocks[count], masks[count] = blocks[count - 1], 0
        count += 1
    some = (blocks[:count], masks[:count])
    queries = planes4.shape[2]
    for group in range(grouped.shape[0]):
        first, end = group * GROUP, group * GROUP + GROUP
        if grouped[group]:
            _scan_group(
                *((0, 0, 0, 0), codes, fac, some, planes4, first),
                *(tables[group * size : (group + 1) * size], terms[first:end], limits[first:end]),
                *(_part(kept, first, end), _part(newcomers, first, end), out),
            )
            continue
        for q in range(first, min(end, queries)):
            _scan_group(
                *((0,), codes, fac, some, planes4, q),
                *(tables[:0], terms[q : q + 1], limits[q : q + 1]),
                *(_part(kept, q, q + 1), _part(newcomers, q, q + 1), out),
            )


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
    prepared = _prepare(planes4, delta, constant, padded, heap_e, sizes)
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
        _scan_tile(codes, fac, (some, live), count, planes4, prepared, kept, newcomers, out)
    settle_all(kept, newcomers, prepared[4])


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
