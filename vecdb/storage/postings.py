"""Which slots a grant number reaches: sets of 64-bit slots, cut into chunks of 65,536.

A chunk is a roaring container (Chambi, Lemire et al., arXiv 1402.6407) behind its cardinality: up
to 4,096 sorted uint16, or else a bitset of 8 KiB. So an edit rewrites the chunks it touches, at
most 8 KiB each, and a set is read as one roaring bitmap without looking at its members.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap64

from .checksum import damaged
from .format import POSTING_HEAD, POSTING_KEY
from .transaction import Transaction

LIST_MAX = 4_096
"""Members of a chunk that is stored as a list."""
_BITSET_BYTES = 8_192
_CARDINALITY = struct.Struct("<H")  # less one
_NO_RUNS = 12_346  # the cookie of roaring's portable format without run containers
_NOTHING = np.empty(0, np.uint16)

Slots = NDArray[np.int64]


def edit_posting(
    transaction: Transaction, number: int, grant: int, added: Slots, removed: Slots
) -> int:
    """Add and remove slots (each unsorted, no slot in both); by how much the set has grown.

    - ``number``: of the collection
    """
    grown = 0
    edits = _by_chunk(added, removed)
    keys = [POSTING_KEY.pack(number, grant, chunk) for chunk in edits]
    stored = transaction.get_many("postings", keys)
    for key, (more, fewer) in zip(keys, edits.values(), strict=True):
        old = _members(key, stored[key]) if key in stored else _NOTHING
        new = np.setdiff1d(np.union1d(old, more), fewer, assume_unique=True)
        grown += len(new) - len(old)
        if len(new):
            transaction.put("postings", key, _encode(new))
        elif key in stored:
            transaction.delete("postings", key)
    return grown


def read_posting(transaction: Transaction, number: int, grant: int) -> BitMap64:
    """The set of a grant number; empty where it reaches nothing. Not to be changed."""
    chunks: dict[int, list[tuple[int, bytes]]] = {}
    for key, value in transaction.scan("postings", POSTING_HEAD.pack(number, grant)):
        if len(key) != POSTING_KEY.size:
            raise damaged("postings", key, "it is no chunk of a set")
        _check(key, value)
        chunk: int = POSTING_KEY.unpack(key)[2]
        chunks.setdefault(chunk >> 16, []).append((chunk & 0xFFFF, value))
    parts = [struct.pack("<Q", len(chunks))]
    for high, some in chunks.items():
        parts += [struct.pack("<I", high), *_portable(some)]
    return BitMap64.deserialize(b"".join(parts))


def slots_of(bitmap: BitMap64) -> Slots:
    """The members, ascending; read-only."""
    slots: Slots = np.frombuffer(bitmap.to_array(), np.uint64).view(np.int64)
    slots.flags.writeable = False
    return slots


def _by_chunk(added: Slots, removed: Slots) -> dict[int, tuple[NDArray[np.uint16], ...]]:
    cut = [_cut(added), _cut(removed)]
    chunks = sorted(cut[0].keys() | cut[1].keys())
    return {chunk: tuple(one.get(chunk, _NOTHING) for one in cut) for chunk in chunks}


def _cut(slots: Slots) -> dict[int, NDArray[np.uint16]]:
    """chunk -> what of it is in ``slots``, ascending, once each."""
    ordered = np.unique(slots)
    if not len(ordered):
        return {}
    chunks = ordered >> 16
    starts = np.flatnonzero(np.diff(chunks, prepend=chunks[0] - 1))
    parts = np.split((ordered & 0xFFFF).astype(np.uint16), starts[1:])
    return dict(zip(chunks[starts].tolist(), parts, strict=True))


def _encode(members: NDArray[np.uint16]) -> bytes:
    head = _CARDINALITY.pack(len(members) - 1)
    if len(members) <= LIST_MAX:
        return head + members.astype("<u2").tobytes()
    bits = np.zeros(8 * _BITSET_BYTES, np.uint8)
    bits[members] = 1
    return head + np.packbits(bits, bitorder="little").tobytes()


def _check(key: bytes, value: bytes) -> int:
    """The cardinality of a chunk."""
    count = _CARDINALITY.unpack_from(value)[0] + 1 if len(value) >= _CARDINALITY.size else 0
    body = 2 * count if count <= LIST_MAX else _BITSET_BYTES
    if not count or len(value) != _CARDINALITY.size + body:
        raise damaged("postings", key, f"it has {len(value)} bytes for {count} slots")
    return count


def _members(key: bytes, value: bytes) -> NDArray[np.uint16]:
    count = _check(key, value)
    body = value[_CARDINALITY.size :]
    if count <= LIST_MAX:
        return np.frombuffer(body, "<u2")
    bits = np.unpackbits(np.frombuffer(body, np.uint8), bitorder="little")
    return np.flatnonzero(bits).astype(np.uint16)


def _portable(chunks: Sequence[tuple[int, bytes]]) -> list[bytes]:
    """Roaring's portable form of the chunks of 32-bit numbers, by their upper halves."""
    heads, offsets, bodies = [], [], []
    at = 8 + 8 * len(chunks)
    for chunk, value in chunks:
        heads.append(struct.pack("<H", chunk) + value[: _CARDINALITY.size])
        offsets.append(struct.pack("<I", at))
        bodies.append(value[_CARDINALITY.size :])
        at += len(bodies[-1])
    return [struct.pack("<II", _NO_RUNS, len(chunks)), *heads, *offsets, *bodies]
