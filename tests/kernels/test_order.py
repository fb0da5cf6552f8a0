import numpy as np
import pytest

from vecdb.kernels.order import best_of_each


def call(lists, k):
    edges = np.cumsum([0, *map(len, lists)])
    out = np.full((len(lists), k), -1)
    sizes, tied = np.empty(len(lists), np.int64), np.empty(len(lists), np.uint8)
    best_of_each(np.concatenate(lists).astype(np.float64), edges, out, sizes, tied)
    return [row[:size].tolist() for row, size in zip(out, sizes, strict=True)], tied.tolist()


@pytest.mark.parametrize("k", [1, 2, 10])
def test_best_come_first_and_ties_are_told(k):
    rng = np.random.default_rng(k)
    lists = [rng.integers(0, 40, rng.integers(0, 30)) for _ in range(300)]
    found, tied = call(lists, k)
    start = 0
    for numbers, positions, tie in zip(lists, found, tied, strict=True):
        ordered = np.sort(numbers)[::-1]
        chosen = ordered[:k]
        assert [numbers[at - start] for at in positions] == chosen.tolist()
        left = ordered[len(chosen) :][:1]
        near = np.concatenate((chosen, left))
        assert tie == (len(near) > 1 and (near[1:] == near[:-1]).any())
        start += len(numbers)


def test_tie_that_later_scores_push_out_is_none():
    assert call([np.array([1.0, 1.0, 5.0, 4.0])], 2) == ([[2, 3]], [0])


def test_lists_may_be_empty():
    assert call([np.empty(0), np.array([3.0]), np.empty(0)], 3) == ([[], [0], []], [0, 0, 0])
