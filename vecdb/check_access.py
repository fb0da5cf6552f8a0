"""The checker's part for tenants: rows, postings and counters must tell the same of every record.

The truth is in tables ``access`` (who has each record), ``principals`` (the tenants and the numbers
they see by) and ``grants`` (who sees by a number). The postings and the counters follow from it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

import numpy as np

from .storage import principals
from .storage.catalogue import CollectionRow
from .storage.format import DEAD, FROZEN, NUMBER, OWN, POSTING_KEY
from .storage.postings import read_posting, slots_of
from .storage.principals import Grant, Principal
from .storage.records import unpack_record
from .storage.transaction import Transaction

Count = Callable[[str], object]


def access_faults(transaction: Transaction, row: CollectionRow, count: Count) -> Iterator[str]:
    """What does not fit, of one collection."""
    if not principals.has_principals(transaction, row.number):
        for table in ("principals", "grants", "access", "postings"):
            if next(transaction.scan(table, NUMBER.pack(row.number)), None) is not None:
                yield f"table {table} speaks of tenants, and the collection never had one"
        return
    tenants = {one.id: one for one in principals.scan_principals(transaction, row.number)}
    grants = {one.number: one for one in principals.scan_grants(transaction, row.number)}
    yield from _name_faults(transaction, row, tenants, grants, count)
    owned, slots = Counter[int](), defaultdict[int, list[int]](list)
    owned_bytes = Counter[int]()
    for key, value in transaction.scan("access", NUMBER.pack(row.number)):
        count("accesses")
        access = principals.unpack_access(key, value)
        stored = transaction.get("records", key)
        if stored is None:
            yield f"access {key.hex()} belongs to no record"
            continue
        yield from _number_faults(key, access.numbers, grants)
        for number in access.numbers:
            slots[number].append(unpack_record(key, stored)[0])
        if access.owner in tenants:
            owned[access.owner] += 1
            payload = transaction.get("payloads", key) or b""
            owned_bytes[access.owner] += row.schema.row_bytes + len(payload)
            if set(tenants[access.owner].numbers).isdisjoint(access.numbers):
                yield f"access {key.hex()}: its owner does not see the record"
    for id, one in tenants.items():
        if (one.records, one.bytes) != (owned[id], owned_bytes[id]):
            yield f"tenant {one.name} owns {owned[id]} records, and its row says {one.records}"
    yield from _posting_faults(transaction, row, grants, slots)


def _name_faults(
    transaction: Transaction,
    row: CollectionRow,
    tenants: dict[int, Principal],
    grants: dict[int, Grant],
    count: Count,
) -> Iterator[str]:
    """Of the tenants and the numbers that they see by."""
    next_id, next_grant = principals.peek_numbers(transaction, row.number)
    holders = defaultdict[int, set[int]](set)
    for id, one in tenants.items():
        count("tenants")
        if id >= next_id or principals.name_of(transaction, row.number, id) != one.name:
            yield f"tenant {one.name}: its id {id} is not its own"
        if one.own in grants and grants[one.own].kind != OWN:
            yield f"tenant {one.name}: its own number {one.own} is shared"
        for number in one.numbers:
            holders[number].add(id)
            if number not in grants:
                yield f"tenant {one.name} sees by number {number}, which is not there"
    waiting = set(principals.scan_dead(transaction, row.number))
    for number, grant in grants.items():
        if number >= next_grant or grant.kind not in (OWN, FROZEN, DEAD):
            yield f"grant number {number} was never given"
        if set(grant.seen_by) != holders[number]:
            yield f"grant number {number} does not name who sees by it"
        if (grant.kind == DEAD) != (number in waiting):
            yield f"grant number {number} waits to be swept, or is dead, and not both"
    if waiting - grants.keys():
        yield f"{len(waiting - grants.keys())} numbers wait to be swept that are not there"


def _number_faults(key: bytes, numbers: tuple[int, ...], grants: dict[int, Grant]) -> Iterator[str]:
    if list(numbers) != sorted(set(numbers)):
        yield f"access {key.hex()}: its numbers are not in order"
    seen = Counter[int]()
    for number in numbers:
        if number not in grants:
            yield f"access {key.hex()}: grant number {number} is not there"
        else:
            seen.update(grants[number].seen_by)
    if any(times > 1 for times in seen.values()):
        yield f"access {key.hex()}: a tenant sees it by two numbers"


def _posting_faults(
    transaction: Transaction,
    row: CollectionRow,
    grants: dict[int, Grant],
    slots: dict[int, list[int]],
) -> Iterator[str]:
    stored = {
        POSTING_KEY.unpack(key)[1]
        for key, _ in transaction.scan("postings", NUMBER.pack(row.number))
        if len(key) == POSTING_KEY.size
    }
    for number in sorted(stored | slots.keys() | grants.keys()):
        found = slots_of(read_posting(transaction, row.number, number))
        if not np.array_equal(found, np.sort(np.array(slots.get(number, ()), np.int64))):
            yield f"the set of grant number {number} is not what its records say"
        if number in grants and grants[number].count != len(found):
            yield f"grant number {number} counts {grants[number].count}, and has {len(found)}"
