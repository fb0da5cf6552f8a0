"""Operations: what was done to a collection, with its vectors, in the order it was done.

Replaying them rebuilds the tail. Each says which slots it takes out of use, so a replay needs no
map from ids to slots. A large operation is cut into parts of about ``PART_BYTES``; on a full disk
of a page each, for a larger part needs free pages side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..schema import CollectionSchema
from . import format
from .checksum import damaged, pack, unpack
from .format import OP_DELETE, OP_UPSERT, OPERATION_KEY
from .records import Ids, id_kind
from .transaction import Transaction

TIGHT_PART_BYTES = 3_584  # with its header and ids a page of LMDB
_NO_SLOTS = np.empty(0, np.uint64)
_NO_IDS = np.empty(0, np.int64)
_NO_VECTORS = np.empty((0, 0), np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One part of an operation, as read back.

    - ``sequence``, ``part``: which one
    - ``ids``, ``vectors``: [n], [n, dim] of the records written; both empty for a deletion
    - ``first_slot``: slot of the first of them
    - ``retired``: uint64 slots that hold no record any more
    """

    sequence: int
    part: int = 0
    first_slot: int
    ids: Ids
    vectors: NDArray[Any]
    retired: NDArray[np.uint64]


def put_upsert(
    transaction: Transaction,
    number: int,
    sequence: int,
    *,
    first_slot: int,
    ids: Ids,
    vectors: NDArray[Any],
    retired: NDArray[np.uint64],
) -> Operation:
    """Store the vectors of one batch; the retired slots go with the first part.

    Returns the operation as a whole.
    """
    part_bytes = TIGHT_PART_BYTES if transaction.tight else format.PART_BYTES
    rows = max(1, part_bytes // max(1, vectors.shape[1] * vectors.itemsize))
    for part, start in enumerate(range(0, len(ids), rows)):
        end = min(start + rows, len(ids))
        id_bytes = _encode_ids(ids[start:end])
        vector_bytes = vectors[start:end].tobytes()
        out = retired if part == 0 else _NO_SLOTS
        head = pack(
            format.OPERATION,
            kind=OP_UPSERT,
            id_kind=id_kind(ids),
            count=end - start,
            retired=len(out),
            id_bytes=len(id_bytes),
            vector_bytes=len(vector_bytes),
            first_slot=first_slot + start,
        )
        key = OPERATION_KEY.pack(number, sequence, part)
        transaction.put_parts("operations", key, [head, id_bytes, vector_bytes, out.tobytes()])
    return Operation(
        sequence=sequence, first_slot=first_slot, ids=ids, vectors=vectors, retired=retired
    )


def put_delete(
    transaction: Transaction, number: int, sequence: int, retired: NDArray[np.uint64]
) -> Operation:
    """Store that slots were retired, and return the operation."""
    head = pack(format.OPERATION, kind=OP_DELETE, retired=len(retired))
    key = OPERATION_KEY.pack(number, sequence, 0)
    transaction.put_parts("operations", key, [head, retired.tobytes()])
    return Operation(
        sequence=sequence, first_slot=0, ids=_NO_IDS, vectors=_NO_VECTORS, retired=retired
    )


def scan_operations(
    transaction: Transaction, number: int, schema: CollectionSchema, after: int = 0
) -> Iterator[Operation]:
    """The parts of all operations with a sequence above ``after``, in order."""
    start = OPERATION_KEY.pack(number, after + 1, 0)
    for key, value in transaction.scan("operations", format.NUMBER.pack(number), start):
        yield _decode(key, value, schema)


def _decode(key: bytes, value: bytes, schema: CollectionSchema) -> Operation:
    head = unpack("operations", key, value, format.OPERATION)
    if len(key) != OPERATION_KEY.size or int(head["kind"]) not in (OP_UPSERT, OP_DELETE):
        raise damaged("operations", key, "it is no operation")
    count, retired = int(head["count"]), int(head["retired"])
    ids_at = format.OPERATION.itemsize
    vectors_at = ids_at + int(head["id_bytes"])
    retired_at = vectors_at + int(head["vector_bytes"])
    expected_vectors = count * schema.row_bytes
    if int(head["vector_bytes"]) != expected_vectors or len(value) != retired_at + 8 * retired:
        raise damaged("operations", key, "its lengths contradict each other")
    ids = _decode_ids(key, value[ids_at:vectors_at], int(head["id_kind"]), count)
    vectors = np.frombuffer(value, schema.numpy_dtype, count * schema.dim, vectors_at)
    _, sequence, part = OPERATION_KEY.unpack(key)
    return Operation(
        sequence=sequence,
        part=part,
        first_slot=int(head["first_slot"]),
        ids=ids,
        vectors=vectors.reshape(count, schema.dim),
        retired=np.frombuffer(value, "<u8", retired, retired_at),
    )


def _encode_ids(ids: Ids) -> bytes:
    if not isinstance(ids, list):
        return ids.astype("<i8", copy=False).tobytes()
    texts = [text.encode() for text in ids]
    lengths = np.fromiter((len(text) for text in texts), "<u2", len(texts))
    return lengths.tobytes() + b"".join(texts)


def _decode_ids(key: bytes, data: bytes, kind: int, count: int) -> Ids:
    if kind != format.ID_STR:
        if len(data) != 8 * count:
            raise damaged("operations", key, "its ids have the wrong length")
        return np.frombuffer(data, "<i8", count)
    if len(data) < 2 * count:
        raise damaged("operations", key, "its ids have the wrong length")
    lengths = np.frombuffer(data, "<u2", count)
    ends = np.cumsum(lengths, dtype=np.int64) + 2 * count
    if len(data) != (int(ends[-1]) if count else 0):
        raise damaged("operations", key, "its ids have the wrong length")
    starts = ends - lengths
    try:
        return [data[a:b].decode() for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
    except UnicodeDecodeError:
        raise damaged("operations", key, "its ids are no text") from None
