"""The vector tier: which few entries of a partition are nearest to a question?

Small partitions: products with every row. Larger: the engine's scan plane estimates every row, and
vectors are read only where an estimate plus its error reaches the lowest threshold in question (of
misses: one). Above ``Policy.hnsw_above`` a graph proposes instead. Whatever proposes, scores are
exact float32 cosines of the same kernel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..kernels.codes import scan_estimates
from ..kernels.heaps import sort_heap
from ..kernels.nearest import nearest_estimated, nearest_of, nearest_rows
from ..quantize.bounds import KAPPA
from ..quantize.planes import Encoder
from .partition import EXACT_ROWS, View

CANDIDATES = 4
"""Entries that a lookup decides on."""
KEPT = 32
"""Rows that the scan plane keeps."""
SIGMAS = 3.0

Found = list[tuple[int, float]]
"""(slot, cosine), best first."""


def find_in_ring(view: View, query: NDArray[np.float32]) -> Found:
    """The best of the slots that were hit last. It can conclude a hit, never a miss."""
    slots, scores = _room()
    return _found(
        nearest_of(query, view.vectors, view.live, view.ring, slots, scores), slots, scores
    )


def find_nearest(view: View, encoder: Encoder, query: NDArray[np.float32], floor: float) -> Found:
    """The nearest entries to ``query`` (f32[dim], length 1).

    Those below ``floor`` may be missing, except the nearest.
    """
    slots, scores = _room()
    if view.codes is None:
        count = nearest_rows(query, view.vectors, view.live, 0, view.size, slots, scores)
        return _found(count, slots, scores)
    if view.graph is None:
        return _scan(view, encoder, query, 0, floor)[:CANDIDATES]
    proposed = view.graph.search(query)
    found = _found(
        nearest_of(query, view.vectors, view.live, proposed, slots, scores), slots, scores
    )
    if not found:  # all that it proposed is dead
        return _scan(view, encoder, query, 0, floor)[:CANDIDATES]
    if view.size > view.linked:
        found = _merged(found, _young(view, encoder, query, floor))
    return found[:CANDIDATES]


def _young(view: View, encoder: Encoder, query: NDArray[np.float32], floor: float) -> Found:
    """The nearest of the slots that are not in the graph yet."""
    if view.size - view.linked <= EXACT_ROWS:
        slots, scores = _room()
        count = nearest_rows(query, view.vectors, view.live, view.linked, view.size, slots, scores)
        return _found(count, slots, scores)
    return [one for one in _scan(view, encoder, query, view.linked, floor) if one[0] >= view.linked]


def _scan(
    view: View, encoder: Encoder, query: NDArray[np.float32], first: int, floor: float
) -> Found:
    if view.codes is None or view.factors is None or view.mask is None:
        raise AssertionError("only a coded partition is scanned")
    planes = encoder.prepare(encoder.quantizer.rotate_queries(query[None, :]))
    values = np.empty((1, KEPT), np.float32)
    kept = np.zeros((1, KEPT), np.int64)
    sizes = np.zeros(1, np.int64)
    scan_estimates(
        view.codes,
        view.factors,
        view.mask,
        first >> 3,
        -(-view.coded // 8),
        planes.planes4,
        planes.delta4,
        planes.constant,
        64 * planes.planes4.shape[0],
        values,
        kept,
        sizes,
    )
    sort_heap(values[0], kept[0], sizes[0])
    slots, scores = _room()
    count = nearest_estimated(
        query,
        view.vectors,
        view.live,
        kept[0],
        values[0],
        view.factors,
        sizes[0],
        SIGMAS * KAPPA * float(planes.length[0]),
        floor,
        slots,
        scores,
    )
    found = _found(count, slots, scores)
    if view.size == view.coded:
        return found
    slots, scores = _room()
    count = nearest_rows(query, view.vectors, view.live, view.coded, view.size, slots, scores)
    return _merged(found, _found(count, slots, scores))


def _merged(some: Found, others: Found) -> Found:
    return sorted([*some, *others], key=lambda one: (-one[1], one[0]))


def _room() -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    return np.empty(CANDIDATES, np.int64), np.empty(CANDIDATES, np.float32)


def _found(count: int, slots: NDArray[np.int64], scores: NDArray[np.float32]) -> Found:
    return list(zip(slots[:count].tolist(), scores[:count].tolist(), strict=True))
