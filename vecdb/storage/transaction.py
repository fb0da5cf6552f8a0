"""One LMDB transaction: every value sealed on its way in and verified on its way out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from ..errors import DataCorruption
from .checksum import seal, seal_parts, unseal

DELETE_TABLES = frozenset(
    {"database", "states", "dropped", "operations", "tombs", "keys", "key_times", "patches"}
    | {"principals", "grants", "access", "postings"}
    | {"cache_states", "cache_floors"}
)
"""Tables that a delete puts into; a put into any other one stores something new."""


class Transaction:
    """Used by one thread, inside ``Environment.read`` or ``Environment.write``.

    ``changes`` counts puts and deletes: whether an operation that failed has touched anything.
    ``adds``: whether it stores something new; a commit that does not may use the last room of the
    disk (``reserve``).
    ``tight``: the disk is full, or nearly; what there is room for lies scattered.
    """

    __slots__ = ("_lmdb", "_tables", "adds", "changes", "tight")

    def __init__(self, transaction: Any, tables: Mapping[str, Any], *, tight: bool = False) -> None:
        self._lmdb = transaction
        self._tables = tables
        self.tight = tight
        self.adds = False
        self.changes = 0

    @property
    def number(self) -> int:
        """LMDB's number of the commit that this transaction sees (or, writing, will be)."""
        return int(self._lmdb.id())

    def get(self, table: str, key: bytes) -> bytes | None:
        stored = self._lmdb.get(key, db=self._tables[table])
        return None if stored is None else unseal(table, key, stored)

    def get_many(self, table: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values of those of ``keys`` that are stored."""
        with self._lmdb.cursor(self._tables[table]) as cursor:
            return {
                key: unseal(table, key, stored) for key, stored in cursor.getmulti(sorted(keys))
            }

    def put(self, table: str, key: bytes, value: bytes) -> None:
        self._note_put(table)
        self._lmdb.put(key, seal(table, key, value), db=self._tables[table])

    def put_parts(self, table: str, key: bytes, parts: list[bytes]) -> None:
        """As ``put``, of a value in several pieces."""
        self._note_put(table)
        self._lmdb.put(key, seal_parts(table, key, parts), db=self._tables[table])

    def put_many(self, table: str, items: Iterable[tuple[bytes, bytes]]) -> None:
        self._note_put(table)
        with self._lmdb.cursor(self._tables[table]) as cursor:
            ordered = sorted(items, key=itemgetter(0))  # of equal keys the last one stays
            cursor.putmulti([(key, seal(table, key, value)) for key, value in ordered])

    def _note_put(self, table: str) -> None:
        self.changes += 1
        self.adds = self.adds or table not in DELETE_TABLES

    def delete(self, table: str, key: bytes) -> bool:
        """Whether the key was stored."""
        self.changes += 1
        return bool(self._lmdb.delete(key, db=self._tables[table]))

    def delete_prefix(self, table: str, prefix: bytes, limit: int) -> int:
        """Delete up to ``limit`` keys that begin with ``prefix``; how many it deleted."""
        self.changes += 1
        deleted = 0
        with self._lmdb.cursor(self._tables[table]) as cursor:
            while deleted < limit and cursor.set_range(prefix):
                if not cursor.key().startswith(prefix):
                    break
                cursor.delete()
                deleted += 1
        return deleted

    def delete_range(self, table: str, start: bytes, end: bytes) -> int:
        """Delete the keys from ``start`` up to ``end``, which stays; how many it deleted."""
        self.changes += 1
        deleted = 0
        with self._lmdb.cursor(self._tables[table]) as cursor:
            found = cursor.set_range(start)
            while found and cursor.key() < end:
                found = cursor.delete()  # and is at the next one
                deleted += 1
        return deleted

    def scan(
        self, table: str, prefix: bytes = b"", start: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) of the keys that begin with ``prefix``, in order, from ``start`` on."""
        with self._lmdb.cursor(self._tables[table]) as cursor:
            if not cursor.set_range(prefix if start is None else max(prefix, start)):
                return
            for key, stored in cursor.iternext(keys=True, values=True):
                if not key.startswith(prefix):
                    return
                yield key, unseal(table, key, stored)

    def scan_damaged(
        self, table: str, count: Callable[[], object]
    ) -> Iterator[tuple[bytes, DataCorruption]]:
        """(key, error) of the values that are not what was written.

        ``count`` is called for each value, damaged or not.
        """
        with self._lmdb.cursor(self._tables[table]) as cursor:
            for key, stored in cursor.iternext(keys=True, values=True):
                count()
                try:
                    unseal(table, key, stored)
                except DataCorruption as error:
                    yield key, error

    def entries(self, table: str) -> int:
        """How many keys the table holds."""
        return int(self._lmdb.stat(self._tables[table])["entries"])

    def pages(self) -> int:
        """How many of LMDB's pages the tables take."""
        stats = [self._lmdb.stat(table) for table in self._tables.values()]
        kinds = ("branch_pages", "leaf_pages", "overflow_pages")
        return sum(int(one[kind]) for one in stats for kind in kinds)
