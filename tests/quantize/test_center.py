"""Means and unit vectors: one order of additions, however the rows are cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from vecdb.quantize.center import CHUNK_ROWS, mean_of, normalise


def cut(rows, *edges):
    return (rows[start:stop] for start, stop in pairwise([0, *edges, len(rows)]))


def test_mean_does_not_depend_on_the_cut(rng):
    rows = rng.standard_normal((2 * CHUNK_ROWS + 100, 7)).astype(np.float32)
    rows[10], rows[-10] = 2.0**40, -(2.0**40)  # between them sums lose bits that float32 shows
    whole = mean_of([rows])
    cuts = [(1, 2, 3), (CHUNK_ROWS - 1, CHUNK_ROWS), (0, 5_000, 5_000), (8_200,)]
    assert {mean_of(cut(rows, *edges)).tobytes() for edges in cuts} == {whole.tobytes()}
    assert whole.dtype == np.float32


@pytest.mark.parametrize("count", [1, 5, CHUNK_ROWS, CHUNK_ROWS + 1])
def test_mean_is_the_sum_of_the_chunks_over_the_count(rng, count):
    rows = rng.standard_normal((count, 3)).astype(np.float32)
    total = np.zeros(3)
    for start in range(0, count, CHUNK_ROWS):
        chunk = np.zeros(3)
        for row in rows[start : start + CHUNK_ROWS].astype(np.float64):
            chunk += row
        total += chunk
    assert mean_of([rows]).tobytes() == (total / count).astype(np.float32).tobytes()


def test_mean_of_large_numbers_is_finite():
    rows = np.full((3, 2), 3e38, np.float32)
    assert (mean_of([rows]) == np.float32(3e38)).all()


def test_mean_of_no_rows_is_a_fault_of_ours():
    with pytest.raises(AssertionError, match="no rows"):
        mean_of([np.empty((0, 3), np.float32)])
    with pytest.raises(AssertionError, match="no rows"):
        mean_of([])


def test_normalised_rows_have_length_1_whoever_is_beside(rng):
    rows = (rng.standard_normal((40, 100)) * 50).astype(np.float32)
    rows[7] = 0.0
    unit = normalise(rows)
    lengths = np.linalg.norm(unit.astype(np.float64), axis=1)
    assert np.allclose(np.delete(lengths, 7), 1.0, atol=1e-6)
    assert not unit[7].any()
    for row in (0, 7, 39):
        assert normalise(rows[row : row + 1]).tobytes() == unit[row].tobytes()
