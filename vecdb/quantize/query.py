"""Queries as bit planes: 4 bits for the scan plane, 8 for the refine planes, 1 for Hamming."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..kernels.encode import prepare_queries


@dataclass(frozen=True, slots=True)
class QueryPlanes:
    """Q queries against one centre; y is a rotated query less the rotated centre.

    - ``planes4``: u64[W, 4, Q], bit j of u in y ~ delta4 (u - 7.5); ``delta4``: f32[Q]
    - ``constant``: f32[Q], what is added to every estimate; ``length``: f32[Q], |y|
    - ``signs``: u64[W, Q], set where y >= 0
    - ``planes8``: u64[Q, 8, W], bit j of v in y ~ delta8 (v - 127.5); ``delta8``: f32[Q]
    """

    planes4: NDArray[np.uint64]
    delta4: NDArray[np.float32]
    constant: NDArray[np.float32]
    length: NDArray[np.float32]
    signs: NDArray[np.uint64]
    planes8: NDArray[np.uint64]
    delta8: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.length)


def make_planes(
    rotated: NDArray[np.float32], centre: NDArray[np.float32], *, squared_gap: bool
) -> QueryPlanes:
    """Planes of rotated queries ([Q, padded]); a row's are the same whatever the others.

    - ``squared_gap``: estimates are of -|x - q|^2, else of <x, q>
    """
    count, words = len(rotated), rotated.shape[1] // 64
    delta4, constant, length, delta8 = np.empty((4, count), np.float32)
    planes = QueryPlanes(
        planes4=np.empty((words, 4, count), np.uint64),
        delta4=delta4,
        constant=constant,
        length=length,
        signs=np.empty((words, count), np.uint64),
        planes8=np.empty((count, 8, words), np.uint64),
        delta8=delta8,
    )
    prepare_queries(
        rotated,
        centre,
        squared_gap,
        planes.planes4,
        planes.delta4,
        planes.constant,
        planes.length,
        planes.signs,
        planes.planes8,
        planes.delta8,
    )
    return planes
