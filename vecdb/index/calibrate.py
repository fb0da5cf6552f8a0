"""How wide a walk has to be for a recall: measured on the segment itself when it is built.

Queries must not be members: their own nearest neighbour would be themselves. A query is a member
moved by the difference of two others that are linked, so it lies about as far from its neighbours
as a record that is not in the segment yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..quantize.center import normalise

TARGETS = (0.9, 0.95, 0.99, 0.999)
WIDTHS = (12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768)
QUERIES = 200
NEAREST = 10
_PART_BYTES = 16 * 1024 * 1024  # of products with all queries

Find = Callable[[NDArray[np.float32], int], Sequence[NDArray[np.int64]]]
"""The slots that walks of a width find, of each query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """``queries``: float32[q, dim]; ``truth``: int64[q, at most 10], the slots nearest to each."""

    queries: NDArray[np.float32]
    truth: NDArray[np.int64]


def draw_sample(
    links: NDArray[np.uint32], vectors: NDArray[np.float32], metric: str, seed: int
) -> Sample:
    """``vectors``: [n, dim] by slot, as they are coded: of length 1 under cosine."""
    queries = draw_queries(links, vectors, metric, seed)
    return Sample(queries=queries, truth=_nearest(vectors, queries, metric))


def measure_widths(sample: Sample, find: Find) -> tuple[tuple[float, int], ...]:
    """(recall among ten, width) of each of ``TARGETS``; for one not reached, of the widest."""
    found: list[tuple[float, int]] = []
    targets = list(TARGETS)
    recall = 0.0
    for width in WIDTHS:
        slots = find(sample.queries, width)
        pairs = zip(sample.truth, slots, strict=True)
        recall = float(np.mean([np.isin(one, some).mean() for one, some in pairs]))
        while targets and recall >= targets[0]:
            found.append((targets.pop(0), width))
        if not targets:
            return tuple(found)
    last = found[-1][0] if found else 0.0
    return (*found, (recall, WIDTHS[-1])) if recall > last else tuple(found)


def draw_queries(
    links: NDArray[np.uint32], vectors: NDArray[np.float32], metric: str, seed: int
) -> NDArray[np.float32]:
    """[``QUERIES``, dim]."""
    rng = np.random.default_rng(seed)
    count = len(vectors)
    members = rng.integers(0, count, QUERIES)
    ones = rng.integers(0, count, QUERIES)
    others = links[ones, 0].astype(np.int64)
    others[others >= count] = 0  # a slot without a neighbour
    queries = vectors[members] + (vectors[ones] - vectors[others])
    return normalise(queries) if metric == "cosine" else queries


def _nearest(
    vectors: NDArray[np.float32], queries: NDArray[np.float32], metric: str
) -> NDArray[np.int64]:
    """[q, 10]: the slots nearest to each query, in no order."""
    kept = min(NEAREST, len(vectors))
    best = np.full((len(queries), 0), 0.0, np.float32)
    slots = np.empty((len(queries), 0), np.int64)
    step = max(1, _PART_BYTES // (4 * len(queries)))
    for start in range(0, len(vectors), step):
        part = vectors[start : start + step]
        near = queries @ part.T
        if metric != "dot":
            near = 2.0 * near - np.einsum("ij,ij->i", part, part)
        best = np.concatenate((best, near), axis=1)
        here = np.broadcast_to(np.arange(start, start + len(part)), near.shape)
        slots = np.concatenate((slots, here), axis=1)
        order = np.argpartition(-best, kept - 1, axis=1)[:, :kept]
        best = np.take_along_axis(best, order, axis=1)
        slots = np.take_along_axis(slots, order, axis=1)
    return slots
