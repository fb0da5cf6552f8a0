"""Asking and storing: tiers, scopes, thresholds, bad input, and what a restart keeps."""

from __future__ import annotations

import numpy as np
import pytest

import vecdb
from vecdb.check import check_directory
from vecdb.errors import AlreadyExists, InvalidArgument, LimitExceeded, NotFound, Unavailable

from .conftest import DIM, SCOPE


def put(cache, vector, value="yes", prompt="How do I pay?", scope=SCOPE, **more):
    more.setdefault("wait", True)
    return cache.put(vector, value, category="faq", scope=scope, prompt=prompt, **more)


def ask(cache, vector, prompt="How do I pay?", scope=SCOPE):
    return cache.lookup(vector, category="faq", scope=scope, prompt=prompt)


def test_same_prompt_is_answered_by_the_exact_tier(make_cache, questions):
    cache = make_cache()
    first = questions.new()
    assert put(cache, first).stored
    hit = ask(cache, first, "  How do\n I   pay? ").hit
    assert (hit.kind, hit.value, hit.score) == ("exact", "yes", 1.0)
    assert ask(cache, first, "How do I pay??").hit.kind == "vector"  # punctuation is meaning


def test_other_words_are_answered_by_meaning(make_cache, questions):
    cache = make_cache()
    first = questions.new()
    put(cache, first)
    found = ask(cache, questions.near(first, 0.93), "In which way can I pay?")
    assert (found.hit.kind, found.hit.value, found.hit.threshold) == ("vector", "yes", 0.9)
    assert found.hit.score == pytest.approx(0.93, abs=1e-5)
    missed = ask(cache, questions.near(first, 0.87), "May I pay?")
    assert (missed.hit, missed.reason) == (None, "below")
    assert missed.nearest_score == pytest.approx(0.87, abs=1e-5)


def test_nearest_of_several_answers(make_cache, questions):
    cache = make_cache()
    first = questions.new()
    for cosine in (0.99, 0.95, 0.97):
        put(cache, questions.near(first, cosine), str(cosine), f"Question {cosine}?")
    assert ask(cache, first, None).hit.value == "0.99"


def test_values_come_back_as_what_they_were(make_cache, questions):
    cache = make_cache()
    for value in ("text", b"\x00\xff", {"a": [1, None, "é"]}, [1.5], 7, True, ""):
        vector = questions.new()
        put(cache, vector, value, str(value))
        hit = ask(cache, vector, str(value)).hit
        assert hit.value == value
        assert type(hit.value) is type(value)


def test_content_type_tags_sources_and_meta_come_back(make_cache, questions):
    cache = make_cache()
    vector = questions.new()
    put(
        cache,
        vector,
        b"<p>",
        content_type="text/html",
        tags=["a", "b", "a"],
        sources=[("docs", "id7", "v3"), ("docs", 8)],
        meta={"tokens": 120, "money": 0.002, "who": "me"},
    )
    hit = ask(cache, vector).hit
    assert (hit.value, hit.content_type) == (b"<p>", "text/html")
    assert hit.meta["tags"] == ["a", "b"]
    assert hit.meta["sources"] == [["docs", "id7", "v3"], ["docs", "8", ""]]
    assert hit.meta["meta"]["who"] == "me"
    assert (hit.saved.tokens, hit.saved.money) == (120, 0.002)


def test_long_values_are_stored_whole(make_cache, questions):
    cache = make_cache()
    rng = np.random.default_rng(3)
    for value in ("x" * 100_000, rng.bytes(50_000)):
        vector = questions.new()
        put(cache, vector, value, "long")
        assert ask(cache, vector, "long").hit.value == value


def test_function_makes_the_vector_only_where_it_is_needed(make_cache, questions):
    cache = make_cache()
    first = questions.new()
    put(cache, first)
    calls = []

    def embed():
        calls.append(1)
        return first

    assert cache.get(embed, category="faq", scope=SCOPE, prompt="How do I pay?").kind == "exact"
    assert calls == []
    assert cache.get(embed, category="faq", scope=SCOPE, prompt="How to pay?").kind == "vector"
    assert calls == [1]


