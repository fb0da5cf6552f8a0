"""Which pages a walk reads next: a pool of slots by estimate, and an end to it.

Numbers of slots are as in ``graph_walk``: 8 times the block's number among all runs, plus the lane.
Pages are counted over all runs too.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from .graph_walk import BASE, COLUMNS, _insert, _run_of

PER_PAGE, NEIGHBOURS, LINKS_AT, BLOCKS_AT, PAGE_BASE, ROW_BYTES = range(COLUMNS, COLUMNS + 6)
PAGE_COLUMNS = COLUMNS + 6
"""Columns of the table of runs: those of ``graph_walk``, then these."""
L2, COSINE, DOT = 0, 1, 2
RUNNING, POOL, MARGIN = 0, 1, 2
"""Why a query has ended: all of its pool was read, or what is left lies too far."""
POOL_SIZE, FAR, STATE, FOUND, EXPANDED, SCANNED, REFINED, BEST = range(8)
NUMBERS = 8
"""Columns of what is counted for each query."""

TABLE = types.Array(types.int64, 2, "C", readonly=True)
POOLS = (
    *(types.float32[:, ::1], types.float32[:, ::1], types.int64[:, ::1], types.uint8[:, ::1]),
    *(types.uint8[:, ::1], types.uint8[:, ::1], types.int64[:, ::1]),
)
"""What walks remember, a row a query: estimates, their sigmas, slots and whether they are done with
([width]); a bit for each slot that was met and for each page that was read; ``NUMBERS``."""


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
    numbers: NDArray[np.int64],
    e: float,
    sigma: float,
    number: int,
) -> None:
    """Put a slot, not met before, into the pool if it is good enough."""
    width = pool_e.shape[0]
    at = _insert(pool_e, pool, numbers[POOL_SIZE], e, number)
    if at < 0:
        return
    end = min(numbers[POOL_SIZE], width - 1)
    for j in range(end, at, -1):
        done[j] = done[j - 1]
        pool_sigma[j] = pool_sigma[j - 1]
    done[at] = 0
    pool_sigma[at] = sigma
    numbers[POOL_SIZE] = end + 1


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
        *(TABLE, types.int64, types.int64, types.float64, types.float64, types.int64),
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
    allowance: int,
    pool_e: NDArray[np.float32],
    pool_sigma: NDArray[np.float32],
    pool: NDArray[np.int64],
    done: NDArray[np.uint8],
    met: NDArray[np.uint8],
    read: NDArray[np.uint8],
    numbers: NDArray[np.int64],
    best: NDArray[np.float64],
    wanted: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> None:
    """wanted[q, :sizes[q]] = the pages that each query reads next, the most promising first.

    - ``best``: [queries, k] as of ``push_best``: the best so far, as of ``_is_far``
    - ``margin``, ``sigmas``, ``allowance``: so many pages may be read for slots beyond ``margin``
      times the squared distance of the k-th best, or under dot below it by so many sigmas
    """
    for q in range(pool_e.shape[0]):
        sizes[q] = 0
        if numbers[q, STATE] != RUNNING:
            continue
        full = numbers[q, BEST] == k
        for i in range(numbers[q, POOL_SIZE]):
            if done[q, i]:
                continue
            if sizes[q] == wanted.shape[1]:
                break
            done[q, i] = 1
            r = _run_of(table, pool[q, i] // 8)
            slot = pool[q, i] - 8 * table[r, BASE]
            page = table[r, PAGE_BASE] + slot // table[r, PER_PAGE]
            if has_bit(read[q], page):
                continue
            e, sigma = pool_e[q, i], pool_sigma[q, i]
            if full and _is_far(metric, e, sigma, best[q, 0], margin, sigmas):
                numbers[q, FAR] += 1
                if numbers[q, FAR] > allowance:
                    numbers[q, STATE] = MARGIN
                    break
            set_bit(read[q], page)
            wanted[q, sizes[q]] = page
            sizes[q] += 1
        if sizes[q] == 0 and numbers[q, STATE] == RUNNING:
            numbers[q, STATE] = POOL
