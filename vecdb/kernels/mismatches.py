"""Counting where codes and 4-bit queries differ, by weight: S of ``codes``, in instructions.

Both ways give S of two blocks (16 codes), as numbers of 32 bits. ``rows`` are where the two blocks
begin behind ``codes``, in bytes, ``ahead`` where later ones do.

As of ``instructions``, numba does not see an edit of this file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numba.core import cgutils
from numpy.typing import NDArray

from . import instructions as emit
from .instructions import BYTES, I16, I32, I64, WORDS, ir

GROUP = 4
"""Queries that share a step by tables."""

_HALVES = ir.VectorType(I16, 32)


def sum_by_popcounts(
    builder: Any, codes: Any, rows: Any, ahead: Any, words: Any, planes: Any, step: Any
) -> Any:
    """S for one query, whose word w of plane j is ``step`` * (4 w + j) bytes behind ``planes``."""
    found = []
    for row, row_ahead in zip(rows, ahead, strict=True):
        counts = emit.sums(builder, WORDS, 4)
        with cgutils.for_range(builder, words) as loop:
            byte = builder.mul(loop.index, I64(64))
            line = emit.load(builder, codes, builder.add(row, byte), WORDS)
            emit.prefetch(builder, codes, builder.add(row_ahead, byte))
            for j, count in enumerate(counts):
                at = builder.add(builder.mul(loop.index, I64(4)), I64(j))
                word = emit.load(builder, planes, builder.mul(at, step), I64)
                differing = builder.xor(line, emit.spread(builder, word, WORDS))
                emit.add_to(builder, count, emit.popcount(builder, differing))
        total = builder.load(counts[0])
        for j in range(1, 4):
            weighted = builder.shl(builder.load(counts[j]), emit.splat(WORDS, j))
            total = builder.add(total, weighted)
        found.append(builder.trunc(total, ir.VectorType(I32, 8)))
    return emit.shuffle(builder, found, range(16))


def sum_by_tables(
    builder: Any, codes: Any, rows: Any, ahead: Any, words: Any, tables: Any
) -> list[Any]:
    """S, less what ``fill_tables`` left out, of a group's queries. An AVX-512 VBMI processor only.

    - ``tables``: [words or one more, so that they are even; 4, group, 64] bytes, zero at first. 16
      bytes are of four dimensions: bits of a code that follow each other

    The bytes of two blocks are dealt so that each 16 bytes have one place of all codes, first and
    second block by turns: they all look into the same table, and of a 16-bit sum the low byte is
    of the first block.
    """
    both = emit.sums(builder, _HALVES, GROUP)
    upper = emit.sums(builder, _HALVES, GROUP)
    last = builder.sub(words, I64(1))
    with cgutils.for_range_slice(builder, I64(0), words, I64(2), intp=I64) as (w, _):
        following = builder.add(w, I64(1))
        following = builder.select(builder.icmp_signed("<", following, last), following, last)
        indices = []
        for word in (w, following):
            byte = builder.mul(word, I64(64))
            lines = [emit.load(builder, codes, builder.add(row, byte), BYTES) for row in rows]
            for row in ahead:
                emit.prefetch(builder, codes, builder.add(row, byte))
            indices += _places(builder, lines)
        base = builder.mul(w, I64(256 * GROUP))
        for q in range(GROUP):
            total = None
            for t, index in enumerate(indices):
                byte = builder.add(base, I64(64 * (GROUP * t + q)))
                found = emit.look_up(builder, emit.load(builder, tables, byte, BYTES), index)
                total = found if total is None else builder.add(total, found)
            total = builder.bitcast(total, _HALVES)
            emit.add_to(builder, both[q], total)
            emit.add_to(builder, upper[q], builder.lshr(total, emit.splat(_HALVES, 8)))
    sums = []
    for q in range(GROUP):
        second = builder.load(upper[q])
        first = builder.sub(builder.load(both[q]), builder.shl(second, emit.splat(_HALVES, 8)))
        blocks = [_add_quarters(builder, part) for part in (first, second)]
        sums.append(emit.shuffle(builder, blocks, range(16)))
    return sums


def _places(builder: Any, lines: Any) -> list[Any]:
    """Four vectors of indices into tables, from a word of two blocks."""
    low_bits = emit.splat(BYTES, 15)
    found = []
    for first in (0, 4):
        turns = ((q, lane, block) for q in range(4) for lane in range(8) for block in range(2))
        order = (64 * block + 8 * lane + first + q for q, lane, block in turns)
        dealt = emit.shuffle(builder, lines, order)
        shifted = builder.lshr(builder.bitcast(dealt, _HALVES), emit.splat(_HALVES, 4))
        found.append(builder.and_(dealt, low_bits))
        found.append(builder.and_(builder.bitcast(shifted, BYTES), low_bits))
    return found


def _add_quarters(builder: Any, vector: Any) -> Any:
    """8 sums of the numbers 8 apart."""
    vector = builder.zext(vector, ir.VectorType(I32, 32))
    for width in (16, 8):
        low = emit.shuffle(builder, (vector, vector), range(width))
        high = emit.shuffle(builder, (vector, vector), range(width, 2 * width))
        vector = builder.add(low, high)
    return vector


@njit(nogil=True, cache=True)
def _level(planes4: NDArray[np.uint64], w: int, i: int, query: int) -> Any:
    """The number of 4 bits that stands for dimension 64 w + i of a query."""
    level = np.uint64(0)
    for j in range(4):
        bit = planes4[w, j, query] >> np.uint64(i) & np.uint64(1)
        level |= bit << np.uint64(j)
    return np.int64(level)


@njit(nogil=True, cache=True)
def fill_tables(
    planes4: NDArray[np.uint64], query: int, out: NDArray[np.uint8], at: int
) -> tuple[int, bool]:
    """The tables of a query, as number ``at`` of a group, for ``sum_by_tables``.

    What they leave out of S in all, and whether sums of eight fit into a byte: else they cannot be
    used.
    """
    left_out = 0
    sums = np.zeros(4, np.int64)
    fits = True
    for w in range(planes4.shape[0]):
        for nibble in range(16):
            place = nibble // 2
            t = 2 * (place // 4) + nibble % 2
            row = 64 * (GROUP * (4 * w + t) + at) + 16 * (place % 4)
            least = 0
            for bit in range(4):
                level = _level(planes4, w, 4 * nibble + bit, query)
                left_out += min(level, 15 - level)
                least += max(0, 2 * level - 15)
                sums[place % 4] += abs(15 - 2 * level)
            out[row] = least
            for bit in range(4):
                gain = 15 - 2 * _level(planes4, w, 4 * nibble + bit, query)
                for v in range(1 << bit):
                    out[row + v + (1 << bit)] = np.int64(out[row + v]) + gain
        if w % 2 or w == planes4.shape[0] - 1:
            for quarter in range(4):
                fits &= sums[quarter] <= 255
                sums[quarter] = 0
    return left_out, fits
