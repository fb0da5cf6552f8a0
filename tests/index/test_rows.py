"""Norms, widening and cutting of stored rows."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.index.rows import Rows, as_float32, row_norms, split_rows
from vecdb.testing.oracle import add_in_lanes

DTYPES = ("float32", "float16", "uint8")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [1, 7, 8, 384])
def test_norms_are_roots_of_the_score_sums(draw_vectors, dtype, dim):
    vectors = draw_vectors(1_500, dim, dtype)
    wide = vectors.astype(np.float64)
    assert row_norms(vectors).tobytes() == np.sqrt(add_in_lanes(wide * wide)).tobytes()


def test_norms_do_not_depend_on_the_rows_beside(draw_vectors):
    vectors = draw_vectors(3_000, 100)
    alone = [row_norms(vectors[row : row + 1])[0] for row in (0, 1, 2_999)]
    assert row_norms(vectors)[[0, 1, 2_999]].tolist() == alone


def test_norms_of_no_rows_are_none():
    assert row_norms(np.empty((0, 5), np.float32)).shape == (0,)


@pytest.mark.parametrize("dtype", DTYPES)
def test_float32_holds_the_same_numbers(draw_vectors, dtype):
    vectors = draw_vectors(9, 5, dtype)
    scratch = np.full((12, 5), -1.0, np.float32)
    for wide in (as_float32(vectors), as_float32(vectors, scratch), as_float32(vectors[::2])):
        expected = vectors if len(wide) == 9 else vectors[::2]
        assert wide.dtype == np.float32
        assert wide.flags.c_contiguous
        assert (wide == expected).all()
    assert (scratch[9:] == -1.0).all()


@pytest.mark.parametrize(("most", "lengths"), [(100, [10]), (10, [10]), (4, [3, 3, 4])])
def test_parts_are_nearly_equal_and_in_order(draw_vectors, make_rows, most, lengths):
    (run,) = make_rows(draw_vectors(10, 3), first=7)
    parts = [one.part(start, stop) for one, start, stop in split_rows([run], most)]
    assert [len(part) for part in parts] == lengths
    assert [part.first for part in parts] == [7 + sum(lengths[:i]) for i in range(len(lengths))]
    for name in ("vectors", "norms", "mask"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert (joined == getattr(run, name)).all()


def test_rows_without_rows_have_no_parts(draw_vectors, make_rows):
    assert list(split_rows(make_rows(draw_vectors(0, 3)), 5)) == []


def test_matching_rows_are_those_of_the_mask(draw_vectors):
    vectors = draw_vectors(4, 2)
    mask = np.array([0, 1, 0, 1], np.uint8)
    rows = Rows(first=9, vectors=vectors, norms=row_norms(vectors), mask=mask)
    assert rows.matching().tolist() == [1, 3]
    assert rows.matching_count() == 2
