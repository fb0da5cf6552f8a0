"""The manifest in LMDB: which segments a collection has, and which of their slots are dead.

Files of a segment never change. What changes about it is here, in the same transaction as the
writes that change it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checksum import damaged, pack, unpack
from .format import NUMBER, SEGMENT, SEGMENT_KEY, TOMB_BYTES, TOMB_KEY
from .transaction import Transaction

TOMB_SLOTS = 8 * TOMB_BYTES
_ALL = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRow:
    """A row of table ``segments``.

    - ``count``: slots, dead or alive
    - ``json_checksum``: crc32c of ``segment.json``
    - ``sequence``: the segment holds what writes up to this one had stored
    - ``first_origin``, ``last_origin``: smallest and largest slot that its records had in the tail
    """

    uuid: uuid.UUID
    count: int
    json_checksum: int
    sequence: int
    first_origin: int
    last_origin: int


def put_segment(transaction: Transaction, number: int, row: SegmentRow) -> None:
    value = pack(
        SEGMENT,
        count=row.count,
        json_checksum=row.json_checksum,
        sequence=row.sequence,
        first_origin=row.first_origin,
        last_origin=row.last_origin,
    )
    transaction.put("segments", SEGMENT_KEY.pack(number, row.uuid.bytes), value)


def delete_segment(transaction: Transaction, number: int, segment: uuid.UUID) -> bool:
    """Forget the segment and its dead slots; whether it was there. Its files stay."""
    key = SEGMENT_KEY.pack(number, segment.bytes)
    transaction.delete_prefix("tombs", key, _ALL)
    return transaction.delete("segments", key)


def scan_segments(transaction: Transaction, number: int) -> list[SegmentRow]:
    """The collection's segments by ``sequence``, then by uuid."""
    rows = [_row(key, value) for key, value in transaction.scan("segments", NUMBER.pack(number))]
    return sorted(rows, key=lambda row: (row.sequence, row.uuid.bytes))


def named_segments(transaction: Transaction) -> set[uuid.UUID]:
    """The segments of all collections: whose files have to stay."""
    return {_row(key, value).uuid for key, value in transaction.scan("segments")}


def _row(key: bytes, value: bytes) -> SegmentRow:
    row: Any = unpack("segments", key, value, SEGMENT)
    if len(key) != SEGMENT_KEY.size or len(value) != SEGMENT.itemsize:
        raise damaged("segments", key, "it is no segment")
    return SegmentRow(
        uuid=uuid.UUID(bytes=SEGMENT_KEY.unpack(key)[1]),
        count=int(row["count"]),
        json_checksum=int(row["json_checksum"]),
        sequence=int(row["sequence"]),
        first_origin=int(row["first_origin"]),
        last_origin=int(row["last_origin"]),
    )


def put_tombs(
    transaction: Transaction,
    number: int,
    segment: uuid.UUID,
    dead: NDArray[np.uint8],
    slots: Iterable[int] | None = None,
) -> None:
    """Store the dead bits of the segment (bit l of byte b: slot 8b + l).

    Writes the chunks that differ from what is stored. ``slots``, where given, are those whose bits
    may have changed: other chunks are not looked at.
    """
    head = SEGMENT_KEY.pack(number, segment.bytes)
    if slots is None:
        stored = dict(transaction.scan("tombs", head))
        chunks: Iterable[int] = range(-(-len(dead) // TOMB_BYTES))
    else:
        chunks = sorted({int(slot) // TOMB_SLOTS for slot in slots})
        keys = [TOMB_KEY.pack(number, segment.bytes, chunk) for chunk in chunks]
        stored = transaction.get_many("tombs", keys)
    for chunk in chunks:
        key = TOMB_KEY.pack(number, segment.bytes, chunk)
        bits = dead[chunk * TOMB_BYTES : (chunk + 1) * TOMB_BYTES]
        if not bits.any():
            if key in stored:
                transaction.delete("tombs", key)
        elif stored.get(key) != (value := bits.tobytes()):
            transaction.put("tombs", key, value)


def get_tombs(
    transaction: Transaction, number: int, segment: uuid.UUID, blocks: int
) -> NDArray[np.uint8]:
    """The dead bits of a segment of ``blocks`` times 8 slots: uint8[blocks], writable."""
    dead = np.zeros(blocks, np.uint8)
    for key, value in transaction.scan("tombs", SEGMENT_KEY.pack(number, segment.bytes)):
        if len(key) != TOMB_KEY.size:
            raise damaged("tombs", key, "it is no chunk of dead slots")
        start = TOMB_KEY.unpack(key)[2] * TOMB_BYTES
        if not value or len(value) != len(dead[start : start + TOMB_BYTES]):
            raise damaged("tombs", key, f"it does not fit a segment of {blocks} blocks")
        dead[start : start + len(value)] = np.frombuffer(value, np.uint8)
    return dead


def put_background(transaction: Transaction, number: int, data: bytes) -> None:
    """Store the collection's background of scores, which is opaque here."""
    transaction.put("backgrounds", NUMBER.pack(number), data)


def get_background(transaction: Transaction, number: int) -> bytes | None:
    return transaction.get("backgrounds", NUMBER.pack(number))


def delete_background(transaction: Transaction, number: int) -> bool:
    return transaction.delete("backgrounds", NUMBER.pack(number))
