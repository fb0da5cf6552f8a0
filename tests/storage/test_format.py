"""The disk format as literals: to change one of these is to change the format."""

from __future__ import annotations

import re

import numpy as np

from vecdb.storage import document, format
from vecdb.storage.checksum import seal_parts
from vecdb.storage.files import DATA_FILE, LMDB_LOCK_FILE, LOCK_FILE, WITNESS_FILE
from vecdb.storage.operations import put_upsert
from vecdb.storage.reserve import RESERVE_FILE

FIELDS = {
    "FORMAT": "magic 0 4, version 4 4, database_id 8 16, created_us 24 8, reserved 32 8, end 40",
    "COUNTERS": "sequence 0 8, next_collection 8 4, reserved 12 4, end 16",
    "COLLECTION": "number 0 4, reserved 4 4, created_us 8 8, end 16",
    "STATE": (
        "sequence 0 8, next_slot 8 8, count 16 8, first_slot 24 8, trimmed 32 8, id_kind 40 1, "
        "reserved 41 3, manifest 44 4, sealed 48 8, buried 56 8, end 64"
    ),
    "RECORD": "slot 0 8, sequence 8 8, end 16",
    "OPERATION": (
        "kind 0 1, id_kind 1 1, reserved 2 2, count 4 4, retired 8 4, id_bytes 12 4, "
        "vector_bytes 16 8, first_slot 24 8, end 32"
    ),
    "KEY": "digest 0 16, created_us 16 8, sequence 24 8, count 32 8, end 40",
    "PRINCIPAL": (
        "id 0 4, own 4 4, state 8 4, reserved 12 4, created_us 16 8, records 24 8, bytes 32 8, "
        "max_records 40 8, max_bytes 48 8, rate 56 8, end 64"
    ),
    "PRINCIPAL_COUNTERS": "ids 0 4, grants 4 4, end 8",
    "GRANT": "count 0 8, sequence 8 8, kind 16 1, reserved 17 7, end 24",
    "CACHE": "number 0 4, dim 4 4, created_us 8 8, secret 16 16, end 32",
    "CACHE_STATE": (
        "sequence 0 8, next_entry 8 8, count 16 8, bytes 24 8, floor 32 8, clock_us 40 8, "
        "policy 48 4, reserved 52 4, end 56"
    ),
    "CACHE_ENTRY": (
        "sequence 0 8, created_us 8 8, expires_us 16 8, until_us 24 8, digest 32 16, scope 48 16, "
        "guard 64 32, money 96 8, seconds 104 4, tokens 108 4, threshold 112 4, size 116 4, "
        "flags 120 2, scope_bytes 122 2, category_bytes 124 2, postings 126 2, reserved 128 8, "
        "end 136"
    ),
    "CACHE_BODY": (
        "value_bytes 0 4, prompt_bytes 4 4, meta_bytes 8 4, type_bytes 12 2, codec 14 1, "
        "reserved 15 1, end 16"
    ),
    "WITNESS": (
        "magic 0 4, reserved 4 4, sequence 8 8, transaction 16 8, meta_checksum 24 4, "
        "checksum 28 4, end 32"
    ),
    "SEGMENT": (
        "count 0 4, json_checksum 4 4, sequence 8 8, first_origin 16 8, last_origin 24 8, "
        "reserved 32 8, end 40"
    ),
    "PAGE": (
        "magic 0 4, checksum 4 4, segment 8 16, page 24 8, version 32 2, layout 34 1, dtype 35 1, "
        "dim 36 4, count 40 2, per_page 42 2, neighbours 44 2, bits 46 2, neighbours_at 48 4, "
        "codes_at 52 4, reserved 56 8, end 64"
    ),
    "ARRAYS": (
        "magic 0 4, checksum 4 4, version 8 2, sections 10 2, head_bytes 12 4, reserved 16 16, "
        "end 32"
    ),
    "SECTION": (
        "name 0 32, offset 32 8, bytes 40 8, shape_0 48 8, shape_1 56 8, shape_2 64 8, "
        "checksum 72 4, dtype 76 1, axes 77 1, reserved 78 2, end 80"
    ),
}
SIGNED = {"created_us", "expires_us", "until_us", "clock_us"}
FLOATS = {"rate", "money", "seconds", "threshold"}
TABLES = [
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
]


def described(dtype: np.dtype) -> str:
    parts = [f"{name} {dtype.fields[name][1]} {dtype[name].itemsize}" for name in dtype.names]
    return ", ".join([*parts, f"end {dtype.itemsize}"])


class Recorder:
    """Stands in for a transaction: keeps what would be stored."""

    tight = False

    def __init__(self):
        self.stored = {}

    def put_parts(self, table, key, parts):
        self.stored[table, key] = seal_parts(table, key, parts)


def format_text() -> str:
    return document.FORMAT_MD.read_text(encoding="utf-8")


def test_fields_lie_where_they_have_always_been():
    assert {name: described(dtype) for name, dtype in format.DTYPES.items()} == FIELDS


