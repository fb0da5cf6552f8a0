"""Means and unit vectors, with one fixed order of additions."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..kernels.rotate import add_rows, unit_rows

CHUNK_ROWS = 4_096


def mean_of(parts: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The mean of all rows of the parts ([m, dim]), however they are cut; zero rows have none.

    Rows are added in float64, one after the other, in chunks of ``CHUNK_ROWS``; then the chunks.
    """
    total: NDArray[np.float64] | None = None
    chunk: NDArray[np.float64] | None = None
    count = 0
    for part in parts:
        if total is None or chunk is None:
            total, chunk = np.zeros(part.shape[1]), np.zeros(part.shape[1])
        start = 0
        while start < len(part):
            taken = min(len(part) - start, CHUNK_ROWS - count % CHUNK_ROWS)
            add_rows(part[start : start + taken], chunk)
            start, count = start + taken, count + taken
            if count % CHUNK_ROWS == 0:
                total += chunk
                chunk[:] = 0.0
    if total is None or chunk is None or count == 0:
        raise AssertionError("the mean of no rows")
    mean: NDArray[np.float32] = ((total + chunk) / count).astype(np.float32)
    return mean


def normalise(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row divided by its length (squares added in float64, in order); zero stays zero."""
    out = np.empty(rows.shape, np.float32)
    unit_rows(rows, out)
    return out
