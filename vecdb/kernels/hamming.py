"""The scan by Hamming distance: which codes differ from the signs of a query in the fewest bits?

Faster than ``codes`` for batches, and coarser. The inner loop is written as vector instructions
there and here for the same reason: 8 codes of 64 bits at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

GROUP = 8  # queries that go through a block together
TILE_BYTES = 256 * 1024  # of codes that stay in the processor's cache for all groups

CODES = types.Array(types.uint64, 3, "C", readonly=True)  # takes writable arrays too
MASK = types.Array(types.uint8, 1, "C", readonly=True)
INDEX = types.Array(types.int64, 1, "C", readonly=True)
SIGNS = types.Array(types.uint64, 2, "C", readonly=True)

_NO_LIMIT = np.int32(2**31 - 1)

I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
WORDS, COUNTS = ir.VectorType(I64, 8), ir.VectorType(I32, 8)


def _spread(builder: Any, value: Any, kind: ir.VectorType) -> Any:
    """A vector whose elements all are ``value``."""
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, I32(0))
    zeros = ir.Constant(ir.VectorType(I32, kind.count), [0] * kind.count)
    return builder.shuffle_vector(one, one, zeros)


def _popcount(builder: Any, words: Any) -> Any:
    shape = ir.FunctionType(WORDS, [WORDS])
    return builder.call(builder.module.declare_intrinsic("llvm.ctpop.v8i64", (), shape), [words])


@intrinsic  # type: ignore[untyped-decorator]
def _compare_block(
    typing_context: Any, group: Any, codes: Any, block: Any, signs: Any, limits: Any, out: Any
) -> Any:
    """Distances of the 8 codes of a block to ``len(group)`` queries.

    - ``signs``: [words * group]; ``limits``: [group]; ``out``: [group, 8], gets the distances

    Bit 8 q + i of the result: code i is nearer to query q than its limit.
    """
    queries = group.count

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        codes_, signs_, limits_, out_ = (
            context.make_array(signature.args[i])(context, builder, arguments[i])
            for i in (1, 3, 4, 5)
        )
        words = builder.extract_value(codes_.shape, 1)
        first = builder.mul(builder.mul(arguments[2], words), I64(8))
        counts = [cgutils.alloca_once(builder, WORDS) for _ in range(queries)]
        for count in counts:
            builder.store(ir.Constant(WORDS, None), count)
        with cgutils.for_range(builder, words) as loop:
            at = builder.add(first, builder.mul(loop.index, I64(8)))
            line = builder.bitcast(builder.gep(codes_.data, [at]), WORDS.as_pointer())
            line = builder.load(line, align=8)
            for q, count in enumerate(counts):
                at = builder.add(builder.mul(loop.index, I64(queries)), I64(q))
                word = builder.load(builder.gep(signs_.data, [at]))
                differing = builder.xor(line, _spread(builder, word, WORDS))
                total = builder.add(builder.load(count), _popcount(builder, differing))
                builder.store(total, count)
        hits = I64(0)
        for q, count in enumerate(counts):
            distance = builder.trunc(builder.load(count), COUNTS)
            place = builder.gep(out_.data, [I64(8 * q)])
            builder.store(distance, builder.bitcast(place, COUNTS.as_pointer()), align=4)
            limit = _spread(builder, builder.load(builder.gep(limits_.data, [I64(q)])), COUNTS)
            nearer = builder.bitcast(builder.icmp_signed("<", distance, limit), I8)
            hits = builder.or_(hits, builder.shl(builder.zext(nearer, I64), I64(8 * q)))
        return hits

    return types.uint64(group, codes, types.int64, signs, limits, out), emit


@njit(nogil=True, cache=True)
def _is_nearer(d: np.int32, slot: int, than_d: np.int32, than_slot: int) -> bool:
    return d < than_d or (d == than_d and slot < than_slot)


@njit(nogil=True, cache=True)
def _sift_down(
    heap_d: NDArray[np.int32], heap_slot: NDArray[np.int64], size: int, d: np.int32, slot: int
) -> None:
    """Put (d, slot) where the root was."""
    at = 0
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _is_nearer(
            heap_d[child], heap_slot[child], heap_d[child + 1], heap_slot[child + 1]
        ):
            child += 1
        if not _is_nearer(d, slot, heap_d[child], heap_slot[child]):
            break
        heap_d[at], heap_slot[at] = heap_d[child], heap_slot[child]
        at = child
    heap_d[at], heap_slot[at] = d, slot


@njit(nogil=True, cache=True)
def _push(
    heap_d: NDArray[np.int32], heap_slot: NDArray[np.int64], size: int, d: np.int32, slot: int
) -> int:
    """Put a code into the heap of the nearest, farthest first; the new size."""
    if size == heap_d.shape[0]:
        if _is_nearer(d, slot, heap_d[0], heap_slot[0]):
            _sift_down(heap_d, heap_slot, size, d, slot)
        return size
    at = size
    while at > 0:
        parent = (at - 1) // 2
        if not _is_nearer(heap_d[parent], heap_slot[parent], d, slot):
            break
        heap_d[at], heap_slot[at] = heap_d[parent], heap_slot[parent]
        at = parent
    heap_d[at], heap_slot[at] = d, slot
    return size + 1


@njit(types.void(types.int32[::1], types.int64[::1], types.int64), nogil=True, cache=True)
def sort_nearest(heap_d: NDArray[np.int32], heap_slot: NDArray[np.int64], size: int) -> None:
    """Sort the first ``size`` entries of a heap in place, nearest first. It is a heap no more."""
    for left in range(size - 1, 0, -1):
        d, slot = heap_d[left], heap_slot[left]
        heap_d[left], heap_slot[left] = heap_d[0], heap_slot[0]
        _sift_down(heap_d, heap_slot, left, d, slot)


@njit(nogil=True, cache=True)
def _scan_group(
    group: tuple[int, ...],
    codes: NDArray[np.uint64],
    mask: NDArray[np.uint8],
    begin: int,
    end: int,
    signs: NDArray[np.uint64],
    limits: NDArray[np.int32],
    heap_d: NDArray[np.int32],
    heap_slot: NDArray[np.int64],
    sizes: NDArray[np.int64],
    out: NDArray[np.int32],
) -> None:
    """Up to ``len(group)`` queries (as many as there are heaps) over a run of blocks."""
    queries, k = heap_d.shape
    for block in range(begin, end):
        live = mask[block]
        if live == 0:
            continue
        hits = _compare_block(group, codes, block, signs, limits, out)
        hits &= np.uint64(live) * np.uint64(0x0101010101010101)
        if hits == 0:
            continue
        for q in range(queries):
            bits = hits >> np.uint64(8 * q) & np.uint64(0xFF)
            lane = 0
            while bits != 0:
                if bits & np.uint64(1):
                    slot = 8 * block + lane
                    sizes[q] = _push(heap_d[q], heap_slot[q], sizes[q], out[q, lane], slot)
                bits >>= np.uint64(1)
                lane += 1
            if sizes[q] == k:
                limits[q] = heap_d[q, 0]


@njit(nogil=True, cache=True)
def _count_grouped(queries: int) -> int:
    """Queries, and places left free, in groups of ``GROUP``; others go alone: up to 5 are faster so."""
    return (queries + 2) // GROUP * GROUP


@njit(
    types.void(
        CODES,
        MASK,
        types.int64,
        types.int64,
        SIGNS,
        types.int32[:, ::1],
        types.int64[:, ::1],
        types.int64[::1],
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
    """Go on with the nearest codes of each query over blocks ``first_block`` to before the end.

    - ``codes``: [blocks, words, 8], ``mask``: [blocks] live lanes as bits; ``signs``: [words,
      queries]
    - ``heap_d``, ``heap_slot``: [queries, k] the nearest, of which ``sizes`` are there, by
      (distance ascending, slot ascending)

    A heap goes on from call to call, in ascending blocks.
    """
    words, queries = signs.shape
    grouped = _count_grouped(queries)
    asked = np.zeros(words * max(grouped, queries), np.uint64)
    limits = np.full(max(grouped, queries), np.int32(-1))
    for q in range(queries):
        width = GROUP if q < grouped else 1
        first = words * (q - q % width) + q % width
        for w in range(words):
            asked[first + width * w] = signs[w, q]
        limits[q] = heap_d[q, 0] if sizes[q] == heap_d.shape[1] else _NO_LIMIT
    out = np.empty((GROUP, 8), np.int32)
    room = max(1, TILE_BYTES // (64 * words))
    for begin in range(first_block, end_block, room):
        end = min(begin + room, end_block)
        for q in range(0, grouped, GROUP):
            stop = min(q + GROUP, queries)
            _scan_group(
                (0, 0, 0, 0, 0, 0, 0, 0),
                codes,
                mask,
                begin,
                end,
                asked[words * q : words * (q + GROUP)],
                limits[q : q + GROUP],
                heap_d[q:stop],
                heap_slot[q:stop],
                sizes[q:stop],
                out,
            )
        for q in range(grouped, queries):
            _scan_group(
                (0,),
                codes,
                mask,
                begin,
                end,
                asked[words * q : words * (q + 1)],
                limits[q : q + 1],
                heap_d[q : q + 1],
                heap_slot[q : q + 1],
                sizes[q : q + 1],
                out,
            )
