"""Sealing, compaction, stats and scores, as any client of the wire asks for them."""

from __future__ import annotations

import json

import grpc
import numpy as np
import pytest

from vecdb_client import codec
from vecdb_client.wire import vecdb_pb2 as pb


def query(*rows: list[float]) -> pb.Vectors:
    return codec.vectors_to_wire(np.array(rows, np.float32))


def describe(running, name: str = "docs") -> pb.CollectionInfo:
    return running.CollectionsDescribe(pb.DescribeCollectionRequest(name=name))


def test_codes_and_pages_of_a_collection_are_described(running):
    schema = pb.CollectionSchema(dim=3, code_bits=8, page_bytes=4096)
    running.CollectionsCreate(pb.CreateCollectionRequest(name="small", schema=schema))
    found = describe(running, "small").schema
    assert (found.code_bits, found.page_bytes) == (8, 4096)
    assert (describe(running).schema.code_bits, describe(running).schema.page_bytes) == (4, 0)


@pytest.mark.parametrize(
    ("schema", "field"),
    [({"dim": 3, "code_bits": 3}, "code_bits"), ({"dim": 3, "page_bytes": 100}, "page_bytes")],
)
def test_codes_and_pages_of_another_size_are_refused(running, refused, schema, field):
    request = pb.CreateCollectionRequest(name="x", schema=pb.CollectionSchema(**schema))
    failure = refused(lambda: running.CollectionsCreate(request))
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert failure.detail.field == field


def test_seal_and_compact_tell_what_they_did(running, batch):
    running.Upsert(batch(*range(50)))
    info = describe(running)
    assert (info.count, info.segments, info.tail, info.sealing) == (50, 0, 50, "")
    sealed = running.CollectionsSeal(pb.SealRequest(name="docs"))
    assert sealed == pb.SealResponse(records=50, segments=1)
    running.Delete(pb.DeleteRequest(collection="docs", ids=codec.ids_to_wire([3, 4])))
    compacted = running.CollectionsCompact(pb.CompactRequest(name="docs"))
    assert compacted == pb.SealResponse(records=48, segments=1)
    info = describe(running)
    assert (info.count, info.segments, info.tail, info.sealing) == (48, 1, 0, "")


def test_seal_without_wait_is_answered_at_once(running, batch):
    running.Upsert(batch(*range(50)))
    running.CollectionsSeal(pb.SealRequest(name="docs", no_wait=True))
    running.CollectionsCompact(pb.CompactRequest(name="docs", no_wait=True))
    running.CollectionsSeal(pb.SealRequest(name="docs"))
    assert describe(running).tail == 0


def test_stats_of_one_collection(running, batch):
    running.Upsert(batch(*range(5)))
    running.CollectionsAlias(pb.AliasRequest(alias="now", collection="docs"))
    for name in ("docs", "now"):
        stats = json.loads(running.CollectionsStats(pb.CollectionStatsRequest(name=name)).json)
        assert stats["count"] == 5
    whole = json.loads(running.DatabaseStats(pb.StatsRequest()).json)
    assert whole["collections"]["docs"] == stats


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("CollectionsSeal", pb.SealRequest),
        ("CollectionsCompact", pb.CompactRequest),
        ("CollectionsStats", pb.CollectionStatsRequest),
    ],
)
def test_unknown_collection_is_not_found(running, refused, method, kind):
    failure = refused(lambda: getattr(running, method)(kind(name="none")))
    assert failure.code == grpc.StatusCode.NOT_FOUND
    assert failure.detail.reason == "NO_COLLECTION"


def test_scan_finds_what_is_near(running, batch):
    running.Upsert(batch(*range(50)))
    running.CollectionsSeal(pb.SealRequest(name="docs"))
    request = pb.SearchRequest(
        collection="docs", queries=query([7, 0, 0, 0]), k=50, mode=pb.SCAN, effort_bound=True
    )
    found = running.Search(request).matches
    assert codec.ids_from_wire(found.ids).tolist()[:3] == [7, 6, 8]
    assert (found.HasField("relevance"), found.HasField("surprise_bits")) == (False, False)


def test_relevance_is_sent_if_asked_for(running, batch):
    schema = pb.CollectionSchema(dim=4)
    running.CollectionsCreate(pb.CreateCollectionRequest(name="angles", schema=schema))
    running.Upsert(batch(1, 2, collection="angles", payloads=[]))
    request = pb.SearchRequest(
        collection="angles",
        queries=query([1, 0, 0, 0], [1, 1, 0, 0]),
        k=1,
        with_relevance=True,
        with_surprise=True,
    )
    found = running.Search(request).matches
    relevance = codec.doubles_from_bytes(found.relevance, "relevance")
    assert relevance.tolist() == [1.0, 0.434421]
    assert not found.HasField("surprise_bits")  # too few records to compare with


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"mode": pb.SCAN, "effort": 0.0}, "effort"),
        ({"mode": pb.SCAN, "effort": 65.0}, "effort"),
        ({"mode": pb.SCAN, "effort": 1.0, "effort_bound": True}, "effort"),
        ({"mode": pb.EXACT, "effort": 1.0}, "effort"),
        ({"mode": pb.SCAN, "estimator": 77}, "estimator"),
        ({"with_relevance": True}, "with_relevance"),  # "docs" is l2
    ],
)
def test_search_that_makes_no_sense_is_refused(running, refused, fields, field):
    values = {"collection": "docs", "queries": query([1, 2, 3, 4]), "k": 3}
    failure = refused(lambda: running.Search(pb.SearchRequest(**(values | fields))))
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert failure.detail.field == field