def test_handle_embeds_prompts_itself(make_cache, questions):
    first = questions.new()
    cache = make_cache(handle={"embed": lambda prompt: first})
    assert put(cache, None).stored
    assert ask(cache, None, "Pay how?").hit.value == "yes"


def test_answer_without_a_prompt_is_found_by_its_vector(make_cache, questions):
    cache = make_cache()
    first = questions.new()
    put(cache, first, prompt=None)
    assert ask(cache, first, None).hit.kind == "exact"
    assert ask(cache, questions.near(first, 0.95), None).hit.kind == "vector"


def test_new_answer_takes_the_place_of_the_old_one(make_cache, questions):
    cache = make_cache()
    first = questions.new()
    put(cache, first, "old")
    put(cache, first, "new")
    assert ask(cache, first).hit.value == "new"
    assert ask(cache, questions.near(first, 0.95), "Paying?").hit.value == "new"
    assert cache.stats()["stored_entries"] == 1


def test_negative_entry_answers_its_own_question_only_and_not_for_long(
    make_cache, questions, clock
):
    cache = make_cache()
    first = questions.new()
    cache.put(first, category="faq", scope=SCOPE, prompt="Who?", negative=True, wait=True)
    found = ask(cache, first, "Who?")
    assert (found.hit.kind, found.hit.value) == ("negative", None)
    assert ask(cache, questions.near(first, 0.99), "Who then?").hit is None
    clock.advance(31)
    assert ask(cache, first, "Who?").hit is None
    assert cache.stats()["categories"]["faq"]["tokens_saved"] == 0


def test_category_that_may_not_be_cached_leaves_nothing(db, questions):
    cache = db.create_cache("a", dim=DIM)
    called = []
    vector = lambda: called.append(1)  # noqa: E731
    ask_it = {"category": "personal", "scope": SCOPE, "prompt": "my blood group"}
    found = cache.lookup(vector, **ask_it)
    assert (found.hit, found.reason) == (None, "bypass")
    assert cache.put(vector, "AB", **ask_it).reason == "bypass"
    assert cache.get_or_compute(vector, lambda: "AB", **ask_it) == "AB"
    assert called == []
    assert cache.stats()["stored_entries"] == 0


# --------------------------------------------------------------------------------------- scopes

OTHERS = [
    {"tenant": "acme", "model": "m2"},
    {"tenant": "Acme", "model": "m1"},
    {"tenant": "acme ", "model": "m1"},
    {"tenant": "m1", "model": "acme"},
    {"tenant": 1, "model": "m1"},
    {"tenant": True, "model": "m1"},
    {"tenant": "1", "model": "m1"},
]


def test_scopes_never_meet(make_cache, questions):
    cache = make_cache()
    first = questions.new()
    for place, scope in enumerate(OTHERS):
        put(cache, first, str(place), scope=scope)
    for place, scope in enumerate(OTHERS):
        assert ask(cache, first, scope=scope).hit.value == str(place)
        assert ask(cache, first, "Other words?", scope=scope).hit.value == str(place)
    assert ask(cache, first).reason == "empty"


def test_scope_is_the_same_in_any_order_and_unicode_form(make_cache, questions):
    cache = make_cache()
    first = questions.new()
    put(cache, first, scope={"tenant": "caf\u00e9", "model": "m"})
    assert ask(cache, first, scope={"model": "m", "tenant": "cafe\u0301"}).hit.value == "yes"


@pytest.mark.parametrize(
    ("scope", "field"),
    [
        (None, "scope"),
        ("acme", "scope"),
        ({}, "scope.model"),
        ({"tenant": "a"}, "scope.model"),
        ({"tenant": "a", "model": "m", "user": "u"}, "scope.user"),
        ({"tenant": "", "model": "m"}, "scope.tenant"),
        ({"tenant": None, "model": "m"}, "scope.tenant"),
        ({"tenant": ["a"], "model": "m"}, "scope.tenant"),
        ({"tenant": 1.0, "model": "m"}, "scope.tenant"),
    ],
)
def test_scope_is_mandatory_and_exact(make_cache, questions, scope, field):
    cache = make_cache()
    for call in (cache.lookup, cache.get):
        with pytest.raises(InvalidArgument) as caught:
            call(questions.new(), category="faq", scope=scope)
        assert (caught.value.field, caught.value.reason) == (field, "BAD_SCOPE")


