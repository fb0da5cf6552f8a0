"""What a walk makes of the pages that it has read: scores of their vectors, and where to go on.

A page has a run of vectors and one list of neighbours for all of them. Every vector of a page is
scored; its neighbours go to the pool by their estimates: from codes in memory by all their bits,
or from the scan plane of their codes, which the page brings with it. Between two steps pages are
read, for all queries of a batch at once.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from .addresses import bytes_at, codes_at, factors_at, rows_at, slots_at, words_at
from .codes import _estimate_pair
from .exact import INDEX, LANES, MATRIX, _dot, _squared_gap
from .graph_walk import (
    BASE,
    CODES,
    COUNT,
    ENTRIES,
    ENTRY_COUNT,
    ENTRY_FACTORS,
    FACTORS,
    MASK,
    NONE,
    REFINE,
    STEP,
    _best_entries,
)
from .page_pool import (
    BEST,
    BLOCKS_AT,
    COSINE,
    EXPANDED,
    FOUND,
    L2,
    LINKS_AT,
    NEIGHBOURS,
    PAGE_BASE,
    PER_PAGE,
    POOLS,
    REFINED,
    ROW_BYTES,
    SCANNED,
    SIZE,
    TABLE,
    WIDTH,
    has_bit,
    offer,
    set_bit,
)
from .page_score import widen_at
from .refine import BATCH, refine_candidates
from .topk import push_best

HEAD_BYTES = 64

_PAGES = types.Array(types.int64, 2, "C", readonly=True)
_FACTORS = types.Array(types.float64, 1, "C", readonly=True)
_CODED = (
    *(TABLE, types.int64, types.int64, types.int64, types.boolean),
    types.Array(types.uint64, 5, "C", readonly=True),
    types.Array(types.float32, 3, "C", readonly=True),
    types.Array(types.uint64, 4, "C", readonly=True),
    *(types.Array(types.float32, 3, "C", readonly=True), _FACTORS),
)


@njit(nogil=True, cache=True)
def _estimate_slots(
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
    """Estimates of slots of run r by all bits of their codes, and their sigmas."""
    count = table[r, COUNT]
    blocks = (count + 7) // 8
    codes, fac = codes_at(table[r, CODES], blocks, words), factors_at(table[r, FACTORS], blocks)
    if bits > 1:
        refine = rows_at(table[r, REFINE], count, (bits - 1) * words + 1)
        for begin in range(0, slots.shape[0], BATCH):  # it may stop only between batches
            end = min(begin + BATCH, slots.shape[0])
            refine_candidates(
                codes, fac, refine, bits, padded, slots[begin:end], e[begin:end], planes8[r],
                terms8[r, 0], terms8[r, 1], terms8[r, 2], kappa, 0.0, 1,
                e[begin:end], sigma[begin:end],
            )  # fmt: skip
        return
    no_tables, limits = np.empty(0, np.uint8), np.full(1, -np.inf, np.float32)
    for i in range(slots.shape[0]):
        block, lane = slots[i] // 8, slots[i] % 8
        _estimate_pair(
            (0,), codes, fac, (block, block, block, block), planes[r], 0, no_tables,
            terms[r : r + 1], limits, out,
        )  # fmt: skip
        e[i] = out[0, lane]
        sigma[i] = kappa * fac[block, 1, lane] * terms8[r, 2]


@njit(nogil=True, cache=True)
def _entry_mul(table: NDArray[np.int64], r: int, slot: int) -> float:
    """The factor ``mul`` of an entry point of run r."""
    fac = factors_at(table[r, ENTRY_FACTORS], (table[r, ENTRY_COUNT] + 7) // 8)
    number = slot // table[r, STEP]
    mul: float = fac[number // 8, 1, number % 8]
    return mul


@njit(types.void(*_CODED, *POOLS), nogil=True, cache=True)
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
    pool_sigma: NDArray[np.float32],
    pool: NDArray[np.int64],
    done: NDArray[np.uint8],
    ends: NDArray[np.int64],
    met: NDArray[np.uint8],
    read: NDArray[np.uint8],
    numbers: NDArray[np.int64],
) -> None:
    """Put the best entry points of every run into the pools: no link leads from one to another.

    - ``inline``: pages bring the codes of neighbours, so estimates are the scan plane's
    - ``planes``: [queries, runs, words, 4, 1]; ``terms``: [queries, runs, 3] delta, constant,
      7.5 * padded; ``planes8``: [queries, runs, 8, words]; ``terms8``: [queries, runs, 3] delta,
      constant, length; ``kappas``: [runs]
    """
    best_e, best = np.empty(ENTRIES, np.float32), np.empty(ENTRIES, np.int64)
    out, limits = np.empty((1, 16), np.float32), np.empty(1, np.float32)
    one, e, sigma = np.empty(1, np.int64), np.empty(1, np.float32), np.empty(1, np.float32)
    for q in range(pool_e.shape[0]):
        for r in range(table.shape[0]):
            run = slice(r, r + 1)
            size = _best_entries(
                table[run], planes[q, run], terms[q, run], words, best_e, best, out, limits
            )
            for i in range(size):
                one[0] = best[i] - 8 * table[r, BASE]
                scale = kappas[r] * terms8[q, r, 2]
                e[0], sigma[0] = best_e[i], scale * _entry_mul(table, r, one[0])
                if not inline:
                    _estimate_slots(
                        table, r, words, bits, padded, planes[q], terms[q], planes8[q],
                        terms8[q], kappas[r], one, e, sigma, out,
                    )  # fmt: skip
                set_bit(met[q], best[i])
                ends[q, r, SIZE] = offer(
                    *(pool_e[q, r], pool_sigma[q, r], pool[q, r], done[q, r], ends[q, r, SIZE]),
                    *(table[r, WIDTH], e[0], sigma[0], best[i]),
                )


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
    numbers: NDArray[np.int64],
    best: NDArray[np.float64],
    found: NDArray[np.int64],
    raw: NDArray[np.float64],
    squares: NDArray[np.float64],
    row: NDArray[np.float32],
    lanes: NDArray[np.float64],
) -> None:
    """Score the vectors of a page whose bits are set in the mask."""
    count = table[r, COUNT]
    mask = bytes_at(table[r, MASK], (count + 7) // 8)
    first = page * table[r, PER_PAGE]
    for slot in range(first, min(first + table[r, PER_PAGE], count)):
        if not has_bit(mask, slot):
            continue
        at = numbers[FOUND]
        numbers[FOUND] += 1
        found[at] = 8 * table[r, BASE] + slot
        widen_at(address + HEAD_BYTES + (slot - first) * table[r, ROW_BYTES], dtype_code, row)
        if metric == L2:
            raw[at], squares[at] = _squared_gap(query, row, lanes), 0.0
            near = -raw[at]
        else:
            raw[at], squares[at] = _dot(query, row, lanes), _dot(row, row, lanes)
            near = raw[at]
            if metric == COSINE:
                length = norm * np.sqrt(squares[at])
                near = 2.0 * raw[at] / length - 2.0 if length > 0.0 else -2.0
        numbers[BEST] = push_best(best, numbers[BEST], near)


@njit(nogil=True, cache=True)
def _new_neighbours(
    table: NDArray[np.int64],
    r: int,
    address: int,
    met: NDArray[np.uint8],
    slots: NDArray[np.int64],
    places: NDArray[np.int64],
) -> int:
    """slots = those named on a page of run r and not met before, and their places there."""
    links = slots_at(address + table[r, LINKS_AT], table[r, NEIGHBOURS])
    count = 0
    for place in range(links.shape[0]):
        if links[place] == NONE:
            break
        slot = np.int64(links[place])
        number = 8 * table[r, BASE] + slot
        if has_bit(met, number):
            continue
        set_bit(met, number)
        slots[count], places[count] = slot, place
        count += 1
    return count


@njit(nogil=True, cache=True)
def _estimate_inline(
    table: NDArray[np.int64],
    r: int,
    words: int,
    address: int,
    planes: NDArray[np.uint64],
    terms: NDArray[np.float32],
    scale: float,
    places: NDArray[np.int64],
    e: NDArray[np.float32],
    sigma: NDArray[np.float32],
    codes: NDArray[np.uint64],
    fac: NDArray[np.float32],
    out: NDArray[np.float32],
) -> int:
    """Estimates of neighbours at ascending places of the page's list; blocks that were read.

    ``scale``: the sigma of an estimate in units of mul; ``codes``, ``fac``: room for two blocks.
    """
    no_tables, limits = np.empty(0, np.uint8), np.full(1, -np.inf, np.float32)
    size = 8 * words + 8
    at = read = 0
    while at < places.shape[0]:
        first = places[at] // 8
        end = at
        while end < places.shape[0] and places[end] // 8 <= first + 1:
            end += 1
        last = places[end - 1] // 8
        for b in range(first, last + 1):
            block = words_at(address + table[r, BLOCKS_AT] + b * 8 * size, size)
            codes[b - first].reshape(-1)[:] = block[: 8 * words]
            fac[b - first].reshape(-1).view(np.uint64)[:] = block[8 * words :]
        _estimate_pair(
            (0,), codes, fac, (0, 1, 0, 0), planes[r], 0, no_tables, terms[r : r + 1], limits, out
        )
        for i in range(at, end):
            lane = places[i] - 8 * first
            e[i] = out[0, lane]
            sigma[i] = scale * fac[lane // 8, 1, lane % 8]
        read += last + 1 - first
        at = end
    return read


@njit(
    types.void(
        *(*_CODED, types.int64, types.int64, MATRIX, _FACTORS, _PAGES, _PAGES, INDEX, *POOLS),
        *(types.float64[:, ::1], types.int64[:, ::1], types.float64[:, ::1], types.float64[:, ::1]),
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
    queries: NDArray[np.float32],
    norms: NDArray[np.float64],
    wanted: NDArray[np.int64],
    addresses: NDArray[np.int64],
    sizes: NDArray[np.int64],
    pool_e: NDArray[np.float32],
    pool_sigma: NDArray[np.float32],
    pool: NDArray[np.int64],
    done: NDArray[np.uint8],
    ends: NDArray[np.int64],
    met: NDArray[np.uint8],
    read: NDArray[np.uint8],
    numbers: NDArray[np.int64],
    best: NDArray[np.float64],
    found: NDArray[np.int64],
    raw: NDArray[np.float64],
    squares: NDArray[np.float64],
) -> None:
    """Score the members of the pages at ``addresses``, and offer their neighbours to the pools.

    - ``wanted``, ``sizes``: as ``choose_pages`` left them; ``addresses``: where these pages are
    - ``norms``: [queries] their lengths
    - ``found``, ``raw``, ``squares``: [queries, room] all that was scored, as ``score_on_pages``
      scores; there is room for all members of these pages
    """
    row, lanes = np.empty(queries.shape[1], np.float32), np.empty(LANES, np.float64)
    out = np.empty((1, 16), np.float32)
    most = np.max(table[:, NEIGHBOURS])
    slots, places = np.empty(most, np.int64), np.empty(most, np.int64)
    e, sigma = np.empty(most, np.float32), np.empty(most, np.float32)
    codes, fac = np.zeros((2, words, 8), np.uint64), np.zeros((2, 2, 8), np.float32)
    for q in range(pool_e.shape[0]):
        for i in range(sizes[q]):
            r = 0
            while r + 1 < table.shape[0] and table[r + 1, PAGE_BASE] <= wanted[q, i]:
                r += 1
            address = addresses[q, i]
            numbers[q, EXPANDED] += 1
            _score_members(
                table, r, wanted[q, i] - table[r, PAGE_BASE], address, metric, dtype_code,
                queries[q], norms[q], numbers[q], best[q], found[q], raw[q], squares[q], row, lanes,
            )  # fmt: skip
            count = _new_neighbours(table, r, address, met[q], slots, places)
            if inline:
                numbers[q, SCANNED] += 8 * _estimate_inline(
                    table, r, words, address, planes[q], terms[q], kappas[r] * terms8[q, r, 2],
                    places[:count], e, sigma, codes, fac, out,
                )  # fmt: skip
            else:
                numbers[q, REFINED] += count
                _estimate_slots(
                    table, r, words, bits, padded, planes[q], terms[q], planes8[q], terms8[q],
                    kappas[r], slots[:count], e, sigma, out,
                )  # fmt: skip
            for j in range(count):
                ends[q, r, SIZE] = offer(
                    *(pool_e[q, r], pool_sigma[q, r], pool[q, r], done[q, r], ends[q, r, SIZE]),
                    *(table[r, WIDTH], e[j], sigma[j], 8 * table[r, BASE] + slots[j]),
                )
