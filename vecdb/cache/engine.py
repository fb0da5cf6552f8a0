"""One open cache: its index, its policy, what it has learned and counted, and its clock.

All handles of a cache in one process share it. Committed changes reach the index in the writer
thread, after the sync (``_apply``); a process that only reads follows by itself (``follow``).
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import Any

import numpy as np

from ..collection.group import Group
from ..collection.store import Store
from ..storage.cache_entries import get_vector, scan_entries, scan_vectors
from ..storage.caches import CacheRow, find_cache, get_cache_state, get_policy, scan_notes
from ..storage.format import NUMBER
from ..storage.transaction import Transaction
from .change import Change, cache_gone
from .economics import Switch
from .fetch import is_floored
from .flights import Flights
from .index import Index
from .load import Loads
from .policy import Category, Policy
from .policy_parse import parse_policy
from .scope import Scopes
from .tally import Tally
from .verification import CLOSED, Pool

TRACES = 1_024
"""Lookups that ``explain`` remembers."""
_LOAD_ROWS = 4_096
_FOLLOW_SECONDS = 0.05
_WRITE_BYTES = 1_024
_POOL_NOTE, TALLY_NOTE = "pool:", "tally"


def encoder_changed(old: Policy, new: Policy) -> bool:
    """Whether their vectors cannot be compared; to name one for the first time is no change."""
    return old.encoder not in ("", new.encoder)


class Engine:
    """Safe for any thread."""

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        with store.environment.read() as transaction:
            row = find_cache(transaction, name)
            state = None if row is None else get_cache_state(transaction, row.number)
            if row is None or state is None:
                raise cache_gone(name)
            text = get_policy(transaction, row.number, state.policy)
            notes = dict(scan_notes(transaction, row.number))
        self.row: CacheRow = row
        self._high_us = state.clock_us
        self.sequence, self.floor = state.sequence, state.floor
        self.index = Index(row.dim, row.number, self.now_us())
        self.tally = Tally()
        self.loads = Loads(store.clock)
        self.flights = Flights()
        self.switches: dict[str, Switch] = {}
        self.pools: dict[str, Pool] = {}
        self.traces: deque[Any] = deque(maxlen=TRACES)
        self.ids = itertools.count(1)
        self.chance = random.Random()
        self.leases: dict[int, float] = {}  # entry -> till when somebody refreshes it
        self.reclaim: deque[int] = deque()  # dead entries whose space is to be given back
        self.seen_once: dict[bytes, None] = {}  # digests that a doorkeeper has met
        self.lease_lock = threading.Lock()
        self._notes = notes
        self._follow_lock = threading.Lock()
        self._followed_at = 0.0
        self.dropped = False
        self.closed = False
        self.policy: Policy
        self.scopes: Scopes
        self._adopt(parse_policy((text or b"{}").decode(), state.policy))
        if TALLY_NOTE in notes:
            self.tally.load(notes[TALLY_NOTE])
        self._catch_up()

    def check_usable(self) -> None:
        """Raise if the database is closed (or was opened before a fork), or the cache dropped."""
        self.store.environment.check_usable()
        if self.dropped:
            raise cache_gone(self.row.name)

    # -------------------------------------------------------------------------------- the clock

    def now_us(self) -> int:
        """Microseconds since 1970; never less than before, also over a restart.

        A clock that is set back brings nothing back to life.
        """
        now = self.store.now_us
        if now > self._high_us:
            self._high_us = now
            return now
        return self._high_us

    # ------------------------------------------------------------------------------- the policy

    def _adopt(self, policy: Policy) -> None:
        """Have a policy in force: the scopes first, then one assignment."""
        scopes = Scopes(policy.scope, self.row.secret)
        pools: dict[str, Pool] = {}
        if hasattr(self, "policy") and encoder_changed(self.policy, policy):
            self.pools, self._notes = {}, {}  # what was learned was about other similarities
        for category in policy.categories.values():
            found = policy.budget_of(category)
            if found is None or not category.allow_caching:
                continue
            name, budget = found
            pool = pools.get(name) or self.pools.get(name)
            if pool is None:
                pool = Pool(budget, category.audit_floor)
                note = self._notes.get(_POOL_NOTE + name)
                if note is not None:
                    pool.load(note)
            else:
                pool.restart()
            pool.allow(budget, 0.0)
            pools[name] = pool
        for name in policy.categories:
            self.switches.setdefault(name, Switch())
        self.pools, self.scopes = pools, scopes
        self.policy = policy

    def reload_policy(self, version: int) -> None:
        """Take over a policy that another process has set."""
        with self.store.environment.read() as transaction:
            text = get_policy(transaction, self.row.number, version)
        if text is not None and version != self.policy.version:
            self._adopt(parse_policy(text.decode(), version))

    def pool_of(self, category: Category) -> Pool | None:
        found = self.policy.budget_of(category)
        return None if found is None else self.pools.get(found[0])

    def threshold_of(self, category: Category) -> float:
        """The threshold in force without load; above 1: closed."""
        pool = self.pool_of(category)
        if pool is None:
            return category.threshold
        return pool.strict if pool.strict >= CLOSED else max(pool.strict, category.threshold_min)

    # -------------------------------------------------------------------------------- the index

    def _catch_up(self) -> None:
        """Take in the entries that were stored since the last one that is known."""
        while True:
            first = self.index.last_entry + 1
            with self.store.environment.read() as transaction:
                state = get_cache_state(transaction, self.row.number)
                if state is None:
                    raise cache_gone(self.row.name)
                if not self._take_in(transaction, first, state.floor):
                    break
        with self.store.environment.read() as transaction:
            self._take_aliases(transaction)

    def _take_in(self, transaction: Transaction, first: int, floor: int) -> bool:
        """Some entries from ``first`` on; whether there may be more. The dead are left out."""
        number, now = self.row.number, self.now_us()
        vectors = scan_vectors(transaction, number, first)
        count = 0
        for entry, stored in scan_entries(transaction, number, first):
            found = next((vector for other, vector in vectors if other == entry), None)
            if found is None or len(found) != 4 * self.row.dim:
                vector = get_vector(transaction, number, entry)
                if vector is None or len(vector) != self.row.dim:
                    self.index.last_entry = entry
                    self.reclaim.append(entry)
                    continue
            else:
                vector = np.frombuffer(found, "<f4")
            dead = stored.until_us <= now or (
                floor >= stored.sequence
                and is_floored(transaction, number, self.row.secret, stored)
            )
            if dead:
                self.index.last_entry = entry
                self.reclaim.append(entry)
            else:
                self.index.add(entry, stored, vector)
            count += 1
            if count == _LOAD_ROWS:
                return True
        return False

    def _take_aliases(self, transaction: Transaction) -> None:
        head = NUMBER.pack(self.row.number)
        for key, value in transaction.scan("cache_exact", head):
            digest = key[len(head) :]
            if digest not in self.index.exact:
                self.index.add_alias(digest, int.from_bytes(value, "little"))

    def follow(self) -> None:
        """In a process that only reads: look for new entries, at most every 50 ms."""
        now = time.monotonic()
        if now - self._followed_at < _FOLLOW_SECONDS or not self._follow_lock.acquire(False):
            return
        try:
            self._followed_at = now
            with self.store.environment.read() as transaction:
                state = get_cache_state(transaction, self.row.number)
                if state is None:
                    raise cache_gone(self.row.name)
                while self._take_in(transaction, self.index.last_entry + 1, state.floor):
                    pass
                self.sequence = state.sequence
                self._high_us = max(self._high_us, state.clock_us)
            if state.policy != self.policy.version:
                self.reload_policy(state.policy)
        finally:
            self._follow_lock.release()

    # ---------------------------------------------------------------------------------- writing

    def change(self, group: Group) -> Change:
        """What a write of this cache works on."""
        found = group.part(
            self.row.number, lambda: Change(group, self.row.number, self.row.name, self._apply)
        )
        if found.dropped:
            raise cache_gone(self.row.name)
        return found

    def submit(self, run: Any, size_bytes: int = _WRITE_BYTES) -> Future[Any]:
        self.store.environment.check_usable()
        return self.store.submit(run, size_bytes)

    def _apply(self, change: Change) -> None:
        """In the writer thread, after the sync."""
        if change.dropped:
            self.dropped = True
            return
        for entry in change.removed:
            self.index.free(entry)
        for added in change.added.values():
            self.index.add(added.entry, added.stored, added.vector)
        for digest, entry in change.aliases.items():
            self.index.add_alias(digest, entry)
        for entry, threshold in change.thresholds.items():
            self.index.raise_threshold(entry, threshold)
        if change.policy_text is not None:
            self._adopt(parse_policy(change.policy_text.decode(), change.state.policy))
        self.sequence, self.floor = change.state.sequence, change.state.floor

    def floor_in(self, transaction: Transaction) -> int:
        """Sequence of the newest invalidation.

        This process knows it by itself where it is the one that writes: an invalidation returns
        only after ``_apply``. Another one has to look.
        """
        if not self.store.read_only:
            return self.floor
        state = get_cache_state(transaction, self.row.number)
        if state is None:
            raise cache_gone(self.row.name)
        return state.floor

    def lease(self, entry: int) -> bool:
        """Whether the caller is the one who refreshes a stale entry."""
        now = self.store.clock()
        with self.lease_lock:
            if self.leases.get(entry, 0.0) > now:
                return False
            if len(self.leases) > 10_000:
                self.leases = {one: till for one, till in self.leases.items() if till > now}
            self.leases[entry] = now + self.policy.lease
            return True

    def notes(self) -> dict[str, bytes]:
        """What is worth keeping over a restart."""
        found = {_POOL_NOTE + name: pool.to_bytes() for name, pool in self.pools.items()}
        return found | {TALLY_NOTE: self.tally.to_bytes()}
