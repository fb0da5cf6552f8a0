"""Keys of an embedded database: kept over a reopening, seen at once by others, bounded."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

import vecdb
from vecdb import limits
from vecdb.errors import LimitExceeded, PreconditionFailed, Unauthenticated, Unavailable
from vecdb.keys import ROLES

START = datetime(2030, 1, 1, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now.timestamp()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def db(tmp_path, clock):
    with vecdb.open(tmp_path / "db", clock=clock) as opened:
        yield opened


def refused(database, secret) -> str:
    with pytest.raises(Unauthenticated) as caught:
        database.authenticate(secret)
    return caught.value.reason


def test_key_is_valid_after_reopening(tmp_path, clock):
    with vecdb.open(tmp_path / "db", clock=clock) as db:
        assert not db.has_keys
        info, secret = db.create_key("app", "read", tenant="acme")
    with vecdb.open(tmp_path / "db", clock=clock) as db:
        assert db.has_keys
        assert db.authenticate(secret) == info


READER = """
import sys, vecdb
from vecdb.errors import Unauthenticated
with vecdb.open(sys.argv[1], read_only=True, clock=lambda: float(sys.argv[2])) as db:
    for secret in sys.stdin:
        try:
            print(db.authenticate(secret.strip()).id, flush=True)
        except Unauthenticated as error:
            print(error.reason, flush=True)
"""


@pytest.mark.slow
def test_revocation_is_seen_at_once_by_another_process(db, tmp_path, clock):
    info, secret = db.create_key("app", "read", all_tenants=True)
    command = [sys.executable, "-c", READER, str(tmp_path / "db"), str(clock())]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as child:

        def ask() -> str:
            child.stdin.write(f"{secret}\n")
            return child.stdout.readline().strip()

        assert ask() == info.id
        db.revoke_key(info.id)
        assert ask() == "REVOKED_KEY"
        child.stdin.close()


def test_revoking_the_last_key_opens_nothing(db):
    info, _ = db.create_key("app", "read", all_tenants=True)
    db.revoke_key(info.id)
    assert db.has_keys


def test_time_ends_a_key_and_an_old_secret(db, clock):
    info, first = db.create_key("app", "read", all_tenants=True, expires=START + timedelta(days=2))
    second = db.rotate_key(info.id, timedelta(days=1).total_seconds())
    assert db.authenticate(first).id == db.authenticate(second).id == info.id
    clock.now = START + timedelta(days=1)
    assert refused(db, first) == "ROTATED_KEY"
    assert db.authenticate(second).id == info.id
    clock.now = START + timedelta(days=2)
    assert refused(db, second) == "EXPIRED_KEY"
    with pytest.raises(PreconditionFailed, match="expired"):
        db.rotate_key(info.id)


def test_revocation_ends_the_old_secret_too(db):
    info, first = db.create_key("app", "read", all_tenants=True)
    second = db.rotate_key(info.id)
    db.revoke_key(info.id)
    for secret in (first, second):
        with pytest.raises(Unauthenticated):
            db.authenticate(secret)


def test_keys_are_bounded_and_revoked_ones_make_room(db, clock, monkeypatch):
    monkeypatch.setattr(limits, "KEYS", 3)
    made = []
    for number in range(3):
        made.append(db.create_key(f"k{number}", "read", all_tenants=True)[0])
        clock.now += timedelta(seconds=1)
    with pytest.raises(LimitExceeded) as caught:
        db.create_key("k3", "read", all_tenants=True)
    assert (caught.value.limit, caught.value.actual) == (3, 3)
    for info in (made[2], made[0]):
        db.revoke_key(info.id)
        clock.now += timedelta(seconds=1)
    db.create_key("k4", "read", all_tenants=True)
    left = db.keys()
    assert [info.name for info in left] == ["k0", "k1", "k4"]  # k2 was revoked first


def test_closed_database_has_no_keys_to_ask(tmp_path):
    with vecdb.open(tmp_path / "db") as db:
        _, secret = db.create_key("app", "read", all_tenants=True)
    for ask in (lambda: db.has_keys, lambda: db.authenticate(secret), db.keys):
        with pytest.raises(Unavailable):
            ask()
    with pytest.raises(Unavailable):
        db.create_key("app", "read", all_tenants=True)


def test_roles_include_downwards():
    assert ROLES["read"] < ROLES["write"] < ROLES["admin"]
    assert ROLES["cache:get"] < ROLES["cache:put"] < ROLES["cache:admin"] < ROLES["admin"]
    assert ROLES["cache:get"] < ROLES["read"]
    assert ROLES["cache:put"] < ROLES["write"]
    assert not ROLES["cache:admin"] & {"read", "write", "admin"}
