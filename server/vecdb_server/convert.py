"""Messages to the engine's arguments, and its results to messages. Messages stop here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

import numpy as np

from vecdb import limits
from vecdb.errors import InvalidArgument
from vecdb.results import (
    CollectionInfo,
    Explanation,
    Facets,
    Groups,
    Ids,
    Matches,
    Records,
    SealResult,
    WriteResult,
)
from vecdb_client import codec
from vecdb_client.wire import vecdb_pb2 as pb

from .answers import check_payloads
from .filters import filter_from_wire

_FIGURES: Final = {one.name for one in fields(Explanation)} - {"matches", "mode", "io_engine"}
"""Of an explanation: what has the same name and value on the wire."""

# ----------------------------------------------------------------------------- to the engine


def schema_from_wire(message: pb.CollectionSchema) -> dict[str, Any]:
    """Keyword arguments of ``create_collection``; what the message leaves out has its default."""
    given = {"code_bits": message.code_bits, "page_bytes": message.page_bytes}
    given = {name: value for name, value in given.items() if value}
    if message.HasField("memory_budget"):
        given["memory_budget"] = message.memory_budget
    return {
        **given,
        "dim": message.dim,
        "metric": codec.METRIC.from_wire(message.metric),
        "dtype": codec.DTYPE.from_wire(message.dtype),
        "fields": {
            name: codec.FIELD_TYPE.from_wire(kind, f"fields[{name!r}]")
            for name, kind in message.fields.items()
        },
    }


def ids_from_wire(message: Any, field: str = "ids") -> Ids | None:
    """The ids that ``message`` has in ``field``; None where it has none."""
    return codec.ids_from_wire(getattr(message, field), field) if message.HasField(field) else None


def id_from_wire(message: Any, field: str) -> int | str | None:
    """The one id that ``message`` has in ``field``; None where it has none."""
    ids = ids_from_wire(message, field)
    if ids is None:
        return None
    if len(ids) != 1:
        raise InvalidArgument(f"{field} must be one id; got {len(ids)}", field=field)
    return ids[0] if isinstance(ids, list) else int(ids[0])


def optional_filter(message: Any) -> dict[str, Any] | None:
    """The filter of a request in the dict form; None where it has none."""
    return filter_from_wire(message.filter) if message.HasField("filter") else None


def order_from_wire(message: pb.ScrollRequest) -> dict[str, Any] | None:
    """``order_by`` of a ``scroll``; None: by id."""
    if not message.HasField("order_by"):
        return None
    return {"field": message.order_by.field, "descending": message.order_by.descending}


def payloads_from_wire(payloads: Sequence[bytes]) -> list[bytes | None] | None:
    """One JSON text a record, unparsed (None: it has none); None where no record has one."""
    return [text or None for text in payloads] if payloads else None


def budget_from_wire(message: pb.SetMemoryBudgetRequest) -> int | None:
    """Bytes; None: no bound."""
    return message.memory_budget if message.HasField("memory_budget") else None


def search_from_wire(message: pb.SearchRequest) -> dict[str, Any]:
    """Keyword arguments of ``search``; what the message leaves out has the engine's default."""
    diverse = {"diversity": message.diversity} if message.HasField("diversity") else {}
    paged = {"offset": message.offset} if message.offset else {}
    return {**groups_from_wire(message), **paged, **diverse}


def groups_from_wire(message: pb.SearchRequest | pb.SearchGroupsRequest) -> dict[str, Any]:
    """What ``search`` and ``search_groups`` both take; the rest as there."""
    asked = ("with_relevance", "with_surprise")
    return {
        **explain_from_wire(message),
        "with_payload": not message.without_payload,
        "with_vector": message.with_vector,
        **{name: True for name in asked if getattr(message, name)},
    }


def explain_from_wire(
    message: pb.SearchRequest | pb.SearchGroupsRequest | pb.ExplainRequest,
) -> dict[str, Any]:
    """Keyword arguments of ``explain``, which ``search`` has too; the rest as there."""
    options: dict[str, Any] = {
        "tenant": tenant_from_wire(message),
        "filter": optional_filter(message),
        "mode": codec.MODE.from_wire(message.mode),
        "min_score": message.min_score if message.HasField("min_score") else None,
    }
    if message.HasField("effort"):
        options["effort"] = message.effort
    if message.effort_bound:
        if "effort" in options:
            raise InvalidArgument("effort and effort_bound are both given", field="effort")
        options["effort"] = "bound"
    if message.estimator:
        options["estimator"] = codec.ESTIMATOR.from_wire(message.estimator)
    return options


def tenant_from_wire(message: Any) -> str | None:
    """As whom a request is made; None: as one who sees all."""
    return message.tenant if message.HasField("tenant") else None


def condition_from_wire(message: pb.UpsertRequest) -> dict[str, Any] | None:
    if not message.HasField("condition"):
        return None
    condition = message.condition
    kind = condition.WhichOneof("kind")
    if kind is None:
        raise InvalidArgument(
            "condition must be one of if_absent, if_present, if_sequence, filter; got none",
            field="condition",
        )
    if kind == "filter":
        return {"filter": filter_from_wire(condition.filter, "condition.filter")}
    return {kind: getattr(condition, kind)}


