"""Tenants, the grant numbers that stand for them, and which numbers each record has.

A record has a sorted set of grant numbers; a tenant sees the records that have one of its numbers.
Each tenant has a number of its own. Copying a tenant *freezes* that number: both then include it,
and each gets a new one of its own, so no record is rewritten.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import format
from .checksum import damaged, pack, unpack
from .format import DEAD, GRANT_KEY, GRANT_VALUE, NUMBER, OWN, PRINCIPAL_LIVE, PRINCIPAL_VALUE
from .transaction import Transaction

_COUNTERS, _NAME, _BY_ID, _DEAD = b"\0", b"\1", b"\2", b"\3"
_NO_QUOTA = (1 << 64) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A tenant. ``included``: the frozen numbers that it sees beside its own.

    - ``records``, ``bytes``: of the records that it owns; bytes of their vectors and payloads
    - ``max_records``, ``max_bytes``, ``rate``: quotas; None: none. ``rate``: calls a second
    """

    name: str
    id: int
    own: int
    created_us: int
    records: int = 0
    bytes: int = 0
    max_records: int | None = None
    max_bytes: int | None = None
    rate: float | None = None
    included: tuple[int, ...] = ()

    @property
    def numbers(self) -> tuple[int, ...]:
        return (self.own, *self.included)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A grant number: ``count`` records have it; ``sequence``: of the last write that changed that.

    - ``kind``: OWN, FROZEN or DEAD (nobody sees through it any more; its records are swept)
    - ``holders``: ids of the tenants that see through it; of a dead number, of the one whose end
      killed it, in the write of that ``sequence``
    """

    number: int
    kind: int
    count: int
    sequence: int
    holders: tuple[int, ...]

    @classmethod
    def own(cls, number: int, id: int, sequence: int = 0) -> Grant:
        """The number of a tenant alone, which no record has yet."""
        return cls(number=number, kind=OWN, count=0, sequence=sequence, holders=(id,))

    @property
    def seen_by(self) -> tuple[int, ...]:
        """Ids of the tenants that see through it; nobody does through a dead one."""
        return () if self.kind == DEAD else self.holders


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who has a record: ``owner``, a tenant's id (0: nobody); ``numbers``, ascending."""

    owner: int = 0
    numbers: tuple[int, ...] = ()


# ------------------------------------------------------------------------------------ principals


def find_principal(transaction: Transaction, number: int, name: str) -> Principal | None:
    """The tenant of that name in the collection of that number."""
    key = NUMBER.pack(number) + _NAME + name.encode()
    value = transaction.get("principals", key)
    return None if value is None else _principal(key, value)


def scan_principals(
    transaction: Transaction, number: int, after: str | None = None
) -> Iterator[Principal]:
    """The tenants by name, those behind ``after``."""
    head = NUMBER.pack(number) + _NAME
    start = None if after is None else head + after.encode() + b"\0"
    for key, value in transaction.scan("principals", head, start):
        yield _principal(key, value)


def put_principal(transaction: Transaction, number: int, one: Principal) -> None:
    key = NUMBER.pack(number) + _NAME + one.name.encode()
    head = pack(
        format.PRINCIPAL,
        id=one.id,
        own=one.own,
        created_us=one.created_us,
        records=one.records,
        bytes=one.bytes,
        max_records=_NO_QUOTA if one.max_records is None else one.max_records,
        max_bytes=_NO_QUOTA if one.max_bytes is None else one.max_bytes,
        rate=math.inf if one.rate is None else one.rate,
    )
    transaction.put("principals", key, head + np.array(one.included, "<u4").tobytes())
    by_id = NUMBER.pack(number) + _BY_ID + NUMBER.pack(one.id)
    transaction.put("principals", by_id, one.name.encode())


def delete_principal(transaction: Transaction, number: int, one: Principal) -> None:
    transaction.delete("principals", NUMBER.pack(number) + _NAME + one.name.encode())
    transaction.delete("principals", NUMBER.pack(number) + _BY_ID + NUMBER.pack(one.id))


def name_of(transaction: Transaction, number: int, id: int) -> str | None:
    """The name of the tenant with that id; None: deleted."""
    value = transaction.get("principals", NUMBER.pack(number) + _BY_ID + NUMBER.pack(id))
    return None if value is None else value.decode()


def peek_numbers(transaction: Transaction, number: int) -> tuple[int, int]:
    """The next id of a tenant and the next grant number; none is used twice."""
    key = NUMBER.pack(number) + _COUNTERS
    value = transaction.get("principals", key)
    if value is None:
        return 1, 1
    row: Any = unpack("principals", key, value, format.PRINCIPAL_COUNTERS)
    return int(row["ids"]) + 1, int(row["grants"]) + 1


