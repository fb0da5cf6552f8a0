"""Policies: what is refused, where the error points, and what a change does to what is stored."""

from __future__ import annotations

import pytest

import vecdb
from vecdb.cache.defaults import default_document
from vecdb.cache.policy_parse import parse_policy, policy_json
from vecdb.errors import InvalidArgument, NotFound, PreconditionFailed

from .conftest import DIM, SCOPE, category

FAULTS = [
    ({}, "policy.category", "at least one"),
    ({"category": {"a": {"threshold": 0}}}, "policy.category.a.threshold", "above 0"),
    ({"category": {"a": {"threshold": 0.0}}}, "policy.category.a.threshold", "distance"),
    ({"category": {"a": {"threshold": 1.9}}}, "policy.category.a.threshold", "at most 1"),
    ({"category": {"a": {"threshold": True}}}, "policy.category.a.threshold", "number"),
    ({"category": {"a": {"threshold": float("nan")}}}, "policy", "JSON"),
    (
        {"category": {"a": {"threshold": 0.8, "threshold_min": 0.9}}},
        "policy.category.a.threshold",
        "threshold_min 0.9",
    ),
    ({"category": {"a": {"ttl": "2d", "ttl_max": "1d"}}}, "policy.category.a.ttl", "ttl_max"),
    ({"category": {"a": {"ttl": 0}}}, "policy.category.a.ttl", "above 0"),
    ({"category": {"a": {"ttl": "soon"}}}, "policy.category.a.ttl", '"10m"'),
    ({"category": {"a": {"ttl": "200d"}}}, "policy.category.a.ttl", "100 days"),
    ({"category": {"a": {"jitter": 0.9}}}, "policy.category.a.jitter", "0.5"),
    (
        {"category": {"a": {"quota": 0.6}, "b": {"quota": 0.6}}},
        "policy.category",
        "sum to at most 1",
    ),
    ({"category": {"a": {"thresold": 0.9}}}, "policy.category.a.thresold", "Its fields are"),
    ({"category": {"a b": {}}}, "policy.category.a b", "letters"),
    ({"categories": {"a": {}}}, "policy.categories", "Its fields are"),
    (
        {"category": {"a": {"compliance": ["hipaa"]}}},
        "policy.category.a.allow_caching",
        "reach the disk",
    ),
    ({"category": {"a": {"relax_ttl": 1.0}}}, "policy.category.a.adaptive", "relax"),
    ({"category": {"a": {"error_budget": 0}}}, "policy.category.a.error_budget.value", "share"),
    (
        {"category": {"a": {"error_budget": {"value": 0.01, "per": "day"}}}},
        "policy.category.a.error_budget.per",
        "query",
    ),
    ({"category": {"a": {"guards": ["spelling"]}}}, "policy.category.a.guards.spelling", "numbers"),
    ({"category": {"a": {}}, "scope": []}, "policy.scope", "1 to"),
    ({"category": {"a": {}}, "capacity": {"entries": 0}}, "policy.capacity.entries", "from 1"),
    ({"category": {"a": {}}, "capacity": {"bytes": "4 gigs"}}, "policy.capacity.bytes", "GiB"),
    ({"category": {"a": {}}, "load": {"start": 2.0}}, "policy.load.start", "below full"),
    ({"category": {"a": {}}, "defaults": {"ttl": -1}}, "policy.defaults.ttl", "above 0"),
    ("category = ", "policy", "no TOML"),
    ("{", "policy", "no JSON"),
    ([], "policy", "object"),
]


@pytest.mark.parametrize(("document", "field", "told"), FAULTS)
def test_fault_is_named_with_its_place_and_what_is_allowed(document, field, told):
    with pytest.raises(InvalidArgument) as caught:
        parse_policy(document, 1)
    assert caught.value.field == field
    assert told in str(caught.value)
    assert caught.value.reason == "BAD_POLICY"


def test_threshold_that_is_absent_is_the_default_and_no_zero():
    assert parse_policy({"category": {"a": {}}}, 1).categories["a"].threshold == 0.90


def test_policy_that_ships_is_valid_and_says_what_it_is():
    policy = parse_policy(None, 1)
    assert sorted(policy.categories) == sorted(default_document()["category"])
    assert not policy.categories["personal"].allow_caching
    assert 0.97 <= sum(one.quota for one in policy.categories.values()) <= 1.0
    for one in policy.categories.values():
        assert one.threshold_min <= one.threshold
        assert one.ttl <= one.ttl_max
    assert policy.categories["prices"].relax_threshold == 0.0


def test_stored_form_is_read_back_as_it_was():
    policy = parse_policy(None, 1)
    again = parse_policy(policy_json(policy).decode(), 1)
    assert again == policy


def test_toml_and_dict_say_the_same():
    text = '[category.docs]\nthreshold = 0.88\nttl = "7d"\nttl_max = "14d"\n'
    document = {"category": {"docs": {"threshold": 0.88, "ttl": "7d", "ttl_max": "14d"}}}
    assert parse_policy(text, 1).categories == parse_policy(document, 1).categories


