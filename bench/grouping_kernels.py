"""Kernels of the grouping yardstick: PageANN's greedy grouping, walks, and counts of pages."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

NONE = np.uint32(0xFFFFFFFF)


@njit(nogil=True)
def group_greedily(
    vectors: NDArray[np.float32], links: NDArray[np.uint32], per_page: int, hops: int
) -> NDArray[np.int64]:
    """[n]: the page of each row, as PageANN (arXiv 2509.25487, code of v1) groups them.

    A page is a row and the nearest to it of the free rows within so many hops; the next page begins
    at the first one left out, else at the first free row. Where too few are in reach, the page is
    filled with the first free rows, so that all pages but the last are full, as ours are.
    """
    n = links.shape[0]
    page_of = np.full(n, -1, np.int64)
    seen = np.full(n, -1, np.int64)
    queue = np.empty(n, np.int64)
    current, free = 0, 0
    for page in range((n + per_page - 1) // per_page):
        page_of[current] = page
        seen[current] = page
        queue[0] = current
        begin, end = 0, 1
        for _ in range(hops):
            last = end
            for i in range(begin, last):
                for j in range(links.shape[1]):
                    target = links[queue[i], j]
                    if target == NONE:
                        break
                    if seen[target] != page:
                        seen[target] = page
                        queue[end] = target
                        end += 1
            begin = last
        count = 0
        for i in range(1, end):
            if page_of[queue[i]] < 0:
                queue[count] = queue[i]
                count += 1
        near = queue[:count].copy()
        far = np.empty(count, np.float32)
        for i in range(count):
            total = np.float32(0.0)
            for j in range(vectors.shape[1]):
                gap = vectors[near[i], j] - vectors[current, j]
                total += gap * gap
            far[i] = total
        order = np.argsort(far, kind="mergesort")
        taken = min(per_page - 1, count)
        for i in range(taken):
            page_of[near[order[i]]] = page
        while free < n and page_of[free] >= 0:
            free += 1
        for _ in range(per_page - 1 - taken):
            if free == n:
                break
            page_of[free] = page
            while free < n and page_of[free] >= 0:
                free += 1
        current = near[order[taken]] if taken < count else free
    return page_of


@njit(nogil=True)
def walk_scores(
    links: NDArray[np.uint32],
    scores: NDArray[np.float32],
    entries: NDArray[np.int64],
    starts: int,
    width: int,
) -> NDArray[np.int64]:
    """The ``width`` best rows that a best-first walk by ``scores`` [n] finds, best first.

    It begins at the ``starts`` best of ``entries`` and ends when all of the pool are expanded.
    """
    pool = np.full(width + 1, -1, np.int64)
    value = np.full(width + 1, -np.inf, np.float32)
    done = np.zeros(width + 1, np.bool_)
    seen = np.zeros(links.shape[0], np.bool_)
    size = 0
    order = np.argsort(-scores[entries], kind="mergesort")[:starts]
    for i in order:
        size = _insert(pool, value, done, size, width, int(entries[i]), scores[entries[i]])
        seen[entries[i]] = True
    while True:
        at = 0
        while at < size and done[at]:
            at += 1
        if at == size:
            return pool[:size].copy()
        done[at] = True
        row = pool[at]
        for j in range(links.shape[1]):
            target = links[row, j]
            if target == NONE:
                break
            if not seen[target]:
                seen[target] = True
                size = _insert(pool, value, done, size, width, int(target), scores[target])


@njit(nogil=True)
def _insert(
    pool: NDArray[np.int64],
    value: NDArray[np.float32],
    done: NDArray[np.bool_],
    size: int,
    width: int,
    row: int,
    score: float,
) -> int:
    if size == width and score <= value[width - 1]:
        return size
    at = min(size, width - 1)
    while at > 0 and value[at - 1] < score:
        pool[at], value[at], done[at] = pool[at - 1], value[at - 1], done[at - 1]
        at -= 1
    pool[at], value[at], done[at] = row, score, False
    return min(size + 1, width)


@njit(nogil=True)
def merge_by_page(
    links: NDArray[np.uint32], members: NDArray[np.int64], page_of: NDArray[np.int64], degree: int
) -> NDArray[np.uint32]:
    """[pages, degree]: neighbours of a page's ``members`` ([pages, per_page], -1 at the end).

    Round after round the next neighbour of each member, without members and duplicates.
    """
    pages = members.shape[0]
    merged = np.full((pages, degree), NONE, np.uint32)
    seen = np.full(links.shape[0], -1, np.int64)
    for page in range(pages):
        count = 0
        for rank in range(links.shape[1]):
            for i in range(members.shape[1]):
                row = members[page, i]
                if row < 0 or count == degree:
                    break
                target = links[row, rank]
                if target == NONE or page_of[target] == page or seen[target] == page:
                    continue
                seen[target] = page
                merged[page, count] = target
                count += 1
    return merged


@njit(nogil=True)
def walk_pages(
    merged: NDArray[np.uint32],
    members: NDArray[np.int64],
    page_of: NDArray[np.int64],
    scores: NDArray[np.float32],
    entries: NDArray[np.int64],
    starts: int,
    width: int,
    beam: int,
) -> tuple[NDArray[np.int64], int]:
    """(pages read, in order, and rounds) of a walk that reads ``beam`` pages a round.

    ``scores`` [n] steer; neighbours on pages that were read are left alone.
    """
    pool = np.full(width + 1, -1, np.int64)
    value = np.full(width + 1, -np.inf, np.float32)
    done = np.zeros(width + 1, np.bool_)
    seen = np.zeros(page_of.shape[0], np.bool_)
    read = np.zeros(merged.shape[0], np.bool_)
    pages = np.empty(merged.shape[0], np.int64)
    count, size, rounds = 0, 0, 0
    for i in np.argsort(-scores[entries], kind="mergesort")[:starts]:
        size = _insert(pool, value, done, size, width, int(entries[i]), scores[entries[i]])
        seen[entries[i]] = True
    while True:
        first = count
        for at in range(size):
            if count - first == beam:
                break
            page = page_of[pool[at]]
            if not done[at] and not read[page]:
                read[page] = True
                pages[count] = page
                count += 1
            done[at] = True
        if count == first:
            return pages[:count].copy(), rounds
        rounds += 1
        for i in range(first, count):
            for j in range(merged.shape[1]):
                target = merged[pages[i], j]
                if target == NONE:
                    break
                if seen[target] or read[page_of[target]]:
                    continue
                seen[target] = True
                size = _insert(pool, value, done, size, width, int(target), scores[target])


@njit(nogil=True)
def count_pages(
    page_of: NDArray[np.int64], rows: NDArray[np.int64], stamps: NDArray[np.int64], stamp: int
) -> int:
    """On how many pages the rows lie. ``stamps``: [pages], none equal to ``stamp``."""
    pages = 0
    for row in rows:
        if stamps[page_of[row]] != stamp:
            stamps[page_of[row]] = stamp
            pages += 1
    return pages
