"""Which collections there are, what they are called, and how far each has come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .. import limits
from ..errors import DataCorruption
from ..schema import CollectionSchema
from . import format
from .checksum import damaged, pack, unpack
from .format import NUMBER, STATE_VALUE
from .transaction import Transaction

DATA_TABLES = (
    *("records", "payloads", "operations", "segments", "tombs", "backgrounds"),
    *("principals", "grants", "access", "postings", "patches"),
    *("cache_policies", "cache_entries", "cache_vectors", "cache_bodies", "cache_exact"),
    *("cache_postings", "cache_floors", "cache_notes"),
)
"""Tables whose keys begin with the number of a collection or a cache, and go with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionRow:
    """A row of table ``collections``."""

    name: str
    number: int
    schema: CollectionSchema


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A row of table ``states``: what changes with every write of a collection."""

    sequence: int = 0
    next_slot: int = 0
    count: int = 0
    first_slot: int = 0
    trimmed: int = 0
    id_kind: int = format.ID_NONE
    manifest: int = 0
    sealed: int = 0
    buried: int = 0


def find_collection(transaction: Transaction, name: str) -> CollectionRow | None:
    """The collection of that name or alias."""
    value = transaction.get("collections", name.encode())
    if value is None:
        target = transaction.get("aliases", name.encode())
        if target is None:
            return None
        name = target.decode()
        value = transaction.get("collections", name.encode())
        if value is None:
            raise DataCorruption("an alias names a collection that is not there", path="data.mdb")
    return _row(name.encode(), value)


def scan_collections(transaction: Transaction) -> Iterator[CollectionRow]:
    """All collections, by name."""
    return (_row(key, value) for key, value in transaction.scan("collections"))


def scan_states(transaction: Transaction) -> Iterator[tuple[CollectionRow, State]]:
    """All collections and how far each has come, by name."""
    for row in scan_collections(transaction):
        state = get_state(transaction, row.number)
        if state is not None:
            yield row, state


def put_collection(transaction: Transaction, row: CollectionRow, created_us: int) -> None:
    head = pack(format.COLLECTION, number=row.number, created_us=created_us)
    transaction.put("collections", row.name.encode(), head + row.schema.to_json())
    put_state(transaction, row.number, State())


def replace_schema(transaction: Transaction, row: CollectionRow, schema: CollectionSchema) -> None:
    """Give a collection a schema that says the same about what is stored."""
    key = row.name.encode()
    value = transaction.get("collections", key)
    if value is None:
        raise AssertionError("the collection is there")
    head: Any = unpack("collections", key, value, format.COLLECTION)
    again = pack(format.COLLECTION, number=row.number, created_us=int(head["created_us"]))
    transaction.put("collections", key, again + schema.to_json())


def put_columns_due(transaction: Transaction, number: int) -> None:
    """Note that segments of the collection may lack the column of a declared field."""
    transaction.put("database", _columns_key(number), b"")


def delete_columns_due(transaction: Transaction, number: int) -> None:
    transaction.delete("database", _columns_key(number))


def columns_due(transaction: Transaction, number: int) -> bool:
    return transaction.get("database", _columns_key(number)) is not None


def _columns_key(number: int) -> bytes:
    return format.COLUMNS_DUE_KEY + NUMBER.pack(number)


def drop_collection(transaction: Transaction, row: CollectionRow) -> None:
    """Take the collection out of sight; ``sweep_dropped`` gives its space back piece by piece."""
    transaction.delete("collections", row.name.encode())
    transaction.delete("states", NUMBER.pack(row.number))
    delete_columns_due(transaction, row.number)
    for alias, target in list(scan_aliases(transaction)):
        if target == row.name:
            transaction.delete("aliases", alias.encode())
    transaction.put("dropped", NUMBER.pack(row.number), b"")


def sweep_dropped(transaction: Transaction, limit: int) -> bool:
    """Delete up to about ``limit`` keys of dropped collections; whether any are left."""
    for key, _ in list(transaction.scan("dropped")):
        for table in DATA_TABLES:
            limit -= transaction.delete_prefix(table, key, limit)
            if limit <= 0:
                return True
        transaction.delete("dropped", key)
    return False


def scan_aliases(transaction: Transaction) -> Iterator[tuple[str, str]]:
    """(alias, collection), by alias."""
    return ((key.decode(), value.decode()) for key, value in transaction.scan("aliases"))


def get_state(transaction: Transaction, number: int) -> State | None:
    """None if the collection has been dropped."""
    key = NUMBER.pack(number)
    value = transaction.get("states", key)
    if value is None:
        return None
    # Version 1 ends before ``sealed``: nothing was.
    value = value.ljust(STATE_VALUE.size, b"\0")
    if len(value) != STATE_VALUE.size:
        raise damaged("states", key, f"it has {len(value)} bytes, expected {STATE_VALUE.size}")
    sequence, next_slot, count, first_slot, trimmed, kind, reserved, manifest, sealed, buried = (
        STATE_VALUE.unpack(value)
    )
    if reserved.strip(b"\0"):
        raise damaged("states", key, "its reserved bytes are not zero")
    return State(
        sequence=sequence,
        next_slot=next_slot,
        count=count,
        first_slot=first_slot,
        trimmed=trimmed,
        id_kind=kind,
        manifest=manifest,
        sealed=sealed,
        buried=buried,
    )


def put_state(transaction: Transaction, number: int, state: State) -> None:
    value = pack(
        format.STATE,
        sequence=state.sequence,
        next_slot=state.next_slot,
        count=state.count,
        first_slot=state.first_slot,
        trimmed=state.trimmed,
        id_kind=state.id_kind,
        manifest=state.manifest,
        sealed=state.sealed,
        buried=state.buried,
    )
    transaction.put("states", NUMBER.pack(number), value)


def get_counters(transaction: Transaction) -> tuple[int, int]:
    """(sequence of the newest write, number of the next collection)."""
    value = transaction.get("database", format.COUNTERS_KEY)
    if value is None:
        raise DataCorruption("the database has no counters", path="data.mdb")
    row = unpack("database", format.COUNTERS_KEY, value, format.COUNTERS)
    return int(row["sequence"]), int(row["next_collection"])


def put_counters(transaction: Transaction, sequence: int, next_collection: int) -> None:
    value = pack(format.COUNTERS, sequence=sequence, next_collection=next_collection)
    transaction.put("database", format.COUNTERS_KEY, value)


@lru_cache(maxsize=2 * limits.COLLECTIONS)  # every call on a collection begins with its row
def _row(key: bytes, value: bytes) -> CollectionRow:
    head: Any = unpack("collections", key, value, format.COLLECTION)
    schema = CollectionSchema.from_json(value[format.COLLECTION.itemsize :])
    return CollectionRow(name=key.decode(), number=int(head["number"]), schema=schema)