def test_numbers_are_little_endian_and_unsigned_but_for_times():
    for dtype in format.DTYPES.values():
        for name in dtype.names:
            assert dtype[name].newbyteorder("<") == dtype[name]
            assert dtype[name].kind in ("i" if name in SIGNED else "f" if name in FLOATS else "uV")


def test_constants_have_never_been_renumbered():
    assert format.MAGIC.to_bytes(4, "little") == b"VDB1"
    assert format.PAGE_MAGIC.to_bytes(4, "little") == b"VPG1"
    assert format.ARRAYS_MAGIC.to_bytes(4, "little") == b"VAR1"
    assert (format.VERSION, format.SEGMENT_VERSION, format.CHECKSUM_BYTES) == (4, 1, 4)
    assert (format.ID_NONE, format.ID_INT, format.ID_STR) == (0, 1, 2)
    assert (format.OP_UPSERT, format.OP_DELETE) == (1, 2)
    assert list(format.TABLES) == TABLES
    older = {1: tuple(TABLES[:10]), 2: tuple(TABLES[:13]), 3: tuple(TABLES[:19])}
    assert older == format.TABLES_OF
    assert (format.ENTRY_NEGATIVE, format.ENTRY_OWN_TTL) == (1, 2)
    assert (format.BODY_PLAIN, format.BODY_ZLIB) == (0, 1)
    kinds = (format.POST_ALL, format.POST_SCOPE, format.POST_CATEGORY, format.POST_TAG)
    assert (*kinds, format.POST_SOURCE, format.POST_SOURCE_ANY) == (0, 1, 2, 3, 4, 5)
    assert format.LAYOUT_VECTORS == 0
    assert " ".join(format.DTYPE_CODES) == "<f4 <f2 |u1 <u2 <u4 <u8 <i4 <i8 <f8"
    assert list(format.DTYPE_CODES.values()) == list(range(1, 10))
    assert (format.ALIGNMENT, format.TOMB_BYTES) == (4096, 4064)
    assert (format.FORMAT_KEY, format.COUNTERS_KEY) == (b"format", b"counters")


def test_keys_are_packed_as_ever():
    assert format.NUMBER.pack(1).hex() == "00000001"
    assert format.INT_KEY.pack(1, -1 + format.INT_BIAS).hex() == "000000017fffffffffffffff"
    assert format.OPERATION_KEY.pack(1, 2, 3).hex() == "00000001000000000000000200000003"
    uuid = bytes(range(16))
    assert format.SEGMENT_KEY.pack(1, uuid).hex() == "00000001" + uuid.hex()
    assert format.TOMB_KEY.pack(1, uuid, 2).hex() == "00000001" + uuid.hex() + "00000002"
    assert format.ENTRY_KEY.pack(1, 2).hex() == "000000010000000000000002"
    assert format.POLICY_KEY.pack(1, 2).hex() == "0000000100000002"
    assert format.POST_KEY.pack(1, 3, bytes(8), 2).hex() == "0000000103" + 15 * "00" + "02"
    assert format.KEY_TIME.pack(2).hex() == "0000000000000002"
    assert format.RECORD_VALUE.size == format.RECORD.itemsize
    assert (DATA_FILE, WITNESS_FILE, RESERVE_FILE) == ("data.mdb", "witness", "reserve")
    assert (LMDB_LOCK_FILE, LOCK_FILE) == ("lock.mdb", "vecdb.lock")


def test_document_has_the_tables_that_the_dtypes_give():
    text = format_text()
    assert document.fill_tables(text) == text, "run: python -m vecdb.storage.document"


def test_document_has_a_table_of_every_dtype():
    assert sorted(document.tables_named(format_text())) == sorted(format.DTYPES)


def test_document_shows_offsets_sizes_and_comments():
    text = document.fill_tables(
        "<!-- table OPERATION: made by vecdb.storage.document -->\nold\n<!-- end -->"
    )
    assert "old" not in text
    assert "| 12 | unsigned | 4 | id_bytes | length of the ids that follow |" in text
    assert "| 2 | bytes | 2 | reserved | zero |" in text
    assert "| 32 | | | | end |" in text


def test_document_names_every_table_of_lmdb():
    text = format_text()
    assert [table for table in format.TABLES if f"`{table}`" not in text] == []


def test_document_names_every_file():
    files = (DATA_FILE, WITNESS_FILE, RESERVE_FILE, LMDB_LOCK_FILE, LOCK_FILE)
    text = format_text()
    assert [name for name in files if f"\n| `{name}` |" not in text] == []


def test_example_in_the_document_is_what_is_stored():
    block = re.search(r"```\n(key .*?)```", format_text(), re.DOTALL)[1]
    key, *value = [bytes.fromhex(line[7:54]) for line in block.splitlines()]
    recorder = Recorder()
    put_upsert(
        recorder,
        1,
        1,
        first_slot=0,
        ids=np.array([7, -1]),
        vectors=np.array([[1, 0], [0, 2]], np.float32),
        retired=np.empty(0, np.uint64),
    )
    assert recorder.stored == {("operations", key): b"".join(value)}
