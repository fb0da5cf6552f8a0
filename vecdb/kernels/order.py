"""The k best of each of many short lists of scores, in one call: for batches of queries."""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

_SCORES = types.Array(types.float64, 1, "C", readonly=True)
_EDGES = types.Array(types.int64, 1, "C", readonly=True)


@njit(
    types.void(_SCORES, _EDGES, types.int64[:, ::1], types.int64[::1], types.uint8[::1]),
    nogil=True,
    cache=True,
)
def best_of_each(
    scores: NDArray[np.float64],
    edges: NDArray[np.int64],
    out: NDArray[np.int64],
    sizes: NDArray[np.int64],
    tied: NDArray[np.uint8],
) -> None:
    """out[i, :sizes[i]] = positions of the best of ``scores[edges[i]:edges[i + 1]]``, best first.

    tied[i]: two of them are equal, or the last of them equals one that is left out: who decides
    between equal scores has to be asked.
    """
    k = out.shape[1]
    best = np.empty(k, np.float64)
    for i in range(out.shape[0]):
        size, tie = 0, False
        for j in range(edges[i], edges[i + 1]):
            score = scores[j]
            if size == k and score <= best[k - 1]:
                tie |= score == best[k - 1]
                continue
            if size == k:
                tie = best[k - 1] == best[k - 2] if k > 1 else False
            at = min(size, k - 1)
            while at > 0 and best[at - 1] < score:
                best[at] = best[at - 1]
                out[i, at] = out[i, at - 1]
                at -= 1
            best[at] = score
            out[i, at] = j
            size = min(size + 1, k)
        for j in range(1, size):
            tie |= best[j] == best[j - 1]
        sizes[i], tied[i] = size, tie
