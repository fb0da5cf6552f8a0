"""Bounds of one key: calls a second, calls at once."""

from __future__ import annotations

import pytest

from vecdb.errors import LimitExceeded
from vecdb_server.caller import EVERYTHING, Caller
from vecdb_server.gate import Gate
from vecdb_server.tenant_rates import KEEP_SECONDS, TenantRates
from vecdb_server.throttle import Throttle


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def caller(key: str = "k", **fields) -> Caller:
    return Caller(key=key, role="read", all_tenants=True, **fields)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def throttle(clock):
    return Throttle(clock)


def refused(act) -> LimitExceeded:
    with pytest.raises(LimitExceeded) as caught:
        act()
    return caught.value


def test_key_begins_as_many_calls_a_second_as_it_may(throttle, clock):
    one = caller(rate=4.0)
    for _ in range(4):
        throttle.admit(one)
    error = refused(lambda: throttle.admit(one))
    assert (error.reason, error.retry_after) == ("KEY_RATE", 0.25)
    clock.now += error.retry_after
    throttle.admit(one)
    refused(lambda: throttle.admit(one))
    clock.now += 1000.0  # what was not used is lost
    for _ in range(4):
        throttle.admit(one)
    refused(lambda: throttle.admit(one))


def test_slow_rate_lets_one_call_through(throttle, clock):
    one = caller(rate=0.5)
    throttle.admit(one)
    assert refused(lambda: throttle.admit(one)).retry_after == 2.0
    clock.now += 2.0
    throttle.admit(one)


def test_keys_have_bounds_of_their_own(throttle):
    throttle.admit(caller("a", rate=1.0))
    throttle.admit(caller("b", rate=1.0))
    refused(lambda: throttle.admit(caller("a", rate=1.0)))
    for _ in range(100):
        throttle.admit(EVERYTHING)
        throttle.enter(EVERYTHING, "x")


def test_key_runs_as_many_calls_as_it_may(throttle):
    one = caller(concurrency=2)
    throttle.enter(one, "1")
    throttle.enter(one, "2")
    error = refused(lambda: throttle.enter(one, "3"))
    assert (error.reason, error.limit) == ("KEY_CONCURRENCY", 2)
    assert error.retry_after > 0
    throttle.leave(one, "3")  # never ran: it takes no place with it
    refused(lambda: throttle.enter(one, "3"))
    throttle.leave(one, "1")
    throttle.leave(one, "1")
    throttle.enter(one, "3")
    refused(lambda: throttle.enter(one, "4"))


def test_tenant_has_a_bound_in_each_collection(throttle, clock):
    for _ in range(2):
        throttle.admit_tenant("acme", 1, 2.0)
    error = refused(lambda: throttle.admit_tenant("acme", 1, 2.0))
    assert (error.reason, error.retry_after) == ("TENANT_RATE", 0.5)
    throttle.admit_tenant("acme", 2, 2.0)
    throttle.admit_tenant("zeta", 1, 2.0)
    for _ in range(100):
        throttle.admit_tenant("acme", 1, None)
    clock.now += 0.5
    throttle.admit_tenant("acme", 1, 2.0)
    refused(lambda: throttle.admit_tenant("acme", 1, 2.0))


class Database:
    """Tells rates, and counts how often it is asked."""

    def __init__(self) -> None:
        self.rates = {("docs", "acme"): (1, 5.0)}
        self.asked = 0

    def tenant_rate(self, collection, tenant):
        self.asked += 1
        return self.rates[collection, tenant]


def test_rate_of_a_tenant_is_read_anew_after_a_moment(clock):
    database, gate = Database(), Gate()
    gate.open(database)
    rates = TenantRates(gate, clock)
    for _ in range(5):
        assert rates.of("docs", "acme") == (1, 5.0)
    assert database.asked == 1
    database.rates["docs", "acme"] = (1, None)
    clock.now += KEEP_SECONDS
    assert rates.of("docs", "acme") == (1, None)


def test_what_is_not_there_is_not_remembered(clock):
    database, gate = Database(), Gate()
    gate.open(database)
    rates = TenantRates(gate, clock)
    for _ in range(2):
        with pytest.raises(KeyError):
            rates.of("nothing", "acme")
    assert database.asked == 2
