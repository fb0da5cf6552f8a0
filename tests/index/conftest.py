"""Rows drawn at random, cut into runs, and searched on pools."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest

from vecdb.index.flat import Rows, row_norms


@pytest.fixture(scope="session")
def pool():
    with ThreadPoolExecutor(8) as executor:
        yield executor


@pytest.fixture
def rng():
    return np.random.default_rng(20)


@pytest.fixture
def draw_vectors(rng):
    """Vectors of a dtype; none has length 0."""

    def draw(count, dim, dtype="float32"):
        if dtype == "uint8":
            vectors = rng.integers(0, 256, (count, dim)).astype(np.uint8)
            vectors[:, 0] |= 1
            return vectors
        return rng.standard_normal((count, dim)).astype(dtype)

    return draw


@pytest.fixture
def make_rows():
    """Runs of the vectors, cut at ``edges``; slots begin at ``first``."""

    def make(vectors, *, mask=None, edges: Sequence[int] = (), first=0):
        if mask is None:
            mask = np.ones(len(vectors), np.uint8)
        bounds = [0, *edges, len(vectors)]
        return [
            Rows(
                first=first + start,
                vectors=vectors[start:stop],
                norms=row_norms(vectors[start:stop]),
                mask=mask[start:stop],
            )
            for start, stop in pairwise(bounds)
        ]

    return make
