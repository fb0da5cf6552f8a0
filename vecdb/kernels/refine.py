"""The second stage: candidates of the scan are estimated again from all bits of their codes.

A code of B bits is B sign planes: plane B-1 is the scan plane (``codes``), planes B-2 to 0 are a
row of ``refine``. With the query as 8 bit planes, y about delta * (v - 127.5),

    <g, y> = delta * ((2^B - 1) * 127.5 * padded - sum over b of 2^b * H_b) / 2
    H_b = sum over j < 8 of 2^j * popcount(plane b xor query plane j)
    e = (add + mul_B * <g, y>) + constant                      in float32, in this order
    sigma = length * sqrt(err_B^2 + (0.006 * mul)^2)            0.006: the error of 8-bit queries
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

BATCH = 64  # candidates between two looks at the floor
QUERY_ERROR = 0.006

CODES = types.Array(types.uint64, 3, "C", readonly=True)  # takes writable arrays too
FACTORS = types.Array(types.float32, 3, "C", readonly=True)
ROWS = types.Array(types.uint64, 2, "C", readonly=True)
INDEX = types.Array(types.int64, 1, "C", readonly=True)
NUMBERS = types.Array(types.float32, 1, "C", readonly=True)

I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
WORDS = ir.VectorType(I64, 8)


def _popcount(builder: Any, words: Any) -> Any:
    shape = ir.FunctionType(WORDS, [WORDS])
    return builder.call(builder.module.declare_intrinsic("llvm.ctpop.v8i64", (), shape), [words])


@intrinsic  # type: ignore[untyped-decorator]
def _plane_sum(
    typing_context: Any, plane: Any, start: Any, step: Any, words: Any, planes8: Any
) -> Any:
    """H of one plane, whose words stand at ``start``, ``start + step``, ...; planes8: [words, 8]."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, start_, step_, words_, _ = arguments
        plane_, planes8_ = (
            context.make_array(signature.args[i])(context, builder, arguments[i]).data
            for i in (0, 4)
        )
        counts = cgutils.alloca_once(builder, WORDS)
        builder.store(ir.Constant(WORDS, None), counts)
        with cgutils.for_range(builder, words_) as loop:
            at = builder.add(start_, builder.mul(loop.index, step_))
            word = builder.load(builder.gep(plane_, [at]))
            one = builder.insert_element(ir.Constant(WORDS, ir.Undefined), word, I32(0))
            zeros = ir.Constant(ir.VectorType(I32, 8), [0] * 8)
            place = builder.gep(planes8_, [builder.mul(loop.index, I64(8))])
            asked = builder.load(builder.bitcast(place, WORDS.as_pointer()), align=8)
            differing = builder.xor(builder.shuffle_vector(one, one, zeros), asked)
            total = builder.add(builder.load(counts), _popcount(builder, differing))
            builder.store(total, counts)
        weights = ir.Constant(WORDS, list(range(8)))
        shape = ir.FunctionType(I64, [WORDS])
        add_all = builder.module.declare_intrinsic("llvm.vector.reduce.add.v8i64", (), shape)
        return builder.call(add_all, [builder.shl(builder.load(counts), weights)])

    return types.int64(plane, types.int64, types.int64, types.int64, planes8), emit


@njit(nogil=True, cache=True)
def _push_floor(heap: NDArray[np.float64], size: int, value: float) -> int:
    """Put ``value`` into the heap of the highest, lowest first; the new size."""
    k = heap.shape[0]
    if size < k:
        at = size
        while at > 0 and heap[(at - 1) // 2] > value:
            heap[at] = heap[(at - 1) // 2]
            at = (at - 1) // 2
        heap[at] = value
        return size + 1
    if value <= heap[0]:
        return size
    at = 0
    while 2 * at + 1 < k:
        child = 2 * at + 1
        if child + 1 < k and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= value:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = value
    return size


@njit(
    types.int64(
        CODES,
        FACTORS,
        ROWS,
        types.int64,
        types.int64,
        INDEX,
        NUMBERS,
        ROWS,
        types.float32,
        types.float32,
        types.float32,
        types.float64,
        types.float64,
        types.int64,
        types.float32[::1],
        types.float32[::1],
    ),
    nogil=True,
    cache=True,
)
def refine_candidates(
    codes: NDArray[np.uint64],
    fac: NDArray[np.float32],
    refine: NDArray[np.uint64],
    bits: int,
    padded: int,
    slots: NDArray[np.int64],
    e: NDArray[np.float32],
    planes8: NDArray[np.uint64],
    delta8: np.float32,
    constant: np.float32,
    length: np.float32,
    kappa: float,
    z: float,
    k: int,
    out_e: NDArray[np.float32],
    out_sigma: NDArray[np.float32],
) -> int:
    """Refine candidates, best first, until no other can be among the k best; how many were.

    - ``slots``, ``e``: [candidates] from the scan, by e descending
    - ``planes8``: [8, words], ``delta8``, ``constant``, ``length``: of one query
    - ``out_e``, ``out_sigma``: [candidates] the new estimates and their errors, filled so far

    T is the k-th highest e - z sigma so far. A batch of 64 is refined if one of it has, by the scan,
    e + z kappa mul length >= T. With one bit the outputs are the scan's own.
    """
    words = codes.shape[1]
    asked = np.empty((words, 8), np.uint64)
    for j in range(8):
        for w in range(words):
            asked[w, j] = planes8[j, w]
    whole = np.float64((1 << bits) - 1) * 127.5 * np.float64(padded)
    halves = refine.view(np.float32)
    last = 2 * (bits - 1) * words
    floors = np.empty(k, np.float64)
    size = 0
    for begin in range(0, slots.shape[0], BATCH):
        end = min(begin + BATCH, slots.shape[0])
        reaches = size < k
        for i in range(begin, end):
            block, lane = slots[i] // 8, slots[i] % 8
            sigma = np.float32(kappa * np.float64(fac[block, 1, lane]) * np.float64(length))
            out_sigma[i] = sigma
            reaches |= np.float64(e[i]) + z * np.float64(sigma) >= floors[0]
        if not reaches:
            return begin
        for i in range(begin, end):
            slot = slots[i]
            block, lane = slot // 8, slot % 8
            out_e[i] = e[i]
            if bits > 1:
                total = _plane_sum(codes, (block * words) * 8 + lane, 8, words, asked)
                total <<= bits - 1
                for b in range(bits - 1):
                    start = slot * refine.shape[1] + (bits - 2 - b) * words
                    total += _plane_sum(refine, start, 1, words, asked) << b
                product = np.float32(np.float64(delta8) * (0.5 * (whole - np.float64(total))))
                mul = np.float64(fac[block, 1, lane])
                mul_b, err_b = halves[slot, last], np.float64(halves[slot, last + 1])
                out_e[i] = (fac[block, 0, lane] + mul_b * product) + constant
                noise = QUERY_ERROR * mul
                out_sigma[i] = np.float32(
                    np.float64(length) * np.sqrt(err_b * err_b + noise * noise)
                )
            size = _push_floor(floors, size, np.float64(out_e[i]) - z * np.float64(out_sigma[i]))
    return slots.shape[0]
