"""get_or_compute: one computation for all who ask the same, and what happens when it fails."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from vecdb.errors import DeadlineExceeded

from .conftest import SCOPE

ASK = {"category": "faq", "scope": SCOPE}


class Model:
    """Answers when it is let."""

    def __init__(self, answers=("yes",)):
        self.calls = 0
        self.go = threading.Event()
        self._answers = list(answers)
        self._lock = threading.Lock()

    def __call__(self):
        with self._lock:
            self.calls += 1
            answer = self._answers[min(self.calls, len(self._answers)) - 1]
        assert self.go.wait(30)
        if isinstance(answer, Exception):
            raise answer
        return answer


def wait_until(true, seconds=20.0):
    till = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < till
        time.sleep(0.002)


def start(pool, cache, model, vectors, prompts, **more):
    return [
        pool.submit(cache.get_or_compute, vector, model, prompt=prompt, **ASK, **more)
        for vector, prompt in zip(vectors, prompts, strict=True)
    ]


def test_value_is_computed_once_and_then_found(make_cache, questions):
    cache = make_cache()
    vector = questions.new()
    model = Model()
    model.go.set()
    assert cache.get_or_compute(vector, model, prompt="Yes?", **ASK) == "yes"
    wait_until(lambda: cache.stats()["stored_entries"] == 1)
    assert cache.get_or_compute(vector, model, prompt="Yes?", **ASK) == "yes"
    assert cache.get_or_compute(questions.near(vector, 0.95), model, prompt="Or?", **ASK) == "yes"
    assert model.calls == 1
    hit = cache.get(vector, prompt="Yes?", **ASK)
    assert hit.saved.seconds > 0


def test_paraphrases_at_once_call_the_model_once(make_cache, questions):
    cache = make_cache()
    base = questions.new()
    count = 60
    vectors = [questions.near(base, 0.98) for _ in range(count)]
    model = Model()
    with ThreadPoolExecutor(count) as pool:
        first = start(pool, cache, model, [base], ["How do I pay?"])
        wait_until(lambda: model.calls == 1)
        prompts = [f"In words {'abcdefghij'[n % 10]} how pay?" for n in range(count)]
        rest = start(pool, cache, model, vectors[1:], prompts[1:])
        wait_until(lambda: cache.stats()["waiting_callers"] == count - 1)
        model.go.set()
        assert {one.result(30) for one in first + rest} == {"yes"}
    assert model.calls == 1
    assert cache.stats()["categories"]["faq"]["coalesced"] == count - 1


@pytest.mark.slow
def test_thousand_paraphrases_call_the_model_once(make_cache, questions):
    cache = make_cache()
    base = questions.new()
    vectors = [questions.near(base, 0.98) for _ in range(1_000)]
    model = Model()
    with ThreadPoolExecutor(1_000) as pool:
        asked = start(pool, cache, model, vectors, [f"word{'x' * n}" for n in range(1_000)])
        wait_until(lambda: cache.stats()["waiting_callers"] == 999, 60)
        model.go.set()
        assert {one.result(60) for one in asked} == {"yes"}
    assert model.calls == 1


def test_question_that_a_guard_tells_apart_is_computed_by_itself(make_cache, questions):
    cache = make_cache()
    base = questions.new()
    model = Model(["5", "7"])
    with ThreadPoolExecutor(2) as pool:
        first = start(pool, cache, model, [base], ["What is 2 + 3?"])[0]
        wait_until(lambda: model.calls == 1)
        other = start(pool, cache, model, [questions.near(base, 0.99)], ["What is 2 + 5?"])[0]
        wait_until(lambda: model.calls == 2)
        model.go.set()
        assert {first.result(30), other.result(30)} == {"5", "7"}


def test_scopes_do_not_wait_for_each_other(make_cache, questions):
    cache = make_cache()
    base = questions.new()
    model = Model()
    with ThreadPoolExecutor(2) as pool:
        for tenant in "ab":
            scope = {"tenant": tenant, "model": "m1"}
            pool.submit(
                cache.get_or_compute, base, model, prompt="Yes?", category="faq", scope=scope
            )
        wait_until(lambda: model.calls == 2)
        model.go.set()


def test_one_who_waits_takes_over_when_the_first_fails(make_cache, questions):
    cache = make_cache()
    base = questions.new()
    model = Model([RuntimeError("overloaded"), "yes"])
    with ThreadPoolExecutor(8) as pool:
        asked = start(pool, cache, model, [base] * 8, ["Yes?"] * 8)
        wait_until(lambda: cache.stats()["waiting_callers"] == 7)
        model.go.set()
        failed = [one for one in asked if one.exception(30) is not None]
    assert len(failed) == 1
    assert model.calls == 2
    assert {one.result() for one in asked if one not in failed} == {"yes"}


def test_answer_that_is_none_is_given_and_not_stored(make_cache, questions):
    cache = make_cache()
    base = questions.new()
    assert cache.get_or_compute(base, lambda: None, prompt="Yes?", **ASK) is None
    assert cache.get_or_compute(base, lambda: "now", prompt="Yes?", **ASK) == "now"


def test_waiting_ends_with_the_caller_s_own_deadline(make_cache, questions):
    cache = make_cache()
    base = questions.new()
    model = Model()
    with ThreadPoolExecutor(1) as pool:
        first = start(pool, cache, model, [base], ["Yes?"])[0]
        wait_until(lambda: model.calls == 1)
        with pytest.raises(DeadlineExceeded):
            cache.get_or_compute(base, model, prompt="Yes?", timeout=0.05, **ASK)
        model.go.set()
        assert first.result(30) == "yes"
    assert model.calls == 1
    assert cache.stats()["waiting_callers"] == 0


def test_waiting_longer_than_a_lease_ends_in_taking_over(make_cache, questions):
    cache = make_cache(top={"lease": 0.05})
    base = questions.new()
    slow, fast = Model(["slow"]), Model(["fast"])
    fast.go.set()
    with ThreadPoolExecutor(1) as pool:
        first = start(pool, cache, slow, [base], ["Yes?"])[0]
        wait_until(lambda: slow.calls == 1)
        assert cache.get_or_compute(base, fast, prompt="Yes?", **ASK) == "fast"
        slow.go.set()
        assert first.result(30) == "slow"


def test_stale_answer_is_refreshed_in_the_background(make_cache, questions, clock):
    cache = make_cache(swr=50)
    base = questions.new()
    cache.put(base, "old", prompt="Yes?", wait=True, **ASK)
    clock.advance(110)
    model = Model(["new"])
    model.go.set()
    assert cache.get_or_compute(base, model, prompt="Yes?", **ASK) == "old"
    wait_until(lambda: cache.get(base, prompt="Yes?", **ASK).value == "new")
    assert model.calls == 1