@pytest.mark.slow
def test_no_scope_sees_another_in_a_fuzz_with_colliding_fingerprints(
    make_cache, questions, monkeypatch
):
    """Fingerprints cut to 2 values: only the canonical bytes still tell the scopes apart."""
    cache = make_cache()
    check = cache._engine.scopes._make

    def collide(scope):
        made = check(scope)
        return type(made)(
            made.canonical, bytes(15) + bytes([made.fingerprint[0] & 1]), made.model, made.tenant
        )

    monkeypatch.setattr(cache._engine.scopes, "_make", collide)
    rng = np.random.default_rng(5)
    base = [questions.new() for _ in range(4)]
    hits = 0
    for _ in range(600):
        tenant, kind = str(rng.integers(12)), int(rng.integers(4))
        scope = {"tenant": tenant, "model": "m"}
        vector = questions.near(base[kind], 0.99)
        prompt = f"tenant {rng.integers(12)} kind {kind}" if rng.random() < 0.5 else None
        found = cache.get(vector, category="faq", scope=scope, prompt=prompt)
        if found is not None:
            hits += 1
            assert found.value == f"{tenant}"
        elif rng.random() < 0.5:
            cache.put(vector, tenant, category="faq", scope=scope, prompt=prompt, wait=True)
    assert hits > 20


# -------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        (np.ones(DIM + 1), "WRONG_DIMENSION"),
        (np.ones((1, DIM)), "WRONG_DIMENSION"),
        (np.zeros(DIM), "ZERO_VECTOR"),
        (np.full(DIM, np.nan), "NOT_FINITE"),
        ("text", "INVALID_ARGUMENT"),
        (None, "INVALID_ARGUMENT"),
    ],
)
def test_vector_that_is_none_of_the_cache_is_refused(make_cache, vector, reason):
    cache = make_cache()
    for call in (
        lambda: cache.get(vector, category="faq", scope=SCOPE),
        lambda: cache.put(vector, "x", category="faq", scope=SCOPE),
        lambda: cache.get_or_compute(vector, lambda: "x", category="faq", scope=SCOPE),
    ):
        with pytest.raises(InvalidArgument) as caught:
            call()
        assert (caught.value.field, caught.value.reason) == ("vector", reason)


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1.0, 1e12, 1e30])
def test_length_of_a_vector_means_nothing(make_cache, questions, scale):
    cache = make_cache()
    first = questions.new()
    put(cache, first)
    assert ask(cache, first * scale, "Pay how?").hit.score == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"value": None}, "value"),
        ({"value": object()}, "value"),
        ({"value": float("nan")}, "value"),
        ({"value": "x", "negative": True}, "value"),
        ({"value": "x", "ttl": 0}, "ttl"),
        ({"value": "x", "ttl": "long"}, "ttl"),
        ({"value": "x", "tags": "abc"}, "tags"),
        ({"value": "x", "tags": [""]}, "tags[0]"),
        ({"value": "x", "sources": [("docs",)]}, "sources[0]"),
        ({"value": "x", "sources": ["docs"]}, "sources[0]"),
        ({"value": "x", "meta": [1]}, "meta"),
        ({"value": "x", "meta": {"tokens": -1}}, "meta.tokens"),
        ({"value": "x", "ticket": "abc"}, "ticket"),
        ({"value": "x", "content_type": ""}, "content_type"),
        ({"value": "x", "prompt": 5}, "prompt"),
    ],
)
def test_bad_argument_is_named(make_cache, questions, more, field):
    cache = make_cache()
    arguments = {"category": "faq", "scope": SCOPE} | more
    with pytest.raises(InvalidArgument) as caught:
        cache.put(questions.new(), **arguments)
    assert caught.value.field == field
    assert cache.stats()["stored_entries"] == 0


