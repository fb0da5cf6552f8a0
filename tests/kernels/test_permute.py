import numpy as np
import pytest

from vecdb.kernels.permute import permute_rows


@pytest.mark.parametrize("count", [1, 2, 7, 1_000])
def test_rows_are_moved_as_a_copy_would_move_them(count):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((count, 3), dtype=np.float32)
    order = rng.permutation(count)
    moved = rows.copy()
    permute_rows(moved, order)
    np.testing.assert_array_equal(moved, rows[order])


def test_cycles_of_one_stay_where_they_are():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((5, 2), dtype=np.float32)
    moved = rows.copy()
    permute_rows(moved, np.array([0, 4, 2, 3, 1]))
    np.testing.assert_array_equal(moved, rows[[0, 4, 2, 3, 1]])
