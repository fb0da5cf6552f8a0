"""Which pages a walk reads next: pools of slots by estimate, and an end to each.

Every run has a pool, a turn and an end of its own, since no link leads from one to another. In one
pool for all, what the first pages name drives out where the other runs begin; and by the k-th best
of one run, the first steps in another are too far. Only that k-th best is common.

Numbers of slots are as in ``graph_walk``: 8 times the block's number among all runs, plus the lane.
Pages are counted over all runs too.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from .graph_walk import BASE, COLUMNS, _insert

PER_PAGE, NEIGHBOURS, LINKS_AT, BLOCKS_AT, PAGE_BASE = range(COLUMNS, COLUMNS + 5)
ROW_BYTES, WIDTH, ALLOWANCE = range(COLUMNS + 5, COLUMNS + 8)
PAGE_COLUMNS = COLUMNS + 8
"""Columns of the table of runs: those of ``graph_walk``, then these."""
L2, COSINE, DOT = 0, 1, 2
RUNNING, POOL, MARGIN = 0, 1, 2
"""Why a walk has ended in a run: all of the pool was read, or what is left lies too far."""
FOUND, EXPANDED, SCANNED, REFINED, BEST = range(5)
NUMBERS = 5
"""Columns of what is counted for each query."""
SIZE, FAR, STATE = range(3)
ENDS = 3
"""Columns of what is counted for each pool."""

TABLE = types.Array(types.int64, 2, "C", readonly=True)
POOLS = (
    *(types.float32[:, :, ::1], types.float32[:, :, ::1], types.int64[:, :, ::1]),
    *(types.uint8[:, :, ::1], types.int64[:, :, ::1]),
    *(types.uint8[:, ::1], types.uint8[:, ::1], types.int64[:, ::1]),
)
"""What walks remember, a row a query: estimates, their sigmas, slots and whether they are done with
([runs, width], of which each run uses its own ``WIDTH``); ``ENDS`` of each run; a bit for each slot
that was met and for each page that was read; ``NUMBERS``."""


@njit(nogil=True, cache=True)
def has_bit(bits: NDArray[np.uint8], number: int) -> bool:
    return bool(bits[number >> 3] >> np.uint8(number & 7) & 1)


@njit(nogil=True, cache=True)
def set_bit(bits: NDArray[np.uint8], number: int) -> None:
    bits[number >> 3] |= np.uint8(1 << (number & 7))


@njit(nogil=True, cache=True)
def offer(
    pool_e: NDArray[np.float32],
    pool_sigma: NDArray[np.float32],
    pool: NDArray[np.int64],
    done: NDArray[np.uint8],
    size: int,
    width: int,
    e: float,
    sigma: float,
    number: int,
) -> int:
    """Put a slot, not met before, into a pool if it is good enough; how many are there now."""
    at = _insert(pool_e[:width], pool[:width], size, e, number)
    if at < 0:
        return size
    end = min(size, width - 1)
    for j in range(end, at, -1):
        done[j] = done[j - 1]
        pool_sigma[j] = pool_sigma[j - 1]
    done[at] = 0
    pool_sigma[at] = sigma
    return end + 1


@njit(nogil=True, cache=True)
def _is_far(metric: int, e: float, sigma: float, kth: float, margin: float, sigmas: float) -> bool:
    """Whether a slot of this estimate is too far to be among the k best.

    ``kth``: the k-th best so far: minus the squared distance, or under dot the product.
    """
    if metric == DOT:
        return e + sigmas * sigma < kth
    squared = -e if metric == L2 else 2.0 - 2.0 * e
    return squared > margin * -kth


@njit(
    types.void(
        *(TABLE, types.int64, types.int64, types.float64, types.float64),
        *(*POOLS, types.float64[:, ::1], types.int64[:, ::1], types.int64[::1]),
    ),
    nogil=True,
    cache=True,
)
def choose_pages(
    table: NDArray[np.int64],
    metric: int,
    k: int,
    margin: float,
    sigmas: float,
    pool_e: NDArray[np.float32],
    pool_sigma: NDArray[np.float32],
    pool: NDArray[np.int64],
    done: NDArray[np.uint8],
    ends: NDArray[np.int64],
    met: NDArray[np.uint8],
    read: NDArray[np.uint8],
    numbers: NDArray[np.int64],
    best: NDArray[np.float64],
    wanted: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> None:
    """wanted[q, :sizes[q]] = the pages that each query reads next; of each run an equal number.

    - ``best``: [queries, k] as of ``push_best``: the best so far, as of ``_is_far``
    - ``margin``, ``sigmas``: ``ALLOWANCE`` pages of a run may be read for slots beyond ``margin``
      times the squared distance of the k-th best, or under dot below it by so many sigmas
    """
    beam = wanted.shape[1] // table.shape[0]
    for q in range(pool_e.shape[0]):
        sizes[q] = 0
        full = numbers[q, BEST] == k
        for r in range(table.shape[0]):
            if ends[q, r, STATE] != RUNNING:
                continue
            before = sizes[q]
            for i in range(ends[q, r, SIZE]):
                if sizes[q] - before == beam:
                    break
                if done[q, r, i]:
                    continue
                done[q, r, i] = 1
                slot = pool[q, r, i] - 8 * table[r, BASE]
                page = table[r, PAGE_BASE] + slot // table[r, PER_PAGE]
                if has_bit(read[q], page):
                    continue
                e, sigma = pool_e[q, r, i], pool_sigma[q, r, i]
                if full and _is_far(metric, e, sigma, best[q, 0], margin, sigmas):
                    ends[q, r, FAR] += 1
                    if ends[q, r, FAR] > table[r, ALLOWANCE]:
                        ends[q, r, STATE] = MARGIN
                        break
                set_bit(read[q], page)
                wanted[q, sizes[q]] = page
                sizes[q] += 1
            if sizes[q] == before and ends[q, r, STATE] == RUNNING:
                ends[q, r, STATE] = POOL
