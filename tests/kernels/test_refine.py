"""Estimates from all bits of the codes, beside their definition in numpy."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import pytest

from vecdb.kernels.refine import BATCH, refine_candidates

pytestmark = pytest.mark.skipif(
    "NUMBA_DISABLE_JIT" in os.environ, reason="planes are compared with vector instructions"
)

KAPPA, LENGTH, DELTA = 0.613, np.float32(1.25), np.float32(0.004)
CONSTANT = np.float32(-0.5)


@dataclass(frozen=True)
class Case:
    """Codes of ``bits`` bits, one query, and the candidates of its scan, best first."""

    bits: int
    levels: np.ndarray  # [slots, padded] the number of each dimension
    codes: np.ndarray
    fac: np.ndarray
    refine: np.ndarray
    query: np.ndarray  # [padded] v of y about delta (v - 127.5)
    planes8: np.ndarray
    slots: np.ndarray
    e: np.ndarray

    def run(self, k=10, z=2.0):
        """New estimates and errors of the candidates that were refined."""
        out_e, out_sigma = np.full((2, len(self.slots)), np.nan, np.float32)
        count = refine_candidates(
            *(self.codes, self.fac, self.refine, self.bits, len(self.query), self.slots, self.e),
            *(self.planes8, DELTA, CONSTANT, LENGTH, KAPPA, z, k, out_e, out_sigma),
        )
        return out_e[:count], out_sigma[:count]

    def factors(self):
        """mul_B and err_B of the candidates."""
        pair = self.refine[self.slots, -1:].view(np.float32)
        return pair[:, 0].astype(np.float64), pair[:, 1].astype(np.float64)

    def scan_factors(self):
        fac = self.fac[self.slots // 8, :, self.slots % 8].astype(np.float64)
        return fac[:, 0], fac[:, 1]


def pack(bits):
    """Bits of [..., padded] as words."""
    return np.packbits(bits.astype(np.uint8), axis=-1, bitorder="little").view("<u8")


def draw(bits=4, words=3, slots=300, candidates=256, spread=1.0, seed=2):
    rng = np.random.default_rng(seed)
    padded = 64 * words
    levels = rng.integers(0, 2**bits, (slots, padded))
    planes = [pack(levels >> b & 1) for b in range(bits)]
    blocks = -(-slots // 8)
    codes = np.zeros((8 * blocks, words), np.uint64)
    codes[:slots] = planes[-1]
    refine = np.zeros((slots, (bits - 1) * words + 1), np.uint64)
    for b in range(bits - 1):
        refine[:, (bits - 2 - b) * words : (bits - 1 - b) * words] = planes[b]
    refine[:, -1:] = (0.1 + 0.01 * rng.random((slots, 2), np.float32)).view(np.uint64)
    query = rng.integers(0, 256, padded)
    fac = rng.random((blocks, 2, 8), np.float32)
    fac[:, 1] *= np.float32(0.02)
    return Case(
        bits=bits,
        levels=levels,
        codes=np.ascontiguousarray(codes.reshape(blocks, 8, words).transpose(0, 2, 1)),
        fac=fac,
        refine=refine,
        query=query,
        planes8=np.stack([pack(query >> j & 1) for j in range(8)]),
        slots=rng.permutation(slots)[:candidates],
        e=np.sort(spread * rng.standard_normal(candidates, np.float32))[::-1].copy(),
    )


def products(case):
    """<g, y> of the candidates: plain arithmetic on the numbers that the planes stand for."""
    grid = case.levels[case.slots] - (2**case.bits - 1) / 2
    return float(DELTA) * (grid @ (case.query - 127.5))


def expected(case):
    """e and sigma of all candidates, as the module defines them."""
    mul_b, err_b = case.factors()
    add, mul = (np.float32(part) for part in case.scan_factors())
    product = products(case).astype(np.float32)
    e = (add + np.float32(mul_b) * product) + CONSTANT
    noise = 0.006 * mul.astype(np.float64)
    return e, np.float32(float(LENGTH) * np.sqrt(err_b * err_b + noise * noise))


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("words", [1, 3, 12, 48])
def test_estimates_use_every_bit_of_code_and_query(bits, words):
    case = draw(bits, words)
    e, sigma = case.run(k=len(case.slots))
    want_e, want_sigma = expected(case)
    assert e.tolist() == want_e.tolist()
    assert sigma.tolist() == want_sigma.tolist()


def test_one_bit_keeps_the_estimates_of_the_scan():
    case = draw(bits=1)
    e, sigma = case.run(k=len(case.slots))
    assert e.tolist() == case.e.tolist()
    _, mul = case.scan_factors()
    np.testing.assert_allclose(sigma, KAPPA * mul * float(LENGTH), rtol=1e-6)


@pytest.mark.parametrize(("k", "z"), [(1, 2.0), (10, 2.0), (10, 0.0), (64, 3.0), (100, 2.0)])
@pytest.mark.parametrize("bits", [1, 4])
def test_refining_stops_before_the_first_batch_that_cannot_reach_the_floor(bits, k, z):
    case = draw(bits, slots=2_000, candidates=1_500, spread=4.0)
    e, sigma = case.run(k, z)
    _, mul = case.scan_factors()
    all_e, all_sigma = (np.asarray(part, np.float64) for part in case.run(k=len(case.slots)))
    reach = case.e + z * KAPPA * mul * float(LENGTH)
    count = 0
    while count < len(case.slots):
        lows = np.sort(all_e[:count] - z * all_sigma[:count])[::-1]
        if count >= k and reach[count : count + BATCH].max() < lows[k - 1]:
            break
        count += BATCH
    assert 0 < count < len(case.slots)
    assert len(e) == count
    assert e.tolist() == all_e[:count].tolist()
    assert sigma.tolist() == all_sigma[:count].tolist()


def test_no_candidates_are_no_work():
    e, sigma = draw(candidates=0).run()
    assert len(e) == len(sigma) == 0


def test_last_batch_may_be_short():
    case = draw(candidates=BATCH + 5)
    assert len(case.run(k=1_000)[0]) == BATCH + 5
