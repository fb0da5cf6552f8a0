"""The instructions that count where codes and 4-bit queries differ, by weight: S of ``codes``.

Both ways give S of two blocks (16 codes) for each query of a group, as numbers of 32 bits.
``rows`` are where the two blocks begin behind ``codes``, in bytes, ``ahead`` where later ones do.

As of ``instructions``, numba does not see an edit of this file.
"""

from __future__ import annotations

from typing import Any

from numba.core import cgutils

from . import instructions as emit
from .instructions import BYTES, I16, I32, I64, WORDS, ir

_HALVES = ir.VectorType(I16, 32)


def sum_by_tables(
    builder: Any, codes: Any, rows: Any, ahead: Any, words: Any, operand: Any, group: int
) -> list[Any]:
    """S of 16 codes for each query, 32 bits each.

    The bytes of two blocks are dealt so that each 16 bytes have one place of all codes, first and
    second block by turns: they all look into the same table, and of a 16-bit sum the low byte is
    of the first block. Four look-ups fit into a byte (4 * 60), all into 16 bits (15 * 16,384 / 4).
    """
    low_bits, eight = emit.splat(BYTES, 15), emit.splat(_HALVES, 8)
    both = emit.sums(builder, _HALVES, group)
    upper = emit.sums(builder, _HALVES, group)
    with cgutils.for_range(builder, words) as loop:
        byte = builder.mul(loop.index, I64(64))
        lines = [emit.load(builder, codes, builder.add(row, byte), BYTES) for row in rows]
        for row in ahead:
            emit.prefetch(builder, codes, builder.add(row, byte))
        indices = []
        for first in (0, 4):
            turns = ((q, lane, block) for q in range(4) for lane in range(8) for block in range(2))
            places = (64 * block + 8 * lane + first + q for q, lane, block in turns)
            dealt = emit.shuffle(builder, lines, places)
            shifted = builder.lshr(builder.bitcast(dealt, _HALVES), emit.splat(_HALVES, 4))
            indices.append(builder.and_(dealt, low_bits))
            indices.append(builder.and_(builder.bitcast(shifted, BYTES), low_bits))
        base = builder.mul(loop.index, I64(256 * group))
        for q in range(group):
            parts = [
                emit.look_up(
                    builder,
                    emit.load(
                        builder, operand, builder.add(base, I64(64 * (group * t + q))), BYTES
                    ),
                    index,
                )
                for t, index in enumerate(indices)
            ]
            total = builder.add(builder.add(*parts[:2]), builder.add(*parts[2:]))
            total = builder.bitcast(total, _HALVES)
            emit.add_to(builder, both[q], total)
            emit.add_to(builder, upper[q], builder.lshr(total, eight))
    found = []
    for q in range(group):
        second = builder.load(upper[q])
        first_ = builder.sub(builder.load(both[q]), builder.shl(second, eight))
        blocks = [_add_quarters(builder, part) for part in (first_, second)]
        found.append(emit.shuffle(builder, blocks, range(16)))
    return found


def _add_quarters(builder: Any, vector: Any) -> Any:
    """8 sums of the numbers 8 apart."""
    vector = builder.zext(vector, ir.VectorType(I32, 32))
    for width in (16, 8):
        low = emit.shuffle(builder, (vector, vector), range(width))
        vector = builder.add(low, emit.shuffle(builder, (vector, vector), range(width, 2 * width)))
    return vector


def sum_by_popcounts(
    builder: Any, codes: Any, rows: Any, ahead: Any, words: Any, operand: Any, group: int
) -> list[Any]:
    """The same from planes."""
    found = []
    for row, row_ahead in zip(rows, ahead, strict=True):
        counts = emit.sums(builder, WORDS, 4 * group)
        with cgutils.for_range(builder, words) as loop:
            byte = builder.mul(loop.index, I64(64))
            line = emit.load(builder, codes, builder.add(row, byte), WORDS)
            emit.prefetch(builder, codes, builder.add(row_ahead, byte))
            base = builder.mul(loop.index, I64(32 * group))
            for j, count in enumerate(counts):
                word = emit.load(builder, operand, builder.add(base, I64(8 * j)), I64)
                differing = builder.xor(line, emit.spread(builder, word, WORDS))
                emit.add_to(builder, count, emit.popcount(builder, differing))
        for q in range(group):
            total = builder.load(counts[q])
            for j in range(1, 4):
                count = builder.load(counts[group * j + q])
                total = builder.add(total, builder.shl(count, emit.splat(WORDS, j)))
            found.append(builder.trunc(total, ir.VectorType(I32, 8)))
    return [emit.shuffle(builder, found[q::group], range(16)) for q in range(group)]
