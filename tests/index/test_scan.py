"""The error that the first stage allows for holds for the sums that float32 does worst."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.deadline import Deadline
from vecdb.index.rows import row_norms
from vecdb.index.scan import Queries, find_candidates
from vecdb.kernels.distance import dot_block, dot_rows, l2_rows
from vecdb.testing.oracle import score_all_rows

METRICS = ("cosine", "dot", "l2")


def hard_vectors(rng, count, dim):
    """Cancellation, many orders of magnitude, steady growth."""
    signs = rng.choice([-1.0, 1.0], (count, dim))
    magnitudes = 10.0 ** rng.uniform(-4, 4, (count, dim))
    growing = np.linspace(1.0, 2.0, dim) * rng.uniform(0.9, 1.1, (count, dim))
    cancelling = 1_000.0 * np.resize([1.0, -1.0], dim) + rng.standard_normal((count, dim))
    rows = np.concatenate([signs * magnitudes, growing, cancelling])
    return rows.astype(np.float32)


@pytest.mark.parametrize("dim", [1, 2, 16, 383, 1_536])
def test_float32_sums_stay_within_the_error_of_their_form(rng, dim):
    rows, points = hard_vectors(rng, 40, dim), hard_vectors(rng, 4, dim)[:8]
    norms, lengths, ones = row_norms(rows), row_norms(points), np.ones(120, np.uint8)
    block, row = np.empty((8, 120), np.float32), np.empty(120, np.float32)
    dot_block(points, rows, block)
    for q, point in enumerate(points):
        alone = Queries(metric="dot", vectors=point[None], norms=lengths[q : q + 1], alone=True)
        relative, tiny, _ = alone.errors
        dots = score_all_rows("dot", rows, point)
        allowed = relative * norms * lengths[q] + tiny
        dot_rows(point, rows, ones, row)
        assert (np.abs(row - dots) <= allowed).all()
        assert (np.abs(block[q] - dots) <= allowed).all()
        relative, tiny, _ = Queries(
            metric="l2", vectors=point[None], norms=lengths[q : q + 1], alone=True
        ).errors
        squares = score_all_rows("l2", rows, point) ** 2
        l2_rows(point, rows, ones, row)
        assert (np.abs(-row - squares) <= relative * -row + tiny).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("batch", [1, 4])
def test_candidates_hold_the_best_and_few_more(draw_vectors, make_rows, metric, batch):
    vectors, points = draw_vectors(3_000, 64), draw_vectors(batch, 64)
    queries = Queries(metric=metric, vectors=points, norms=row_norms(points), alone=batch == 1)
    found = find_candidates(
        make_rows(vectors, edges=(1_000,)),
        queries,
        10,
        min_score=None,
        deadline=Deadline(),
        pool=None,
        threads=1,
    )
    for point, slots in zip(points, found, strict=True):
        best = np.argsort(-score_all_rows(metric, vectors, point))[:10]
        assert set(best.tolist()) <= set(slots.tolist())
        assert len(slots) < 20
