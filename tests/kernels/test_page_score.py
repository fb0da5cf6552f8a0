"""Vectors are scored where they lie, to the bits of the score of a matrix."""

from __future__ import annotations

import os

import numpy as np
import pytest

from vecdb.kernels.exact import score_pairs
from vecdb.kernels.page_score import copy_rows, score_on_pages

pytestmark = pytest.mark.skipif(
    "NUMBA_DISABLE_JIT" in os.environ, reason="memory by its address needs compiled code"
)

DTYPE_CODES = {"float32": 1, "float16": 2, "uint8": 3}
DIMS = (1, 7, 8, 9, 100, 385)
ROWS, QUERIES = 40, 3


def rows_of(dtype, dim, rng):
    """Numbers over many orders of magnitude, subnormal halves included."""
    if dtype == "uint8":
        return rng.integers(0, 256, (ROWS, dim), np.uint8)
    scale = 10.0 ** rng.integers(-6, 4, (ROWS, dim))
    return (rng.standard_normal((ROWS, dim)) * scale).astype(dtype)


@pytest.fixture(params=DTYPE_CODES)
def dtype(request):
    return request.param


def scattered(rows, rng):
    """(memory, addresses): the rows in another order, with gaps, as pages leave them."""
    size = rows.dtype.itemsize * rows.shape[1]
    step = size + 4 - size % 4 + 64
    memory = rng.integers(0, 256, (len(rows), step), np.uint8)
    order = rng.permutation(len(rows))
    memory[order, 64 : 64 + size] = rows.view(np.uint8).reshape(len(rows), size)
    return memory, memory.ctypes.data + step * order + 64


@pytest.mark.parametrize("squared_gap", [False, True])
@pytest.mark.parametrize("dim", DIMS)
def test_scores_have_the_bits_of_the_matrix(dtype, dim, squared_gap):
    rng = np.random.default_rng(dim)
    rows = rows_of(dtype, dim, rng)
    queries = rng.standard_normal((QUERIES, dim), np.float32)
    memory, addresses = scattered(rows, rng)
    query_of = rng.integers(0, QUERIES, 200)
    row_of = rng.integers(0, ROWS, 200)
    expected, out, squares = np.empty((3, 200))
    wide = rows.astype(np.float32)
    score_pairs(squared_gap, queries, wide, query_of, row_of, expected)
    code = DTYPE_CODES[dtype]
    score_on_pages(squared_gap, code, queries, query_of, addresses[row_of], out, squares)
    assert out.tobytes() == expected.tobytes()
    if squared_gap:
        assert not squares.any()
    else:
        score_pairs(False, wide, wide, row_of, row_of, expected)
        assert squares.tobytes() == expected.tobytes()
    assert memory.any()  # it has lived until here


def test_rows_are_copied_from_where_they_lie(dtype):
    rng = np.random.default_rng(2)
    rows = rows_of(dtype, 9, rng)
    memory, addresses = scattered(rows, rng)
    copied = np.empty((5, 9), rows.dtype)
    chosen = np.array([3, 39, 3, 0, 17])
    size = 9 * rows.dtype.itemsize
    copy_rows(addresses[chosen], size, copied.view(np.uint8).reshape(5, size))
    assert copied.tobytes() == rows[chosen].tobytes()
    assert memory.any()
