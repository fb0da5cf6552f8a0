"""What is kept of an API key, and which secrets are let in."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from vecdb.errors import DataCorruption, Unauthenticated
from vecdb.keys import KeyInfo, from_us
from vecdb.storage import credentials
from vecdb.storage.credentials import Credential

NOW_US = 1_700_000_000_000_000
NOW = from_us(NOW_US)
KEY = "0123456789ab"


def info_of(**fields) -> KeyInfo:
    return KeyInfo(
        **{"id": KEY, "name": "app", "role": "read", "all_tenants": True, "created": NOW} | fields
    )


@pytest.fixture
def keep(environment):
    """Stores a key and returns its secret; ``old``: the secret before it."""

    def put(old=None, **fields):
        info = info_of(**fields)
        secret = credentials.new_secret(info.id)
        row = Credential(
            info=info,
            digest=credentials.digest_of(secret),
            old_digest=None if old is None else credentials.digest_of(old),
        )
        environment.write(lambda transaction: credentials.put_credential(transaction, row))
        return secret

    return put


@pytest.fixture
def let_in(environment):
    def authenticate(secret, now_us=NOW_US):
        with environment.read() as transaction:
            return credentials.authenticate(transaction, secret, now_us)

    return authenticate


def reason_of(let_in, secret, now_us=NOW_US) -> str:
    with pytest.raises(Unauthenticated) as caught:
        let_in(secret, now_us)
    assert secret.strip() not in str(caught.value).split()
    return caught.value.reason


def test_key_is_kept_with_all_that_it_may_do(environment, keep):
    fields = {
        "collections": ("a", "b"),
        "tenant": "acme",
        "all_tenants": False,
        "expires": NOW + timedelta(microseconds=1),
        "revoked": NOW,
        "overlap": NOW + timedelta(days=1),
        "rate": 2.5,
        "concurrency": 3,
    }
    keep(**fields)
    keep(id="ffffffffffff", role="cache:put")
    with environment.read() as transaction:
        found = [one.info for one in credentials.scan_credentials(transaction)]
    assert found == [info_of(**fields), info_of(id="ffffffffffff", role="cache:put")]


def test_secret_is_long_fresh_and_names_its_key():
    secret, other = credentials.new_secret(KEY), credentials.new_secret(KEY)
    assert secret != other
    assert secret.startswith(f"vdb_{KEY}_")
    assert len(secret.split("_", 2)[2]) == 43  # 256 bits
    assert credentials.is_secret(secret)


def test_only_the_secret_itself_is_let_in(keep, let_in):
    secret = keep()
    assert let_in(secret) == info_of()
    other = credentials.new_secret(KEY)
    unknown = credentials.new_secret("ffffffffffff")
    swapped = secret.replace(KEY, "ffffffffffff")
    for wrong in (other, unknown, swapped, secret[:-1], secret + "x", secret.upper(), " ", KEY):
        assert reason_of(let_in, wrong) == "UNKNOWN_KEY"


def test_digest_of_nothing_opens_nothing(environment, keep, let_in, monkeypatch):
    keep()  # has no old secret: what stands in for its digest must match no secret
    secret = credentials.new_secret(KEY)
    monkeypatch.setattr(credentials, "digest_of", lambda text: bytes(32))
    assert reason_of(let_in, secret) == "UNKNOWN_KEY"


def test_key_is_refused_from_the_moment_at_which_it_expires(keep, let_in):
    secret = keep(expires=NOW)
    assert let_in(secret, NOW_US - 1).id == KEY
    assert reason_of(let_in, secret) == "EXPIRED_KEY"


def test_revoked_key_is_refused(keep, let_in):
    assert reason_of(let_in, keep(revoked=NOW)) == "REVOKED_KEY"


def test_old_secret_is_valid_until_the_overlap_ends(keep, let_in):
    old = credentials.new_secret(KEY)
    new = keep(old, overlap=NOW)
    assert let_in(old, NOW_US - 1) == let_in(new)
    assert reason_of(let_in, old) == "ROTATED_KEY"
    assert let_in(new, NOW_US + 1).id == KEY


def test_why_a_key_is_refused_is_told_to_its_owner_only(keep, let_in):
    keep(revoked=NOW)
    assert reason_of(let_in, credentials.new_secret(KEY)) == "UNKNOWN_KEY"


def test_secret_is_not_stored(environment, keep, directory):
    secret = keep()
    environment.close()
    assert secret.split("_", 2)[2].encode() not in (directory / "data.mdb").read_bytes()


def test_digests_are_not_shown():
    row = Credential(info=info_of(), digest=b"\x17" * 32, old_digest=b"\x18" * 32)
    assert "x17" not in repr(row)
    assert "x18" not in repr(row)


@pytest.mark.parametrize(
    "change",
    [
        {"role": "root"},
        {"tenant": None, "all_tenants": False},
        {"tenant": "../x", "all_tenants": False},
        {"collections": []},
        {"collections": "all"},
        {"created_us": None},
        {"expires_us": "soon"},
        {"expires_us": 2**70},
        {"digest": ""},
        {"digest": None},
        {"old_digest": "00"},
        {"rate": -1},
    ],
)
def test_row_that_describes_no_key_is_damage_not_a_right(environment, keep, change):
    keep()
    with environment.read() as transaction:
        row = json.loads(transaction.get(credentials.TABLE, KEY.encode()))
    value = json.dumps({**row, **change}).encode()
    environment.write(lambda transaction: transaction.put(credentials.TABLE, KEY.encode(), value))
    with environment.read() as transaction, pytest.raises(DataCorruption, match="credentials"):
        credentials.find_credential(transaction, KEY)


@pytest.mark.parametrize("value", [b"", b"[]", b"null", b"\xff", b"{}"])
def test_value_that_is_no_object_is_damage(environment, value):
    environment.write(lambda transaction: transaction.put(credentials.TABLE, KEY.encode(), value))
    with environment.read() as transaction, pytest.raises(DataCorruption):
        credentials.find_credential(transaction, KEY)


def test_revocation_does_not_count_as_something_new(environment):
    row = Credential(info=replace(info_of(), revoked=NOW), digest=bytes(32))
    seen = []

    def revoke(transaction):
        credentials.put_credential(transaction, row, takes_away=True)
        seen.append(transaction.adds)
        credentials.put_credential(transaction, row)
        seen.append(transaction.adds)

    environment.write(revoke)
    assert seen == [False, True]