def take_numbers(transaction: Transaction, number: int, ids: int, grants: int) -> tuple[int, int]:
    """The first of so many ids of tenants and grant numbers, which are given away with this."""
    id, grant = peek_numbers(transaction, number)
    counters = pack(format.PRINCIPAL_COUNTERS, ids=id - 1 + ids, grants=grant - 1 + grants)
    transaction.put("principals", NUMBER.pack(number) + _COUNTERS, counters)
    return id, grant


def has_principals(transaction: Transaction, number: int) -> bool:
    """Whether the collection has, or ever had, a tenant."""
    return transaction.get("principals", NUMBER.pack(number) + _COUNTERS) is not None


def _quota(stored: int) -> int | None:
    return None if stored == _NO_QUOTA else stored


def _principal(key: bytes, value: bytes) -> Principal:
    size = PRINCIPAL_VALUE.size
    if len(value) < size or len(value) % 4:
        raise damaged("principals", key, f"it has {len(value)} bytes")
    id, own, state, reserved, created, records, used, max_records, max_bytes, rate = (
        PRINCIPAL_VALUE.unpack_from(value)
    )
    if state != PRINCIPAL_LIVE or reserved:
        raise damaged("principals", key, "it is no tenant")
    return Principal(
        name=key[NUMBER.size + 1 :].decode(),
        id=id,
        own=own,
        created_us=created,
        records=records,
        bytes=used,
        max_records=_quota(max_records),
        max_bytes=_quota(max_bytes),
        rate=None if math.isinf(rate) else rate,
        included=_numbers(value, size),
    )


def _numbers(value: bytes, start: int) -> tuple[int, ...]:
    """The uint32 numbers that a value ends in."""
    return struct.unpack_from(f"<{(len(value) - start) // 4}I", value, start)


# ----------------------------------------------------------------------------------------- grants


def get_grant(transaction: Transaction, number: int, grant: int) -> Grant:
    key = GRANT_KEY.pack(number, grant)
    value = transaction.get("grants", key)
    if value is None:
        raise damaged("grants", key, "a tenant has it, and it is not there")
    return _grant(key, value)


def scan_grants(transaction: Transaction, number: int) -> Iterator[Grant]:
    for key, value in transaction.scan("grants", NUMBER.pack(number)):
        yield _grant(key, value)


def put_grant(transaction: Transaction, number: int, one: Grant) -> None:
    head = pack(format.GRANT, count=one.count, sequence=one.sequence, kind=one.kind)
    holders = np.array(one.holders, "<u4").tobytes()
    transaction.put("grants", GRANT_KEY.pack(number, one.number), head + holders)


def delete_grant(transaction: Transaction, number: int, grant: int) -> None:
    transaction.delete("grants", GRANT_KEY.pack(number, grant))
    transaction.delete("principals", _dead_key(number, grant))


def note_dead(transaction: Transaction, number: int, grant: int) -> None:
    """Note that records have to be swept off the number."""
    transaction.put("principals", _dead_key(number, grant), b"")


def scan_dead(transaction: Transaction, number: int) -> Iterator[int]:
    """The dead numbers whose records are not swept yet."""
    head = NUMBER.pack(number) + _DEAD
    for key, _ in transaction.scan("principals", head):
        yield NUMBER.unpack(key[len(head) :])[0]


def _dead_key(number: int, grant: int) -> bytes:
    return NUMBER.pack(number) + _DEAD + NUMBER.pack(grant)


def _grant(key: bytes, value: bytes) -> Grant:
    size = GRANT_VALUE.size
    if len(value) < size or len(value) % 4:
        raise damaged("grants", key, f"it has {len(value)} bytes")
    count, sequence, kind, reserved = GRANT_VALUE.unpack_from(value)
    if not OWN <= kind <= DEAD or reserved.strip(b"\0"):
        raise damaged("grants", key, "it is no grant number")
    return Grant(
        number=GRANT_KEY.unpack(key)[1],
        kind=kind,
        count=count,
        sequence=sequence,
        holders=_numbers(value, size),
    )


# ----------------------------------------------------------------------------------------- access


def get_accesses(transaction: Transaction, keys: Sequence[bytes]) -> dict[bytes, Access]:
    """key of a record -> who has it, of those that somebody has."""
    found = transaction.get_many("access", keys)
    return {key: unpack_access(key, value) for key, value in found.items()}


def put_accesses(transaction: Transaction, accesses: dict[bytes, Access]) -> None:
    """Store who has each record; a row where nobody does is deleted."""
    kept = [(key, _pack_access(one)) for key, one in accesses.items() if one != Access()]
    if kept:
        transaction.put_many("access", kept)
    for key, one in accesses.items():
        if one == Access():
            transaction.delete("access", key)


def unpack_access(key: bytes, value: bytes) -> Access:
    if len(value) < 4 or len(value) % 4:
        raise damaged("access", key, f"it has {len(value)} bytes")
    owner, *numbers = _numbers(value, 0)
    return Access(owner=owner, numbers=tuple(numbers))


def _pack_access(access: Access) -> bytes:
    return struct.pack(f"<{1 + len(access.numbers)}I", access.owner, *access.numbers)
