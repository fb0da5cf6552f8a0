"""The stored values, as little-endian dtypes: part of the disk format, so never renumber.

Every value ends in ``CHECKSUM_BYTES`` of crc32c over its table's name, its key and its bytes
(``checksum``). Reserved bytes are zero, and readers refuse anything else. The tables of FORMAT.md
are made from these dtypes (``document``).
"""

from __future__ import annotations

import struct

import numpy as np

MAGIC = 0x31424456  # "VDB1" in the file
VERSION = 4
"""A ratchet: raised when an older program could misread what we write.

1: the first. 2: tables ``segments``, ``tombs`` and ``backgrounds``, and the folder ``segments``: to
an older program sealed records would have no vector. 3: tables ``principals`` to ``credentials``:
an older program would write records that no tenant loses or keeps. 4: tables ``caches`` to
``cache_notes``: an older program would give a new collection nothing of a cache's, and keep what an
invalidation took away. Opening for writing raises older ones (``upgrade``).
"""
SEGMENT_VERSION = 1
"""Of the files of a segment: its pages, its files of arrays, ``segment.json``. 1: the first."""
SEGMENT_JSON_VERSION = 2
"""Of ``segment.json`` where it names a graph or another layout of the pages."""

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
    "segments",
    "tombs",
    "backgrounds",
    "principals",
    "grants",
    "access",
    "postings",
    "patches",
    "credentials",
    "caches",
    "cache_states",
    "cache_policies",
    "cache_entries",
    "cache_vectors",
    "cache_bodies",
    "cache_exact",
    "cache_postings",
    "cache_floors",
    "cache_notes",
)
TABLES_OF = {1: TABLES[:10], 2: TABLES[:13], 3: TABLES[:19]}
"""The tables of older versions."""

FORMAT_KEY = b"format"
COUNTERS_KEY = b"counters"
COLUMNS_DUE_KEY = b"columns"
"""With a collection's number: its segments may lack the column of a declared field."""

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
        ("reserved", "V3"),
        ("manifest", "<u4"),  # how often the segments have changed
        ("sealed", "<u8"),  # records in segments; the others are in the operations
        ("buried", "<u8"),  # records of segments that the operations left take out of use
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

PRINCIPAL = np.dtype(
    [
        ("id", "<u4"),  # never reused
        ("own", "<u4"),  # its own grant number
        ("state", "<u4"),  # PRINCIPAL_LIVE
        ("reserved", "V4"),
        ("created_us", "<i8"),
        ("records", "<u8"),  # that it owns
        ("bytes", "<u8"),  # of their vectors and payloads
        ("max_records", "<u8"),  # quotas; 2**64 - 1: none
        ("max_bytes", "<u8"),
        ("rate", "<f8"),  # calls a second; infinite: no quota
    ]
)
"""Table ``principals``, key number + 1 + name: this, then the numbers that it includes (uint32)."""

PRINCIPAL_COUNTERS = np.dtype(
    [
        ("ids", "<u4"),  # of tenants that were given
        ("grants", "<u4"),  # grant numbers that were given
    ]
)
"""Table ``principals``, key number + 0: the last id of a tenant and the last grant number.

Key number + 2 + id: the name of the tenant with that id. Key number + 3 + grant number: that number
is dead, and its records are not swept yet.
"""

GRANT = np.dtype(
    [
        ("count", "<u8"),  # records that have the number
        ("sequence", "<u8"),  # of the last write that changed which; of a dead one, of its end
        ("kind", "u1"),  # OWN, FROZEN, DEAD
        ("reserved", "V7"),
    ]
)
"""Table ``grants``, key number + grant number: this, then ids of the tenants that see by it.

Of a dead number: the id of the one whose end killed it.
"""

CACHE = np.dtype(
    [
        ("number", "<u4"),  # as those of collections, and never one of theirs
        ("dim", "<u4"),
        ("created_us", "<i8"),
        ("secret", "V16"),  # the key of the digests of its scopes and prompts
    ]
)
"""Table ``caches``, key the name."""

CACHE_STATE = np.dtype(
    [
        ("sequence", "<u8"),  # of the newest write of the cache
        ("next_entry", "<u8"),
        ("count", "<u8"),  # entries stored now
        ("bytes", "<u8"),  # of their vectors and bodies
        ("floor", "<u8"),  # sequence of the newest invalidation; 0: there was none
        ("clock_us", "<i8"),  # the latest time that a write has seen
        ("policy", "<u4"),  # version of the policy in force
        ("reserved", "V4"),
    ]
)
"""Table ``cache_states``, key the cache's number."""

