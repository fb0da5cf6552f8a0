"""Which entries make room for a new one.

Quotas are soft: room that a category does not use is lent, and taken back first. An entry is worth
priority x hit rate x what a hit saves, by its age since the last hit and by its bytes; the least
worth of a small sample goes, so an eviction takes the same time at any size. A tenant's share of
the capacity is hard: what it stores beyond it replaces its own.
"""

from __future__ import annotations

from typing import Any

from .change import Change
from .index import Index
from .policy import Policy
from .rows import RowSet

SAMPLE = 16
MOST = 64
"""Victims of one write."""


class NoRoom(Exception):
    """The entry is larger than what may be taken from others; ``reason`` is the put's."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def choose_victims(
    index: Index,
    policy: Policy,
    change: Change,
    *,
    category: str,
    tenant: str,
    size: int,
    replaced: set[int],
    now_us: int,
) -> list[int]:
    """Entries that must go before one of ``size`` bytes comes in. Raises ``NoRoom``."""
    if size > policy.bytes:
        raise NoRoom("too_large")
    victims: list[int] = []
    gone = replaced | change.removed
    with index.lock:
        count = change.state.entries - len(replaced)
        held = change.state.bytes
        owned = _count(index.tenants.get(tenant)) + change.tenants[tenant] - len(replaced)
        most_owned = max(1, int(policy.tenant_quota * policy.entries))
        while True:
            of_tenant = policy.tenant_quota < 1.0 and owned >= most_owned
            if not of_tenant and count < policy.entries and held + size <= policy.bytes:
                return victims
            if len(victims) >= MOST:
                raise NoRoom("quota")
            group = (
                index.tenants.get(tenant)
                if of_tenant
                else _fullest(index, policy, change, category, victims)
            )
            victim = _least(index, policy, group, gone, now_us)
            row = None if victim is None else index.row_of(victim)
            if victim is not None and row is not None:
                held -= int(index.rows.columns["size"][row])
                owned -= index.partition_of(row).tenant == tenant
            else:
                victim = _of_transaction(change, gone, tenant if of_tenant else None)
                if victim is None:
                    raise NoRoom("quota")
                held -= change.added[victim].stored.size
                owned -= change.added[victim].tenant == tenant
            count -= 1
            victims.append(victim)
            gone = gone | {victim}


def _of_transaction(change: Change, gone: set[int], tenant: str | None) -> int | None:
    """The oldest entry that this very transaction stores: the index does not know it yet."""
    for entry, added in change.added.items():
        if entry not in gone and tenant in (None, added.tenant):
            return entry
    return None


def _count(group: RowSet | None) -> int:
    return 0 if group is None else group.count


def _fullest(
    index: Index, policy: Policy, change: Change, category: str, victims: list[int]
) -> RowSet | None:
    """The category that is furthest over its quota; if none is, the one that wants room."""
    over: list[tuple[float, str]] = []
    for name, group in index.categories.items():
        if group.count == 0:
            continue
        known = policy.categories.get(name)
        # A category that the policy has no more, or gives nothing, only ever borrowed.
        quota = (known.quota if known is not None else 0.0) * policy.entries
        excess = group.count + change.categories[name] - quota + (name == category)
        if excess > 0:
            over.append((excess, name))
    if over:
        return index.categories[max(over)[1]]
    own = index.categories.get(category)
    if own is not None and own.count:
        return own
    return max(index.categories.values(), key=lambda group: group.count, default=None)


def _least(
    index: Index, policy: Policy, group: RowSet | None, gone: set[int], now_us: int
) -> int | None:
    """The entry that is worth least of some of the group; a young one only if all are."""
    if group is None:
        return None
    columns = index.rows.columns
    grace_us = now_us - round(policy.grace * 1e6)
    best: tuple[bool, float, int] | None = None
    for row in group.draw(index.chance, SAMPLE):
        found = columns[row]
        entry = int(found["entry"])
        if entry in gone:
            continue
        known = policy.categories.get(index.partition_of(row).category)
        priority = 0.0 if known is None else known.priority
        worth = priority * _worth(found, now_us)
        candidate = (int(found["created"]) > grace_us, worth, entry)
        if best is None or candidate < best:
            best = candidate
    return None if best is None else best[2]


def _worth(found: Any, now_us: int) -> float:
    """Hits to be hoped for, times what they save, a byte and a second of age."""
    age = max(1.0, (now_us - int(found["used"])) / 1e6)
    rate = (int(found["hits"]) + 1.0) / (int(found["considered"]) + 5.0)
    return rate * float(found["value"]) / age / max(1, int(found["size"]))
