"""The declared fields of records, read from their payloads as columns hold them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..errors import VecDBError
from ..filters import check_field_value
from ..filters.text import words_of
from ..filters.values import to_comparable
from ..storage.catalogue import CollectionRow
from ..storage.columns import MISSING
from ..storage.records import Ids, id_keys
from ..storage.segment_info import ColumnInfo
from ..storage.transaction import Transaction
from .payload import decode_payload

_PART_RECORDS = 16_384


def read_fields(transaction: Transaction, row: CollectionRow, ids: Ids) -> list[list[Any]]:
    """Of each declared field, by name, the values of the records of ``ids``.

    Texts are whole, for all of their words would take many times the memory; see ``for_column``.
    """
    fields = sorted(row.schema.fields.items())
    values: list[list[Any]] = [[] for _ in fields]
    for start in range(0, len(ids), _PART_RECORDS):
        keys = id_keys(row.number, ids[start : start + _PART_RECORDS])
        stored = transaction.get_many("payloads", keys)
        for key in keys:
            payload = decode_payload(stored.get(key, b"")) or {}
            for place, (name, kind) in enumerate(fields):
                values[place].append(stored_value(payload.get(name, MISSING), kind))
    return values


def read_field(transaction: Transaction, number: int, ids: Ids, column: ColumnInfo) -> list[Any]:
    """As ``read_fields``, of one field. What does not fit its type stands as missing.

    So it is for ids of records that are gone, or were changed when the field was no field any more.
    """
    keys = id_keys(number, ids)
    stored = transaction.get_many("payloads", keys)
    values: list[Any] = []
    for key in keys:
        payload = decode_payload(stored.get(key, b"")) or {}
        value = payload.get(column.name, MISSING)
        try:
            if value is not MISSING:
                check_field_value(value, column.kind, column.name)
        except VecDBError:
            value = MISSING
        values.append(stored_value(value, column.kind))
    return values


def for_column(kind: str, values: Iterable[Any]) -> Iterator[Any]:
    """What ``read_fields`` gave of one field, as a column takes it."""
    if kind != "text":
        return iter(values)
    return map(_words, values)


def _words(value: Any) -> Any:
    if value is None or value is MISSING:
        return value
    return tuple(map(words_of, value)) if isinstance(value, list) else words_of(value)


def stored_value(value: Any, kind: str) -> Any:
    """A payload's value as columns hold it: what it is compared as; ``MISSING`` and None stay."""
    convert = None if kind == "text" else to_comparable(kind)
    if convert is None or value is None or value is MISSING:
        return value
    return [convert(one) for one in value] if isinstance(value, list) else convert(value)
