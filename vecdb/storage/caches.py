"""Which caches there are, how far each has come, its policies, its floors and its notes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from . import format
from .checksum import damaged, pack, unpack
from .format import NUMBER, POLICY_KEY, POST_VALUE
from .transaction import Transaction

_SEQUENCE = struct.Struct("<Q")
_STATE = struct.Struct("<5QqI4s")
NO_HASH = bytes(8)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRow:
    """A row of table ``caches``; ``secret`` keys every digest of the cache."""

    name: str
    number: int
    dim: int
    created_us: int
    secret: bytes


class CacheState(NamedTuple):
    """A row of table ``cache_states``: what changes with every write of a cache.

    A named tuple: every answer reads one.
    """

    sequence: int = 0
    next_entry: int = 0
    entries: int = 0
    bytes: int = 0
    floor: int = 0
    clock_us: int = 0
    policy: int = 1


def find_cache(transaction: Transaction, name: str) -> CacheRow | None:
    value = transaction.get("caches", name.encode())
    return None if value is None else _row(name.encode(), value)


def scan_caches(transaction: Transaction) -> Iterator[CacheRow]:
    """All caches, by name."""
    return (_row(key, value) for key, value in transaction.scan("caches"))


def put_cache(transaction: Transaction, row: CacheRow, policy: bytes) -> None:
    """A new cache, with version 1 of its policy."""
    head = pack(
        format.CACHE,
        number=row.number,
        dim=row.dim,
        created_us=row.created_us,
        secret=row.secret,
    )
    transaction.put("caches", row.name.encode(), head)
    put_cache_state(transaction, row.number, CacheState())
    put_policy(transaction, row.number, 1, policy)


def drop_cache(transaction: Transaction, row: CacheRow) -> None:
    """Take it out of sight; ``catalogue.sweep_dropped`` gives its space back piece by piece."""
    transaction.delete("caches", row.name.encode())
    transaction.delete("cache_states", NUMBER.pack(row.number))
    transaction.put("dropped", NUMBER.pack(row.number), b"")


def get_cache_state(transaction: Transaction, number: int) -> CacheState | None:
    """None if the cache has been dropped."""
    key = NUMBER.pack(number)
    value = transaction.get("cache_states", key)
    if value is None:
        return None
    if len(value) != _STATE.size:
        raise damaged("cache_states", key, f"it has {len(value)} bytes, expected {_STATE.size}")
    *fields, reserved = _STATE.unpack(value)
    if reserved.strip(b"\0"):
        raise damaged("cache_states", key, "its reserved bytes are not zero")
    return CacheState(*fields)


def put_cache_state(transaction: Transaction, number: int, state: CacheState) -> None:
    value = _STATE.pack(
        state.sequence,
        state.next_entry,
        state.entries,
        state.bytes,
        state.floor,
        state.clock_us,
        state.policy,
        bytes(4),
    )
    transaction.put("cache_states", NUMBER.pack(number), value)


def get_policy(transaction: Transaction, number: int, version: int) -> bytes | None:
    """The JSON of a version of the policy; None: there is no such version (any more)."""
    return transaction.get("cache_policies", POLICY_KEY.pack(number, version))


def put_policy(transaction: Transaction, number: int, version: int, text: bytes) -> None:
    transaction.put("cache_policies", POLICY_KEY.pack(number, version), text)


def forget_policies(transaction: Transaction, number: int, before: int) -> None:
    """Delete versions older than ``before``."""
    transaction.delete_range(
        "cache_policies", POLICY_KEY.pack(number, 0), POLICY_KEY.pack(number, before)
    )


def get_floor(transaction: Transaction, number: int, kind: int, digest: bytes) -> int:
    """Sequence of the newest invalidation of that kind and hash; 0: there was none."""
    key = _floor_key(number, kind, digest)
    value = transaction.get("cache_floors", key)
    if value is None:
        return 0
    if len(value) != _SEQUENCE.size:
        raise damaged("cache_floors", key, f"it has {len(value)} bytes, expected 8")
    return int(_SEQUENCE.unpack(value)[0])


def put_floor(
    transaction: Transaction, number: int, kind: int, digest: bytes, sequence: int
) -> None:
    transaction.put("cache_floors", _floor_key(number, kind, digest), _SEQUENCE.pack(sequence))


def put_note(transaction: Transaction, number: int, name: str, value: bytes) -> None:
    transaction.put("cache_notes", NUMBER.pack(number) + name.encode(), value)


def scan_notes(
    transaction: Transaction, number: int, prefix: str = ""
) -> Iterator[tuple[str, bytes]]:
    """(name, value) of the notes whose names begin with ``prefix``."""
    head = NUMBER.pack(number)
    for key, value in transaction.scan("cache_notes", head + prefix.encode()):
        yield key[len(head) :].decode(), value


def _floor_key(number: int, kind: int, digest: bytes) -> bytes:
    return NUMBER.pack(number) + POST_VALUE.pack(kind, digest)


def _row(key: bytes, value: bytes) -> CacheRow:
    head: Any = unpack("caches", key, value, format.CACHE)
    return CacheRow(
        name=key.decode(),
        number=int(head["number"]),
        dim=int(head["dim"]),
        created_us=int(head["created_us"]),
        secret=head["secret"].tobytes(),
    )
