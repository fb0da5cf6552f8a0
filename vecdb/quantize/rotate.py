"""The rotation ``fht3``: three rounds of permutation, signs, and Hadamard transforms in blocks.

With b the largest power of two that divides the padded dimension, each round takes the numbers in
a random order (rounds 2 and 3, and only if there are several blocks), turns random signs, and
transforms every block of b numbers. Without the permutation recall falls on data off the centre.

Format: signs and orders come from our own stream of splitmix64, keyed by seed and round, because
numpy's streams may change between versions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..kernels.rotate import rotate_rows

NAME = "fht3"

_ROUNDS = 3
_MASK = 2**64 - 1
_WORD_BITS = 64


def stream(seed: int, number: int) -> Iterator[int]:
    """Random words of 64 bits: splitmix64, begun at a state of its own for each seed and number."""
    state = _mix(seed ^ _mix(number + 1))
    while True:
        state = (state + 0x9E3779B97F4A7C15) & _MASK
        yield _mix(state)


def _mix(word: int) -> int:
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)


def below(words: Iterator[int], bound: int) -> int:
    """A random number of 0 .. bound - 1; even to bound / 2^64."""
    return (next(words) * bound) >> _WORD_BITS


def padded_dim(dim: int) -> int:
    return -(-dim // _WORD_BITS) * _WORD_BITS


@dataclass(frozen=True)
class Rotation:
    """A random rotation of ``dim`` numbers into ``padded``, fixed by its seed."""

    dim: int
    seed: int
    padded: int = field(init=False)
    words: int = field(init=False)
    block: int = field(init=False)
    _scales: NDArray[np.float32] = field(init=False, repr=False, compare=False)
    _orders: NDArray[np.int32] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        padded = padded_dim(self.dim)
        block = padded & -padded
        streams = [stream(self.seed, number) for number in range(_ROUNDS)]
        orders = [list(range(padded)) for _ in streams]
        if padded > block:
            orders[1:] = [_draw_order(words, padded) for words in streams[1:]]
        scales = [_draw_signs(words, padded) for words in streams]
        values = {
            "padded": padded,
            "words": padded // _WORD_BITS,
            "block": block,
            "_orders": np.array(orders, np.int32),
            "_scales": np.array(scales, np.float32) * np.float32(block**-0.5),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def apply(
        self,
        rows: NDArray[np.float32],
        out: NDArray[np.float32] | None = None,
        *,
        unit: bool = False,
    ) -> NDArray[np.float32]:
        """[n, padded]: each row padded with zeros and rotated; the same bits whatever n.

        - ``unit``: rows are made of length 1 first, as ``center.normalise`` does
        """
        if out is None:
            out = np.empty((len(rows), self.padded), np.float32)
        rotate_rows(rows, unit, self._scales, self._orders, self.block, out)
        return out


def _draw_order(words: Iterator[int], size: int) -> list[int]:
    """Fisher and Yates' shuffle."""
    order = list(range(size))
    for last in range(size - 1, 0, -1):
        other = below(words, last + 1)
        order[last], order[other] = order[other], order[last]
    return order


def _draw_signs(words: Iterator[int], size: int) -> list[float]:
    """A bit a sign, the least significant first; 1 is minus."""
    signs: list[float] = []
    for _ in range(size // _WORD_BITS):
        word = next(words)
        signs.extend(-1.0 if word >> bit & 1 else 1.0 for bit in range(_WORD_BITS))
    return signs
