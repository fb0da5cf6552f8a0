"""Where walks of a graph begin: some slots of every part of the segment, and their codes.

Slots are in the order of the tree, so every 64th is a sample that no part of space is missing from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..quantize.planes import LANES

SAMPLE_STEP = 64

Number = TypeVar("Number", bound=np.generic)


def sample_slots(count: int) -> NDArray[np.int64]:
    """The entry points of a segment of ``count`` slots; every slot can be reached from them."""
    return np.arange(0, count, SAMPLE_STEP, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """The scan plane of the sample, as blocks of its own.

    - ``codes``: uint64[blocks, words, 8]; ``factors``: float32[blocks, 2, 8]
    - ``slots``: int64[m], the slot of each lane in order
    """

    codes: NDArray[np.uint64]
    factors: NDArray[np.float32]
    slots: NDArray[np.int64]

    @classmethod
    def of(cls, codes: NDArray[np.uint64], factors: NDArray[np.float32], count: int) -> Entries:
        """The sample of a scan plane of ``count`` slots."""
        slots = sample_slots(count)
        blocks = -(-len(slots) // LANES)
        sampled = np.zeros((blocks * LANES, codes.shape[1]), np.uint64)
        pairs = np.zeros((blocks * LANES, 2), np.float32)
        sampled[: len(slots)] = codes[slots // LANES, :, slots % LANES]
        pairs[: len(slots)] = factors[slots // LANES, :, slots % LANES]
        return cls(
            codes=_as_blocks(sampled),
            factors=_as_blocks(pairs),
            slots=slots,
        )

    @property
    def nbytes(self) -> int:
        return self.codes.nbytes + self.factors.nbytes + self.slots.nbytes


def _as_blocks(rows: NDArray[Number]) -> NDArray[Number]:
    lanes = rows.reshape(-1, LANES, rows.shape[1])
    return np.ascontiguousarray(lanes.transpose(0, 2, 1))
