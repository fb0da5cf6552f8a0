"""How wide a walk has to be for a recall: measured on the segment itself when it is built.

Queries must not be members: their own nearest neighbour would be themselves. A query is a member
moved by the difference of two others that are linked, so it lies about as far from its neighbours
as a record that is not in the segment yet.
"""

from __future__ import annotations

from concurrent.futures import Executor

import numpy as np
from numpy.typing import NDArray

from ..quantize.center import normalise
from ..quantize.planes import Quantizer
from .graph import GraphRun, Walk, walk_graph

TARGETS = (0.9, 0.95, 0.99, 0.999)
WIDTHS = (12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768)
QUERIES = 200
NEAREST = 10
_PART_BYTES = 16 * 1024 * 1024  # of products with all queries


def measure_widths(
    run: GraphRun,
    quantizer: Quantizer,
    vectors: NDArray[np.float32],
    *,
    seed: int,
    sigmas: float = 1.0,
    pool: Executor | None = None,
    threads: int = 1,
) -> tuple[tuple[float, int], ...]:
    """(recall among ten, width) for each of ``TARGETS``; for one not reached, what the widest had.

    - ``vectors``: [n, dim] of the run's slots, as they are coded: of length 1 under cosine
    """
    queries = draw_queries(run.links, vectors, quantizer.metric, seed)
    truth = _nearest(vectors, queries, quantizer.metric)
    found: list[tuple[float, int]] = []
    targets = list(TARGETS)
    recall = 0.0
    for width in WIDTHS:
        walk = Walk(
            k=min(NEAREST, len(vectors)), width=width, sigmas=sigmas, pool=pool, threads=threads
        )
        walked = walk_graph([run], quantizer, queries, walk)
        kept = [
            np.isin(one, some.places - run.first).mean()
            for one, some in zip(truth, walked, strict=True)
        ]
        recall = float(np.mean(kept))
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
