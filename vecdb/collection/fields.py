"""The declared fields of records, read from their payloads as columns hold them."""

from __future__ import annotations

from typing import Any

from ..filters.values import to_comparable
from ..storage.catalogue import CollectionRow
from ..storage.columns import MISSING
from ..storage.records import Ids, id_keys
from ..storage.transaction import Transaction
from .payload import decode_payload

_PART_RECORDS = 16_384


def read_fields(transaction: Transaction, row: CollectionRow, ids: Ids) -> list[list[Any]]:
    """Of each declared field, by name, the values of the records of ``ids``."""
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


def stored_value(value: Any, kind: str) -> Any:
    """A payload's value as columns hold it: what it is compared as; ``MISSING`` and None stay."""
    convert = to_comparable(kind)
    if convert is None or value is None or value is MISSING:
        return value
    return [convert(one) for one in value] if isinstance(value, list) else convert(value)
