"""Ids as keys, and the rows that say where a record lies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import DataCorruption
from .format import ID_INT, ID_STR, INT_BIAS, INT_KEY, NUMBER, RECORD_VALUE
from .transaction import Transaction

Ids = NDArray[np.int64] | list[str]


def id_kind(ids: Ids) -> int:
    return ID_STR if isinstance(ids, list) else ID_INT


def id_keys(number: int, ids: Ids) -> list[bytes]:
    """Keys of the ids, in their order; keys sort as ids do (text: by code point)."""
    if isinstance(ids, list):
        head = NUMBER.pack(number)
        return [head + text.encode() for text in ids]
    return [INT_KEY.pack(number, value + INT_BIAS) for value in ids.tolist()]


def ids_of_keys(keys: Sequence[bytes], kind: int) -> Ids:
    """The ids of keys that ``id_keys`` made."""
    if kind == ID_STR:
        return [key[NUMBER.size :].decode() for key in keys]
    values = [INT_KEY.unpack(key)[1] - INT_BIAS for key in keys]
    return np.array(values, np.int64)


def pack_record(slot: int, sequence: int) -> bytes:
    return RECORD_VALUE.pack(slot, sequence)


def unpack_record(key: bytes, value: bytes) -> tuple[int, int]:
    """(slot, sequence)."""
    if len(value) != RECORD_VALUE.size:
        raise DataCorruption(
            f"record {key.hex()} has {len(value)} bytes, expected {RECORD_VALUE.size}",
            path="data.mdb",
        )
    slot, sequence = RECORD_VALUE.unpack(value)
    return int(slot), int(sequence)


def get_records(transaction: Transaction, keys: Sequence[bytes]) -> dict[bytes, tuple[int, int]]:
    """key -> (slot, sequence) of those that are stored."""
    found = transaction.get_many("records", keys)
    return {key: unpack_record(key, value) for key, value in found.items()}
