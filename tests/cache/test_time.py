"""Lifetimes: to the tick, jitter that only shortens, load, stale answers, a clock set back."""

from __future__ import annotations

import pytest

import vecdb
from vecdb.check import check_directory
from vecdb.errors import InvalidArgument
from vecdb.testing.clock import ManualClock

from .conftest import DIM, SCOPE, category

ASK = {"category": "faq", "scope": SCOPE}


def stored(cache, questions, **more):
    vector = questions.new()
    cache.put(vector, "yes", prompt="Yes?", wait=True, **ASK, **more)
    return vector


def test_answer_lives_to_the_tick_and_hits_do_not_extend_it(make_cache, questions, clock):
    cache = make_cache()
    vector = stored(cache, questions)
    for _ in range(99):
        clock.advance(1)
        assert cache.get(vector, prompt="Yes?", **ASK).kind == "exact"
        assert cache.get(vector, prompt="Yes, or?", **ASK).kind == "vector"
    clock.advance(1 - 2e-6)
    assert cache.get(vector, prompt="Yes?", **ASK).age == pytest.approx(100, abs=1e-3)
    clock.advance(3e-6)
    assert cache.lookup(vector, prompt="Yes?", **ASK).reason in ("expired", "empty")
    assert cache.lookup(vector, prompt="Yes, or?", **ASK).reason in ("expired", "empty")


def test_jitter_only_shortens(make_cache, questions, clock):
    cache = make_cache(jitter=0.5)
    vectors = [questions.new() for _ in range(60)]
    for place, vector in enumerate(vectors):
        cache.put(vector, "yes", prompt=f"Yes {place}?", wait=place == 59, **ASK)
    alive = []
    for _ in range(5):
        alive.append(
            sum(
                cache.get(vector, prompt=f"Yes {place}?", **ASK) is not None
                for place, vector in enumerate(vectors)
            )
        )
        clock.advance(25.001)
    assert alive[:3] == [60, 60, 60]  # 0, 25 and just past 50 s: half of the lifetime is certain
    assert 5 < alive[3] < 55
    assert alive[4] == 0


def test_own_lifetime_of_an_answer_is_bounded_by_the_policy(make_cache, questions, clock):
    cache = make_cache()
    short = stored(cache, questions, ttl="10s")
    clock.advance(10.001)
    assert cache.get(short, prompt="Yes?", **ASK) is None
    long = stored(cache, questions, ttl="9d")
    clock.advance(99)
    assert cache.get(long, prompt="Yes?", **ASK) is not None
    clock.advance(1.001)
    assert cache.get(long, prompt="Yes?", **ASK) is None


def test_stale_answer_is_served_while_one_refreshes(make_cache, questions, clock):
    cache = make_cache(swr=20)
    vector = stored(cache, questions)
    clock.advance(101)
    hits = [cache.get(vector, prompt="Yes?", **ASK) for _ in range(3)]
    assert [hit.stale for hit in hits] == [True] * 3
    assert [hit.refresh for hit in hits] == [True, False, False]
    clock.advance(19.1)
    assert cache.get(vector, prompt="Yes?", **ASK) is None


def test_clock_that_is_set_back_revives_nothing(path, questions):
    clock = ManualClock()
    with vecdb.open(path, clock=clock) as db:
        policy = {"category": {"faq": category()}}
        cache = db.create_cache("a", dim=DIM, policy=policy)
        vector = stored(cache, questions)
        clock.advance(200)
        cache.put(questions.new(), "other", prompt="Other?", wait=True, **ASK)
    with vecdb.open(path, clock=ManualClock()) as db:  # 200 seconds earlier
        assert db.cache("a").get(vector, prompt="Yes?", **ASK) is None


