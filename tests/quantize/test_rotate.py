"""The rotation keeps lengths, mixes everything, and never changes."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from vecdb.quantize.rotate import Rotation, below, stream


@pytest.mark.parametrize(
    ("dim", "padded", "block"),
    [
        *((1, 64, 64), (64, 64, 64), (65, 128, 128), (100, 128, 128), (384, 384, 128)),
        *((768, 768, 256), (784, 832, 64), (1_024, 1_024, 1_024), (1_536, 1_536, 512)),
        *((3_072, 3_072, 1_024), (16_384, 16_384, 16_384)),
    ],
)
def test_rows_are_padded_to_words_and_no_further(dim, padded, block):
    rotation = Rotation(dim, 1)
    assert (rotation.padded, rotation.block, rotation.words) == (padded, block, padded // 64)


@pytest.mark.parametrize("dim", [1, 64, 100, 384, 784])
def test_rotation_keeps_every_product(rng, dim):
    rows = rng.standard_normal((20, dim)).astype(np.float32)
    rotated = Rotation(dim, 5).apply(rows).astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1)
    gaps = rotated @ rotated.T - rows.astype(np.float64) @ rows.astype(np.float64).T
    assert (np.abs(gaps) <= 2e-6 * np.outer(lengths, lengths)).all()


@pytest.mark.parametrize("dim", [192, 384, 784])
def test_one_number_spreads_over_all_blocks(dim):
    rotated = Rotation(dim, 5).apply(np.eye(dim, dtype=np.float32)[:50])
    energy = (rotated**2).reshape(50, -1, 64).sum(2) * rotated.shape[1] / 64
    assert (energy > 0.2).all()
    assert (np.abs(rotated).max(1) < 6.0 / np.sqrt(rotated.shape[1])).all()


def test_a_row_is_the_same_alone_and_among_others(rng):
    rotation = Rotation(100, 3)
    rows = rng.standard_normal((70, 100)).astype(np.float32)
    together = rotation.apply(rows)
    for row in (0, 31, 32, 69):
        assert rotation.apply(rows[row : row + 1]).tobytes() == together[row].tobytes()
    out = np.empty((70, 128), np.float32)
    assert rotation.apply(rows, out) is out
    assert out.tobytes() == together.tobytes()


def test_seeds_give_different_rotations():
    row = np.ones((1, 128), np.float32)
    results = {Rotation(128, seed).apply(row).tobytes() for seed in (0, 1, 2, 2**64 - 1)}
    assert len(results) == 4


def test_stream_never_changes():
    words = stream(2**63 + 5, 1)
    assert [next(words) for _ in range(3)] == [
        0xC3A49BF30A977D0D,
        0x7640B08161B4071B,
        0x1C3AD0247B5F1ED7,
    ]
    assert [next(stream(7, number)) for number in range(2)] == [
        0xBD4D088D92683CB0,
        0x9CB14CFD174C6CF3,
    ]


def test_numbers_below_a_bound_are_even():
    words = stream(11, 0)
    counts = np.bincount([below(words, 7) for _ in range(7_000)])
    assert len(counts) == 7
    assert (np.abs(counts - 1_000) < 130).all()


@pytest.mark.parametrize(
    ("dim", "digest"),
    [
        (64, "a401c93ffec3a955"),
        (100, "8768d1258272f1de"),
        (384, "52036484a9001b6b"),
        (784, "5033212f5c5c7eaf"),
    ],
)
def test_rotation_never_changes(dim, digest):
    rows = (np.arange(5 * dim) * 37 % 251 - 125).astype(np.float32).reshape(5, dim)
    rotated = Rotation(dim, 2**40 + 3).apply(rows)
    assert hashlib.sha256(rotated.astype("<f4").tobytes()).hexdigest()[:16] == digest
