"""What is kept of pairs that come by ascending slot, beside a stable sort."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.kernels.heaps import limit_of, make_newcomers, settle_all, sort_heap


def best(values, k):
    """Values and slots of the k best, equal ones by slot; the slot of value i is 3 i."""
    order = np.argsort(-values, kind="stable")[:k]
    return values[order].tolist(), (3 * order).tolist()


def keep(values, k, step):
    """The same, from ``step`` newcomers at a time."""
    kept = (np.zeros((2, k), values.dtype), np.zeros((2, k), np.int64), np.zeros(2, np.int64))
    newcomers = make_newcomers(kept[0])
    limits = np.zeros(2, values.dtype)
    for start in range(0, len(values), step):
        some = values[start : start + step]
        newcomers[0][1, : len(some)] = some
        newcomers[1][1, : len(some)] = 3 * np.arange(start, start + len(some))
        newcomers[2][1] = len(some)
        settle_all(kept, newcomers, limits)
        assert newcomers[2].tolist() == [0, 0]
    size = kept[2][1]
    assert (np.diff(kept[1][1, :size]) > 0).all()
    if size == k:
        assert limits[1] == limit_of(kept[0][1], size, values.dtype.type(0)) == kept[0][1].min()
    sort_heap(kept[0][1], kept[1][1], size)
    assert kept[2][0] == 0
    return kept[0][1, :size].tolist(), kept[1][1, :size].tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
@pytest.mark.parametrize("different", [1, 2, 7, 1_000_000])
@pytest.mark.parametrize(("k", "step"), [(1, 1), (10, 3), (10, 70), (100, 64), (500, 80)])
def test_the_best_are_kept_and_of_equal_ones_the_first(k, step, different, dtype):
    rng = np.random.default_rng(k)
    values = (rng.integers(0, different, 400) - different // 2).astype(dtype)
    assert keep(values, k, step) == best(values, k)


@pytest.mark.parametrize("order", [1, -1])
def test_sorted_values_are_no_worse_off(order):
    values = np.arange(3_000, dtype=np.float32)[::order].copy()
    assert keep(values, 200, 100) == best(values, 200)


def test_least_values_are_values_like_any_other():
    values = np.array([-np.inf, 1.0, -np.inf, -np.inf, 2.0], np.float32)
    assert keep(values, 4, 1) == best(values, 4)


def test_a_row_with_room_has_no_limit():
    values = np.array([3.0, 1.0, 2.0], np.float32)
    assert limit_of(values, 2, np.float32(-7.0)) == -7.0
    assert limit_of(values, 3, np.float32(-7.0)) == 1.0
