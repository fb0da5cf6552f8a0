"""What a walk found, estimated again by all bits: the few slots whose vectors have to be read."""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from .addresses import codes_at, factors_at, rows_at
from .graph_walk import BASE, CODES, COUNT, FACTORS, REFINE
from .refine import refine_candidates
from .topk import push_best

_TABLE = types.Array(types.int64, 2, "C", readonly=True)
_NUMBERS = types.Array(types.float32, 2, "C", readonly=True)
_INDEX2 = types.Array(types.int64, 2, "C", readonly=True)
_INDEX = types.Array(types.int64, 1, "C", readonly=True)


@njit(
    types.void(
        *(_TABLE, types.int64, types.int64, types.int64, types.int64, types.int64),
        *(_NUMBERS, _INDEX2, _INDEX, types.Array(types.uint64, 4, "C", readonly=True)),
        *(types.Array(types.float32, 3, "C", readonly=True),),
        *(types.Array(types.float64, 1, "C", readonly=True), types.float64, types.int64),
        *(types.int64[:, ::1], types.int64[::1], types.int64[::1]),
    ),
    nogil=True,
    cache=True,
)
def shorten_found(
    table: NDArray[np.int64],
    words: int,
    bits: int,
    padded: int,
    begin: int,
    end: int,
    found_e: NDArray[np.float32],
    found_places: NDArray[np.int64],
    found_sizes: NDArray[np.int64],
    planes8: NDArray[np.uint64],
    terms8: NDArray[np.float32],
    kappas: NDArray[np.float64],
    z: float,
    k: int,
    out_places: NDArray[np.int64],
    out_sizes: NDArray[np.int64],
    refined: NDArray[np.int64],
) -> None:
    """Of what walks found, the slots that may still be among the k best once all bits are read.

    - ``planes8``: uint64[queries, runs, 8, words]; ``terms8``: float32[queries, runs, 3]: delta8,
      constant, length; ``kappas``: [runs]
    - ``out_places``: [queries, width], ``out_sizes``: [queries]; ``refined``: [queries] codes read
    """
    width = found_e.shape[1]
    slots, places = np.empty(width, np.int64), np.empty(width, np.int64)
    e, value = np.empty(width, np.float32), np.empty(width, np.float32)
    sigma, high = np.empty(width, np.float32), np.empty(width, np.float64)
    floors = np.empty(k, np.float64)
    none = np.empty((0, 1), np.uint64)
    for q in range(begin, end):
        kept, size = 0, 0
        for r in range(table.shape[0]):
            first, count = 8 * table[r, BASE], table[r, COUNT]
            own = 0
            for i in range(found_sizes[q]):
                if first <= found_places[q, i] < first + count:
                    slots[own] = found_places[q, i] - first
                    e[own] = found_e[q, i]
                    own += 1
            blocks = (count + 7) // 8
            planes = (bits - 1) * words + 1
            stop = refine_candidates(
                codes_at(table[r, CODES], blocks, words),
                factors_at(table[r, FACTORS], blocks),
                rows_at(table[r, REFINE], count, planes) if bits > 1 else none,
                bits, padded, slots[:own], e[:own], planes8[q, r],
                terms8[q, r, 0], terms8[q, r, 1], terms8[q, r, 2],
                kappas[r], z, k, value, sigma,
            )  # fmt: skip
            refined[q] += stop
            for i in range(stop):
                error = z * np.float64(sigma[i])
                size = push_best(floors, size, np.float64(value[i]) - error)
                places[kept] = slots[i] + first
                high[kept] = np.float64(value[i]) + error
                kept += 1
        least = floors[0] if size == k else -np.inf
        left = 0
        for i in range(kept):
            if high[i] >= least:
                out_places[q, left] = places[i]
                left += 1
        out_sizes[q] = left
