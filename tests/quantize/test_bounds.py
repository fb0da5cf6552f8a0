"""Estimates lie within their deviations as often as Gaussian ones do."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.quantize.bounds import KAPPA, measure_kappa, sigma_1, sigma_B, sign_products
from vecdb.quantize.planes import Encoder, Quantizer

METRICS = ("cosine", "dot", "l2")


def grid_products(coded, planes, query):
    total = np.zeros(len(coded.rows))
    for b, plane in enumerate(coded.planes()):
        counts = np.bitwise_count(plane[:, None, :] ^ planes.planes8[query]).sum(2)
        mismatches = counts @ 2.0 ** np.arange(8)
        padded = coded.encoder.quantizer.padded
        total += 2.0 ** (b - 1) * float(planes.delta8[query]) * (127.5 * padded - mismatches)
    return total


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dim", [96, 384])
def test_kappa_holds_on_rows_far_off_the_origin(draw_rows, code_rows, metric, dim):
    coded = code_rows(draw_rows(2_000, dim), metric)
    found = measure_kappa(coded.encoder, coded.rows, coded.codes, coded.fac)
    assert 0.5 < found <= KAPPA * 1.03


def test_kappa_is_the_same_each_time_and_counts_all_pairs(draw_rows, code_rows):
    coded = code_rows(draw_rows(300, 96), "l2")
    values = [measure_kappa(coded.encoder, coded.rows, coded.codes, coded.fac) for _ in range(2)]
    assert values[0] == values[1]
    few = measure_kappa(coded.encoder, coded.rows, coded.codes, coded.fac, pairs=64)
    assert 0.4 < few < 0.8
    assert few != values[0]


def test_codes_of_other_rows_show_in_kappa(draw_rows, code_rows):
    coded = code_rows(draw_rows(300, 96))
    found = measure_kappa(coded.encoder, coded.rows, coded.codes[::-1].copy(), coded.fac)
    assert found > 2 * KAPPA


def test_no_row_is_paired_with_itself():
    quantizer = Quantizer(dim=64, metric="dot", seed=1)
    rows = np.random.default_rng(8).standard_normal((2, 64)).astype(np.float32)
    encoder = Encoder(quantizer, None)
    codes, fac, _ = quantizer.empty_codes(2)
    encoder.encode(rows, 0, codes, fac)
    dot = float(rows[0].astype(np.float64) @ rows[1].astype(np.float64))
    errors = []
    for slot, query in ((0, 1), (1, 0)):
        planes = encoder.prepare(quantizer.rotate_queries(rows[query : query + 1]))
        product = sign_products(codes, np.array([slot]), planes)[0]
        mul = float(fac[0, 1, slot])
        errors.append(abs(mul * product - dot) / (mul * float(planes.length[0])))
    assert min(errors) > 0.8, "with itself a row has a fifth of that"
    assert min(errors) < measure_kappa(encoder, rows, codes, fac) < max(errors)


@pytest.mark.parametrize("count", [1, 2, 9])
def test_kappa_of_copies_and_of_few_rows_is_a_number(code_rows, count):
    coded = code_rows(np.ones((count, 8), np.float32), "dot")
    assert 0.0 <= measure_kappa(coded.encoder, coded.rows, coded.codes, coded.fac) < 1e6
    quantizer = Quantizer(dim=8, metric="l2", seed=1)
    codes, fac, _ = quantizer.empty_codes(count)
    rows = np.zeros((count, 8), np.float32)
    encoder = Encoder(quantizer, None)
    encoder.encode(rows, 0, codes, fac)
    assert measure_kappa(encoder, rows, codes, fac) == 0.0


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_deviations_cover_as_gaussian_ones(draw_rows, code_rows, metric, bits):
    coded = code_rows(draw_rows(1_000, 256), metric, bits=bits)
    queries = draw_rows(10, 256)
    planes = coded.encoder.prepare(coded.encoder.quantizer.rotate_queries(queries))
    _, add, mul = coded.by_slot()
    mul_b, err_b = coded.refine_factors()
    truth, slots = coded.truth(queries), np.arange(1_000)
    scan, refined = [], []
    for q in range(10):
        one = coded.encoder.prepare(coded.encoder.quantizer.rotate_queries(queries[q : q + 1]))
        estimate = (add + mul * sign_products(coded.codes, slots, one)) + one.constant[0]
        scan.append((estimate - truth[q]) / sigma_1(mul, one.length[0]))
        estimate = (add + mul_b * grid_products(coded, planes, q)) + planes.constant[q]
        refined.append((estimate - truth[q]) / sigma_B(mul, err_b, planes.length[q]))
    for errors in (np.concatenate(scan), np.concatenate(refined)):
        assert 0.93 < (np.abs(errors) < 1.9).mean() < 0.975
        assert (np.abs(errors) < 3.0).mean() > 0.995
        assert 0.85 < np.sqrt((errors**2).mean()) < 1.03


def test_deviations_grow_with_the_query_and_the_factors():
    assert sigma_1(2.0, 3.0, 0.5) == 3.0
    assert sigma_1(1.0, 1.0) == KAPPA
    assert sigma_B(0.0, 2.0, 3.0) == 6.0
    assert sigma_B(1_000.0, 8.0, 2.0) == pytest.approx(20.0)
