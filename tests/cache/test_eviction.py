"""Room: quotas that lend, tenants' shares, priorities, and what an invalidation takes out."""

from __future__ import annotations

import pytest

import vecdb
from vecdb.check import check_directory
from vecdb.errors import InvalidArgument

from .conftest import DIM, SCOPE, category

TWO = {
    "capacity": {"entries": 40},
    "grace": 0,
    "category": {
        "faq": category(quota=0.5, priority=1.0),
        "chat": category(quota=0.5, priority=0.1),
    },
}


def fill(cache, questions, name, count, scope=SCOPE, mark="", **more):
    vectors = [questions.new() for _ in range(count)]
    for place, vector in enumerate(vectors):
        done = cache.put(
            vector,
            f"{name} {place}",
            category=name,
            scope=scope,
            prompt=f"{name} {place}{mark}?",
            wait=True,
            **more,
        )
        assert done.stored, done
    return vectors


def counts(cache):
    rows = cache.stats()["categories"]
    return {name: row["entries"] for name, row in rows.items()}


def test_capacity_is_never_exceeded_and_the_tables_agree(db, path, questions):
    cache = db.create_cache("a", dim=DIM, policy=TWO)
    fill(cache, questions, "chat", 70)
    assert counts(cache) == {"faq": 0, "chat": 40}
    stats = cache.stats()
    assert (stats["stored_entries"], stats["categories"]["chat"]["evicted"]) == (40, 30)
    db.close()
    assert check_directory(path).ok


def test_room_that_was_lent_is_taken_back_first(db, questions):
    cache = db.create_cache("a", dim=DIM, policy=TWO)
    fill(cache, questions, "chat", 40)
    fill(cache, questions, "faq", 20)
    assert counts(cache) == {"faq": 20, "chat": 20}
    fill(cache, questions, "faq", 15)
    assert counts(cache) == {"faq": 20, "chat": 20}


def test_what_is_asked_for_stays_longer(db, questions, clock):
    cache = db.create_cache("a", dim=DIM, policy=TWO)
    vectors = fill(cache, questions, "faq", 40)
    for _ in range(10):
        clock.advance(1)
        for place in range(10):
            cache.get(vectors[place], category="faq", scope=SCOPE, prompt=f"faq {place}?")
    for place in range(10, 40):
        cache.get(questions.near(vectors[place], 0.95), category="faq", scope=SCOPE)
    fill(cache, questions, "faq", 15)
    kept = sum(
        cache.get(vectors[place], category="faq", scope=SCOPE, prompt=f"faq {place}?") is not None
        for place in range(10)
    )
    assert kept >= 8


def test_young_entries_are_spared(db, questions, clock):
    cache = db.create_cache("a", dim=DIM, policy=TWO | {"grace": 60})
    old = fill(cache, questions, "faq", 30)
    clock.advance(61)
    young = fill(cache, questions, "faq", 30, mark=" again")
    left = sum(
        cache.get(vector, category="faq", scope=SCOPE, prompt=f"faq {place}?") is not None
        for place, vector in enumerate(old)
    )
    kept = sum(
        cache.get(vector, category="faq", scope=SCOPE, prompt=f"faq {place} again?") is not None
        for place, vector in enumerate(young)
    )
    assert (left, kept) == (10, 30)


def test_tenant_cannot_flush_the_others(db, questions):
    policy = TWO | {"capacity": {"entries": 40, "tenant_quota": 0.25}}
    cache = db.create_cache("a", dim=DIM, policy=policy)
    mine = fill(cache, questions, "faq", 5)
    fill(cache, questions, "chat", 60, scope={"tenant": "greedy", "model": "m1"})
    assert counts(cache) == {"faq": 5, "chat": 10}
    for place, vector in enumerate(mine):
        assert cache.get(vector, category="faq", scope=SCOPE, prompt=f"faq {place}?")


def test_bytes_are_a_bound_too(db, questions):
    policy = TWO | {"capacity": {"entries": 10_000, "bytes": "64KiB"}}
    cache = db.create_cache("a", dim=DIM, policy=policy)
    for place in range(40):
        vector = questions.new()
        value = bytes([place]) * 3 + questions._rng.bytes(4_000)
        done = cache.put(vector, value, category="faq", scope=SCOPE, prompt=str(place), wait=True)
        assert done.stored
        assert cache.stats()["stored_bytes"] <= 64 * 1024
    large = questions._rng.bytes(70_000)
    done = cache.put(questions.new(), large, category="faq", scope=SCOPE, wait=True)
    assert (done.stored, done.reason) == (False, "too_large")