CACHE_ENTRY = np.dtype(
    [
        ("sequence", "<u8"),  # of its write: at or below one of its floors it is dead
        ("created_us", "<i8"),
        ("expires_us", "<i8"),  # no longer fresh from then on
        ("until_us", "<i8"),  # never served from then on, and taken out
        ("digest", "V16"),  # of scope, category and prompt; zero: it has no prompt
        ("scope", "V16"),  # the fingerprint
        ("guard", "V32"),  # what guards compare
        ("money", "<f8"),  # what computing the answer cost
        ("seconds", "<f4"),
        ("tokens", "<u4"),
        ("threshold", "<f4"),  # least similarity of its own: raised when an answer was wrong
        ("size", "<u4"),  # bytes of its vector and its body
        ("flags", "<u2"),  # ENTRY_NEGATIVE, ENTRY_OWN_TTL
        ("scope_bytes", "<u2"),  # lengths of what follows
        ("category_bytes", "<u2"),
        ("postings", "<u2"),
        ("reserved", "V8"),
    ]
)
"""Table ``cache_entries``, key number + entry: this, then the canonical scope, the category, and
9 bytes for each of its postings: kind and hash."""

CACHE_BODY = np.dtype(
    [
        ("value_bytes", "<u4"),
        ("prompt_bytes", "<u4"),
        ("meta_bytes", "<u4"),
        ("type_bytes", "<u2"),
        ("codec", "u1"),  # BODY_PLAIN, BODY_ZLIB: of all that follows
        ("reserved", "V1"),
    ]
)
"""Table ``cache_bodies``, key number + entry: this, then content type, prompt, meta, value."""

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

SEGMENT = np.dtype(
    [
        ("count", "<u4"),  # slots, dead or alive
        ("json_checksum", "<u4"),  # crc32c of segment.json, which has those of the other files
        ("sequence", "<u8"),  # the segment holds what writes up to this one had stored
        ("first_origin", "<u8"),  # the smallest and the largest slot that its records had
        ("last_origin", "<u8"),  # when they were written
        ("reserved", "V8"),
    ]
)
"""Table ``segments``, key number + uuid: one segment of the collection."""

PAGE = np.dtype(
    [
        ("magic", "<u4"),
        ("checksum", "<u4"),  # crc32c of the rest of the page, padding included
        ("segment", "V16"),  # its uuid: a page of another segment is corruption, not data
        ("page", "<u8"),  # its own number, from 0: a page in another's place is corruption
        ("version", "<u2"),
        ("layout", "u1"),  # LAYOUTS
        ("dtype", "u1"),  # DTYPE_CODES
        ("dim", "<u4"),
        ("count", "<u2"),  # vectors on the page; below per_page only on the last one
        ("per_page", "<u2"),
        ("neighbours", "<u2"),  # places for them; zero in layout 0, as are the next three
        ("bits", "<u2"),  # a dimension of their codes; zero in layout 1, as is codes_at
        ("neighbours_at", "<u4"),  # where on the page they begin
        ("codes_at", "<u4"),  # where the blocks of their codes begin
        ("reserved", "V8"),
    ]
)
"""The head of each page of ``vectors.pages``; vectors follow it in slot order."""

ARRAYS = np.dtype(
    [
        ("magic", "<u4"),
        ("checksum", "<u4"),  # crc32c of the rest of the head, sections and padding included
        ("version", "<u2"),
        ("sections", "<u2"),
        ("head_bytes", "<u4"),  # of this, the sections and zeros: a multiple of 4,096
        ("reserved", "V16"),
    ]
)
"""The head of a file of arrays (``codes``, ``graph``, ``tree``, ``ids``, ``columns/<n>``)."""

SECTION = np.dtype(
    [
        ("name", "V32"),  # ASCII, filled with zeros
        ("offset", "<u8"),  # in the file: a multiple of 4,096
        ("bytes", "<u8"),
        ("shape_0", "<u8"),  # its axes, as many as it has; then zeros
        ("shape_1", "<u8"),
        ("shape_2", "<u8"),
        ("checksum", "<u4"),  # crc32c of the array's bytes
        ("dtype", "u1"),  # DTYPE_CODES
        ("axes", "u1"),
        ("reserved", "V2"),
    ]
)
"""One array of a file of arrays: behind the head, in the file's order."""

