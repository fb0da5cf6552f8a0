"""The scan by estimates, beside the formula in numpy. Every comparison is of bits."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from vecdb.kernels import codes as kernels
from vecdb.kernels.heaps import sort_heap

pytestmark = pytest.mark.skipif(
    "NUMBA_DISABLE_JIT" in os.environ, reason="the step is written as vector instructions"
)


@dataclass(frozen=True)
class Case:
    """Codes, masks, and queries as planes."""

    codes: np.ndarray
    fac: np.ndarray
    mask: np.ndarray
    planes4: np.ndarray
    delta: np.ndarray
    constant: np.ndarray

    @property
    def padded(self):
        return 64 * self.codes.shape[1]

    @property
    def queries(self):
        return (self.planes4, self.delta, self.constant, self.padded)

    def only(self, *rows):
        rows = list(rows)
        planes = np.ascontiguousarray(self.planes4[:, :, rows])
        return replace(self, planes4=planes, delta=self.delta[rows], constant=self.constant[rows])


def planes_of(levels):
    """[words, 4, queries] of numbers below 16, [queries, 64 words]."""
    bits = [levels >> j & 1 for j in range(4)]
    planes = [np.packbits(bit.astype(np.uint8), axis=1, bitorder="little") for bit in bits]
    return np.ascontiguousarray(np.stack([plane.view("<u8") for plane in planes], axis=1).T)


def draw(words=3, queries=1, blocks=41, seed=5):
    """Levels of the queries are of normal numbers, as those of real ones."""
    rng = np.random.default_rng(seed)
    levels = np.clip(np.floor(2.6 * rng.standard_normal((queries, 64 * words)) + 8), 0, 15)
    case = Case(
        codes=rng.integers(0, 2**64, (blocks, words, 8), np.uint64),
        fac=rng.standard_normal((blocks, 2, 8), np.float32),
        mask=rng.integers(0, 256, blocks).astype(np.uint8),
        planes4=planes_of(levels.astype(np.int64)),
        delta=rng.random(queries, np.float32) / words,
        constant=rng.standard_normal(queries, np.float32),
    )
    case.mask[blocks // 3 : blocks // 2] = 0
    case.codes[5:8], case.fac[5:8] = case.codes[4], case.fac[4]  # equal estimates
    return case


def estimates(case):
    """e of every code, [queries, slots]: the formula."""
    differing = case.codes[None, None] ^ case.planes4.transpose(2, 1, 0)[:, :, None, :, None]
    counts = np.bitwise_count(differing).astype(np.int64).sum(axis=3)
    mismatches = (counts << np.arange(4)[:, None, None]).sum(axis=1).astype(np.float32)
    product = case.delta[:, None, None] * (np.float32(7.5 * case.padded) - mismatches)
    e = (case.fac[:, 0] + case.fac[:, 1] * product) + case.constant[:, None, None]
    return e.reshape(len(case.delta), -1)


def best(case, k):
    """Estimates and slots of the k best live codes of each query, by (e desc, slot asc)."""
    live = np.flatnonzero(np.unpackbits(case.mask, bitorder="little"))
    found = []
    for e in estimates(case)[:, live]:
        e = np.where(np.isnan(e), np.float32(-np.inf), e)
        order = np.lexsort((live, -e))[:k]
        found.append((e[order].tolist(), live[order].tolist()))
    return found


class Heaps:
    def __init__(self, queries, k):
        self.values = np.full((queries, k), np.nan, np.float32)
        self.slots = np.full((queries, k), -1, np.int64)
        self.sizes = np.zeros(queries, np.int64)

    @property
    def arrays(self):
        return (self.values, self.slots, self.sizes)

    def sorted(self):
        found = []
        for values, slots, size in zip(*self.arrays, strict=True):
            sort_heap(values, slots, size)
            found.append((values[:size].tolist(), slots[:size].tolist()))
        return found


def scan(case, k=13, cuts=()):
    """The best of all blocks, by calls that end at ``cuts``."""
    heaps = Heaps(len(case.delta), k)
    ends = [*cuts, len(case.codes)]
    for begin, end in zip([0, *cuts], ends, strict=True):
        kernels.scan_estimates(
            case.codes, case.fac, case.mask, begin, end, *case.queries, *heaps.arrays
        )
    return heaps.sorted()


def scan_list(case, blocks, k=13):
    heaps = Heaps(len(case.delta), k)
    kernels.estimate_blocks(
        case.codes, case.fac, blocks, case.mask[blocks], *case.queries, *heaps.arrays
    )
    return heaps.sorted()


@pytest.mark.parametrize("words", [1, 2, 3, 6, 12, 48])
def test_best_codes_are_those_of_the_formula(words):
    case = draw(words, queries=7)
    assert scan(case) == best(case, 13)


@pytest.mark.parametrize("queries", [1, 2, 3, 4, 5, 8, 33])
def test_a_batch_gives_each_query_what_it_gets_alone(queries):
    case = draw(queries=queries)
    together = scan(case)
    assert together == best(case, 13)
    assert together == [scan(case.only(q))[0] for q in range(queries)]


@pytest.mark.parametrize("queries", [1, 6])
def test_heaps_go_on_from_call_to_call(queries):
    case = draw(queries=queries)
    whole = scan(case)
    for cuts in [(1,), (7,), (20, 20, 21), range(1, 41)]:
        assert scan(case, cuts=tuple(cuts)) == whole


def test_more_blocks_than_a_tile_hold_the_same_best():
    case = draw(words=6, queries=5, blocks=2 * kernels.TILE_BYTES // (64 * 7) + 3)
    assert scan(case, k=40) == best(case, 40)
    assert scan_list(case, np.arange(len(case.codes)), k=40) == best(case, 40)


@pytest.mark.parametrize("queries", [1, 4])
def test_of_equal_codes_the_smaller_slots_stay(queries):
    case = draw(queries=queries)
    case.codes[:], case.fac[:] = case.codes[0, :, :1], case.fac[0, :, :1]
    live = np.flatnonzero(np.unpackbits(case.mask, bitorder="little"))
    for _, slots in scan(case, k=20):
        assert slots == live[:20].tolist()


def test_fewer_live_codes_than_wanted_are_all_found():
    case = draw(queries=4)
    case.mask[:] = 0
    assert scan(case, k=5) == [([], [])] * 4
    case.mask[40] = 0b1000_0001
    for _, slots in scan(case, k=5):
        assert sorted(slots) == [320, 327]


def test_every_run_of_dead_blocks_is_passed_over():
    case = draw()
    for first in range(0, 24):
        for length in (7, 8, 9, 17):
            case.mask[:] = 0xFF
            case.mask[first : first + length] = 0
            case.fac[:, 0] = 0.0
            case.fac[first : first + length, 0] = 1e6
            assert scan(case) == best(case, 13)


def test_a_list_of_blocks_gives_what_their_masks_give():
    case = draw(queries=5)
    some = np.array([0, 3, 4, 9, 10, 17, 33, 40])
    listed = scan_list(case, some)
    elsewhere = np.ones(len(case.mask), bool)
    elsewhere[some] = False
    case.mask[elsewhere] = 0
    assert listed == scan(case) == best(case, 13)
    assert scan_list(case, some[:0]) == [([], [])] * 5


@pytest.mark.parametrize("queries", [1, 4])
def test_largest_sums_of_the_widest_codes_are_exact(queries):
    case = draw(words=256, queries=queries, blocks=9)
    case.mask[:] = 0xFF
    case.planes4[:] = 2**64 - 1
    case.codes[:4] = 0  # S = 15 * padded
    case.codes[4:] = 2**64 - 1  # S = 0
    case.fac[:, 1] = 1.0
    assert scan(case) == best(case, 13)


@pytest.mark.parametrize("edge", [254, 256])
def test_sums_at_the_edge_of_a_byte_are_exact(edge):
    """Of what eight tables add up to at most: 254 fits into a byte, 256 sends the query alone."""
    case = draw(words=5, queries=4)
    levels = np.tile([0, 15, 0, 15, 7, 8, 7, 8], (4, 40))
    if edge == 254:
        levels.reshape(4, 5, 64)[:, ::2, :32:8] = 1
    case.planes4[:] = planes_of(levels)
    case.mask[0] = 0xFF
    most = np.packbits((levels[0] < 8).astype(np.uint8), bitorder="little").view("<u8")
    case.codes[0, :, ::2], case.codes[0, :, 1::2] = most[:, None], ~most[:, None]
    assert scan(case) == best(case, 13)


def test_queries_of_any_levels_share_a_batch():
    case = draw(queries=11)
    case.planes4[:, :, [2, 9]] = np.random.default_rng(6).integers(0, 2**64, (3, 4, 2), np.uint64)
    case.planes4[:, :, 5] = 2**64 - 1
    assert scan(case) == best(case, 13)


def test_zero_queries_and_zero_codes_have_plain_estimates():
    case = draw(queries=5)
    case.delta[:] = 0.0  # y = 0
    case.fac[::2, 1] = 0.0  # z = 0
    e = np.unique((case.fac[:, 0] + case.constant[0]).ravel())
    assert set(scan(case)[0][0]) <= set(e.tolist())
    assert scan(case) == best(case, 13)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_estimates_that_are_no_numbers_come_last():
    case = draw(queries=4)
    case.fac[::3, 1], case.fac[1::3, 0] = np.nan, -np.inf
    live = int(np.unpackbits(case.mask).sum())
    assert scan(case, k=live + 1) == best(case, live + 1)
    assert scan(case) == best(case, 13)


def test_arrays_may_be_read_only_and_anywhere_in_memory():
    case = draw(words=12, queries=5)
    for shift in (8, 24):
        room = np.zeros(case.codes.nbytes + 128, np.uint8)
        skip = -room.ctypes.data % 64 + shift
        moved = room[skip : skip + case.codes.nbytes].view(np.uint64).reshape(case.codes.shape)
        moved[:] = case.codes
        moved.flags.writeable = False
        assert scan(replace(case, codes=moved)) == best(case, 13)


AVX2 = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": ""}


@pytest.mark.slow
@pytest.mark.skipif("NUMBA_BOUNDSCHECK" in os.environ, reason="run once, without")
def test_scans_give_the_same_bits_on_a_processor_without_wide_vectors():
    """These tests, and those of the other kernels of codes, compare with the formula there."""
    files = [Path(__file__).with_name(f"test_{name}.py") for name in ("codes", "hamming", "refine")]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-m", "not slow", *files),
        ],
        env={**os.environ, **AVX2},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4_000:]
    assert " passed" in done.stdout


@pytest.mark.slow
def test_compiled_scans_come_from_the_cache():
    """They were compiled when this file was imported, if not before."""
    program = (
        "from vecdb.kernels import codes, hamming, refine\n"
        "kernels = (codes._scan, hamming.scan_hamming, refine.refine_candidates)\n"
        "print([sum(k.stats.cache_misses.values()) for k in kernels])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[0, 0, 0]"
