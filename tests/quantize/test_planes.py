"""Codes: their identities, their independence of how they are made, and their golden bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from vecdb.errors import InvalidArgument
from vecdb.quantize import warm
from vecdb.quantize.center import normalise
from vecdb.quantize.planes import Encoder, Quantizer

FOLDER = Path(__file__).resolve().parent
METRICS = ("cosine", "dot", "l2")


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"dim": 0}, "dim"),
        ({"metric": "hamming"}, "metric"),
        ({"bits": 3}, "bits"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
    ],
)
def test_quantizer_refuses_what_it_cannot_code(values, field):
    with pytest.raises(InvalidArgument) as caught:
        Quantizer(**{"dim": 8, "metric": "dot", "seed": 1, **values})
    assert caught.value.field == field


@pytest.mark.parametrize(("bits", "refine_words"), [(1, 0), (2, 7), (4, 19), (8, 43)])
def test_empty_codes_have_the_shapes_of_the_format(bits, refine_words):
    quantizer = Quantizer(dim=384, metric="cosine", seed=1, bits=bits)
    codes, fac, refine = quantizer.empty_codes(17)
    assert (codes.shape, codes.dtype) == ((3, 6, 8), np.uint64)
    assert (fac.shape, fac.dtype) == ((3, 2, 8), np.float32)
    assert quantizer.refine_words == refine_words
    assert (None if refine is None else refine.shape) == (None if bits == 1 else (17, refine_words))
    for array in (codes, fac, *([] if refine is None else [refine])):
        assert array.ctypes.data % 64 == 0
        assert not array.any()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_factors_are_those_of_the_formulas(draw_rows, code_rows, to_signs, metric, bits):
    coded = code_rows(draw_rows(50, 100), metric, bits=bits)
    _, add, mul = coded.by_slot()
    z = coded.z().astype(np.float64)
    factor = 2.0 if metric == "l2" else 1.0
    squared = (z * z).sum(1)
    assert np.allclose(mul, factor * squared / np.abs(z).sum(1), rtol=1e-6)
    rows = normalise(coded.rows) if metric == "cosine" else coded.rows
    dots = rows.astype(np.float64) @ coded.encoder.mean.astype(np.float64)
    assert np.allclose(add, -squared if metric == "l2" else dots, rtol=1e-5)
    if bits == 1:
        return
    grid = sum(2.0 ** (b - 1) * to_signs(plane) for b, plane in enumerate(coded.planes()))
    product = (grid * z).sum(1)
    t = product / np.linalg.norm(grid, axis=1) / np.sqrt(squared)
    mul_b, err_b = coded.refine_factors()
    assert np.allclose(mul_b, factor * squared / product, rtol=1e-6)
    error = factor * np.sqrt(squared) * np.sqrt((1 - t * t) / t**2) / np.sqrt(z.shape[1] - 1)
    assert np.allclose(err_b, error, rtol=1e-4)


@pytest.mark.parametrize(("bits", "least"), [(2, 0.92), (4, 0.99), (8, 0.9999)])
def test_planes_add_up_to_a_grid_point_as_near_as_any_other_scale_gives(
    draw_rows, code_rows, to_signs, bits, least
):
    coded = code_rows(draw_rows(60, 384), bits=bits)
    z = coded.z().astype(np.float64)
    planes = coded.planes()
    levels = sum(2**b * (to_signs(plane) > 0).astype(int) for b, plane in enumerate(planes))
    grid = levels - (2**bits - 1) / 2
    assert (np.sign(grid) == np.where(z >= 0, 1, -1)).all(), "the highest plane is the scan plane"
    summed = sum(2.0 ** (b - 1) * to_signs(plane) for b, plane in enumerate(planes))
    assert (summed == grid).all()
    largest = np.abs(z).max(1, keepdims=True)
    cosines = (grid * z).sum(1) / np.linalg.norm(grid, axis=1) / np.linalg.norm(z, axis=1)
    low, high = {2: (19, 36), 4: (26, 42), 8: (40, 44)}[bits]
    for tau in range(low, high + 1):
        sizes = np.floor(np.abs(z) / (tau / 40 * largest / 2 ** (bits - 1)))
        tried = np.minimum(sizes, 2 ** (bits - 1) - 1) + 0.5
        other = (tried * np.abs(z)).sum(1) / np.linalg.norm(tried, axis=1)
        assert (cosines >= other / np.linalg.norm(z, axis=1) - 1e-3).all()
    assert cosines.min() > least


def test_scan_plane_is_the_same_for_every_number_of_bits(draw_rows, code_rows):
    rows = draw_rows(20, 70)
    coded = [code_rows(rows, bits=bits) for bits in (1, 2, 4, 8)]
    assert len({(one.codes.tobytes(), one.fac.tobytes()) for one in coded}) == 1


@pytest.mark.parametrize("metric", METRICS)
def test_codes_do_not_depend_on_cuts_and_threads(draw_rows, code_rows, metric):
    rows = draw_rows(1_003, 130)
    whole = code_rows(rows, metric)
    codes, fac, refine = whole.encoder.quantizer.empty_codes(len(rows))
    edges = [0, 1, 2, 9, 40, 41, 300, 999, 1_003]
    with ThreadPoolExecutor(8) as pool:
        jobs = [
            pool.submit(whole.encoder.encode, rows[start:stop], start, codes, fac, refine)
            for start, stop in pairwise(edges)
        ]
        for job in jobs:
            job.result()
    assert codes.tobytes() == whole.codes.tobytes()
    assert fac.tobytes() == whole.fac.tobytes()
    assert refine.tobytes() == whole.refine.tobytes()


def test_without_refine_planes_the_scan_plane_is_the_same(draw_rows, code_rows):
    coded = code_rows(draw_rows(20, 70))
    codes, fac, _ = coded.encoder.quantizer.empty_codes(20)
    coded.encoder.encode(coded.rows, 0, codes, fac)
    assert (codes.tobytes(), fac.tobytes()) == (coded.codes.tobytes(), coded.fac.tobytes())


def test_rows_need_not_lie_together(draw_rows, code_rows):
    rows = draw_rows(40, 70)
    expected = code_rows(rows[::2].copy(), "dot")
    codes, fac, refine = expected.encoder.quantizer.empty_codes(20)
    expected.encoder.encode(rows[::2], 0, codes, fac, refine)
    assert codes.tobytes() == expected.codes.tobytes()


def test_without_a_mean_codes_are_about_the_origin(draw_rows):
    quantizer = Quantizer(dim=70, metric="l2", seed=3)
    encoder = Encoder(quantizer, None)
    assert not encoder.mean.any()
    assert not encoder.rotated_mean.any()
    rows = draw_rows(9, 70)
    codes, fac, _ = quantizer.empty_codes(9)
    encoder.encode(rows, 0, codes, fac)
    assert np.allclose(-fac[0, 0], (rows[:8].astype(np.float64) ** 2).sum(1), rtol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_rows_that_are_all_the_same_have_finite_codes(code_rows, metric):
    coded = code_rows(np.full((9, 65), 3.25, np.float32), metric)
    assert np.isfinite(coded.fac).all()
    assert np.isfinite(coded.refine_factors()).all()
    assert np.abs(coded.by_slot()[2]).max() < 1e-3


@pytest.mark.parametrize("metric", METRICS)
def test_numbers_near_the_end_of_float32_give_finite_estimates(rng, code_rows, metric):
    rows = (rng.standard_normal((16, 64)) * 1e38).clip(-3e38, 3e38).astype(np.float32)
    coded = code_rows(rows, metric)
    planes = coded.encoder.prepare(coded.encoder.quantizer.rotate_queries(-rows))
    _, add, mul = coded.by_slot()
    most = planes.delta4.max() * np.float32(7.5) * np.float32(coded.encoder.quantizer.padded)
    for estimate in (add + mul * most, (add - mul * most) + planes.constant.min()):
        assert np.isfinite(estimate).all()


@pytest.mark.parametrize(
    ("metric", "dim", "bits", "digest"),
    [
        ("cosine", 384, 4, "5a61569432885dc8"),
        ("cosine", 100, 2, "d076073e9a58c7f8"),
        ("dot", 784, 8, "ef0d9df363bd5b55"),
        ("l2", 128, 4, "761152e0bb556a65"),
    ],
)
def test_codes_never_change(metric, dim, bits, digest):
    rows = (np.arange(21 * dim) * 37 % 251 - 99).astype(np.float32).reshape(21, dim)
    quantizer = Quantizer(dim=dim, metric=metric, seed=2**40 + 3, bits=bits)
    mean = (np.arange(dim) % 5 / np.float32(dim)).astype(np.float32)
    encoder = Encoder(quantizer, mean)
    found = quantizer.empty_codes(21)
    encoder.encode(rows, 0, *found)
    planes = encoder.prepare(quantizer.rotate_queries(rows[:3]))
    sha = hashlib.sha256()
    for array in (*found, *(getattr(planes, name) for name in type(planes).__slots__)):
        sha.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    assert (Quantizer.VERSION, sha.hexdigest()[:16]) == (1, digest)


@pytest.mark.slow
def test_codes_are_the_same_on_a_processor_without_vectors():
    result = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "never"),
            *(str(FOLDER / "test_planes.py"), str(FOLDER / "test_rotate.py")),
        ],
        env={**os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
        cwd=FOLDER.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-4_000:] + result.stderr[-2_000:]
    assert " passed" in result.stdout


def test_warming_can_be_repeated():
    warm()
    warm()