DTYPES = {
    "FORMAT": FORMAT,
    "COUNTERS": COUNTERS,
    "COLLECTION": COLLECTION,
    "STATE": STATE,
    "RECORD": RECORD,
    "OPERATION": OPERATION,
    "KEY": KEY,
    "PRINCIPAL": PRINCIPAL,
    "PRINCIPAL_COUNTERS": PRINCIPAL_COUNTERS,
    "GRANT": GRANT,
    "CACHE": CACHE,
    "CACHE_STATE": CACHE_STATE,
    "CACHE_ENTRY": CACHE_ENTRY,
    "CACHE_BODY": CACHE_BODY,
    "WITNESS": WITNESS,
    "SEGMENT": SEGMENT,
    "PAGE": PAGE,
    "ARRAYS": ARRAYS,
    "SECTION": SECTION,
}

ID_NONE, ID_INT, ID_STR = 0, 1, 2
OP_UPSERT, OP_DELETE = 1, 2
PRINCIPAL_LIVE = 0
OWN, FROZEN, DEAD = 0, 1, 2
ENTRY_NEGATIVE, ENTRY_OWN_TTL = 1, 2
BODY_PLAIN, BODY_ZLIB = 0, 1
POST_ALL, POST_SCOPE, POST_CATEGORY, POST_TAG, POST_SOURCE, POST_SOURCE_ANY = range(6)

PAGE_MAGIC = 0x31475056  # "VPG1" in the file
ARRAYS_MAGIC = 0x31524156  # "VAR1"
LAYOUT_VECTORS, LAYOUT_LINKED, LAYOUT_CODED = 0, 1, 2
LAYOUTS = (LAYOUT_VECTORS, LAYOUT_LINKED, LAYOUT_CODED)
DTYPE_CODES = {
    "<f4": 1,
    "<f2": 2,
    "|u1": 3,
    "<u2": 4,
    "<u4": 5,
    "<u8": 6,
    "<i4": 7,
    "<i8": 8,
    "<f8": 9,
}
"""Types of the numbers in the files of a segment, as ``numpy.dtype.str`` has them."""
ALIGNMENT = 4096
"""Pages, heads and arrays in files begin at multiples of it."""

NUMBER = struct.Struct(">I")
"""A collection's number: the head of every key of its records, payloads and operations."""
OPERATION_KEY = struct.Struct(">IQI")  # number, sequence, part
SEGMENT_KEY = struct.Struct(">I16s")  # number, uuid
TOMB_KEY = struct.Struct(">I16sI")  # number, uuid, chunk
POSTING_HEAD = struct.Struct(">II")  # number, grant number
POSTING_KEY = struct.Struct(">IIQ")  # number, grant number, slot >> 16
GRANT_KEY = struct.Struct(">II")  # number, grant number
PATCH_KEY = struct.Struct(">IQ")  # number, slot that the record was given
ENTRY_KEY = struct.Struct(">IQ")  # number, entry of a cache
POLICY_KEY = struct.Struct(">II")  # number, version
POST_VALUE = struct.Struct(">B8s")  # kind, hash: of a posting or a floor
POST_KEY = struct.Struct(">IB8sQ")  # number, kind, hash, entry
INT_KEY = struct.Struct(">IQ")  # number, id + 2**63: keys sort as the ids do
KEY_TIME = struct.Struct(">Q")  # microseconds, then the idempotency key
RECORD_VALUE = struct.Struct("<QQ")  # RECORD, for the hot path
PATCH_VALUE = struct.Struct("<Q")  # sequence of the change
STATE_VALUE = struct.Struct("<5QB3sI2Q")  # STATE, for the hot path
PRINCIPAL_VALUE = struct.Struct("<IIIIq4Qd")  # PRINCIPAL, for the hot path
GRANT_VALUE = struct.Struct("<QQB7s")  # GRANT, for the hot path
INT_BIAS = 1 << 63
PART_BYTES = 256 * 1024
"""Operations are cut into parts of about this size, so that LMDB finds room for each."""
TOMB_BYTES = 4064
"""Dead bits in one value of ``tombs``: with LMDB's head and our checksum they fill its page."""