def test_defaults_of_the_document_go_to_every_category():
    policy = parse_policy(
        {"defaults": {"ttl": "1h", "ttl_max": "2h"}, "category": {"a": {}, "b": {"ttl": "2h"}}}, 1
    )
    assert (policy.categories["a"].ttl, policy.categories["b"].ttl) == (3_600, 7_200)


def test_bad_policy_makes_no_cache(db):
    with pytest.raises(InvalidArgument):
        db.create_cache("a", dim=DIM, policy={"category": {"a": {"threshold": 0}}})
    assert db.caches() == []


def test_policy_is_changed_while_running_and_its_versions_are_kept(make_cache, questions):
    cache = make_cache()
    first = questions.new()
    cache.put(first, "yes", category="faq", scope=SCOPE, prompt="One?", wait=True)
    near = questions.near(first, 0.85)
    assert cache.get(near, category="faq", scope=SCOPE) is None
    looser = cache.policy()
    looser["category"]["faq"] = category(threshold=0.8)
    assert cache.set_policy(looser)["version"] == 2
    assert cache.get(near, category="faq", scope=SCOPE).value == "yes"
    assert cache.policy(1)["category"]["faq"]["threshold"] == 0.9
    with pytest.raises(PreconditionFailed) as caught:
        cache.set_policy(looser)  # still says that it replaces version 1
    assert caught.value.reason == "POLICY_CHANGED"
    with pytest.raises(NotFound):
        cache.policy(7)


def test_policy_survives_a_restart(path, clock):
    with vecdb.open(path, clock=clock) as db:
        cache = db.create_cache("a", dim=DIM)
        cache.set_policy({"category": {"only": {"threshold": 0.77, "threshold_min": 0.7}}})
    with vecdb.open(path, clock=clock) as db:
        policy = db.cache("a").policy()
    assert (policy["version"], policy["category"]["only"]["threshold"]) == (2, 0.77)


def test_refused_policy_changes_nothing(make_cache):
    cache = make_cache()
    before = cache.policy()
    with pytest.raises(InvalidArgument):
        cache.set_policy({"category": {"faq": {"threshold": 2}}})
    assert cache.policy() == before


def test_dry_run_tells_what_another_threshold_would_have_done(make_cache, questions):
    cache = make_cache()
    first = questions.new()
    cache.put(first, "yes", category="faq", scope=SCOPE, prompt="One?", wait=True)
    for cosine in (0.97, 0.92, 0.85, 0.5):
        cache.get(questions.near(first, cosine), category="faq", scope=SCOPE)
    looser = {"category": {"faq": category(threshold=0.8)}}
    stricter = {"category": {"faq": category(threshold=0.95)}}
    told = cache.set_policy(looser, dry_run=True)["categories"]["faq"]
    assert (told["lookups"], told["hits"], told["hits_then"]) == (4, 2, 3)
    assert cache.set_policy(stricter, dry_run=True)["categories"]["faq"]["hits_then"] == 1
    assert cache.policy()["version"] == 1


def test_shorter_lifetime_holds_for_what_is_stored_already(make_cache, questions, clock):
    cache = make_cache()
    first = questions.new()
    cache.put(first, "yes", category="faq", scope=SCOPE, prompt="One?", wait=True)
    clock.advance(50)
    assert cache.get(first, category="faq", scope=SCOPE, prompt="One?")
    cache.set_policy({"category": {"faq": category(ttl=40, ttl_max=40)}})
    assert cache.get(first, category="faq", scope=SCOPE, prompt="One?") is None


def test_another_encoder_ends_the_answers_of_the_one_before(make_cache, questions):
    cache = make_cache(error_budget=0.05)
    first = questions.new()
    ask = {"category": "faq", "scope": SCOPE, "prompt": "One?"}
    cache.put(first, "yes", wait=True, **ask)
    cache.calibrate("faq", [(0.9, True)] * 100)
    policy = {"category": {"faq": category(error_budget=0.05)}}
    cache.set_policy(policy | {"encoder": "one"})  # named for the first time
    assert cache.get(first, **ask).value == "yes"
    cache.set_policy(policy | {"encoder": "other"})
    assert cache.get(first, **ask) is None
    assert cache.stats()["pools"]["category:faq"]["closed"]
    cache.put(first, "new", wait=True, **ask)
    cache.maintain()
    assert cache.get(first, **ask).value == "new"
    assert cache.stats()["stored_entries"] == 1


def test_category_that_is_gone_is_unknown(make_cache, questions):
    cache = make_cache()
    cache.set_policy({"category": {"other": {}}})
    with pytest.raises(InvalidArgument) as caught:
        cache.get(questions.new(), category="faq", scope=SCOPE)
    assert caught.value.reason == "UNKNOWN_CATEGORY"
    assert "other" in str(caught.value)