def test_what_expires_gives_its_space_and_memory_back(path, db, make_cache, questions, clock):
    cache = make_cache()
    for place in range(700):
        cache.put(questions.new(), "x", prompt=f"{place}?", wait=place == 699, **ASK)
    assert cache.stats()["entries"] == 700
    clock.advance(102)
    cache.maintain()
    stats = cache.stats()
    assert (stats["entries"], stats["stored_entries"], stats["partitions"]) == (0, 0, 0)
    assert stats["stored_bytes"] == 0
    assert stats["categories"]["faq"]["expired"] == 700
    assert stats["waiting_for_deletion"] == 0
    db.close()
    assert check_directory(path).ok


# ------------------------------------------------------------------------------------------ load


def loaded_cache(make_cache, **values):
    return make_cache(
        adaptive=True, relax_threshold=0.1, relax_ttl=1.0, ttl=100, ttl_max=150, **values
    )


def test_load_relaxes_the_threshold_within_its_bound_and_marks_the_hits(make_cache, questions):
    cache = loaded_cache(make_cache)
    vector = stored(cache, questions)
    near, far = questions.near(vector, 0.83), questions.near(vector, 0.78)
    assert cache.get(near, prompt="Or yes?", **ASK) is None
    assert cache.report_load("m1", inflight=10, limit=10) == 1.0
    hit = cache.get(near, prompt="Or yes?", **ASK)
    assert (hit.value, hit.relaxed) == ("yes", True)
    assert hit.threshold == pytest.approx(0.8)
    assert cache.get(far, prompt="Or yes?", **ASK) is None
    assert not cache.get(questions.near(vector, 0.95), prompt="Yes!", **ASK).relaxed
    assert cache.stats()["categories"]["faq"]["relaxed"] == 1


def test_load_is_that_of_the_model_in_the_scope(make_cache, questions):
    cache = loaded_cache(make_cache)
    vector = stored(cache, questions)
    cache.report_load("m2", load=1.0)
    assert cache.get(questions.near(vector, 0.85), prompt="Or yes?", **ASK) is None


def test_relaxation_rises_at_once_and_falls_slowly(make_cache, clock):
    cache = loaded_cache(make_cache)
    assert cache.report_load("m1", load=0.85) == pytest.approx(0.5)
    clock.advance(300)
    assert cache.report_load("m1", load=2.0) == 1.0
    for _ in range(10):
        clock.advance(10)
        last = cache.report_load("m1", load=0.0)
    assert last < 0.7
    clock.advance(60)
    assert cache.report_load("m1", load=0.0) == 0.0
    assert cache.stats()["load"]["m1"]["relaxation"] == 0.0


def test_load_extends_lifetimes_up_to_their_bound_only(make_cache, questions, clock):
    cache = loaded_cache(make_cache)
    vector = stored(cache, questions)
    own = questions.new()
    cache.put(own, "own", prompt="Own?", ttl=100, wait=True, **ASK)
    clock.advance(120)
    assert cache.get(vector, prompt="Yes?", **ASK) is None
    cache.report_load("m1", load=1.0)
    assert cache.get(vector, prompt="Yes?", **ASK).relaxed
    assert cache.get(own, prompt="Own?", **ASK) is None
    clock.advance(30.001)
    cache.report_load("m1", load=1.0)
    assert cache.get(vector, prompt="Yes?", **ASK) is None


def test_category_that_does_not_adapt_does_not(make_cache, questions):
    cache = make_cache()
    vector = stored(cache, questions)
    cache.report_load("m1", load=5.0)
    assert cache.get(questions.near(vector, 0.85), prompt="Or yes?", **ASK) is None


@pytest.mark.parametrize(
    ("told", "field"),
    [
        ({}, "load"),
        ({"load": -1}, "load"),
        ({"load": "high"}, "load"),
        ({"inflight": 3}, "limit"),
        ({"p95": 1.0, "p95_target": 0.0}, "p95_target"),
    ],
)
def test_load_that_says_nothing_is_refused(make_cache, told, field):
    with pytest.raises(InvalidArgument) as caught:
        make_cache().report_load("m1", **told)
    assert caught.value.field == field
