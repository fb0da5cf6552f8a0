"""Rows packed into chunks by their bytes; the same rows always make the same chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..errors import InvalidArgument, LimitExceeded, VecDBError
from . import columns
from .columns import INT64, Ids
from .sources import Piece, Source

CHUNK_RECORDS: Final = 10_000
RECORD_BYTES: Final = 16
"""What a record costs in a message besides its columns, at most."""

Refuse = Callable[[int | str, VecDBError], None]
"""Called with the id of a record that cannot be written, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Some rows of an upload, ready to be written.

    - ``rows``: int64[n], their numbers within the upload
    - ``payloads``: a JSON text a record; b"": none
    """

    rows: NDArray[np.int64]
    ids: Ids
    vectors: NDArray[Any]
    payloads: list[bytes]

    def __len__(self) -> int:
        return len(self.rows)

    def id_at(self, index: int) -> int | str:
        return self.ids[index] if isinstance(self.ids, list) else int(self.ids[index])

    def take(self, keep: NDArray[np.int64]) -> Columns:
        """The rows of these indices, copied."""
        return Columns(
            rows=self.rows[keep],
            ids=[self.ids[index] for index in keep]
            if isinstance(self.ids, list)
            else self.ids[keep],
            vectors=self.vectors[keep],
            payloads=[self.payloads[index] for index in keep],
        )

    def cut(self, start: int, stop: int) -> Columns:
        """Rows start..stop-1, as views."""
        rows = slice(start, stop)
        return Columns(
            rows=self.rows[rows],
            ids=self.ids[rows],
            vectors=self.vectors[rows],
            payloads=self.payloads[rows],
        )

    def sizes(self) -> NDArray[np.int64]:
        """Bytes of each record in a message, about."""
        row_bytes = self.vectors.shape[1] * self.vectors.itemsize + RECORD_BYTES
        sizes: NDArray[np.int64] = np.fromiter(map(len, self.payloads), np.int64, len(self))
        sizes += row_bytes
        if isinstance(self.ids, list):
            sizes += np.fromiter((4 * len(text) for text in self.ids), np.int64, len(self))
        return sizes

    def fits(self, other: Columns) -> bool:
        """Both can be one batch: same dimension, dtype and kind of ids."""
        return (
            self.vectors.shape[1] == other.vectors.shape[1]
            and self.vectors.dtype == other.vectors.dtype
            and isinstance(self.ids, list) == isinstance(other.ids, list)
        )


def pack(source: Source, refuse: Refuse) -> Iterator[Columns]:
    """Chunks of about ``limits.UPLOAD_CHUNK_BYTES``, at most 10,000 records each.

    A record whose payload is no JSON goes to ``refuse`` instead.
    """
    waiting: list[Columns] = []
    room_bytes, room_records = limits.UPLOAD_CHUNK_BYTES, CHUNK_RECORDS
    for piece in source:
        encoded = _encode(piece, refuse)
        ends = np.cumsum(encoded.sizes())
        start = 0
        while start < len(encoded):
            begun = int(ends[start - 1]) if start else 0
            stop = int(np.searchsorted(ends, begun + room_bytes, side="right"))
            stop = min(stop, start + room_records)
            if waiting and (stop <= start or not waiting[0].fits(encoded)):
                yield _join(waiting)
                waiting = []
                room_bytes, room_records = limits.UPLOAD_CHUNK_BYTES, CHUNK_RECORDS
                continue
            stop = max(stop, start + 1)  # a record above the target is a chunk of its own
            waiting.append(encoded.cut(start, stop))
            room_bytes -= int(ends[stop - 1]) - begun
            room_records -= stop - start
            start = stop
    if waiting:
        yield _join(waiting)


def _encode(piece: Piece, refuse: Refuse) -> Columns:
    count = len(piece.vectors)
    rows = np.arange(piece.row, piece.row + count, dtype=INT64)
    if piece.payloads is None:
        return Columns(rows=rows, ids=piece.ids, vectors=piece.vectors, payloads=[b""] * count)
    texts: list[bytes] = []
    refused: dict[int, VecDBError] = {}
    for index, payload in enumerate(piece.payloads):
        try:
            texts.append(columns.encode_payload(payload, f"payloads[{piece.row + index}]"))
        except (InvalidArgument, LimitExceeded) as error:
            texts.append(b"")
            refused[index] = error
    encoded = Columns(rows=rows, ids=piece.ids, vectors=piece.vectors, payloads=texts)
    if not refused:
        return encoded
    for index, reason in refused.items():
        refuse(encoded.id_at(index), reason)
    return encoded.take(np.setdiff1d(np.arange(count), list(refused)))


def _join(parts: list[Columns]) -> Columns:
    if len(parts) == 1:
        return parts[0]
    ids: Any = [part.ids for part in parts]
    return Columns(
        rows=np.concatenate([part.rows for part in parts]),
        ids=[text for some in ids for text in some]
        if isinstance(ids[0], list)
        else np.concatenate(ids),
        vectors=np.concatenate([part.vectors for part in parts]),
        payloads=[text for part in parts for text in part.payloads],
    )
