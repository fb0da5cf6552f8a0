"""Input at the door: ids, vectors and payloads checked and brought into their stored form."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import limits
from ..errors import InvalidArgument, LimitExceeded
from ..schema import CollectionSchema
from ..storage.records import Ids
from . import columns
from .columns import Payload
from .payload import encode_payloads
from .vectors import check_vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Records ready to be stored: nothing in it can be refused any more.

    - ``ids``: int64[n] or list of str, no two alike
    - ``vectors``: [n, dim], the collection's dtype, C-contiguous
    - ``payloads``: JSON text a record (b"": none), or None where no record has one
    """

    ids: Ids
    vectors: NDArray[Any]
    payloads: list[bytes] | None

    @property
    def size_bytes(self) -> int:
        return self.vectors.nbytes + sum(map(len, self.payloads or ())) + 32 * len(self.ids)

    def digest(self) -> bytes:
        """16 bytes that tell two batches apart."""
        return digest(
            b"upsert",
            ids_bytes(self.ids),
            self.vectors.data,
            *(self.payloads if self.payloads is not None else (b"none",)),
        )


def digest(*parts: Any) -> bytes:
    """16 bytes over the parts and where they end."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        view = memoryview(part)
        state.update(view.nbytes.to_bytes(8, "little"))
        state.update(view)
    return state.digest()


def ids_bytes(ids: Ids) -> bytes:
    """What tells two lists of ids apart."""
    if not isinstance(ids, list):
        return b"ints" + ids.tobytes()
    texts = [text.encode() for text in ids]
    lengths = np.array([len(text) for text in texts], "<u4")
    return b"".join([b"strings", lengths.tobytes(), *texts])


def make_batch(
    schema: CollectionSchema,
    ids: object,
    vectors: ArrayLike,
    payloads: Sequence[Payload] | None,
) -> Batch:
    """Check the columns of one batch; the error names the first offending position."""
    checked_ids = check_ids(ids, limits.BATCH_RECORDS)
    check_unique(checked_ids)
    matrix = check_vectors(schema, vectors, len(checked_ids))
    texts = encode_payloads(payloads, len(checked_ids), schema.fields)
    batch = Batch(ids=checked_ids.copy(), vectors=matrix, payloads=texts)
    if batch.size_bytes > limits.MESSAGE_BYTES:
        raise LimitExceeded(
            f"the batch has {batch.size_bytes} bytes; one call takes at most "
            f"{limits.MESSAGE_BYTES}",
            field="vectors",
            limit=limits.MESSAGE_BYTES,
            actual=batch.size_bytes,
            hint="upsert is one atomic batch and is never split: use upload, or less at a time",
        )
    return batch


def check_ids(ids: object, most: int, field: str = "ids") -> Ids:
    """int64 array or list of str; all integers or all strings, 1 to ``most`` of them."""
    checked = columns.check_ids(ids, most, field)
    if isinstance(checked, list):
        for row, text in enumerate(checked):
            size = len(text.encode())
            if not 1 <= size <= limits.ID_BYTES:
                raise InvalidArgument(
                    f"{field}[{row}] has {size} bytes of UTF-8, expected 1 to {limits.ID_BYTES}",
                    field=f"{field}[{row}]",
                    reason="BAD_ID",
                    limit=limits.ID_BYTES,
                    actual=size,
                )
    return checked


def check_unique(ids: Ids) -> None:
    distinct = len(set(ids)) if isinstance(ids, list) else len(np.unique(ids))
    if distinct == len(ids):
        return
    seen: dict[Any, int] = {}
    for row, value in enumerate(ids if isinstance(ids, list) else ids.tolist()):
        if value in seen:
            raise InvalidArgument(
                f"ids[{row}] is the same as ids[{seen[value]}]: a batch names each record once",
                field=f"ids[{row}]",
                reason="DUPLICATE_ID",
            )
        seen[value] = row
