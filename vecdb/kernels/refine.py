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
from numba import njit, types
from numba.core import cgutils
from numpy.typing import NDArray

from . import instructions as emit
from .instructions import I64, WORDS, intrinsic, ir
from .topk import push_best

BATCH = 64  # candidates between two looks at the floor
AHEAD = 2  # candidates whose memory is asked for: 0.3 us each instead of 0.5
QUERY_ERROR = 0.006

CODES = types.Array(types.uint64, 3, "C", readonly=True)  # takes writable arrays too
FACTORS = types.Array(types.float32, 3, "C", readonly=True)
ROWS = types.Array(types.uint64, 2, "C", readonly=True)
INDEX = types.Array(types.int64, 1, "C", readonly=True)
NUMBERS = types.Array(types.float32, 1, "C", readonly=True)


@intrinsic
def _plane_sum(
    typing_context: Any, plane: Any, start: Any, step: Any, words: Any, planes8: Any
) -> Any:
    """H of a plane whose words are ``start``, ``start + step``, ...; planes8: [words, 8]."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        plane_, planes8_ = (
            emit.data(context, builder, signature.args[i], arguments[i]) for i in (0, 4)
        )
        counts = emit.sums(builder, WORDS, 1)[0]
        with cgutils.for_range(builder, arguments[3]) as loop:
            at = builder.add(arguments[1], builder.mul(loop.index, arguments[2]))
            word = emit.load(builder, plane_, builder.mul(at, I64(8)), I64)
            asked = emit.load(builder, planes8_, builder.mul(loop.index, I64(64)), WORDS)
            differing = builder.xor(emit.spread(builder, word, WORDS), asked)
            emit.add_to(builder, counts, emit.popcount(builder, differing))
        weighted = builder.shl(builder.load(counts), ir.Constant(WORDS, list(range(8))))
        return emit.add_all(builder, weighted)

    return types.int64(plane, types.int64, types.int64, types.int64, planes8), lower


@intrinsic
def _ask(typing_context: Any, words: Any, start: Any, step: Any, count: Any) -> Any:
    """Ask for the memory of the words ``start``, ``start + step``, ...; there need be none."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base = emit.data(context, builder, signature.args[0], arguments[0])
        with cgutils.for_range(builder, arguments[3]) as loop:
            at = builder.add(arguments[1], builder.mul(loop.index, arguments[2]))
            emit.prefetch(builder, base, builder.mul(at, I64(8)))
        return context.get_dummy_value()

    return types.void(words, types.int64, types.int64, types.int64), lower


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

    T is the k-th highest e - z sigma so far. A batch of 64 is refined if one of it has, by the
    scan, e + z kappa mul length >= T. With one bit the outputs are the scan's own.
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
            if bits > 1:
                later = slots[min(i + AHEAD, slots.shape[0] - 1)]
                _ask(codes, later // 8 * words * 8, 8, words)
                _ask(refine, later * refine.shape[1], 8, refine.shape[1] // 8 + 2)
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
            size = push_best(floors, size, np.float64(out_e[i]) - z * np.float64(out_sigma[i]))
    return len(slots)