def test_too_much_is_refused(make_cache, questions):
    cache = make_cache()
    for more in (
        {"value": b"x" * (16 * 1024 * 1024 + 1)},
        {"value": "x", "tags": [str(n) for n in range(17)]},
        {"value": "x", "meta": {"a": "x" * 70_000}},
    ):
        with pytest.raises(LimitExceeded):
            cache.put(questions.new(), category="faq", scope=SCOPE, **more)


def test_unknown_category_is_told_the_known_ones(make_cache, questions):
    with pytest.raises(InvalidArgument) as caught:
        make_cache().get(questions.new(), category="faqs", scope=SCOPE)
    assert (caught.value.field, caught.value.reason) == ("category", "UNKNOWN_CATEGORY")
    assert "faq" in caught.value.hint


# ------------------------------------------------------------------------------- the directory


def test_caches_are_made_listed_and_dropped(db, questions):
    db.create_cache("a", dim=DIM)
    with pytest.raises(AlreadyExists):
        db.create_cache("a", dim=DIM)
    db.create_collection("a", dim=2)  # another namespace
    cache = db.cache("a")
    cache.put(questions.new(), "x", category="faq", scope=SCOPE, wait=True)
    assert [(info.name, info.dim, info.entries) for info in db.caches()] == [("a", DIM, 1)]
    db.delete_cache("a")
    assert db.caches() == []
    for call in (
        lambda: db.cache("a"),
        lambda: db.delete_cache("a"),
        lambda: cache.put(questions.new(), "x", category="faq", scope=SCOPE, wait=True),
        lambda: cache.stats(),
        lambda: ask(cache, questions.new()),
    ):
        with pytest.raises(NotFound):
            call()
    again = db.create_cache("a", dim=DIM)
    assert again.stats()["stored_entries"] == 0


def test_closed_database_answers_nothing(path, questions):
    with vecdb.open(path) as db:
        cache = db.create_cache("a", dim=DIM)
    for call in (
        lambda: ask(cache, questions.new()),
        lambda: put(cache, questions.new()),
        lambda: cache.stats(),
    ):
        with pytest.raises(Unavailable):
            call()


def test_restart_keeps_answers_and_their_checksums(path, clock, questions):
    vectors = [questions.new() for _ in range(400)]
    with vecdb.open(path, clock=clock) as db:
        cache = db.create_cache("a", dim=DIM)
        for place, vector in enumerate(vectors):
            put(cache, vector, f"answer {place}", f"question {place}?", wait=place == 399)
        cache.invalidate(tags=["none"])
    with vecdb.open(path, clock=clock) as db:
        cache = db.cache("a")
        for place, vector in enumerate(vectors):
            assert ask(cache, vector, f"question {place}?").hit.value == f"answer {place}"
            near = questions.near(vector, 0.95)
            assert ask(cache, near, f"which question {place}?").hit.kind in ("vector", "ring")
    assert check_directory(path).ok


def test_statistics_and_explanations_tell_what_happened(make_cache, questions):
    cache = make_cache()
    first = questions.new()
    put(cache, first)
    hit = ask(cache, first).hit
    missed = ask(cache, questions.near(first, 0.7), "Hm?")
    told = cache.explain(missed)
    assert (told["outcome"], told["partition_entries"]) == ("below", 1)
    assert told["candidates"][0]["score"] == pytest.approx(0.7, abs=1e-5)
    assert cache.explain(hit)["tier"] == "exact"
    with pytest.raises(NotFound):
        cache.explain(10**9)
    faq = cache.stats()["categories"]["faq"]
    assert (faq["lookups"], faq["hits"], faq["misses"]) == (2, {"exact": 1}, {"below": 1})
    assert faq["nearest_of_misses"] == {"0.70": 1}
    assert cache.stats()["latency"]["lookup"]["count"] == 1  # of eight
