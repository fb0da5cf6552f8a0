"""What the writes of one transaction do to one cache; published to the index after the sync.

Used by the writer thread only. A write checks everything before its first change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..collection.group import Group
from ..errors import NotFound
from ..storage.cache_entries import Entry, delete_entry, get_entry, put_entry, replace_entry
from ..storage.caches import CacheState, get_cache_state, put_cache_state


@dataclass(frozen=True, slots=True)
class Added:
    """An entry that the transaction stores."""

    entry: int
    stored: Entry
    vector: NDArray[np.float32]
    tenant: str


class Change:
    """``publish`` gets it after the commit."""

    def __init__(
        self, group: Group, number: int, name: str, publish: Callable[[Change], None]
    ) -> None:
        state = get_cache_state(group.transaction, number)
        if state is None:
            raise cache_gone(name)
        self.transaction = group.transaction
        self.state: CacheState = state
        self.added: dict[int, Added] = {}
        self.removed: set[int] = set()
        self.thresholds: dict[int, float] = {}
        self.aliases: dict[bytes, int] = {}
        self.policy_text: bytes | None = None
        self.dropped = False
        self.categories: Counter[str] = Counter()  # entries more (or less) than in the index
        self.category_bytes: Counter[str] = Counter()
        self.tenants: Counter[str] = Counter()
        self._group = group
        self._number = number
        self._publish = publish

    def next_sequence(self) -> int:
        sequence = self._group.next_sequence()
        self.state = self.state._replace(sequence=sequence)
        return sequence

    def add(self, stored: Entry, vector: NDArray[np.float32], body: bytes, tenant: str) -> int:
        """Store an entry; its number. ``stored`` has its own sequence already."""
        entry = self.state.next_entry
        put_entry(self.transaction, self._number, entry, stored, vector.tobytes(), body)
        self.added[entry] = Added(entry, stored, vector, tenant)
        self._count(stored, tenant, 1)
        self.state = self.state._replace(next_entry=entry + 1)
        return entry

    def remove(self, entry: int, tenant: str) -> bool:
        """Delete an entry; whether it was there."""
        stored = get_entry(self.transaction, self._number, entry)
        if stored is None:
            return False
        delete_entry(self.transaction, self._number, entry, stored)
        self.added.pop(entry, None)
        self.removed.add(entry)
        self._count(stored, tenant, -1)
        return True

    def raise_threshold(self, entry: int, threshold: float) -> bool:
        """Have the entry answer only what is at least so similar; whether it was there."""
        stored = get_entry(self.transaction, self._number, entry)
        if stored is None or stored.threshold >= threshold:
            return False
        replace_entry(self.transaction, self._number, entry, stored._replace(threshold=threshold))
        self.thresholds[entry] = threshold
        return True

    def set_floor(self, sequence: int) -> None:
        self.state = self.state._replace(floor=sequence)

    def set_policy(self, version: int, text: bytes) -> None:
        self.state = self.state._replace(policy=version)
        self.policy_text = text

    def drop(self) -> None:
        """The cache is gone, with what the group did to it."""
        self.dropped = True

    def finish(self) -> None:
        if self.dropped:
            return
        state = self.state._replace(clock_us=max(self.state.clock_us, self._group.now_us))
        put_cache_state(self.transaction, self._number, state)
        self.state = state

    def publish(self) -> None:
        self._publish(self)

    def _count(self, stored: Entry, tenant: str, sign: int) -> None:
        self.categories[stored.category] += sign
        self.category_bytes[stored.category] += sign * stored.size
        self.tenants[tenant] += sign
        self.state = self.state._replace(
            entries=self.state.entries + sign,
            bytes=max(0, self.state.bytes + sign * stored.size),
        )


def cache_gone(name: str) -> NotFound:
    return NotFound(
        f"there is no cache {name[:128]!r}",
        field="name",
        reason="NO_CACHE",
        hint="create_cache makes one",
    )
