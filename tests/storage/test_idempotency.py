"""The answer of a request is kept under its key for a day, for that request only."""

from __future__ import annotations

import pytest

from vecdb.errors import InvalidArgument
from vecdb.limits import IDEMPOTENCY_SECONDS
from vecdb.storage.idempotency import Answer, expire_answers, find_answer, put_answer

DIGEST, OTHER = b"d" * 16, b"D" * 15 + b"\0"
ANSWER = Answer(count=3, sequence=2**40)
NOW_US = 1_700_000_000_000_000
DAY_US = int(IDEMPOTENCY_SECONDS * 1e6)


@pytest.fixture
def keep(environment):
    def put(key, now_us, digest=DIGEST):
        environment.write(lambda transaction: put_answer(transaction, key, digest, ANSWER, now_us))

    return put


@pytest.fixture
def find(environment):
    def get(key, digest=DIGEST, after_us=NOW_US):
        with environment.read() as transaction:
            return find_answer(transaction, key, digest, after_us)

    return get


@pytest.fixture
def expire(environment):
    def at(now_us):
        environment.write(lambda transaction: expire_answers(transaction, now_us - DAY_US))

    return at


@pytest.fixture
def sizes(environment):
    def count():
        with environment.read() as transaction:
            return transaction.entries("keys"), transaction.entries("key_times")

    return count


def test_unknown_key_has_no_answer(find):
    assert find(b"key") is None


def test_answer_is_kept(keep, find):
    keep(b"key", NOW_US)
    assert find(b"key") == ANSWER
    assert find(b"key2") is None


@pytest.mark.parametrize("digest", [DIGEST, OTHER, bytes(16)])
def test_key_of_another_request_is_refused(keep, find, digest):
    keep(b"key", NOW_US, digest)
    assert find(b"key", digest) is not None
    with pytest.raises(InvalidArgument) as caught:
        find(b"key", b"x" * 16)
    assert (caught.value.field, caught.value.reason) == ("idempotency_key", "KEY_REUSED")


def test_answer_that_is_too_old_is_not_found(keep, find):
    keep(b"key", NOW_US)
    assert find(b"key", after_us=NOW_US) == ANSWER
    assert find(b"key", after_us=NOW_US + 1) is None
    assert find(b"key", b"x" * 16, after_us=NOW_US + 1) is None  # nor is the key taken


def test_answer_lives_for_a_day_and_not_longer(keep, find, expire, sizes):
    keep(b"key", NOW_US)
    expire(NOW_US + DAY_US)
    assert find(b"key") is not None
    expire(NOW_US + DAY_US + 1)
    assert find(b"key") is None
    assert sizes() == (0, 0)


def test_only_old_answers_expire(keep, find, expire):
    for hour in range(30):
        keep(b"key %d" % hour, NOW_US + hour * DAY_US // 24)
    expire(NOW_US + 29 * DAY_US // 24)
    assert [hour for hour in range(30) if find(b"key %d" % hour)] == list(range(5, 30))


def test_expired_key_can_be_used_again(keep, find, expire, sizes):
    keep(b"key", NOW_US)
    expire(NOW_US + 2 * DAY_US)
    keep(b"key", NOW_US + 2 * DAY_US, OTHER)
    assert find(b"key", OTHER) is not None
    expire(NOW_US + 2 * DAY_US + 1)
    assert find(b"key", OTHER) is not None
    assert sizes() == (1, 1)


def test_answer_of_a_key_that_was_used_again_outlives_the_old_one(keep, find, expire, sizes):
    keep(b"key", NOW_US)
    keep(b"key", NOW_US + DAY_US + 1, OTHER)
    expire(NOW_US + DAY_US + 1)
    assert find(b"key", OTHER) is not None
    assert sizes() == (1, 1)
    expire(NOW_US + 2 * DAY_US + 2)
    assert sizes() == (0, 0)


def test_many_expire_in_pieces(environment, expire, sizes):
    def keep_many(transaction):
        for number in range(150):
            put_answer(transaction, b"%d" % number, DIGEST, ANSWER, NOW_US)

    environment.write(keep_many)
    left = []
    for _ in range(4):
        expire(NOW_US + 2 * DAY_US)
        left.append(sizes())
    assert left == [(86, 86), (22, 22), (0, 0), (0, 0)]


def test_keys_of_one_moment_do_not_hide_each_other(keep, find, sizes):
    for key in (b"a", b"ab", b"b", bytes(64)):
        keep(key, NOW_US)
    assert sizes() == (4, 4)
    assert all(find(key) for key in (b"a", b"ab", b"b", bytes(64)))
