"""Rows far off the origin, their codes, and what the codes say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from vecdb.quantize.center import mean_of, normalise
from vecdb.quantize.planes import Encoder, Quantizer


@pytest.fixture
def rng():
    return np.random.default_rng(51)


@pytest.fixture
def draw_rows(rng):
    """Clusters off the origin, with few latent dimensions, each number of another spread."""

    def draw(count, dim):
        latent = rng.standard_normal((count, 12)) @ rng.standard_normal((12, dim))
        centres = rng.standard_normal((16, dim))[rng.integers(0, 16, count)]
        noise = rng.standard_normal((count, dim))
        spread = np.exp(rng.standard_normal(dim))
        return ((latent / 3 + centres + noise + 1.5) * spread).astype(np.float32)

    return draw


@dataclass(frozen=True)
class Coded:
    """Rows and their codes, slot by slot."""

    encoder: Encoder
    rows: NDArray[np.float32]
    codes: NDArray[np.uint64]
    fac: NDArray[np.float32]
    refine: NDArray[np.uint64] | None

    def by_slot(self):
        """Codes u64[n, W], add f32[n], mul f32[n]."""
        count = len(self.rows)
        codes = self.codes.transpose(0, 2, 1).reshape(-1, self.codes.shape[1])
        return codes[:count], self.fac[:, 0].reshape(-1)[:count], self.fac[:, 1].reshape(-1)[:count]

    def planes(self):
        """Planes 0 .. B-1, each u64[n, W]; the last is the scan plane."""
        words, planes = self.encoder.quantizer.words, self.encoder.quantizer.bits - 1
        codes = self.by_slot()[0]
        if self.refine is None:
            return [codes]
        rows = self.refine[:, : planes * words].reshape(len(self.rows), planes, words)
        return [*(rows[:, planes - 1 - plane] for plane in range(planes)), codes]

    def refine_factors(self):
        """mul_B and err_B, f32[n] each."""
        return np.ascontiguousarray(self.refine[:, -1]).view(np.float32).reshape(-1, 2).T

    def z(self):
        """Rotated rows about the centre, f32[n, padded]."""
        return self.encoder.quantizer.rotate_queries(self.rows) - self.encoder.rotated_mean

    def truth(self, queries):
        """What estimates estimate, float64[Q, n]."""
        quantizer = self.encoder.quantizer
        points, rows = queries, self.rows
        if quantizer.metric == "cosine":
            points, rows = normalise(points), normalise(rows)
        points, rows = points.astype(np.float64), rows.astype(np.float64)
        dots = points @ rows.T
        if quantizer.metric == "l2":
            return 2 * dots - (points * points).sum(1)[:, None] - (rows * rows).sum(1)
        return dots


@pytest.fixture
def code_rows():
    def code(rows, metric="cosine", *, bits=4, seed=9):
        quantizer = Quantizer(dim=rows.shape[1], metric=metric, seed=seed, bits=bits)
        centred = normalise(rows) if metric == "cosine" else rows
        encoder = Encoder(quantizer, mean_of([centred]))
        codes, fac, refine = quantizer.empty_codes(len(rows))
        encoder.encode(rows, 0, codes, fac, refine)
        return Coded(encoder, rows, codes, fac, refine)

    return code


@pytest.fixture
def to_signs():
    """+-1.0 of the bits of words u64[n, W]: float64[n, 64 W]."""

    def signs(words):
        octets = np.ascontiguousarray(words).view(np.uint8)
        return 2.0 * np.unpackbits(octets, axis=1, bitorder="little") - 1.0

    return signs
