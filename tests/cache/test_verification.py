"""Learned thresholds: the formula, what they start from, and that budgets are held."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

import vecdb
from vecdb.cache.policy import ErrorBudget
from vecdb.cache.verification import CLOSED, RING, Pool, error_bounds
from vecdb.errors import InvalidArgument

from .conftest import DIM, SCOPE, category

ASK = {"category": "faq", "scope": SCOPE}
Z = 1.64


def wilson(error, n):
    return (error + Z**2 / (2 * n) + Z * math.sqrt(error * (1 - error) / n + Z**2 / (4 * n**2))) / (
        1 + Z**2 / n
    )


def seen(observations):
    dtype = [("score", "<f4"), ("right", "u1"), ("weight", "<f4")]
    return np.array(observations, dtype)


def test_bound_is_wilson_s_of_weighted_observations():
    rng = np.random.default_rng(1)
    rows = [(rng.uniform(0.5, 1.0), rng.random() < 0.8, rng.choice([1, 5])) for _ in range(500)]
    found, per_hit = error_bounds(seen(rows), per_hit=False), error_bounds(seen(rows), per_hit=True)
    weights = np.array([row[2] for row in rows], float)
    for place, least in enumerate(np.round(np.arange(0.70, 1.005, 0.01), 2)):
        above = np.array([row[0] >= least - 1e-7 for row in rows])
        wrong = sum(row[2] for row, yes in zip(rows, above, strict=True) if yes and not row[1])
        n = weights.sum() ** 2 / (weights**2).sum()
        assert found[place] == pytest.approx(wilson(wrong / weights.sum(), n), abs=1e-3)
        if above.any():
            some = weights[above]
            n = some.sum() ** 2 / (some**2).sum()
            assert per_hit[place] == pytest.approx(wilson(wrong / some.sum(), n), abs=1e-3)


@pytest.mark.parametrize(("budget", "labels"), [(0.01, 267), (0.02, 132), (0.05, 52)])
def test_pool_opens_after_so_many_labels_without_a_wrong_one(budget, labels):
    pool = Pool(ErrorBudget(value=budget), 0.05)
    for count in range(1, labels + 3):
        pool.note_lookup()
        pool.observe(0.95, True)
        if count < labels - 1:
            assert pool.threshold == CLOSED, count
    assert pool.threshold < CLOSED


def test_wrong_label_never_lowers_the_threshold():
    rng = np.random.default_rng(0)
    pool = Pool(ErrorBudget(value=0.02), 0.05)
    for _ in range(3_000):
        pool.note_lookup()
        score = rng.uniform(0.6, 1.0)
        right = bool(rng.random() < (score - 0.5) * 2)
        before = pool.threshold
        pool.observe(score, right)
        if not right and before == CLOSED:
            assert pool.threshold == CLOSED


def test_threshold_falls_in_steps_and_rises_at_once():
    pool = Pool(ErrorBudget(value=0.05), 0.05)
    thresholds = []
    for place in range(6_000):
        pool.note_lookup()
        pool.observe(0.72 + 0.28 * (place % 29) / 29, True)
        thresholds.append(pool.threshold)
    opened = [one for one in thresholds if one < CLOSED]
    falls = [a - b for a, b in pairwise(opened)]
    assert max(falls) <= 0.0101
    for _ in range(400):
        pool.note_lookup()
        pool.observe(0.9, False)
    assert pool.threshold > 0.9


def test_pool_survives_being_stored():
    pool = Pool(ErrorBudget(value=0.05), 0.05)
    for place in range(RING + 100):
        pool.note_lookup()
        pool.observe(0.9, place % 50 != 0)
    pool.audit(0.95, False, 0.5)
    again = Pool(ErrorBudget(value=0.05), 0.05)
    assert again.load(pool.to_bytes())
    assert again.report() == pool.report()
    assert not again.load(b"VPL1 damaged")
    assert not again.load(pool.to_bytes()[:-1])


def stream(seed, questions=2_500, topics=120, spread=0.35):
    """Vectors and topics: questions of one topic are near, some topics are near each other."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((topics, 48))
    centres[1::2] = centres[::2] + 0.45 * rng.standard_normal((topics // 2, 48))
    of = rng.integers(topics, size=questions)
    vectors = centres[of] + spread * rng.standard_normal((questions, 48))
    return (vectors / np.linalg.norm(vectors, axis=1)[:, None]).astype(np.float32), of


def replay(seed, budget):
    """(share of hits, share of wrong answers) of one stream, by the pool alone."""
    vectors, of = stream(seed)
    rng = np.random.default_rng(seed)
    pool = Pool(ErrorBudget(value=budget), 0.05)
    stored = [0]
    hits = wrong = 0
    for place in range(1, len(of)):
        pool.note_lookup()
        scores = vectors[stored] @ vectors[place]
        best = int(scores.argmax())
        score, right = float(scores[best]), bool(of[stored[best]] == of[place])
        if score >= pool.threshold:
            hits += 1
            wrong += not right
            drawn = pool.audit_probability(relaxed=False)
            if rng.random() < drawn:
                pool.audit(score, right, drawn)
            continue
        pool.observe(score, right)
        stored.append(place)
    return hits / len(of), wrong / len(of)


@pytest.mark.slow
@pytest.mark.parametrize("budget", [0.02, 0.05])
def test_budget_is_held_on_streams_and_hits_are_found(budget):
    runs = [replay(seed, budget) for seed in range(8)]
    assert sum(wrong > budget for _, wrong in runs) == 0
    assert np.mean([hits for hits, _ in runs]) > 0.1


# ------------------------------------------------------------------------------- in a cache


def budgeted(make_cache, **more):
    return make_cache(error_budget=0.05, threshold=0.7, threshold_min=0.7, **more)


def test_cache_with_a_budget_begins_closed_and_opens_with_evidence(make_cache, questions):
    cache = budgeted(make_cache)
    first = questions.new()
    cache.put(first, "yes", prompt="Yes?", wait=True, **ASK)
    near = questions.near(first, 0.97)
    found = cache.lookup(near, prompt="Or yes?", **ASK)
    assert (found.hit, found.reason) == (None, "closed")
    assert cache.get(first, prompt="Yes?", **ASK).kind == "exact"
    cache.calibrate("faq", [(0.9 + place / 1_000, True) for place in range(100)])
    assert cache.get(near, prompt="Or yes?", **ASK).value == "yes"
    pool = cache.stats()["pools"]["category:faq"]
    assert pool["threshold"] <= 0.9
    assert pool["error_bound_per_query"] <= 0.05


def test_fresh_answers_of_misses_are_labels(make_cache, questions):
    cache = budgeted(make_cache)
    first = questions.new()
    cache.put(first, "yes", prompt="Yes?", wait=True, **ASK)
    for place in range(60):
        near = questions.near(first, 0.95)
        looked = cache.lookup(near, prompt=f"Is it {'x' * place}", **ASK)
        if looked.hit is not None:
            break
        cache.put(
            near, "yes", prompt=f"Is it {'x' * place}", ticket=looked.ticket, wait=True, **ASK
        )
    assert 45 <= place < 60
    assert looked.hit.audit  # the first hits are all audited


def test_audit_that_finds_another_answer_counts_and_tightens_the_entry(make_cache, questions):
    cache = budgeted(make_cache)
    first = questions.new()
    cache.put(first, "yes", prompt="Yes?", wait=True, **ASK)
    cache.calibrate("faq", [(0.9, True)] * 200)
    near = questions.near(first, 0.95)
    hit = cache.get(near, prompt="Or yes?", **ASK)
    assert hit.audit
    assert cache.put(near, "no", prompt="Or yes?", ticket=hit.ticket, wait=True, **ASK).stored
    assert cache.get(near, prompt="Or yes?", **ASK).value == "no"
    again = cache.lookup(near, prompt="Yes or?", **ASK)
    assert again.hit.value == "no"  # not the first entry's, which was wrong there
    hit = cache.get(questions.near(first, 0.99), prompt="So yes?", **ASK)
    told = cache.put(first, "yes", prompt="So yes?", ticket=hit.ticket, wait=True, **ASK)
    assert (told.stored, told.reason) == (False, "known")
    faq = cache.stats()["categories"]["faq"]
    assert (faq["audits_right"], faq["audits_wrong"]) == (1, 1)
    assert cache.stats()["pools"]["category:faq"]["audited_wrong_estimate"] > 0


def test_judge_decides_what_is_the_same_answer(make_cache, questions):
    cache = budgeted(make_cache, handle={"judge": lambda fresh, stored: fresh[0] == stored[0]})
    first = questions.new()
    cache.put(first, "yes", prompt="Yes?", wait=True, **ASK)
    looked = cache.lookup(questions.near(first, 0.95), prompt="Or?", **ASK)
    cache.put(first, "yeah", prompt="Or?", ticket=looked.ticket, wait=True, **ASK)
    assert cache._engine.pools["category:faq"].observations()["right"].tolist() == [1]


def test_complaint_keeps_the_pair_from_being_served_again(path, make_cache, questions, db, clock):
    cache = make_cache()
    first = questions.new()
    cache.put(first, "yes", prompt="Yes?", wait=True, **ASK)
    near, nearer = questions.near(first, 0.93), questions.near(first, 0.99)
    cache.feedback(cache.get(near, prompt="Other?", **ASK), good=False)
    assert cache.get(near, prompt="Other?", **ASK) is None
    assert cache.get(nearer, prompt="Same?", **ASK).value == "yes"
    db.close()
    with vecdb.open(path, clock=clock) as again:
        cache = again.cache("answers")
        assert cache.get(near, prompt="Other?", **ASK) is None
        cache.feedback(cache.get(first, prompt="Yes?", **ASK), good=True)
        cache.feedback(cache.get(first, prompt="Yes?", **ASK), good=False)
        assert cache.get(first, prompt="Yes?", **ASK) is None
        faq = cache.stats()["categories"]["faq"]
        assert (faq["complaints"], faq["praise"]) == (2, 1)


def test_what_was_learned_survives_a_restart(path, clock, questions):
    policy = {"category": {"faq": category(error_budget=0.05)}}
    with vecdb.open(path, clock=clock) as db:
        cache = db.create_cache("a", dim=DIM, policy=policy)
        cache.calibrate("faq", [(0.95, True)] * 100)
        before = cache.stats()["pools"]
    with vecdb.open(path, clock=clock) as db:
        assert db.cache("a").stats()["pools"] == before


def test_categories_without_a_budget_of_their_own_share_that_of_the_cache(db):
    policy = {
        "error_budget": 0.02,
        "category": {"a": {}, "b": {}, "c": {"error_budget": 0.05}},
    }
    cache = db.create_cache("a", dim=DIM, policy=policy)
    assert sorted(cache.stats()["pools"]) == ["cache", "category:c"]


def test_category_with_a_given_threshold_learns_nothing(make_cache):
    with pytest.raises(InvalidArgument) as caught:
        make_cache().calibrate("faq", [(0.9, True)])
    assert caught.value.reason == "NO_BUDGET"