def sharing_from_wire(message: pb.UpsertRequest) -> list[str] | list[tuple[str, ...]] | None:
    """``tenants`` of an ``upsert``; None where the message leaves them out.

    A list for each record is a tuple, and the same one where several records have the same.
    """
    if not message.HasField("sharing"):
        return None
    lists = [tuple(names.values) for names in message.sharing.lists]
    places = message.sharing.places
    if not places:
        if len(lists) != 1:
            raise InvalidArgument(
                f"sharing has no places, so that it must have one list; it has {len(lists)}",
                field="sharing.lists",
            )
        return list(lists[0])
    if max(places) >= len(lists):
        at = next(at for at, place in enumerate(places) if place >= len(lists))
        raise InvalidArgument(
            f"sharing.places[{at}] is {places[at]}, and there are {len(lists)} lists",
            field=f"sharing.places[{at}]",
            limit=len(lists) - 1,
            actual=places[at],
        )
    return [lists[place] for place in places]


def columns_from_wire(message: pb.UpsertRequest) -> dict[str, Any]:
    """Ids, vectors, payloads and who is to see them as keyword arguments of ``upsert``."""
    return {
        "tenant": tenant_from_wire(message),
        "tenants": sharing_from_wire(message),
        "ids": ids_from_wire(message),
        "vectors": codec.vectors_from_wire(message.vectors),
        "payloads": payloads_from_wire(message.payloads),
    }


# --------------------------------------------------------------------------- from the engine


def info_to_wire(info: CollectionInfo) -> pb.CollectionInfo:
    return pb.CollectionInfo(
        name=info.name,
        schema=pb.CollectionSchema(
            dim=info.dim,
            metric=codec.METRIC.to_wire(info.metric),
            dtype=codec.DTYPE.to_wire(info.dtype),
            fields={name: codec.FIELD_TYPE.to_wire(kind) for name, kind in info.fields.items()},
            code_bits=info.code_bits,
            page_bytes=info.page_bytes or 0,
            memory_budget=info.memory_budget,
        ),
        id_kind=codec.ID_KIND.to_wire(info.id_kind) if info.id_kind else pb.ID_KIND_UNSPECIFIED,
        count=info.count,
        sequence=info.sequence,
        aliases=info.aliases,
        segments=info.segments,
        tail=info.tail,
        sealing=info.sealing,
        level=info.level,
        level_reason=info.level_reason,
    )


def write_to_wire(result: WriteResult) -> pb.WriteResponse:
    return pb.WriteResponse(count=result.count, sequence=result.sequence, replayed=result.replayed)


def seal_to_wire(result: SealResult) -> pb.SealResponse:
    return pb.SealResponse(records=result.records, segments=result.segments)


def matches_to_wire(answers: Sequence[Matches]) -> pb.Matches:
    """The answers of one or many queries, their columns one after the other."""
    message = pb.Matches(
        counts=[len(answer) for answer in answers],
        ids=ids_to_wire([answer.ids for answer in answers]),
        scores=b"".join(codec.floats_to_bytes(answer.scores) for answer in answers),
        distances=b"".join(codec.floats_to_bytes(answer.distances) for answer in answers),
    )
    check_payloads(text for answer in answers for text in answer.payload_bytes or ())
    for answer in answers:
        message.payloads.extend(answer.payload_bytes or ())
    vectors = [answer.vectors for answer in answers if answer.vectors is not None]
    if vectors:
        message.vectors.CopyFrom(codec.vectors_to_wire(np.concatenate(vectors)))
    relevance = [answer.relevance for answer in answers if answer.relevance is not None]
    if relevance:
        message.relevance = b"".join(map(codec.doubles_to_bytes, relevance))
    surprise = [answer.surprise_bits for answer in answers if answer.surprise_bits is not None]
    if surprise:
        message.surprise_bits = b"".join(map(codec.doubles_to_bytes, surprise))
    return message


def explanation_to_wire(explanation: Explanation) -> pb.Explanation:
    return pb.Explanation(
        matches=matches_to_wire([explanation.matches]),
        mode=codec.MODE.to_wire(explanation.mode),
        io_engine=explanation.io_engine or "",
        **{name: getattr(explanation, name) for name in _FIGURES},
    )


def groups_to_wire(groups: Groups) -> pb.SearchGroupsResponse:
    return pb.SearchGroupsResponse(
        values=map(codec.value_to_wire, groups.values), matches=matches_to_wire(groups.matches)
    )


def facets_to_wire(facets: Facets) -> pb.FacetsResponse:
    return pb.FacetsResponse(
        values=map(codec.value_to_wire, facets.values),
        counts=facets.counts.tolist(),
        others=facets.others,
    )


def records_to_wire(records: Records) -> pb.RecordColumns:
    message = pb.RecordColumns(
        ids=codec.ids_to_wire(records.ids), sequences=codec.ints_to_bytes(records.sequences)
    )
    if records.payload_bytes is not None:
        check_payloads(records.payload_bytes)
        message.payloads.extend(records.payload_bytes)
    if records.vectors is not None:
        message.vectors.CopyFrom(codec.vectors_to_wire(records.vectors))
    return message


def ids_to_wire(columns: Sequence[Ids]) -> pb.Ids:
    """Columns of one kind of ids, one after the other."""
    texts = [id for ids in columns if isinstance(ids, list) for id in ids]
    if texts or (columns and isinstance(columns[0], list)):
        return codec.ids_to_wire(texts)
    return pb.Ids(ints=b"".join(codec.ints_to_bytes(np.asarray(ids)) for ids in columns))


def id_to_wire(id: int | str) -> pb.Ids:
    """One id."""
    return codec.ids_to_wire([id] if isinstance(id, str) else [int(id)])


def limits_to_wire() -> dict[str, int]:
    """The bounds of ``vecdb.limits`` that are whole numbers, by their name in small letters."""
    return {
        name.lower(): value
        for name, value in vars(limits).items()
        if name.isupper() and isinstance(value, int)
    }
