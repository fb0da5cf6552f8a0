"""Messages to results: what calls return."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from . import codec
from .codec import Ids
from .results import (
    CollectionInfo,
    Explanation,
    Facets,
    Groups,
    Matches,
    Records,
    SealResult,
    WriteResult,
)
from .wire import vecdb_pb2 as pb

_FIGURES: Final = {one.name for one in fields(Explanation)} - {
    "matches",
    "mode",
    "io_engine",
    "costs",
}
"""Of an explanation: what has the same name and value on the wire."""


def stats(message: pb.StatsResponse) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(message.json)
    return found


def collection_info(message: pb.CollectionInfo) -> CollectionInfo:
    schema = message.schema
    return CollectionInfo(
        name=message.name,
        dim=schema.dim,
        metric=codec.METRIC.from_wire(schema.metric),
        dtype=codec.DTYPE.from_wire(schema.dtype),
        # A map has no order on the wire.
        fields={
            name: codec.FIELD_TYPE.from_wire(kind) for name, kind in sorted(schema.fields.items())
        },
        id_kind=codec.ID_KIND.from_wire(message.id_kind) if message.id_kind else None,
        count=message.count,
        sequence=message.sequence,
        aliases=tuple(message.aliases),
        code_bits=schema.code_bits,
        page_bytes=schema.page_bytes or None,
        memory_budget=schema.memory_budget if schema.HasField("memory_budget") else None,
        level=message.level,
        level_reason=message.level_reason,
        segments=message.segments,
        tail=message.tail,
        sealing=message.sealing,
    )


def collections(message: pb.ListCollectionsResponse) -> list[CollectionInfo]:
    return [collection_info(info) for info in message.collections]


def aliases(message: pb.ListCollectionsResponse) -> dict[str, str]:
    """alias -> collection, by alias."""
    pairs = [(alias, info.name) for info in message.collections for alias in info.aliases]
    return dict(sorted(pairs))


def write_result(message: pb.WriteResponse) -> WriteResult:
    return WriteResult(count=message.count, sequence=message.sequence, replayed=message.replayed)


def seal_result(message: pb.SealResponse) -> SealResult:
    return SealResult(records=message.records, segments=message.segments)


def explanation(message: pb.Explanation) -> Explanation:
    (found,) = _matches(message.matches, with_payload=False, with_vector=False)
    return Explanation(
        matches=found,
        mode=codec.MODE.from_wire(message.mode),
        io_engine=message.io_engine or None,
        costs=dict(sorted(message.costs.items())),  # a map has no order on the wire
        **{name: getattr(message, name) for name in _FIGURES},
    )


def matches(message: pb.SearchResponse, *, with_payload: bool, with_vector: bool) -> list[Matches]:
    """One result a query; its columns are views of the message's."""
    return _matches(message.matches, with_payload=with_payload, with_vector=with_vector)


def _matches(columns: pb.Matches, *, with_payload: bool, with_vector: bool) -> list[Matches]:
    ids = _ids(columns.ids)
    scores = codec.floats_from_bytes(columns.scores, "scores")
    distances = codec.floats_from_bytes(columns.distances, "distances")
    payloads = _payloads(columns.payloads, len(scores), with_payload)
    vectors = codec.vectors_from_wire(columns.vectors) if with_vector else None
    relevance = _doubles(columns, "relevance")
    surprise_bits = _doubles(columns, "surprise_bits")
    found = []
    start = 0
    for count in columns.counts:
        rows = slice(start, start + count)
        start += count
        found.append(
            Matches(
                ids=ids[rows],
                scores=scores[rows],
                distances=distances[rows],
                payload_bytes=None if payloads is None else payloads[rows],
                vectors=None if vectors is None else vectors[rows],
                relevance=None if relevance is None else relevance[rows],
                surprise_bits=None if surprise_bits is None else surprise_bits[rows],
            )
        )
    return found


def _doubles(columns: pb.Matches, field: str) -> NDArray[np.float64] | None:
    """A column that the server may have left out."""
    if not columns.HasField(field):
        return None
    return codec.doubles_from_bytes(getattr(columns, field), field)


def groups(
    message: pb.SearchGroupsResponse, field: str, *, with_payload: bool, with_vector: bool
) -> Groups:
    return Groups(
        field=field,
        values=[codec.value_from_wire(value) for value in message.values],
        matches=_matches(message.matches, with_payload=with_payload, with_vector=with_vector),
    )


def facets(message: pb.FacetsResponse, field: str) -> Facets:
    return Facets(
        field=field,
        values=[codec.value_from_wire(value) for value in message.values],
        counts=np.array(message.counts, codec.INT64),
        others=message.others,
    )


def got(message: pb.GetResponse, *, with_payload: bool, with_vector: bool) -> Records:
    missing = _ids(message.missing) if message.HasField("missing") else []
    return _records(message.records, with_payload, with_vector, missing=missing)


def scrolled(message: pb.ScrollResponse, *, with_payload: bool, with_vector: bool) -> Records:
    found = _ids(message.next) if message.HasField("next") else []
    following = (found[0] if isinstance(found, list) else int(found[0])) if len(found) else None
    return _records(message.records, with_payload, with_vector, next=following)


def _records(
    columns: pb.RecordColumns,
    with_payload: bool,
    with_vector: bool,
    *,
    missing: Ids | None = None,
    next: int | str | None = None,
) -> Records:
    sequences: NDArray[np.int64] = codec.ints_from_bytes(columns.sequences, "sequences")
    return Records(
        ids=_ids(columns.ids),
        sequences=sequences,
        payload_bytes=_payloads(columns.payloads, len(sequences), with_payload),
        vectors=codec.vectors_from_wire(columns.vectors) if with_vector else None,
        missing=[] if missing is None else missing,
        next=next,
    )


def _ids(message: pb.Ids) -> Ids:
    """Of an answer without records the server may leave the kind out."""
    if message.WhichOneof("kind") is None:
        return np.empty(0, codec.INT64)
    return codec.ids_from_wire(message)


def _payloads(column: Sequence[bytes], count: int, wanted: bool) -> list[bytes] | None:
    """A text a record; the server may leave the column out where no record has a payload."""
    if not wanted:
        return None
    return list(column) if len(column) else [b""] * count
