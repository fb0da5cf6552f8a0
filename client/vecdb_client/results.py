# Generated from vecdb/results.py by client/generate.py; do not edit.
"""What calls return: columns first, rows as a lazy view.

Scores: higher is better, for every metric; distances: smaller is nearer. Payloads arrive as JSON
bytes and are parsed when first asked for. The client carries a generated copy of this file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CollectionInfo",
    "Match",
    "Matches",
    "Record",
    "Records",
    "UploadFailure",
    "UploadReport",
    "WriteResult",
]

Id = int | str
Ids = NDArray[np.int64] | list[str]
Payload = dict[str, Any]


def _parse(payloads: Sequence[bytes] | None) -> list[Payload | None] | None:
    if payloads is None:
        return None
    return [json.loads(text) if text else None for text in payloads]


def _id_at(ids: Ids, row: int) -> Id:
    return ids[row] if isinstance(ids, list) else int(ids[row])


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One row of ``Matches``."""

    id: Id
    score: float
    distance: float
    payload: Payload | None = None
    vector: NDArray[Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Matches:
    """The answer to one query, best first; ties by id, ascending.

    - ``ids``: int64[n] or list of str
    - ``scores``, ``distances``: float32[n]
    - ``payload_bytes``: JSON of each match, b"" for none; None where payloads were not asked for
    - ``vectors``: [n, dim] in the collection's dtype, or None where not asked for
    """

    ids: Ids
    scores: NDArray[np.float32]
    distances: NDArray[np.float32]
    payload_bytes: Sequence[bytes] | None = None
    vectors: NDArray[Any] | None = None

    @cached_property
    def payloads(self) -> list[Payload | None] | None:
        """A dict a match (None: the record has none); None where payloads were not asked for."""
        return _parse(self.payload_bytes)

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, row: int) -> Match:
        row = range(len(self))[row]
        return Match(
            id=_id_at(self.ids, row),
            score=float(self.scores[row]),
            distance=float(self.distances[row]),
            payload=self.payloads[row] if self.payloads is not None else None,
            vector=self.vectors[row] if self.vectors is not None else None,
        )

    def __iter__(self) -> Iterator[Match]:
        return (self[row] for row in range(len(self)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One row of ``Records``. ``sequence`` is that of the record's last write."""

    id: Id
    sequence: int
    payload: Payload | None = None
    vector: NDArray[Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Records:
    """Stored records: the answer of ``get`` (in the order asked) and ``scroll`` (in id order).

    - ``missing``: ids asked for that are not stored (``get`` only)
    - ``next``: pass it as ``after`` for the next page; None at the end (``scroll`` only)
    """

    ids: Ids
    sequences: NDArray[np.int64]
    payload_bytes: Sequence[bytes] | None = None
    vectors: NDArray[Any] | None = None
    missing: Ids = field(default_factory=list)
    next: Id | None = None

    @cached_property
    def payloads(self) -> list[Payload | None] | None:
        """A dict a record (None: it has none); None where payloads were not asked for."""
        return _parse(self.payload_bytes)

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, row: int) -> Record:
        row = range(len(self))[row]
        return Record(
            id=_id_at(self.ids, row),
            sequence=int(self.sequences[row]),
            payload=self.payloads[row] if self.payloads is not None else None,
            vector=self.vectors[row] if self.vectors is not None else None,
        )

    def __iter__(self) -> Iterator[Record]:
        return (self[row] for row in range(len(self)))


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteResult:
    """A write that was accepted.

    - ``count``: records written or deleted (0 with ``wait=False``: not known yet)
    - ``sequence``: the commit that holds it; 0 with ``wait=False``
    - ``replayed``: the idempotency key was known, this is the first call's answer
    """

    count: int
    sequence: int
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadFailure:
    """A record that an upload could not store, and why (``code``: the error's class)."""

    id: Id
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadReport:
    """What an upload did. ``chunks`` of it are acknowledged: ``resume=upload_id`` skips them."""

    ok: int
    failed: tuple[UploadFailure, ...]
    bytes: int
    seconds: float
    retries: int
    upload_id: str
    chunks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionInfo:
    """A collection as ``describe`` and ``collections`` tell it.

    ``id_kind`` is "int" or "str", or None before the first record.
    """

    name: str
    dim: int
    metric: str
    dtype: str
    fields: dict[str, str]
    id_kind: str | None
    count: int
    sequence: int
    aliases: tuple[str, ...] = ()
