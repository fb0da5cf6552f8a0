"""What it counts of itself, and that a category that does not pay is switched off."""

from __future__ import annotations

import pytest

from vecdb.cache.economics import PROBE, Switch, break_even, decide, interval, needed_rate
from vecdb.cache.tally import Latency, Tally

from .conftest import SCOPE


def told(lookups, hits, *, answer=0.2, embed=0.006, search=0.002):
    tally = Tally()
    row = tally.of("faq")
    row.lookups, row.hits = lookups, {"vector": hits, "negative": 3}
    row.compute_count, row.compute_seconds = 10, 10 * answer
    tally.stages["embed"].add(int(embed * 1e9))
    tally.stages["vector"].add(int(search * 1e9))
    tally.stages["fetch"].add(10_000)
    return tally


def test_rate_that_pays_is_what_looking_costs_by_what_a_hit_spares():
    tally = told(1, 0)
    assert needed_rate(tally, tally.of("faq")) == pytest.approx(0.04, rel=1e-3)
    dear = told(1, 0, answer=0.001)
    assert needed_rate(dear, dear.of("faq")) == 1.0
    assert needed_rate(Tally(), Tally().of("faq")) is None


def test_category_is_switched_off_only_after_a_while_below_and_on_again_by_probes():
    tally, switch = told(1_000, 10), Switch()
    decide(tally, "faq", switch, now=0.0, window=600.0)
    assert not switch.off
    decide(tally, "faq", switch, now=599.0, window=600.0)
    assert not switch.off
    decide(tally, "faq", switch, now=600.0, window=600.0)
    assert switch.off
    assert sum(switch.lets_through() for _ in range(10 * PROBE)) == 10
    row = tally.of("faq")
    row.probes, row.probe_hits = 100, 30
    decide(tally, "faq", switch, now=700.0, window=600.0)
    assert not switch.off
    assert all(switch.lets_through() for _ in range(10))


def test_category_that_pays_or_of_which_little_is_known_stays_on():
    for tally in (told(1_000, 100), told(100, 0), told(1_000, 35)):
        switch = Switch()
        for now in (0.0, 10_000.0):
            decide(tally, "faq", switch, now=now, window=600.0)
        assert not switch.off
    assert break_even(told(1_000, 100), "faq", None).rate == 0.1


def test_interval_holds_the_share():
    low, high = interval(10, 100)
    assert 0.05 < low < 0.1 < high < 0.18
    assert interval(0, 0) == (0.0, 1.0)


def test_switched_off_category_still_answers_exact_prompts(make_cache, questions):
    cache = make_cache()
    vector = questions.new()
    ask = {"category": "faq", "scope": SCOPE}
    cache.put(vector, "yes", prompt="Yes?", wait=True, **ask)
    cache._engine.switches["faq"].off = True
    assert cache.get(vector, prompt="Yes?", **ask).kind == "exact"
    reasons = [cache.lookup(vector, prompt="Or?", **ask).reason for _ in range(PROBE)]
    assert (reasons.count("off"), reasons.count("")) == (PROBE - 1, 1)
    assert cache.stats()["categories"]["faq"]["break_even"]["vector_tier_off"]


def test_quantiles_of_latencies_are_near():
    latency = Latency()
    for ns in range(1_000, 101_000, 100):
        latency.add(ns)
    report = latency.report()
    assert report["p50_us"] == pytest.approx(51, rel=0.3)
    assert report["p99_us"] == pytest.approx(100, rel=0.3)
    assert report["mean_us"] == pytest.approx(51, rel=0.01)


def test_what_hits_save_is_added_up_and_survives_a_restart(path, make_cache, questions, db, clock):
    import vecdb

    cache = make_cache(top={"price_per_token": 0.001})
    vector = questions.new()
    ask = {"category": "faq", "scope": SCOPE}
    meta = {"tokens": 100, "money": 0.5, "seconds": 2.0}
    cache.put(vector, "yes", prompt="Yes?", meta=meta, wait=True, **ask)
    for _ in range(3):
        cache.get(vector, prompt="Yes?", **ask)
    saved = cache.stats()["categories"]["faq"]["saved"]
    assert (saved["tokens"], saved["seconds"]) == (300, 6.0)
    assert saved["money"] == pytest.approx(1.5 + 0.3)
    db.close()
    with vecdb.open(path, clock=clock) as again:
        assert again.cache("answers").stats()["categories"]["faq"]["saved"] == saved