def test_doorkeeper_lets_in_what_comes_twice(make_cache, questions):
    cache = make_cache(doorkeeper=True)
    vector = questions.new()
    ask = {"category": "faq", "scope": SCOPE, "prompt": "Rare?", "wait": True}
    assert cache.put(vector, "x", **ask).reason == "first_seen"
    assert cache.put(vector, "x", **ask).stored


def test_groups_of_writes_keep_the_capacity(db, questions):
    cache = db.create_cache("a", dim=DIM, policy=TWO)
    for place in range(300):
        cache.put(questions.new(), "x", category="faq", scope=SCOPE, prompt=str(place))
    cache.put(questions.new(), "x", category="faq", scope=SCOPE, prompt="last", wait=True)
    assert cache.stats()["stored_entries"] <= 40
    assert cache.stats()["entries"] == cache.stats()["stored_entries"]


# --------------------------------------------------------------------------------- invalidation


@pytest.fixture
def tagged(make_cache, questions):
    cache = make_cache()
    vectors = {}
    for name, tags, sources in (
        ("a", ["t1"], [("docs", "1", "v1")]),
        ("b", ["t1", "t2"], [("docs", "1", "v2")]),
        ("c", [], [("docs", "2")]),
        ("d", [], []),
    ):
        vectors[name] = questions.new()
        cache.put(
            vectors[name],
            name,
            category="faq",
            scope=SCOPE,
            prompt=f"{name}?",
            tags=tags,
            sources=sources,
            wait=True,
        )

    def alive():
        return "".join(
            name
            for name, vector in vectors.items()
            if cache.get(vector, category="faq", scope=SCOPE, prompt=f"{name}?")
            and cache.get(questions.near(vector, 0.95), category="faq", scope=SCOPE)
        )

    return cache, alive


@pytest.mark.parametrize(
    ("target", "left"),
    [
        ({"tags": ["t1"]}, "cd"),
        ({"tags": ["t2", "none"]}, "acd"),
        ({"sources": [("docs", "1")]}, "cd"),
        ({"sources": [("docs", "1", "v2")]}, "acd"),
        ({"sources": [("docs", 2)]}, "abd"),
        ({"category": "faq"}, ""),
        ({"scope": SCOPE}, ""),
        ({"scope": {"tenant": "other", "model": "m1"}}, "abcd"),
        ({"everything": True}, ""),
    ],
)
def test_invalidation_takes_out_what_it_is_about(tagged, db, path, clock, target, left):
    cache, alive = tagged
    dry = cache.invalidate(dry_run=True, **target)
    assert (dry.count, alive()) == (4 - len(left), "abcd")
    assert cache.invalidate(**target).count == 4 - len(left)
    assert alive() == left
    cache.maintain()
    assert (alive(), cache.stats()["stored_entries"]) == (left, len(left))
    db.close()
    assert check_directory(path).ok
    with vecdb.open(path, clock=clock) as again:
        assert again.cache("answers").stats()["entries"] == len(left)


def test_dead_entry_is_not_served_even_if_the_index_still_offers_it(tagged, monkeypatch):
    cache, alive = tagged
    monkeypatch.setattr(cache._engine.index, "kill", lambda entry: False)  # as in a follower
    cache.invalidate(tags=["t1"])
    monkeypatch.undo()
    assert alive() == "cd"
    assert cache.stats()["categories"]["faq"]["repairs"] == 0


def test_answers_stored_after_an_invalidation_live(tagged, questions):
    cache, _ = tagged
    cache.invalidate(everything=True)
    vector = questions.new()
    cache.put(vector, "e", category="faq", scope=SCOPE, prompt="e?", tags=["t1"], wait=True)
    assert cache.get(vector, category="faq", scope=SCOPE, prompt="e?").value == "e"


def test_answer_that_was_computed_before_an_invalidation_is_refused(tagged, questions):
    cache, _ = tagged
    ask = {"category": "faq", "scope": SCOPE, "prompt": "new?"}
    vector = questions.new()
    ticket = cache.lookup(vector, **ask).ticket
    cache.invalidate(tags=["t1"])
    done = cache.put(vector, "old", tags=["t1"], ticket=ticket, wait=True, **ask)
    assert (done.stored, done.reason) == (False, "invalidated_meanwhile")
    assert cache.put(vector, "other", tags=["t2"], ticket=ticket, wait=True, **ask).stored


@pytest.mark.parametrize("target", [{}, {"tags": ["a"], "category": "faq"}, {"tags": []}])
def test_invalidation_names_exactly_one_kind(make_cache, target):
    with pytest.raises(InvalidArgument):
        make_cache().invalidate(**target)
