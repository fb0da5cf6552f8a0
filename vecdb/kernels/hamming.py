"""The scan by Hamming distance: which codes differ from a query's signs in the fewest bits?

2.5 times as fast as ``codes`` for batches, and coarser. Hits go to ``heaps`` as distances
with a minus, so that higher is better. Blocks must come in ascending order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numpy.typing import NDArray

from . import instructions as emit
from .heaps import Bundle, limit_of, make_newcomers, settle_all, take_hits
from .instructions import I8, I32, I64, WORDS, intrinsic, ir

GROUP = 8  # queries that go through a block together
TILE_BYTES = 256 * 1024  # of codes, which stay in the second cache while all groups pass

CODES = types.Array(types.uint64, 3, "C", readonly=True)  # takes writable arrays too
MASK = types.Array(types.uint8, 1, "C", readonly=True)
SIGNS = types.Array(types.uint64, 2, "C", readonly=True)

_COUNTS = ir.VectorType(I32, 8)
_FARTHEST = np.int32(-(2**31))


@intrinsic
def _compare_block(
    typing_context: Any,
    group: Any,
    codes: Any,
    block: Any,
    signs: Any,
    limits: Any,
    out: Any,
) -> Any:
    """Distances of the 8 codes of a block from ``len(group)`` queries, with a minus.

    Asking for memory ahead, as ``codes`` does, only costs here: 4.6 ms instead of 3.2 for 1M x 768.

    - ``signs``: [words * group]; ``limits``: [group]; ``out``: [group, 8], gets the distances

    Bit 8 q + i of the result: code i is above the limit of query q.
    """
    queries = group.count

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        codes_, signs_, limits_, out_ = (
            emit.data(context, builder, signature.args[i], arguments[i]) for i in (1, 3, 4, 5)
        )
        words = emit.extent(context, builder, codes, arguments[1], 1)
        row = builder.mul(builder.mul(arguments[2], words), I64(64))
        counts = emit.sums(builder, WORDS, queries)
        with cgutils.for_range(builder, words) as loop:
            byte = builder.mul(loop.index, I64(64))
            line = emit.load(builder, codes_, builder.add(row, byte), WORDS)
            base = builder.mul(loop.index, I64(8 * queries))
            for q, count in enumerate(counts):
                word = emit.load(builder, signs_, builder.add(base, I64(8 * q)), I64)
                differing = builder.xor(line, emit.spread(builder, word, WORDS))
                emit.add_to(builder, count, emit.popcount(builder, differing))
        hits = I64(0)
        for q, count in enumerate(counts):
            nearness = builder.neg(builder.trunc(builder.load(count), _COUNTS))
            emit.store(builder, out_, I64(32 * q), nearness)
            limit = emit.spread(builder, emit.load(builder, limits_, I64(4 * q), I32), _COUNTS)
            above = builder.bitcast(builder.icmp_signed(">", nearness, limit), I8)
            hits = builder.or_(hits, builder.shl(builder.zext(above, I64), I64(8 * q)))
        return hits

    return types.uint64(group, codes, types.int64, signs, limits, out), lower


@njit(nogil=True, cache=True)
def _scan_group(
    group: tuple[int, ...],
    codes: NDArray[np.uint64],
    mask: NDArray[np.uint8],
    begin: int,
    end: int,
    query: Bundle,
    kept: Bundle,
    newcomers: Bundle,
    out: NDArray[np.int32],
) -> None:
    """The queries of a group over a run of blocks."""
    signs, limits = query
    for block in range(begin, end):
        live = mask[block]
        if live == 0:
            continue
        hits = _compare_block(group, codes, block, signs, limits, out)
        hits &= np.uint64(live) * np.uint64(0x0101010101010101)
        if hits != 0:
            take_hits(hits, 8, out, (block, block), kept, newcomers, limits)


@njit(nogil=True, cache=True)
def _count_grouped(queries: int) -> int:
    """Queries that go in groups, free places included. Up to five that are left go alone."""
    return (queries + GROUP - 6) // GROUP * GROUP


@njit(nogil=True, cache=True)
def _prepare(
    signs: NDArray[np.uint64], heap_d: NDArray[np.int32], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    """Signs and limits of all groups, one after the other, then of the queries that go alone."""
    words, queries = signs.shape
    grouped = _count_grouped(queries)
    places = max(grouped, queries)
    asked = np.zeros(words * places, np.uint64)
    limits = np.zeros(places, np.int32)  # nothing is above the limit of a free place
    for q in range(queries):
        width = GROUP if q < grouped else 1
        first = words * (q - q % width) + q % width
        for w in range(words):
            asked[first + width * w] = signs[w, q]
        limits[q] = limit_of(heap_d[q], sizes[q], _FARTHEST)
    return asked, limits


@njit(
    types.void(
        *(CODES, MASK, types.int64, types.int64, SIGNS),
        *(types.int32[:, ::1], types.int64[:, ::1], types.int64[::1]),
    ),
    nogil=True,
    cache=True,
)
def scan_hamming(
    codes: NDArray[np.uint64],
    mask: NDArray[np.uint8],
    first_block: int,
    end_block: int,
    signs: NDArray[np.uint64],
    heap_d: NDArray[np.int32],
    heap_slot: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> None:
    """Go on with each query's nearest codes over blocks from ``first_block`` to before the end.

    - ``codes``: [blocks, words, 8], ``mask``: [blocks], bit l: lane l counts. A block with none is
      not touched
    - ``signs``: [words, queries]
    - ``heap_d``, ``heap_slot``: [queries, k] the nearest so far, of which ``sizes`` are there; the
      distances with a minus
    """
    words, queries = signs.shape
    asked, limits = _prepare(signs, heap_d, sizes)
    grouped = _count_grouped(queries)
    out = np.empty((GROUP, 8), np.int32)
    newcomers = make_newcomers(heap_d)
    room = max(1, TILE_BYTES // (64 * words))
    for begin in range(first_block, end_block, room):
        end = min(begin + room, end_block)
        for q in range(0, grouped, GROUP):
            stop = q + GROUP
            query = (asked[words * q : words * stop], limits[q:stop])
            kept = (heap_d[q:stop], heap_slot[q:stop], sizes[q:stop])
            new = (newcomers[0][q:stop], newcomers[1][q:stop], newcomers[2][q:stop])
            _scan_group((0, 0, 0, 0, 0, 0, 0, 0), codes, mask, begin, end, query, kept, new, out)
        for q in range(grouped, queries):
            stop = q + 1
            query = (asked[words * q : words * stop], limits[q:stop])
            kept = (heap_d[q:stop], heap_slot[q:stop], sizes[q:stop])
            new = (newcomers[0][q:stop], newcomers[1][q:stop], newcomers[2][q:stop])
            _scan_group((0,), codes, mask, begin, end, query, kept, new, out)
    settle_all((heap_d, heap_slot, sizes), newcomers, limits)
