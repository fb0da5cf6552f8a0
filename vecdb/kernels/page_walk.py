"""The steps of a walk on pages: which to read next, and what to make of those that were read.

A page has a run of vectors and one list of neighbours for all of them. Every vector of a page that
was read is scored; its neighbours go to a pool by their estimates, from codes in memory by all
their bits or from the scan plane that the page brings with it. Between the steps pages are read, for all queries
of a batch at once.

Numbers of slots are as in ``graph_walk``: 8 times the block's number among all runs, plus the lane.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from .addresses import bytes_at, codes_at, factors_at, rows_at, slots_at, words_at
from .codes import _estimate_pair
from .exact import LANES, _dot, _squared_gap
from .graph_walk import (
    BASE,
    CODES,
    COLUMNS,
    COUNT,
    ENTRIES,
    FACTORS,
    MASK,
    NONE,
    REFINE,
    _best_entries,
    _insert,
    _run_of,
)
from .page_score import widen_at
from .refine import refine_candidates
from .topk import push_best

PER_PAGE, NEIGHBOURS, LINKS_AT, BLOCKS_AT, PAGE_BASE, ROW_BYTES = range(COLUMNS, COLUMNS + 6)
PAGE_COLUMNS = COLUMNS + 6
"""Columns of the table of runs: those of ``graph_walk``, then these."""
HEAD_BYTES = 64
L2, COSINE, DOT = 0, 1, 2
RUNNING, POOL, MARGIN, ROOM = 0, 1, 2, 3
"""Why a query has ended: all of its pool was read, what is left lies too far, no room for more."""
POOL_SIZE, FAR, STATE, FOUND, EXPANDED, SCANNED, REFINED, BEST, PAGES, SEEN = range(10)
NUMBERS = 10
"""Columns of what is counted for each query."""

_TABLE = types.Array(types.int64, 2, "C", readonly=True)
_PLANES = types.Array(types.uint64, 5, "C", readonly=True)
_PLANES8 = types.Array(types.uint64, 4, "C", readonly=True)
_TERMS = types.Array(types.float32, 3, "C", readonly=True)
_KAPPAS = types.Array(types.float64, 1, "C", readonly=True)
_POOL = (types.float32[:, ::1], types.int64[:, ::1], types.uint8[:, ::1])


@njit(nogil=True, cache=True)
def _remember(seen: NDArray[np.int64], number: int) -> bool:
    """Whether it is new; ``seen`` is a table of a power of two that never fills up."""
    mask = seen.shape[0] - 1
    at = (number * 0x9E3779B1 >> 7) & mask
    while seen[at] != -1:
        if seen[at] == number:
            return False
        at = (at + 1) & mask
    seen[at] = number
    return True


@njit(nogil=True, cache=True)
def _is_new(seen: NDArray[np.int64], numbers: NDArray[np.int64], number: int) -> bool:
    """Whether a slot was not met before; once the table is crowded all are taken for new."""
    if 4 * numbers[SEEN] >= 3 * seen.shape[0]:
        return True
    if not _remember(seen, number):
        return False
    numbers[SEEN] += 1
    return True


@njit(nogil=True, cache=True)
def _offer(
    pool_e: NDArray[np.float32],
    pool: NDArray[np.int64],
    read: NDArray[np.uint8],
    numbers: NDArray[np.int64],
    e: float,
    number: int,
) -> None:
    """Put a slot into the pool; one that is there already stays once."""
    width = pool_e.shape[0]
    size = numbers[POOL_SIZE]
    at = _insert(pool_e, pool, size, e, number)
    if at < 0:
        return
    end = min(size, width - 1)
    for j in range(end, at, -1):
        read[j] = read[j - 1]
    read[at] = 0
    numbers[POOL_SIZE] = end + 1


@njit(nogil=True, cache=True)
def _estimate_some(
    table: NDArray[np.int64],
    r: int,
    words: int,
    bits: int,
    padded: int,
    planes: NDArray[np.uint64],
    terms: NDArray[np.float32],
    planes8: NDArray[np.uint64],
    terms8: NDArray[np.float32],
    kappa: float,
    slots: NDArray[np.int64],
    e: NDArray[np.float32],
    sigma: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """e = estimates of slots of run r by all bits, from codes in memory."""
    count = table[r, COUNT]
    blocks = (count + 7) // 8
    codes, fac = codes_at(table[r, CODES], blocks, words), factors_at(table[r, FACTORS], blocks)
    if bits > 1:
        e[: slots.shape[0]] = 0.0  # what it is handed must be a number
        refine = rows_at(table[r, REFINE], count, (bits - 1) * words + 1)
        refine_candidates(
            codes, fac, refine, bits, padded, slots, e, planes8[r],
            terms8[r, 0], terms8[r, 1], terms8[r, 2], kappa, np.inf, 1, e, sigma,
        )  # fmt: skip
        return
    no_tables, limits = np.empty(0, np.uint8), np.full(1, -np.inf, np.float32)
    for i in range(slots.shape[0]):
        block = slots[i] // 8
        _estimate_pair(
            (0,), codes, fac, (block, block, block, block), planes[r], 0, no_tables,
            terms[r : r + 1], limits, out,
        )  # fmt: skip
        e[i] = out[0, slots[i] % 8]


@njit(
    types.void(
        *(_TABLE, types.int64, types.int64, types.int64, types.boolean),
        *(_PLANES, _TERMS, _PLANES8, _TERMS, _KAPPAS),
        *(*_POOL, types.int64[:, ::1], types.int64[:, ::1]),
    ),
    nogil=True,
    cache=True,
)
def begin_walks(
    table: NDArray[np.int64],
    words: int,
    bits: int,
    padded: int,
    inline: bool,
    planes: NDArray[np.uint64],
    terms: NDArray[np.float32],
    planes8: NDArray[np.uint64],
    terms8: NDArray[np.float32],
    kappas: NDArray[np.float64],
    pool_e: NDArray[np.float32],
    pool: NDArray[np.int64],
    read: NDArray[np.uint8],
    seen: NDArray[np.int64],
    numbers: NDArray[np.int64],
) -> None:
    """Put the best entry points into the pools, [queries, width].

    - ``inline``: pages bring the codes of neighbours, so estimates are the scan plane's
    - ``planes``, ``terms``, ``planes8``, ``terms8``, ``kappas``: as of ``graph_walk``
    - ``seen``: [queries, some power of two] filled with -1; ``numbers``: [queries, ``NUMBERS``]
    """
    best_e, best = np.empty(ENTRIES, np.float32), np.empty(ENTRIES, np.int64)
    out, limits = np.empty((1, 16), np.float32), np.empty(1, np.float32)
    one, e, sigma = np.empty(1, np.int64), np.empty(1, np.float32), np.empty(1, np.float32)
    for q in range(pool_e.shape[0]):
        size = _best_entries(table, planes[q], terms[q], words, best_e, best, out, limits)
        for i in range(size):
            number = best[i]
            _is_new(seen[q], numbers[q], number)
            estimate = best_e[i]
            if not inline:
                r = _run_of(table, number // 8)
                one[0] = number - 8 * table[r, BASE]
                _estimate_some(
                    table, r, words, bits, padded, planes[q], terms[q], planes8[q], terms8[q],
                    kappas[r], one, e, sigma, out,
                )  # fmt: skip
                estimate = e[0]
            _offer(pool_e[q], pool[q], read[q], numbers[q], estimate, number)


@njit(nogil=True, cache=True)
def _is_far(metric: int, e: float, kth: float, margin: float) -> bool:
    """Whether an estimate is beyond ``margin`` times the squared distance of the k-th best."""
    if metric == L2:
        return -e > margin * kth
    if metric == COSINE:
        return 2.0 - 2.0 * e > margin * kth
    return False


@njit(
    types.void(
        *(_TABLE, types.int64, types.int64, types.float64, types.int64),
        *(*_POOL, types.int64[:, ::1], types.int64[:, ::1]),
        *(types.float64[:, ::1], types.int64[:, ::1], types.int64[::1]),
    ),
    nogil=True,
    cache=True,
)
def choose_pages(
    table: NDArray[np.int64],
    metric: int,
    k: int,
    margin: float,
    allowance: int,
    pool_e: NDArray[np.float32],
    pool: NDArray[np.int64],
    read: NDArray[np.uint8],
    pages: NDArray[np.int64],
    numbers: NDArray[np.int64],
    best: NDArray[np.float64],
    wanted: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> None:
    """wanted[q, :sizes[q]] = the pages that each query reads next, counted over all runs.

    - ``pages``: [queries, a power of two] the pages read so far; ``best``: [queries, k] as of
      ``push_best``, minus the squared distances of the best so far
    - ``margin``, ``allowance``: so many pages may be read for slots beyond ``margin`` times the
      squared distance of the k-th best
    """
    most = pages.shape[1] // 2 - wanted.shape[1]
    for q in range(pool_e.shape[0]):
        sizes[q] = 0
        if numbers[q, STATE] != RUNNING:
            continue
        full = numbers[q, BEST] == k
        for i in range(numbers[q, POOL_SIZE]):
            if read[q, i]:
                continue
            if sizes[q] == wanted.shape[1]:
                break
            number = pool[q, i]
            r = _run_of(table, number // 8)
            slot = number - 8 * table[r, BASE]
            page = table[r, PAGE_BASE] + slot // table[r, PER_PAGE]
            read[q, i] = 1
            if not _remember(pages[q], page):
                continue
            if full and _is_far(metric, pool_e[q, i], -best[q, 0], margin):
                numbers[q, FAR] += 1
                if numbers[q, FAR] > allowance:
                    numbers[q, STATE] = MARGIN
                    break
            wanted[q, sizes[q]] = page
            sizes[q] += 1
            numbers[q, PAGES] += 1
            if numbers[q, PAGES] >= most:
                numbers[q, STATE] = ROOM
                break
        if sizes[q] == 0 and numbers[q, STATE] == RUNNING:
            numbers[q, STATE] = POOL


@njit(nogil=True, cache=True)
def _score_members(
    table: NDArray[np.int64],
    r: int,
    page: int,
    address: int,
    metric: int,
    dtype_code: int,
    query: NDArray[np.float32],
    norm: float,
    k: int,
    numbers: NDArray[np.int64],
    best: NDArray[np.float64],
    found: NDArray[np.int64],
    raw: NDArray[np.float64],
    squares: NDArray[np.float64],
    row: NDArray[np.float32],
    lanes: NDArray[np.float64],
) -> None:
    """Score the vectors of a page whose bits are set in the mask."""
    per_page, count, base = table[r, PER_PAGE], table[r, COUNT], table[r, BASE]
    mask = bytes_at(table[r, MASK], (count + 7) // 8)
    for member in range(min(per_page, count - page * per_page)):
        slot = page * per_page + member
        if not mask[slot // 8] >> np.uint8(slot % 8) & 1:
            continue
        widen_at(address + HEAD_BYTES + member * table[r, ROW_BYTES], dtype_code, row)
        at = numbers[FOUND]
        found[at] = 8 * base + slot
        if metric == L2:
            raw[at] = _squared_gap(query, row, lanes)
            squares[at] = 0.0
            near = -raw[at]
        else:
            raw[at] = _dot(query, row, lanes)
            squares[at] = _dot(row, row, lanes)
            near = raw[at]
            if metric == COSINE:
                length = norm * np.sqrt(squares[at])
                near = 2.0 * raw[at] / length - 2.0 if length > 0.0 else -2.0
        numbers[FOUND] += 1
        numbers[BEST] = push_best(best[:k], numbers[BEST], near)


@njit(
    types.void(
        *(_TABLE, types.int64, types.int64, types.int64, types.boolean),
        *(_PLANES, _TERMS, _PLANES8, _TERMS, _KAPPAS, types.int64, types.int64, types.int64),
        *(types.Array(types.float32, 2, "C", readonly=True), _KAPPAS),
        *(types.Array(types.int64, 2, "C", readonly=True),) * 2,
        types.Array(types.int64, 1, "C", readonly=True),
        *(*_POOL, types.int64[:, ::1], types.int64[:, ::1], types.float64[:, ::1]),
        *(types.int64[:, ::1], types.float64[:, ::1], types.float64[:, ::1]),
    ),
    nogil=True,
    cache=True,
)
def take_pages(
    table: NDArray[np.int64],
    words: int,
    bits: int,
    padded: int,
    inline: bool,
    planes: NDArray[np.uint64],
    terms: NDArray[np.float32],
    planes8: NDArray[np.uint64],
    terms8: NDArray[np.float32],
    kappas: NDArray[np.float64],
    metric: int,
    dtype_code: int,
    k: int,
    queries: NDArray[np.float32],
    norms: NDArray[np.float64],
    wanted: NDArray[np.int64],
    addresses: NDArray[np.int64],
    sizes: NDArray[np.int64],
    pool_e: NDArray[np.float32],
    pool: NDArray[np.int64],
    read: NDArray[np.uint8],
    seen: NDArray[np.int64],
    numbers: NDArray[np.int64],
    best: NDArray[np.float64],
    found: NDArray[np.int64],
    raw: NDArray[np.float64],
    squares: NDArray[np.float64],
) -> None:
    """Score the members of the pages at ``addresses``, and offer their neighbours to the pools.

    - ``wanted``, ``sizes``: as ``choose_pages`` left them; ``addresses``: where these pages are
    - ``norms``: [queries] their lengths
    - ``found``, ``raw``, ``squares``: [queries, room] all that was scored, as ``exact.score_pairs``
      scores, and the squared lengths of the vectors (0 under l2)
    """
    row, lanes = np.empty(queries.shape[1], np.float32), np.empty(LANES, np.float64)
    out, limits = np.empty((1, 16), np.float32), np.full(1, -np.inf, np.float32)
    most = 8
    for r in range(table.shape[0]):
        most = max(most, table[r, NEIGHBOURS])
    slots, e = np.empty(most, np.int64), np.empty(most, np.float32)
    sigma = np.empty(most, np.float32)
    codes = np.empty((most // 8 + 1, words, 8), np.uint64)
    fac = np.empty((most // 8 + 1, 2, 8), np.float32)
    no_tables = np.empty(0, np.uint8)
    for q in range(pool_e.shape[0]):
        for i in range(sizes[q]):
            r = 0
            while r + 1 < table.shape[0] and table[r + 1, PAGE_BASE] <= wanted[q, i]:
                r += 1
            page, address = wanted[q, i] - table[r, PAGE_BASE], addresses[q, i]
            base = table[r, BASE]
            numbers[q, EXPANDED] += 1
            _score_members(
                table, r, page, address, metric, dtype_code, queries[q], norms[q], k, numbers[q],
                best[q], found[q], raw[q], squares[q], row, lanes,
            )  # fmt: skip
            links = slots_at(address + table[r, LINKS_AT], table[r, NEIGHBOURS])
            if inline:
                size = 64 * words + 64
                blocks = table[r, NEIGHBOURS] // 8
                for b in range(blocks):
                    block = words_at(address + table[r, BLOCKS_AT] + b * size, size // 8)
                    codes[b].reshape(-1)[:] = block[: 8 * words]
                    fac[b].reshape(-1).view(np.uint64)[:] = block[8 * words :]
                numbers[q, SCANNED] += 8 * blocks
                for b in range(0, blocks, 2):
                    second = min(b + 1, blocks - 1)
                    _estimate_pair(
                        (0,), codes, fac, (b, second, b, b), planes[q, r], 0, no_tables,
                        terms[q, r : r + 1], limits, out,
                    )  # fmt: skip
                    for lane in range(8 * (second - b + 1)):
                        slot = links[8 * b + lane]
                        if slot != NONE:
                            number = 8 * base + np.int64(slot)
                            if _is_new(seen[q], numbers[q], number):
                                e[0] = out[0, lane]
                                _offer(pool_e[q], pool[q], read[q], numbers[q], e[0], number)
                continue
            count = 0
            for j in range(links.shape[0]):
                if links[j] == NONE:
                    break
                number = 8 * base + np.int64(links[j])
                if _is_new(seen[q], numbers[q], number):
                    slots[count] = links[j]
                    count += 1
            _estimate_some(
                table, r, words, bits, padded, planes[q], terms[q], planes8[q], terms8[q],
                kappas[r], slots[:count], e, sigma, out,
            )  # fmt: skip
            numbers[q, REFINED] += count
            for j in range(count):
                _offer(pool_e[q], pool[q], read[q], numbers[q], e[j], 8 * base + slots[j])
