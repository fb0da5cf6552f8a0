"""Everything that lookups need in memory: derived from the tables, never the truth.

What it offers is only a proposal: an answer goes out after a fresh read transaction has confirmed
it. So an index that lags behind, here or in a process that follows, can miss and never lie.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..quantize.planes import Encoder, Quantizer
from ..storage.cache_entries import NO_DIGEST, Entry
from .partition import Partition
from .rows import LIVE, Rows, RowSet
from .scope import tenant_of

PartitionKey = tuple[bytes, str]
"""Fingerprint of the scope, category."""


class Index:
    """Written by one thread at a time, under ``lock``; read by any, without it."""

    def __init__(self, dim: int, seed: int, now_us: int) -> None:
        self.dim = dim
        self.encoder = Encoder(Quantizer(dim=dim, metric="cosine", seed=seed, bits=1), None)
        self.lock = threading.RLock()
        self.rows = Rows(now_us)
        self.exact: dict[bytes, int] = {}  # digest -> row
        self.partitions: dict[PartitionKey, Partition] = {}
        self.categories: dict[str, RowSet] = {}
        self.tenants: dict[str, RowSet] = {}
        self.last_entry = -1  # the newest that was taken in
        self.chance = random.Random(seed)  # Used under self.lock.
        self._row_of: dict[int, int] = {}
        self._aliases: dict[int, list[bytes]] = {}  # entry -> digests of other prompts
        self._held: dict[int, int] = {}  # rows of each partition that are not given back
        self._numbered: dict[int, Partition] = {}
        self._next_number = 0

    def __len__(self) -> int:
        """Entries that a lookup may find."""
        return sum(group.count for group in self.categories.values())

    @property
    def nbytes(self) -> int:
        with self.lock:
            held = sum(partition.nbytes for partition in self.partitions.values())
            # Of dictionaries: the keys, the numbers and the table.
            return held + self.rows.nbytes + 180 * len(self.exact) + 100 * len(self._row_of)

    def row_of(self, entry: int) -> int | None:
        return self._row_of.get(entry)

    def partition_of(self, row: int) -> Partition:
        return self._numbered[self.rows.fields.partition.item(row)]

    def add(self, entry: int, stored: Entry, vector: NDArray[np.float32]) -> None:
        """Take an entry in that has been committed."""
        with self.lock:
            partition = self._partition(stored)
            # That there is no answer holds for exactly one question: it has no slot to be found by.
            slot = -1 if stored.negative else partition.view.size
            row = self.rows.take(entry, stored, partition.number, slot)
            if slot >= 0:
                partition.append(row, entry, vector, self.encoder)
            self._row_of[entry] = row
            self._held[partition.number] += 1
            if stored.digest != NO_DIGEST:
                self.exact[stored.digest] = row
            self._group(self.categories, stored.category, "group_place").add(self.rows, row)
            self._group(self.tenants, partition.tenant, "tenant_place").add(self.rows, row)
            self.last_entry = max(self.last_entry, entry)

    def add_alias(self, digest: bytes, entry: int) -> None:
        """Have one more exact prompt lead to an entry; nothing if it is gone."""
        with self.lock:
            row = self._row_of.get(entry)
            if row is not None and self.rows.is_live(row):
                self.exact[digest] = row
                self._aliases.setdefault(entry, []).append(digest)

    def aliases_of(self, entry: int) -> list[bytes]:
        """Digests of other prompts that lead to an entry."""
        return list(self._aliases.get(entry, ()))

    def kill(self, entry: int) -> bool:
        """Have no lookup find it any more; whether it was alive. ``free`` follows its deletion."""
        with self.lock:
            row = self._row_of.get(entry)
            if row is None or not self.rows.is_live(row):
                return False
            known = self.rows.fields
            partition = self.partition_of(row)
            self.rows.kill(row)
            slot = known.slot.item(row)
            if slot >= 0:
                partition.kill(slot)
            for digest in (known.digest[row].tobytes(), *self._aliases.get(entry, ())):
                if self.exact.get(digest) == row:
                    del self.exact[digest]
            self.categories[partition.category].remove(self.rows, row)
            self.tenants[partition.tenant].remove(self.rows, row)
            if partition.is_sparse:
                kept = partition.compact(self.encoder)
                known.slot[kept] = np.arange(len(kept))
            return True

    def free(self, entry: int) -> None:
        """Give the row of an entry back that was deleted from the tables."""
        with self.lock:
            self.kill(entry)
            row = self._row_of.pop(entry, None)
            self._aliases.pop(entry, None)
            if row is None:
                return
            partition = self.partition_of(row)
            self.rows.give_back(row)
            self._held[partition.number] -= 1
            if self._held[partition.number] == 0:
                del self._held[partition.number], self._numbered[partition.number]
                del self.partitions[partition.fingerprint, partition.category]

    def raise_threshold(self, entry: int, threshold: float) -> None:
        with self.lock:
            row = self._row_of.get(entry)
            if row is not None:
                self.rows.columns["threshold"][row] = threshold

    def expire(self, now_us: int, most: int = 256) -> list[int]:
        """Up to ``most`` entries whose time is over, killed."""
        with self.lock:
            entries = self.rows.fields.entry
            found = [entries.item(row) for row in self.rows.due(now_us, most)]
            for entry in found:
                self.kill(entry)
            return found

    def entries_of(self, rows: RowSet | None) -> list[int]:
        """The entries of a group of rows."""
        with self.lock:
            column = self.rows.columns["entry"]
            return [] if rows is None else [int(column[row]) for row in rows]

    def of_scope(self, fingerprint: bytes) -> list[int]:
        """The entries of a scope, of all categories."""
        with self.lock:
            numbers = [
                one.number for (scope, _), one in self.partitions.items() if scope == fingerprint
            ]
            columns = self.rows.columns
            alive = (columns["flags"] & LIVE) > 0
            found: list[int] = columns["entry"][
                alive & np.isin(columns["partition"], numbers)
            ].tolist()
            return found

    def known(self) -> Iterator[int]:
        """All entries that have a row, alive or not."""
        with self.lock:
            return iter(list(self._row_of))

    def _partition(self, stored: Entry) -> Partition:
        key = stored.fingerprint, stored.category
        found = self.partitions.get(key)
        if found is None:
            found = Partition(
                self._next_number,
                stored.fingerprint,
                stored.scope,
                stored.category,
                tenant_of(stored.scope),
                self.dim,
            )
            self._numbered[self._next_number] = found
            self._held[self._next_number] = 0
            self._next_number = (self._next_number + 1) % 2**31
            self.partitions[key] = found
        return found

    def _group(self, groups: dict[str, RowSet], name: str, place: str) -> RowSet:
        group = groups.get(name)
        if group is None:
            group = groups[name] = RowSet(place)
        return group
