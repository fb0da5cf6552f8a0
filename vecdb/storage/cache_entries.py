"""Entries of a cache: what decides, the vector, the body, and the keys that lead to them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import format
from .checksum import damaged
from .format import ENTRY_KEY, NUMBER, POST_KEY, POST_VALUE
from .transaction import Transaction

NO_DIGEST = bytes(16)
PLAIN_BYTES = 2_048
"""A body up to this size is not compressed: reading it back would take longer than it spares."""

_HEAD = struct.Struct("<Q3q16s16s32sdfIfI4H8s")
_BODY = struct.Struct("<3IHBc")
_ENTRY = struct.Struct("<Q")
_LEVEL = 1

Posting = tuple[int, bytes]
"""Kind and hash."""


class Entry(NamedTuple):
    """A row of table ``cache_entries``; see ``format.CACHE_ENTRY``. ``scope`` is canonical.

    A named tuple, as ``Body``: every answer makes one, and a frozen dataclass takes 3 us.
    """

    sequence: int
    created_us: int
    expires_us: int
    until_us: int
    digest: bytes
    fingerprint: bytes
    guard: bytes
    scope: bytes
    category: str
    postings: tuple[Posting, ...] = ()
    money: float = 0.0
    seconds: float = 0.0
    tokens: int = 0
    threshold: float = 0.0
    size: int = 0
    negative: bool = False
    own_ttl: bool = False


class Body(NamedTuple):
    """A row of table ``cache_bodies``; ``prompt`` is b"" where it is not kept."""

    value: bytes
    content_type: str
    prompt: bytes = b""
    meta: bytes = b"{}"


def pack_entry(entry: Entry) -> bytes:
    category = entry.category.encode()
    flags = (entry.negative and format.ENTRY_NEGATIVE) | (entry.own_ttl and format.ENTRY_OWN_TTL)
    head = _HEAD.pack(
        entry.sequence,
        entry.created_us,
        entry.expires_us,
        entry.until_us,
        entry.digest,
        entry.fingerprint,
        entry.guard,
        entry.money,
        entry.seconds,
        entry.tokens,
        entry.threshold,
        entry.size,
        flags,
        len(entry.scope),
        len(category),
        len(entry.postings),
        bytes(8),
    )
    postings = (POST_VALUE.pack(kind, digest) for kind, digest in entry.postings)
    return b"".join([head, entry.scope, category, *postings])


def unpack_entry(key: bytes, value: bytes) -> Entry:
    if len(value) < _HEAD.size:
        raise damaged("cache_entries", key, f"it has {len(value)} bytes, too few")
    head = _HEAD.unpack_from(value)
    money, seconds, tokens, threshold, size, flags, scope_bytes = head[7:14]
    category_bytes, count, reserved = head[14:]
    at = _HEAD.size
    middle = at + scope_bytes
    end = middle + category_bytes
    if len(value) != end + count * POST_VALUE.size or reserved.strip(b"\0") or flags > 3:
        raise damaged("cache_entries", key, "its lengths do not fit")
    parts = (
        *head[:7],
        value[at:middle],
        value[middle:end].decode(),
        tuple(POST_VALUE.iter_unpack(value[end:])) if count else (),
        *(money, seconds, tokens, threshold, size),
        bool(flags & format.ENTRY_NEGATIVE),
        bool(flags & format.ENTRY_OWN_TTL),
    )
    return Entry._make(parts)  # in their order, since every answer comes through here


def pack_body(body: Body) -> bytes:
    kind = body.content_type.encode()
    parts = b"".join([kind, body.prompt, body.meta, body.value])
    codec = format.BODY_PLAIN
    if len(parts) > PLAIN_BYTES:
        packed = zlib.compress(parts, _LEVEL)
        if len(packed) < len(parts) * 7 // 8:
            parts, codec = packed, format.BODY_ZLIB
    head = _BODY.pack(*(len(body.value), len(body.prompt), len(body.meta), len(kind)), codec, b"\0")
    return head + parts


def unpack_body(key: bytes, value: bytes) -> Body:
    if len(value) < _BODY.size:
        raise damaged("cache_bodies", key, f"it has {len(value)} bytes, too few")
    value_bytes, prompt_bytes, meta_bytes, type_bytes, codec, reserved = _BODY.unpack_from(value)
    parts = value[_BODY.size :]
    whole = type_bytes + prompt_bytes + meta_bytes + value_bytes
    if codec == format.BODY_ZLIB:
        # The length is known and checked, so a body cannot grow beyond what was stored.
        reader = zlib.decompressobj()
        try:
            parts = reader.decompress(parts, whole + 1)
        except zlib.error:
            raise damaged("cache_bodies", key, "it cannot be decompressed") from None
    if codec > format.BODY_ZLIB or reserved != b"\0" or len(parts) != whole:
        raise damaged("cache_bodies", key, "its lengths do not fit")
    prompt_at = type_bytes
    meta_at = prompt_at + prompt_bytes
    value_at = meta_at + meta_bytes
    return Body(
        content_type=parts[:prompt_at].decode(),
        prompt=parts[prompt_at:meta_at],
        meta=parts[meta_at:value_at],
        value=parts[value_at:],
    )


def get_entry(transaction: Transaction, number: int, entry: int) -> Entry | None:
    key = ENTRY_KEY.pack(number, entry)
    value = transaction.get("cache_entries", key)
    return None if value is None else unpack_entry(key, value)


def get_body(transaction: Transaction, number: int, entry: int) -> Body | None:
    key = ENTRY_KEY.pack(number, entry)
    value = transaction.get("cache_bodies", key)
    return None if value is None else unpack_body(key, value)


def get_vector(transaction: Transaction, number: int, entry: int) -> NDArray[np.float32] | None:
    value = transaction.get("cache_vectors", ENTRY_KEY.pack(number, entry))
    return None if value is None else np.frombuffer(value, "<f4")


def find_exact(transaction: Transaction, number: int, digest: bytes) -> int | None:
    """The entry of exactly this scope, category and prompt."""
    value = transaction.get("cache_exact", NUMBER.pack(number) + digest)
    return None if value is None else int(_ENTRY.unpack(value)[0])


def put_entry(
    transaction: Transaction,
    number: int,
    entry: int,
    row: Entry,
    vector: bytes,
    body: bytes,
) -> None:
    """All tables of one entry. ``vector``: float32; ``body``: of ``pack_body``."""
    key = ENTRY_KEY.pack(number, entry)
    transaction.put("cache_entries", key, pack_entry(row))
    transaction.put("cache_vectors", key, vector)
    transaction.put("cache_bodies", key, body)
    if row.digest != NO_DIGEST:
        transaction.put("cache_exact", NUMBER.pack(number) + row.digest, _ENTRY.pack(entry))
    for kind, digest in row.postings:
        transaction.put("cache_postings", POST_KEY.pack(number, kind, digest, entry), b"")


def put_alias(transaction: Transaction, number: int, digest: bytes, entry: int) -> None:
    """Have one more prompt lead to an entry."""
    transaction.put("cache_exact", NUMBER.pack(number) + digest, _ENTRY.pack(entry))


def drop_alias(transaction: Transaction, number: int, digest: bytes, entry: int) -> None:
    """Have a prompt lead no longer to an entry."""
    if find_exact(transaction, number, digest) == entry:
        transaction.delete("cache_exact", NUMBER.pack(number) + digest)


def replace_entry(transaction: Transaction, number: int, entry: int, row: Entry) -> None:
    """Store another ``threshold`` for an entry, whose keys stay what they are."""
    transaction.put("cache_entries", ENTRY_KEY.pack(number, entry), pack_entry(row))


def delete_entry(transaction: Transaction, number: int, entry: int, row: Entry) -> None:
    key = ENTRY_KEY.pack(number, entry)
    for table in ("cache_entries", "cache_vectors", "cache_bodies"):
        transaction.delete(table, key)
    if row.digest != NO_DIGEST:
        drop_alias(transaction, number, row.digest, entry)
    for kind, digest in row.postings:
        transaction.delete("cache_postings", POST_KEY.pack(number, kind, digest, entry))


def scan_entries(
    transaction: Transaction, number: int, first: int = 0
) -> Iterator[tuple[int, Entry]]:
    """(entry, row) from ``first`` on, in the order in which they were stored."""
    head, start = NUMBER.pack(number), ENTRY_KEY.pack(number, first)
    for key, value in transaction.scan("cache_entries", head, start):
        yield ENTRY_KEY.unpack(key)[1], unpack_entry(key, value)


def scan_vectors(
    transaction: Transaction, number: int, first: int = 0
) -> Iterator[tuple[int, bytes]]:
    """(entry, vector) from ``first`` on."""
    head, start = NUMBER.pack(number), ENTRY_KEY.pack(number, first)
    for key, value in transaction.scan("cache_vectors", head, start):
        yield ENTRY_KEY.unpack(key)[1], value


def scan_postings(transaction: Transaction, number: int, kind: int, digest: bytes) -> Iterator[int]:
    """The entries that have this tag or source."""
    prefix = NUMBER.pack(number) + POST_VALUE.pack(kind, digest)
    for key, _ in transaction.scan("cache_postings", prefix):
        yield POST_KEY.unpack(key)[3]
