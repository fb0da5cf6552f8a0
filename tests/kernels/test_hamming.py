"""The scan by Hamming distance, beside numpy."""

from __future__ import annotations

import os

import numpy as np
import pytest

from vecdb.kernels.hamming import TILE_BYTES, scan_hamming
from vecdb.kernels.heaps import sort_heap

pytestmark = pytest.mark.skipif(
    "NUMBA_DISABLE_JIT" in os.environ, reason="the step is written as vector instructions"
)


def draw(words=3, queries=1, blocks=41, seed=9):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2**64, (blocks, words, 8), np.uint64)
    codes[5:8] = codes[4]  # equal distances
    mask = rng.integers(0, 256, blocks).astype(np.uint8)
    mask[blocks // 3 : blocks // 2] = 0
    return codes, mask, rng.integers(0, 2**64, (words, queries), np.uint64)


def nearest(codes, mask, signs, k):
    """Distances and slots of the k nearest live codes of each query, by (distance, slot)."""
    live = np.flatnonzero(np.unpackbits(mask, bitorder="little"))
    differing = np.bitwise_count(codes[None] ^ signs.T[:, None, :, None])
    found = []
    for distances in differing.sum(axis=2, dtype=np.int64).reshape(signs.shape[1], -1)[:, live]:
        order = np.lexsort((live, distances))[:k]
        found.append((distances[order].tolist(), live[order].tolist()))
    return found


def scan(codes, mask, signs, k=13, cuts=()):
    """The nearest of all blocks, by calls that end at ``cuts``."""
    queries = signs.shape[1]
    heaps = (
        np.zeros((queries, k), np.int32),
        np.zeros((queries, k), np.int64),
        np.zeros(queries, np.int64),
    )
    for begin, end in zip([0, *cuts], [*cuts, len(codes)], strict=True):
        scan_hamming(codes, mask, begin, end, signs, *heaps)
    found = []
    for values, slots, size in zip(*heaps, strict=True):
        sort_heap(values, slots, size)
        found.append(((-values[:size]).tolist(), slots[:size].tolist()))
    return found


@pytest.mark.parametrize("words", [1, 2, 3, 6, 12, 48, 256])
def test_nearest_codes_are_those_of_the_definition(words):
    case = draw(words, queries=9)
    assert scan(*case) == nearest(*case, 13)


@pytest.mark.parametrize("queries", [1, 5, 6, 8, 14, 33])
def test_a_batch_gives_each_query_what_it_gets_alone(queries):
    codes, mask, signs = draw(queries=queries)
    together = scan(codes, mask, signs)
    assert together == nearest(codes, mask, signs, 13)
    alone = [np.ascontiguousarray(signs[:, q : q + 1]) for q in range(queries)]
    assert together == [scan(codes, mask, one)[0] for one in alone]


@pytest.mark.parametrize("queries", [1, 8])
def test_heaps_go_on_from_call_to_call(queries):
    case = draw(queries=queries)
    for cuts in [(1,), (20, 20, 21), tuple(range(1, 41))]:
        assert scan(*case, cuts=cuts) == scan(*case)


def test_more_blocks_than_a_tile_hold_the_same_nearest():
    case = draw(words=6, queries=9, blocks=2 * TILE_BYTES // (64 * 6) + 3)
    assert scan(*case, k=40) == nearest(*case, 40)


@pytest.mark.parametrize("queries", [1, 8])
def test_of_equal_codes_the_smaller_slots_stay(queries):
    codes, mask, signs = draw(queries=queries)
    codes[:] = codes[0, :, :1]
    live = np.flatnonzero(np.unpackbits(mask, bitorder="little"))
    for _, slots in scan(codes, mask, signs, k=20):
        assert slots == live[:20].tolist()


def test_fewer_live_codes_than_wanted_are_all_found():
    codes, mask, signs = draw(queries=8)
    mask[:] = 0
    assert scan(codes, mask, signs, k=5) == [([], [])] * 8
    mask[40] = 0b1000_0001
    for _, slots in scan(codes, mask, signs, k=5):
        assert sorted(slots) == [320, 327]


def test_identical_and_opposite_codes_have_the_extreme_distances():
    codes, mask, signs = draw(words=2)
    mask[0] = 0xFF
    codes[0, :, 3], codes[0, :, 5] = signs[:, 0], ~signs[:, 0]
    distances, slots = scan(codes, mask, signs, k=328)[0]
    assert (distances[0], slots[0]) == (0, 3)
    assert (distances[-1], slots[-1]) == (128, 5)
