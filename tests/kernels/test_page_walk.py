"""Which pages a walk reads next, on pools filled by hand."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import pytest

from vecdb.kernels import page_pool as pool
from vecdb.kernels.graph_walk import BASE
from vecdb.kernels.page_pool import COSINE, DOT, L2, choose_pages, has_bit, offer, set_bit

pytestmark = pytest.mark.skipif(
    "NUMBA_DISABLE_JIT" in os.environ, reason="memory by its address needs compiled code"
)

K, BEAM = 3, 4
WIDTHS = (12, 5)
BLOCKS = (10, 6)  # of two runs
PER_PAGE = (5, 3)
PAGES = (16, 16)


@dataclass
class Walks:
    """The pools of ``count`` queries over two runs; ``best`` scores are there from the start."""

    metric: int = L2
    best: tuple[float, ...] = (-1.0, -1.0, -1.0)
    count: int = 1

    def __post_init__(self):
        self.table = np.zeros((2, pool.PAGE_COLUMNS), np.int64)
        self.table[:, BASE] = 0, BLOCKS[0]
        self.table[:, pool.PER_PAGE] = PER_PAGE
        self.table[:, pool.PAGE_BASE] = 0, PAGES[0]
        self.table[:, pool.WIDTH] = WIDTHS
        shape = (self.count, 2, max(WIDTHS))
        self.e, self.sigma = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.slots, self.done = np.zeros(shape, np.int64), np.zeros(shape, np.uint8)
        self.ends = np.zeros((self.count, 2, pool.ENDS), np.int64)
        self.met = np.zeros((self.count, sum(BLOCKS)), np.uint8)
        self.read = np.zeros((self.count, sum(PAGES) // 8), np.uint8)
        self.numbers = np.zeros((self.count, pool.NUMBERS), np.int64)
        self.numbers[:, pool.BEST] = len(self.best)
        self.heaps = np.zeros((self.count, K))
        self.heaps[:, : len(self.best)] = self.best

    def offer(self, e, number, sigma=0.0, query=0):
        at = query, int(number >= 8 * BLOCKS[0])
        some = (one[at] for one in (self.e, self.sigma, self.slots, self.done))
        size = self.ends[at][pool.SIZE]
        self.ends[at][pool.SIZE] = offer(*some, size, WIDTHS[at[1]], np.float32(e), sigma, number)

    def choose(self, margin=1.1, sigmas=2.0, allowance=0, beam=BEAM):
        """``beam``: of each run."""
        self.table[:, pool.ALLOWANCE] = allowance
        wanted, sizes = np.full((self.count, 2 * beam), -1), np.full(self.count, -1)
        choose_pages(
            *(self.table, self.metric, K, margin, sigmas),
            *(self.e, self.sigma, self.slots, self.done, self.ends),
            *(self.met, self.read, self.numbers, self.heaps, wanted, sizes),
        )
        chosen = [row[:size].tolist() for row, size in zip(wanted, sizes, strict=True)]
        return chosen[0] if self.count == 1 else chosen

    @property
    def states(self):
        return self.ends[0, :, pool.STATE].tolist()


def test_pages_come_by_the_best_of_their_slots_and_once():
    walks = Walks()
    for e, number in ((-0.5, 12), (-0.1, 3), (-0.4, 10), (-0.2, 79), (-0.3, 20), (-0.6, 27)):
        walks.offer(e, number)
    assert walks.choose() == [0, 15, 4, 2]
    assert walks.choose() == [5]
    assert walks.choose() == []
    assert walks.states == [pool.POOL, pool.POOL]
    walks.offer(-0.01, 30)
    assert walks.choose() == []  # it has ended


def test_every_run_has_its_turn_and_its_end():
    walks = Walks()
    for number in (0, 5, 10):
        walks.offer(-0.1, number)
    for e, number in ((-0.9, 80), (-0.7, 83), (-3.0, 86)):  # slot 80 is the first of the second run
        walks.offer(e, number)
    assert walks.choose(beam=2) == [0, 1, 17, 16]
    walks.offer(-0.05, 20)
    assert walks.choose(beam=2) == [4, 2]
    assert walks.states == [pool.RUNNING, pool.MARGIN]
    assert walks.choose(beam=2) == []
    assert walks.states == [pool.POOL, pool.MARGIN]


def test_beam_is_the_most_that_are_read_at_once():
    walks = Walks()
    for number in range(0, 60, 5):
        walks.offer(-0.01 * number, number)
    assert [walks.choose(beam=5) for _ in range(4)] == [
        [0, 1, 2, 3, 4],
        [5, 6, 7, 8, 9],
        [10, 11],
        [],
    ]


def test_newcomer_that_is_better_comes_first():
    walks = Walks()
    for number in (0, 5, 10):
        walks.offer(-0.5, number)
    assert walks.choose(beam=2) == [0, 1]
    walks.offer(-0.4, 20)
    assert walks.choose(beam=2) == [4, 2]


def test_page_that_was_read_for_another_slot_is_not_read_again():
    walks = Walks()
    set_bit(walks.read[0], 3)
    walks.offer(-0.1, 17)
    walks.offer(-0.2, 21)
    assert walks.choose() == [4]


@pytest.mark.parametrize("run", [0, 1])
def test_full_pool_keeps_the_best_by_estimate_and_then_by_slot(run):
    walks = Walks()
    rng = np.random.default_rng(1)
    width, first = WIDTHS[run], 8 * BLOCKS[0] * run
    numbers = rng.integers(-9, 0, 40)
    offered = [(float(e), slot) for slot, e in enumerate(numbers, start=first)]
    for e, slot in (offered[at] for at in rng.permutation(40)):
        walks.offer(e, slot, sigma=slot)
    best = sorted(offered, key=lambda one: (-one[0], one[1]))[:width]
    kept = zip(walks.e[0, run, :width].tolist(), walks.slots[0, run, :width].tolist(), strict=True)
    assert list(kept) == best
    assert walks.sigma[0, run, :width].tolist() == [slot for _, slot in best]
    assert walks.ends[0, :, pool.SIZE].tolist() == [width * (1 - run), width * run]


@pytest.mark.parametrize(
    ("metric", "kth", "near", "far"),
    [
        (L2, -2.0, -2.19, -2.21),  # squared distances, up to 1.1 * 2
        (COSINE, -0.2, 0.891, 0.889),  # cosines: 2 - 2e up to 1.1 * 0.2
        (DOT, 5.0, 4.41, 4.39),  # products: two sigmas of 0.3 below
    ],
)
def test_slots_too_far_from_the_kth_best_end_the_walk(metric, kth, near, far):
    for e, chosen, state in ((near, [0, 1], pool.RUNNING), (far, [0], pool.MARGIN)):
        walks = Walks(metric=metric, best=(kth, kth + 0.1, kth + 0.1))
        walks.offer(kth + 0.05 if metric != COSINE else 0.95, 0)
        walks.offer(e, 5, sigma=0.3)
        assert walks.choose() == chosen
        assert walks.states[0] == state


def test_so_many_far_pages_are_allowed():
    walks = Walks()
    for number in range(0, 50, 5):
        walks.offer(-2.0, number)
    assert walks.choose(allowance=6) == [0, 1, 2, 3]
    assert walks.choose(allowance=6) == [4, 5]
    assert walks.states[0] == pool.MARGIN
    assert walks.choose(allowance=6) == []


def test_nothing_is_far_until_there_are_k():
    walks = Walks(best=(-1.0, -1.0))
    walks.offer(-50.0, 5)
    assert walks.choose() == [1]


def test_queries_do_not_know_of_each_other():
    walks = Walks(count=2)
    walks.offer(-0.1, 0, query=0)
    walks.offer(-0.1, 2, query=1)
    walks.offer(-0.2, 90, query=1)
    assert walks.choose() == [[0], [0, 19]]
    assert walks.choose() == [[], []]


def test_bits_are_set_one_by_one():
    bits = np.zeros(3, np.uint8)
    for number in (0, 7, 8, 23):
        assert not has_bit(bits, number)
        set_bit(bits, number)
    assert bits.tolist() == [0b10000001, 1, 0b10000000]
    assert [n for n in range(24) if has_bit(bits, n)] == [0, 7, 8, 23]
