"""Query planes: the XOR form is the product, and estimates are near the truth."""

from __future__ import annotations

import numpy as np
import pytest

METRICS = ("cosine", "dot", "l2")


def mismatches(words, planes):
    """S = sum over j of 2^j popcount(words XOR planes[j]); words u64[n, W], planes u64[m, W]."""
    return sum(
        2**j * np.bitwise_count(words ^ plane).sum(1).astype(np.int64)
        for j, plane in enumerate(planes)
    )


def levels(planes, to_signs):
    """Whole numbers of the bits of planes u64[m, W]."""
    bits = (to_signs(planes) > 0).astype(int)
    return (bits * 2 ** np.arange(len(planes))[:, None]).sum(0)


@pytest.mark.parametrize("dim", [30, 100, 384])
def test_xor_form_is_the_product_with_the_grid(draw_rows, code_rows, to_signs, dim):
    coded = code_rows(draw_rows(40, dim))
    quantizer = coded.encoder.quantizer
    planes = coded.encoder.prepare(quantizer.rotate_queries(draw_rows(3, dim)))
    codes = coded.by_slot()[0]
    for q in range(3):
        u = levels(planes.planes4[:, :, q].T, to_signs)
        product = to_signs(codes) @ (u - 7.5)
        assert (
            product == 7.5 * quantizer.padded - mismatches(codes, planes.planes4[:, :, q].T)
        ).all()
        v = levels(planes.planes8[q], to_signs)
        for plane in coded.planes():
            product = to_signs(plane) @ (v - 127.5)
            assert (
                product == 127.5 * quantizer.padded - mismatches(plane, planes.planes8[q])
            ).all()


def test_grids_are_near_the_query(draw_rows, code_rows, to_signs):
    coded = code_rows(draw_rows(40, 384), "l2")
    rotated = coded.encoder.quantizer.rotate_queries(draw_rows(4, 384))
    planes = coded.encoder.prepare(rotated)
    for q, y in enumerate(rotated - coded.encoder.rotated_mean):
        grid4 = planes.delta4[q] * (levels(planes.planes4[:, :, q].T, to_signs) - 7.5)
        inside = np.abs(y) < 7.9 * planes.delta4[q]
        assert (np.abs(grid4 - y)[inside] <= 0.501 * planes.delta4[q]).all()
        assert inside.mean() > 0.98
        grid8 = planes.delta8[q] * (levels(planes.planes8[q], to_signs) - 127.5)
        assert (np.abs(grid8 - y) <= 0.501 * planes.delta8[q]).all()
        signs = to_signs(planes.signs[:, q][None, :].copy())[0]
        assert (signs == np.where(y >= 0, 1.0, -1.0)).all()
        assert planes.length[q] == pytest.approx(np.linalg.norm(y), rel=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_estimates_are_near_the_truth(draw_rows, code_rows, metric, bits):
    coded = code_rows(draw_rows(300, 200), metric, bits=bits)
    queries = draw_rows(5, 200)
    quantizer = coded.encoder.quantizer
    planes = coded.encoder.prepare(quantizer.rotate_queries(queries))
    codes, add, mul = coded.by_slot()
    truth = coded.truth(queries)
    for q in range(5):
        product = planes.delta4[q] * (
            7.5 * quantizer.padded - mismatches(codes, planes.planes4[:, :, q].T)
        )
        scan = (add + mul * product) + planes.constant[q]
        sigma = 0.613 * mul * planes.length[q]
        assert np.abs((scan - truth[q]) / sigma).max() < 5.0
        if bits == 1:
            continue
        product = sum(
            2.0 ** (b - 1)
            * planes.delta8[q]
            * (127.5 * quantizer.padded - mismatches(plane, planes.planes8[q]))
            for b, plane in enumerate(coded.planes())
        )
        mul_b, err_b = coded.refine_factors()
        refined = (add + mul_b * product) + planes.constant[q]
        sigma = planes.length[q] * np.sqrt(err_b**2 + (0.006 * mul) ** 2)
        assert np.abs((refined - truth[q]) / sigma).max() < 5.0


@pytest.mark.parametrize("metric", METRICS)
def test_a_query_is_the_same_alone_and_among_others(draw_rows, code_rows, metric):
    coded = code_rows(draw_rows(10, 70), metric)
    queries = draw_rows(33, 70)
    quantizer = coded.encoder.quantizer
    together = coded.encoder.prepare(quantizer.rotate_queries(queries))
    assert len(together) == 33
    for q in (0, 3, 32):
        alone = coded.encoder.prepare(quantizer.rotate_queries(queries[q : q + 1]))
        assert alone.planes4[:, :, 0].tolist() == together.planes4[:, :, q].tolist()
        assert alone.planes8[0].tolist() == together.planes8[q].tolist()
        assert alone.signs[:, 0].tolist() == together.signs[:, q].tolist()
        for name in ("delta4", "constant", "length", "delta8"):
            assert getattr(alone, name)[0] == getattr(together, name)[q]


def test_under_cosine_the_length_of_a_query_does_not_matter(draw_rows, code_rows):
    coded = code_rows(draw_rows(10, 70))
    queries = draw_rows(2, 70)
    rotate = coded.encoder.quantizer.rotate_queries
    assert rotate(queries).tobytes() == rotate(queries * np.float32(4.0)).tobytes()


def test_a_query_at_the_mean_estimates_its_constant(draw_rows, code_rows):
    coded = code_rows(draw_rows(10, 70), "dot")
    rotated = coded.encoder.quantizer.rotate_queries(coded.encoder.mean[None, :])
    planes = coded.encoder.prepare(rotated)
    assert planes.delta4[0] == planes.delta8[0] == planes.length[0] == planes.constant[0] == 0.0
