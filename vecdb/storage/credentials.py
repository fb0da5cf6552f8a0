"""API keys as the database keeps them: what each may do, and a digest of its secret.

A secret is ``vdb_<id>_<43 characters>``: 256 random bits. It is made here, given out once and never
stored; sha256 without salt suffices, since nobody can guess or list such secrets.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from .. import limits
from ..errors import InvalidArgument, Unauthenticated
from ..keys import KeyInfo, from_us, to_us
from .checksum import damaged
from .transaction import Transaction

TABLE = "credentials"
PREFIX = "vdb_"
ID_BYTES = 6
SECRET_BYTES = 32
DIGEST_BYTES = 32
_ID = re.compile(rf"[0-9a-f]{{{2 * ID_BYTES}}}")
_SECRET = re.compile(rf"{PREFIX}({_ID.pattern})_[A-Za-z0-9_-]{{43}}")
_NOTHING = bytes(DIGEST_BYTES)
_TIMES = ("created", "expires", "revoked", "overlap")
_FIELDS = ("name", "role", "tenant", "all_tenants", "rate", "concurrency")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A row of table ``credentials``. ``old_digest`` counts until ``info.overlap``."""

    info: KeyInfo
    digest: bytes = field(repr=False)
    old_digest: bytes | None = field(default=None, repr=False)


def new_id() -> str:
    return secrets.token_hex(ID_BYTES)


def new_secret(key: str) -> str:
    return f"{PREFIX}{key}_{secrets.token_urlsafe(SECRET_BYTES)}"


def digest_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def is_secret(text: str) -> bool:
    """Whether ``text`` has the form of our secrets."""
    return _SECRET.fullmatch(text) is not None


def has_credentials(transaction: Transaction) -> bool:
    """Whether there is a key, valid or not: calls without one are refused from the first on."""
    return transaction.entries(TABLE) > 0


def find_credential(transaction: Transaction, key: str) -> Credential | None:
    """The key of that id."""
    if not _ID.fullmatch(key):
        return None
    value = transaction.get(TABLE, key.encode())
    return None if value is None else _load(key.encode(), value)


def scan_credentials(transaction: Transaction) -> Iterator[Credential]:
    """All keys, by id."""
    return (_load(key, value) for key, value in transaction.scan(TABLE))


def put_credential(
    transaction: Transaction, credential: Credential, *, takes_away: bool = False
) -> None:
    """Store it. ``takes_away``: it may do less than before, so even a full disk must take it."""
    adds = transaction.adds
    info = credential.info
    row: dict[str, Any] = {name: getattr(info, name) for name in _FIELDS}
    row["collections"] = None if info.collections is None else list(info.collections)
    for name in _TIMES:
        moment = getattr(info, name)
        row[f"{name}_us"] = None if moment is None else to_us(moment)
    row["digest"] = credential.digest.hex()
    row["old_digest"] = credential.old_digest and credential.old_digest.hex()
    transaction.put(TABLE, info.id.encode(), json.dumps(row, separators=(",", ":")).encode())
    if takes_away:
        transaction.adds = adds


def delete_credential(transaction: Transaction, key: str) -> None:
    transaction.delete(TABLE, key.encode())


def authenticate(transaction: Transaction, secret: str, now_us: int) -> KeyInfo:
    """The key whose secret this is; ``Unauthenticated`` if it is none that is valid now.

    Digests are compared in constant time, and also where no key has the id.
    """
    found = _SECRET.fullmatch(secret)
    credential = find_credential(transaction, found[1]) if found else None
    given = digest_of(secret)
    known = hmac.compare_digest(given, credential.digest if credential else _NOTHING)
    old = credential.old_digest if credential else None
    was = hmac.compare_digest(given, old or _NOTHING) and old is not None
    if credential is None or not (known or was):
        raise refusal("the API key is not known here", "UNKNOWN_KEY")
    info, now = credential.info, from_us(now_us)
    if info.revoked is not None:
        raise refusal(f"the API key {info.id} was revoked", "REVOKED_KEY")
    if info.expires is not None and info.expires <= now:
        raise refusal(f"the API key {info.id} has expired", "EXPIRED_KEY")
    if not known and (info.overlap is None or info.overlap <= now):
        raise refusal(f"the API key {info.id} has a newer secret", "ROTATED_KEY")
    return info


def refusal(message: str, reason: str = "") -> Unauthenticated:
    return Unauthenticated(
        message,
        reason=reason,
        hint="Send the metadata 'authorization: Bearer <key>' with a valid key of the server "
        "(in the Python client: api_key=...)",
    )


@lru_cache(maxsize=limits.KEYS)  # every call to a guarded server begins with its key
def _load(key: bytes, value: bytes) -> Credential:
    try:
        row = json.loads(value)
        values: dict[str, Any] = {name: row[name] for name in (*_FIELDS, "collections")}
        for name in _TIMES:
            us = row[f"{name}_us"]
            values[name] = None if us is None and name != "created" else from_us(us)
        digests = [row["digest"], row["old_digest"]]
        digest, old = (None if text is None else bytes.fromhex(text) for text in digests)
        info = KeyInfo(id=key.decode("ascii"), **values)
    except (ValueError, TypeError, KeyError, InvalidArgument):
        raise damaged(TABLE, key, "it is no description of an API key") from None
    if digest is None or any(len(one) != DIGEST_BYTES for one in (digest, old) if one is not None):
        raise damaged(TABLE, key, "it has no whole digest")
    return Credential(info=info, digest=digest, old_digest=old)
