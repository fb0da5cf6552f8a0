"""Runs of coded vectors: what the scan plane reads, and what refines its estimates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..quantize.planes import Encoder


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedRun:
    """Consecutive places ``first`` .. as codes about one centre.

    - ``codes``: uint64[blocks, words, 8]; ``factors``: float32[blocks, 2, 8]
    - ``mask``: uint8[blocks], a bit for each place that may match
    - ``refine``: uint64[n, ...], the refine planes; None: there are none
    - ``mul_max``: the largest factor ``mul``: no estimate of the scan plane is less certain
    - ``kappa``: rms error of the scan plane, in units of mul |y|
    """

    first: int
    codes: NDArray[np.uint64]
    factors: NDArray[np.float32]
    mask: NDArray[np.uint8]
    encoder: Encoder
    kappa: float
    mul_max: float
    refine: NDArray[np.uint64] | None = None

    @property
    def blocks(self) -> int:
        return len(self.mask)

    @property
    def block_bytes(self) -> int:
        return int(self.codes[0].nbytes + self.factors[0].nbytes) + 1

    def moved(self, by: int) -> CodedRun:
        """The same codes, their places numbered ``by`` higher."""
        return replace(self, first=self.first + by) if by else self

    def matching_count(self) -> int:
        return count_bits(self.mask)


def count_bits(mask: NDArray[np.uint8]) -> int:
    """How many places a mask names."""
    return int(np.bitwise_count(mask).sum(dtype=np.int64))


def split_blocks(runs: list[CodedRun], bytes_max: int) -> Iterator[tuple[CodedRun, int, int]]:
    """(run, first block, end block) of parts of about ``bytes_max`` bytes, in order."""
    for run in runs:
        step = max(64, bytes_max // run.block_bytes)
        for start in range(0, run.blocks, step):
            yield run, start, min(run.blocks, start + step)
