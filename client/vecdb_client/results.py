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
    "LABELS",
    "CollectionInfo",
    "Explanation",
    "Facet",
    "Facets",
    "Group",
    "Groups",
    "Match",
    "Matches",
    "Record",
    "RecordAccess",
    "Records",
    "SealResult",
    "TenantInfo",
    "UploadFailure",
    "UploadReport",
    "WriteResult",
    "label_of",
]

Id = int | str
Ids = NDArray[np.int64] | list[str]
Payload = dict[str, Any]
Value = str | int | float | bool
"""Of a declared field; a datetime is ISO 8601 text in UTC."""

LABELS = (
    (0.894, "Close Match"),
    (0.632, "Very High Relevance"),
    (0.447, "High Relevance"),
    (0.316, "Good Relevance"),
    (0.224, "Low Relevance"),
    (0.1, "Very Low Relevance"),
    (0.0, "Irrelevant"),
)
"""The least relevance that a label stands for, best first."""


def label_of(relevance: float) -> str:
    """The label of a relevance from 0 to 1."""
    return next(label for least, label in LABELS if relevance >= least)


def _parse(payloads: Sequence[bytes] | None) -> list[Payload | None] | None:
    if payloads is None:
        return None
    return [json.loads(text) if text else None for text in payloads]


def _id_at(ids: Ids, row: int) -> Id:
    return ids[row] if isinstance(ids, list) else int(ids[row])


def _float_at(column: NDArray[np.float64] | None, row: int) -> float | None:
    return None if column is None else float(column[row])


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One row of ``Matches``."""

    id: Id
    score: float
    distance: float
    payload: Payload | None = None
    vector: NDArray[Any] | None = None
    relevance: float | None = None
    surprise_bits: float | None = None

    @property
    def label(self) -> str | None:
        """What the relevance is called; None where it was not asked for."""
        return None if self.relevance is None else label_of(self.relevance)


@dataclass(frozen=True, kw_only=True)
class Matches:
    """The answer to one query, best first; ties by id, ascending.

    - ``ids``: int64[n] or list of str
    - ``scores``, ``distances``: float32[n]
    - ``payload_bytes``: JSON of each match, b"" for none; None where payloads were not asked for
    - ``vectors``: [n, dim] in the collection's dtype, or None where not asked for
    - ``relevance``: float64[n] from 0 to 1, a fixed function of the cosine with labels; None where
      not asked for
    - ``surprise_bits``: float64[n]: how rare a score as good is among pairs of the collection's own
      records, 1 in 2^bits; None where not asked for, or where the collection has no such sample
      (under 1,000 records, or none sealed)
    """

    ids: Ids
    scores: NDArray[np.float32]
    distances: NDArray[np.float32]
    payload_bytes: Sequence[bytes] | None = None
    vectors: NDArray[Any] | None = None
    relevance: NDArray[np.float64] | None = None
    surprise_bits: NDArray[np.float64] | None = None

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
            relevance=_float_at(self.relevance, row),
            surprise_bits=_float_at(self.surprise_bits, row),
        )

    def __iter__(self) -> Iterator[Match]:
        return (self[row] for row in range(len(self)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One row of ``Groups``: a value, and the best matches that have it."""

    value: Value
    matches: Matches


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """The best matches of each value of a field; the group with the best match comes first.

    - ``matches``: of each of ``values``, best first; a record with a list may be in several
    """

    field: str
    values: list[Value]
    matches: list[Matches]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, row: int) -> Group:
        row = range(len(self))[row]
        return Group(value=self.values[row], matches=self.matches[row])

    def __iter__(self) -> Iterator[Group]:
        return (self[row] for row in range(len(self)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """How a search was answered.

    - ``mode``: the path that was taken: exact, scan, tree or graph
    - ``matching``: records that may match
    - ``level``, ``why``: what the memory budget keeps in memory; ``degraded``: pages are laid out
      for more memory, so links or codes are read by mapping until segments are rewritten
    - ``io_engine``: what reads pages: io_uring, threads or mmap; None: nothing was read yet
    - ``pages_read``, ``bytes_read``: from the disk, in ``read_calls`` requests that took
      ``io_rounds`` one after another; ``cache_hits``: pages that were in memory
    - ``nodes_expanded``: slots whose neighbours were looked at; ``nodes_visited``: nodes of trees;
      ``blocks_scanned``, ``codes_scanned``, ``codes_refined``: codes read; ``vectors_scored``:
      compared exactly
    - ``costs``: microseconds that each path was expected to take, by mode; of ``mode="auto"`` the
      least decides
    """

    matches: Matches
    mode: str
    matching: int
    segments: int
    tail: int
    level: str
    why: str
    degraded: bool
    io_engine: str | None
    seconds: float
    pages_read: int = 0
    bytes_read: int = 0
    read_calls: int = 0
    io_rounds: int = 0
    cache_hits: int = 0
    nodes_expanded: int = 0
    blocks_scanned: int = 0
    codes_scanned: int = 0
    codes_refined: int = 0
    vectors_scored: int = 0
    nodes_visited: int = 0
    costs: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One row of ``Records``. ``sequence`` is that of the record's last write."""

    id: Id
    sequence: int
    payload: Payload | None = None
    vector: NDArray[Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Records:
    """Stored records: the answer of ``get`` (in the order asked) and ``scroll`` (in its order).

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
class Facet:
    """One row of ``Facets``: a value, and how many records have it."""

    value: Value
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facets:
    """How many records have each value of a field, most frequent first; ties by value, ascending.

    - ``counts``: int64[n], of each of ``values``
    - ``others``: how many other values there are
    """

    field: str
    values: list[Value]
    counts: NDArray[np.int64]
    others: int = 0

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, row: int) -> Facet:
        row = range(len(self))[row]
        return Facet(value=self.values[row], count=int(self.counts[row]))

    def __iter__(self) -> Iterator[Facet]:
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
class TenantInfo:
    """A tenant of a collection.

    - ``visible``: how many records it sees; ``records``, ``bytes``: of those that it owns, bytes of
      their vectors and payloads
    - ``max_records``, ``max_bytes``: quotas of what it owns; ``rate``: calls a second at a server
      that all its keys may make; None: no bound
    - ``created``: seconds since 1970
    """

    name: str
    visible: int
    records: int
    bytes: int
    created: float
    max_records: int | None = None
    max_bytes: int | None = None
    rate: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAccess:
    """Who has a record: its ``owner`` (None: nobody), and the ``tenants`` that see it, by name."""

    owner: str | None
    tenants: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealResult:
    """What ``seal`` or ``compact`` did.

    - ``records``: how many it sealed, or wrote anew
    - ``segments``: how many the collection has now

    Both are 0 with ``wait=False``: not known yet.
    """

    records: int
    segments: int


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

    - ``id_kind``: "int" or "str", or None before the first record
    - ``code_bits``, ``page_bytes``: as in the schema; ``page_bytes`` is None where it follows from
      ``dim`` and ``dtype``
    - ``memory_budget``: bytes, or None for no bound; ``level``, ``level_reason``: what it keeps in
      memory, and why; "" where a segment cannot be read
    - ``segments``: how many it has; ``tail``: records in none of them yet
    - ``sealing``: what is done to segments now, such as "sealing 40 %"; "" for nothing
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
    code_bits: int = 4
    page_bytes: int | None = None
    memory_budget: int | None = None
    level: str = ""
    level_reason: str = ""
    segments: int = 0
    tail: int = 0
    sealing: str = ""
