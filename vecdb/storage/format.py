"""The stored values, as little-endian dtypes: part of the disk format, so never renumber.

Every value ends in ``CHECKSUM_BYTES`` of crc32c over its table's name, its key and its bytes
(``checksum``). Reserved bytes are zero, and readers refuse anything else. The tables of FORMAT.md
are made from these dtypes (``document``).
"""

from __future__ import annotations

import struct

import numpy as np

MAGIC = 0x31424456  # "VDB1" in the file
VERSION = 1
"""Version 1: the first. A ratchet: raised when an older program could misread what we write."""

CHECKSUM_BYTES = 4

TABLES = (
    "database",
    "collections",
    "aliases",
    "states",
    "dropped",
    "records",
    "payloads",
    "operations",
    "keys",
    "key_times",
)

FORMAT_KEY = b"format"
COUNTERS_KEY = b"counters"

FORMAT = np.dtype(
    [
        ("magic", "<u4"),
        ("version", "<u4"),
        ("database_id", "V16"),
        ("created_us", "<i8"),  # microseconds since 1970, UTC
        ("reserved", "V8"),
    ]
)
"""Table ``database``, key ``format``."""

COUNTERS = np.dtype(
    [
        ("sequence", "<u8"),  # of the newest write of the database
        ("next_collection", "<u4"),  # numbers are never reused
        ("reserved", "V4"),
    ]
)
"""Table ``database``, key ``counters``."""

COLLECTION = np.dtype(
    [
        ("number", "<u4"),
        ("reserved", "V4"),
        ("created_us", "<i8"),
    ]
)
"""Table ``collections``, key the name: this, then the schema as JSON."""

STATE = np.dtype(
    [
        ("sequence", "<u8"),  # of the newest write of the collection
        ("next_slot", "<u8"),
        ("count", "<u8"),  # records stored now
        ("first_slot", "<u8"),  # of the operations that are left; all before hold no record
        ("trimmed", "<u8"),  # operations up to this sequence have been moved, some or all
        ("id_kind", "u1"),  # ID_NONE, ID_INT, ID_STR
        ("reserved", "V7"),
    ]
)
"""Table ``states``, key the collection's number."""

RECORD = np.dtype(
    [
        ("slot", "<u8"),
        ("sequence", "<u8"),  # of the record's last write
    ]
)
"""Table ``records``, key number + id."""

OPERATION = np.dtype(
    [
        ("kind", "u1"),  # OP_UPSERT, OP_DELETE
        ("id_kind", "u1"),
        ("reserved", "V2"),
        ("count", "<u4"),  # records written by this part
        ("retired", "<u4"),  # slots that this part takes out of use
        ("id_bytes", "<u4"),  # length of the ids that follow
        ("vector_bytes", "<u8"),  # length of the vectors that follow the ids
        ("first_slot", "<u8"),  # of the records written by this part
    ]
)
"""Table ``operations``, key number + sequence + part: this, then ids, vectors, retired slots."""

KEY = np.dtype(
    [
        ("digest", "V16"),  # of the request
        ("created_us", "<i8"),
        ("sequence", "<u8"),  # the answer
        ("count", "<u8"),
    ]
)
"""Table ``keys``, key the idempotency key."""

WITNESS = np.dtype(
    [
        ("magic", "<u4"),
        ("reserved", "V4"),
        ("sequence", "<u8"),
        ("transaction", "<u8"),  # LMDB's number of the commit
        ("meta_checksum", "<u4"),  # crc32c of the first 152 bytes of LMDB's meta page for it
        ("checksum", "<u4"),  # crc32c of the bytes before
    ]
)
"""The file ``witness``."""

DTYPES = {
    "FORMAT": FORMAT,
    "COUNTERS": COUNTERS,
    "COLLECTION": COLLECTION,
    "STATE": STATE,
    "RECORD": RECORD,
    "OPERATION": OPERATION,
    "KEY": KEY,
    "WITNESS": WITNESS,
}

ID_NONE, ID_INT, ID_STR = 0, 1, 2
OP_UPSERT, OP_DELETE = 1, 2

NUMBER = struct.Struct(">I")
"""A collection's number: the head of every key of its records, payloads and operations."""
OPERATION_KEY = struct.Struct(">IQI")  # number, sequence, part
INT_KEY = struct.Struct(">IQ")  # number, id + 2**63: keys sort as the ids do
KEY_TIME = struct.Struct(">Q")  # microseconds, then the idempotency key
RECORD_VALUE = struct.Struct("<QQ")  # RECORD, for the hot path
INT_BIAS = 1 << 63
PART_BYTES = 256 * 1024
"""Operations are cut into parts of about this size, so that LMDB finds room for each."""
