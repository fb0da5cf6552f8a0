"""Relevance is a fixed, rising scale; surprise counts the pairs that score as high."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecdb.errors import DataCorruption, UnsupportedFormat
from vecdb.quantize.score import (
    KEPT_SCORES,
    LEAST_RECORDS,
    SAMPLED_RECORDS,
    Background,
    background_of,
    draw_sample,
    relevance,
    surprise_bits,
)
from vecdb.results import LABELS, label_of
from vecdb.testing.oracle import score_all_rows


@pytest.fixture
def rng():
    return np.random.default_rng(31)


def information_score(cosine):
    """sqrt(1 - H2(p)), as the definition says it."""
    p = 1.0 - math.acos(min(1.0, max(-1.0, cosine))) / math.pi
    if p <= 0.5:
        return 0.0
    entropy = 0.0 if p == 1.0 else -p * math.log2(p) - (1.0 - p) * math.log2(1.0 - p)
    return math.sqrt(max(0.0, 1.0 - entropy))


def test_relevance_is_the_definition_rounded(rng):
    cosines = np.concatenate([rng.uniform(-1, 1, 2_000), [-1, -0.5, 0, 0.5, 1]])
    expected = [information_score(cosine) for cosine in cosines]
    np.testing.assert_allclose(relevance(cosines), expected, rtol=0, atol=0.6e-6)
    np.testing.assert_array_equal(relevance(cosines), np.round(relevance(cosines), 6))


@pytest.mark.parametrize(
    ("cosine", "expected"),
    [(1, 1), (0.99, 0.857), (0.9, 0.638), (0.8, 0.518), (0.5, 0.286), (0.2, 0.109), (-0.3, 0)],
)
def test_relevance_of_known_cosines(cosine, expected):
    assert relevance(np.array([float(cosine)]))[0] == pytest.approx(expected, abs=5e-4)


def test_relevance_never_falls_as_the_cosine_rises():
    steps = relevance(np.linspace(-1.0, 1.0, 2_000_001))
    assert (np.diff(steps) >= 0.0).all()
    assert steps[0] == 0.0
    assert steps[-1] == 1.0


def test_relevance_of_numbers_just_outside_the_scale():
    np.testing.assert_array_equal(relevance(np.array([1.0 + 1e-9, -1.0 - 1e-9])), [1.0, 0.0])


def test_every_relevance_has_the_label_of_its_step():
    assert [least for least, _ in LABELS] == sorted((one[0] for one in LABELS), reverse=True)
    for least, label in LABELS:
        assert label_of(least) == label
    for (least, _), (_, below) in pairwise(LABELS):
        assert label_of(least - 1e-6) == below
    assert label_of(1.0) == "Close Match"


def test_surprise_counts_the_pairs_that_score_as_high(rng):
    """Exact among the best, within a quantile's width below them."""
    scores = rng.standard_normal(30_000)
    background = Background.build(scores)
    assert (len(background.top), background.pairs) == (KEPT_SCORES, 30_000)
    asked = np.concatenate([np.sort(scores)[::-17], [-9.0, 9.0]])
    above = np.array([(scores >= score).sum() for score in asked])
    found = background.count_above(asked)
    best = above <= KEPT_SCORES
    np.testing.assert_array_equal(found[best], above[best])
    np.testing.assert_allclose(found, above, atol=30_000 / KEPT_SCORES)
    np.testing.assert_allclose(surprise_bits(asked, background), -np.log2((found + 1) / 30_001))


def test_surprise_never_falls_as_the_score_rises(rng):
    background = Background.build(np.round(rng.standard_normal(20_000), 1))  # many ties
    bits = surprise_bits(np.linspace(-6.0, 6.0, 50_000), background)
    assert (np.diff(bits) >= 0.0).all()
    assert bits[0] == 0.0
    assert bits[-1] == np.log2(20_001)


def test_equal_scores_are_all_counted():
    background = Background.build(np.repeat([3.0, 2.0, 1.0], [10, 9_000, 90]))
    np.testing.assert_array_equal(
        background.count_above(np.array([3.0, 2.0, 1.0])), [10, 9_010, 9_100]
    )


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 2.0]), min_size=1, max_size=30))
def test_few_scores_are_counted_exactly(scores):
    background = Background.build(np.array(scores))
    asked = np.array([-2.0, -1.0, 0.1, 0.25, 0.5, 3.0])
    above = [sum(score >= one for score in scores) for one in asked]
    np.testing.assert_array_equal(background.count_above(asked), above)


@pytest.mark.parametrize("count", [5, 5_000])
def test_background_comes_back_from_its_bytes(rng, count):
    background = Background.build(rng.standard_normal(count))
    again = Background.from_bytes(background.to_bytes())
    np.testing.assert_array_equal(again.top, background.top)
    np.testing.assert_array_equal(again.quantiles, background.quantiles)
    assert again.pairs == background.pairs == count


def test_bytes_of_a_background_do_not_change():
    """The format: a change needs a new version."""
    data = Background.build(np.array([0.5, 2.0])).to_bytes()
    assert data.hex() == (
        "01000000" "02000000" "00000000" "00000000" "0200000000000000"
        "0000000000000040" "000000000000e03f"
    )  # fmt: skip


def test_damaged_background_is_refused(rng):
    data = Background.build(rng.standard_normal(5_000)).to_bytes()
    swapped = data[:24] + data[32:40] + data[24:32] + data[40:]
    for damaged in (b"", data[:20], data[:-1], data[:-8], data + bytes(8), swapped):
        with pytest.raises(DataCorruption, match="score background"):
            Background.from_bytes(damaged)
    with pytest.raises(DataCorruption):
        Background.from_bytes(data[:12] + b"\1" + data[13:])
    with pytest.raises(UnsupportedFormat) as caught:
        Background.from_bytes(b"\2" + data[1:])
    assert (caught.value.found, caught.value.supported) == (2, 1)


@pytest.mark.parametrize("count", [1_000, 2_048, 2_049, 50_000])
def test_sample_is_drawn_without_repeats(count):
    sample = draw_sample(count, seed=4)
    assert len(sample) == min(count, SAMPLED_RECORDS)
    assert (np.diff(sample) > 0).all()
    assert sample[0] >= 0
    assert sample[-1] < count


def test_sample_follows_its_seed_and_spreads():
    sample = draw_sample(100_000, seed=4)
    np.testing.assert_array_equal(sample, draw_sample(100_000, seed=4))
    assert not np.array_equal(sample, draw_sample(100_000, seed=5))
    counts = np.bincount(sample // 10_000, minlength=10)
    assert counts.min() > 150
    assert counts.max() < 260


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_background_holds_the_scores_that_a_search_gives(rng, metric):
    vectors = rng.standard_normal((LEAST_RECORDS, 12)).astype(np.float32)
    vectors[7] = 0.0
    vectors[9] = vectors[8]
    background = background_of(vectors, metric)
    assert background is not None
    scores = np.concatenate(
        [score_all_rows(metric, vectors[row + 1 :], vectors[row]) for row in range(len(vectors))]
    )
    assert background.pairs == len(scores) == 499_500
    np.testing.assert_array_equal(background.top, np.sort(scores)[::-1][:KEPT_SCORES])


def test_too_few_records_have_no_background(rng):
    assert len(draw_sample(LEAST_RECORDS - 1, seed=1)) == 0
    vectors = rng.standard_normal((LEAST_RECORDS - 1, 4)).astype(np.float32)
    assert background_of(vectors, "l2") is None
