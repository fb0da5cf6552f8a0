"""Guards: what similarity cannot see is seen, and paraphrases pass."""

from __future__ import annotations

import pytest

from vecdb.cache.guards import NO_GUARD, compare_guards, sign_prompt
from vecdb.cache.policy_parse import parse_policy

from .conftest import SCOPE

EFFECTS = parse_policy(None, 1).categories["faq"].guards
STRICT = EFFECTS | {"entities": "veto", "overlap": "veto"}

APART = [
    ("numbers", "What is 2 + 3?", "What is 2 + 5?"),
    ("numbers", "Is ICND2 200-101 hard?", "Is ICND2 200-105 hard?"),
    ("numbers", "Give me two ideas", "Give me three ideas"),
    ("negation", "Can I cancel the order?", "Can I not cancel the order?"),
    ("negation", "Why does it work?", "Why doesn't it work?"),
    ("order", "Convert euros to dollars", "Convert dollars to euros"),
    ("order", "Is Paris larger than Rome?", "Is Rome larger than Paris?"),
]
ALIKE = [
    ("How do I reset my password?", "How can I reset the password?"),
    ("What is 1,000 in words?", "What's 1000 in words?"),
    ("Where are my orders", "where is my order?"),
    ("don't never do it", "do it"),
]


@pytest.mark.parametrize(("guard", "one", "other"), APART)
def test_pairs_that_mean_something_else_are_vetoed(guard, one, other):
    found = compare_guards(sign_prompt(one), sign_prompt(other), EFFECTS)
    assert found == ("veto", guard)
    assert compare_guards(sign_prompt(other), sign_prompt(one), EFFECTS) == found


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_paraphrases_pass(one, other):
    assert compare_guards(sign_prompt(one), sign_prompt(other), EFFECTS)[0] != "veto"


def test_other_names_are_a_doubt_where_the_policy_asks():
    one = sign_prompt("How far is the rehab center in Floyd County")
    other = sign_prompt("How far is the rehab center in Monroe County")
    assert compare_guards(one, other, EFFECTS) == ("", "")
    assert compare_guards(one, other, STRICT) == ("veto", "entities")


def test_prompts_without_common_words_are_suspect():
    one = sign_prompt("describing zebra xylophone quartz vortex jigsaw")
    other = sign_prompt("alpha beta gamma delta epsilon")
    assert compare_guards(one, other, STRICT)[0] in ("veto", "")


def test_signature_has_32_bytes_and_is_never_that_of_no_prompt():
    for text in ("", "x", "not", "é 12 ½", "a" * 10_000, "\ud800"):
        assert len(sign_prompt(text)) == 32
        assert sign_prompt(text) != NO_GUARD


def test_guard_keeps_a_near_question_from_being_answered(make_cache, questions):
    cache = make_cache()
    first = questions.new()
    asked = {"category": "faq", "scope": SCOPE}
    cache.put(first, "5", prompt="What is 2 + 3?", wait=True, **asked)
    near = questions.near(first, 0.99)
    assert cache.lookup(near, prompt="What is 2 + 5?", **asked).reason == "guard"
    assert cache.lookup(near, prompt="2 + 3 is what?", **asked).hit.value == "5"
    assert cache.lookup(near, **asked).hit.value == "5"  # nothing to guard: counted
    assert cache.stats()["categories"]["faq"]["unguarded"] == 1


def test_policy_may_require_a_prompt(make_cache, questions):
    cache = make_cache(guards_required=True)
    first = questions.new()
    cache.put(first, "5", category="faq", scope=SCOPE, prompt="What is 2 + 3?", wait=True)
    near = questions.near(first, 0.99)
    assert cache.lookup(near, category="faq", scope=SCOPE).reason == "required"


def test_second_nearest_answers_where_a_guard_stops_the_nearest(make_cache, questions):
    cache = make_cache()
    first = questions.new()
    asked = {"category": "faq", "scope": SCOPE}
    cache.put(questions.near(first, 0.99), "5", prompt="Sum of 2 and 5?", wait=True, **asked)
    cache.put(questions.near(first, 0.95), "3", prompt="Sum of 2 and 3?", wait=True, **asked)
    assert cache.get(first, prompt="What is the sum of 2 and 3?", **asked).value == "3"


def test_verifier_decides_what_is_doubtful(make_cache, questions):
    seen = []

    def verify(asked, stored, value):
        seen.append((asked, stored, value))
        return "pay" in asked

    cache = make_cache(handle={"verify": verify}, threshold_grey=0.8)
    first = questions.new()
    asked = {"category": "faq", "scope": SCOPE}
    cache.put(first, "so", prompt="How do I pay?", wait=True, **asked)
    near = questions.near(first, 0.85)
    assert cache.lookup(near, prompt="Where do I pay?", **asked).hit.kind == "verified"
    assert cache.lookup(near, prompt="Where do I stay?", **asked).reason == "grey"
    assert seen[0] == ("Where do I pay?", "How do I pay?", b"so")
    assert cache.lookup(questions.near(first, 0.7), prompt="x", **asked).reason == "below"
    assert len(seen) == 2
