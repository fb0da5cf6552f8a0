"""Memory budgets and explanations, as any client of the wire asks for them."""

from __future__ import annotations

import json

import grpc
import numpy as np
import pytest

from vecdb_client import codec
from vecdb_client.wire import vecdb_pb2 as pb

MIB = 1024 * 1024


def query(*rows: list[float]) -> pb.Vectors:
    return codec.vectors_to_wire(np.array(rows, np.float32))


def test_budget_is_described_set_and_lifted(running):
    schema = pb.CollectionSchema(dim=3, memory_budget=5 * MIB)
    made = running.CollectionsCreate(pb.CreateCollectionRequest(name="small", schema=schema))
    assert made.schema.memory_budget == 5 * MIB
    request = pb.SetMemoryBudgetRequest(name="small", memory_budget=MIB)
    assert running.CollectionsSetMemoryBudget(request).schema.memory_budget == MIB
    lifted = running.CollectionsSetMemoryBudget(pb.SetMemoryBudgetRequest(name="small"))
    assert not lifted.schema.HasField("memory_budget")
    assert running.CollectionsDescribe(pb.DescribeCollectionRequest(name="small")) == lifted


@pytest.mark.parametrize("budget", [0, MIB - 1, 2**63, 2**64 - 1])
def test_budget_out_of_range_is_refused(running, refused, budget):
    schema = pb.CollectionSchema(dim=3, memory_budget=budget)
    for call in (
        lambda: running.CollectionsCreate(pb.CreateCollectionRequest(name="x", schema=schema)),
        lambda: running.CollectionsSetMemoryBudget(
            pb.SetMemoryBudgetRequest(name="docs", memory_budget=budget)
        ),
    ):
        failure = refused(call)
        assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
        assert (failure.detail.field, failure.detail.limit) == ("memory_budget", MIB)


def test_budget_of_an_unknown_collection_is_not_found(running, refused):
    request = pb.SetMemoryBudgetRequest(name="none", memory_budget=MIB)
    failure = refused(lambda: running.CollectionsSetMemoryBudget(request))
    assert (failure.code, failure.detail.reason) == (grpc.StatusCode.NOT_FOUND, "NO_COLLECTION")


def test_search_is_explained(running, batch):
    running.Upsert(batch(*range(50)))
    running.CollectionsSeal(pb.SealRequest(name="docs"))
    running.Upsert(batch(90, 91))
    request = pb.ExplainRequest(collection="docs", query=query([7, 0, 0, 0]), k=3)
    found = running.Explain(request)
    assert codec.ids_from_wire(found.matches.ids).tolist() == [7, 6, 8]
    assert not found.matches.payloads
    assert (found.mode, found.matching, found.segments, found.tail) == (pb.EXACT, 52, 1, 2)
    assert (found.level, found.io_engine, found.pages_read) == ("all", "", 0)
    assert found.seconds > 0


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"query": query([1, 2, 3, 4], [1, 2, 3, 4])}, "query"),
        ({"query": pb.Vectors()}, "query"),
        ({"query": query([1, 2, 3])}, "vector"),
        ({"k": 0}, "k"),
        ({"mode": pb.GRAPH, "effort_bound": True}, "effort"),
        ({"mode": pb.GRAPH, "estimator": pb.HAMMING}, "estimator"),
        ({"mode": 77}, "mode"),
    ],
)
def test_explanation_that_makes_no_sense_is_refused(running, refused, fields, field):
    values = {"collection": "docs", "query": query([1, 2, 3, 4]), "k": 3}
    failure = refused(lambda: running.Explain(pb.ExplainRequest(**(values | fields))))
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert failure.detail.field == field


def test_totals_of_all_searches_are_among_the_counters_of_the_server(running, batch):
    running.Upsert(batch(*range(50)))
    running.CollectionsSeal(pb.SealRequest(name="docs"))
    schema = pb.CollectionSchema(dim=4, metric=pb.L2)
    running.CollectionsCreate(pb.CreateCollectionRequest(name="more", schema=schema))
    running.Upsert(batch(1, 2, 3, collection="more", payloads=[]))
    vectors = query([7, 0, 0, 0], [1, 0, 0, 0])
    for name, times in (("docs", 2), ("more", 1)):
        for _ in range(times):
            running.Search(pb.SearchRequest(collection=name, queries=vectors, k=3, mode=pb.EXACT))
    stats = json.loads(running.DatabaseStats(pb.StatsRequest()).json)
    parts = [stats["collections"][name]["searches"]["vectors_scored"] for name in ("docs", "more")]
    assert parts == [2 * 2 * 50, 2 * 3]
    assert stats["server"]["searches"]["vectors_scored"] == sum(parts)
    assert stats["server"]["searches"]["pages_read"] == 0


def test_pages_are_read_by_the_engine_that_the_server_was_told(start_server):
    running = start_server(io_engine="mmap")
    schema = pb.CollectionSchema(dim=256, metric=pb.L2, memory_budget=MIB)
    running.CollectionsCreate(pb.CreateCollectionRequest(name="large", schema=schema))
    vectors = np.random.default_rng(0).standard_normal((1_500, 256)).astype(np.float32)
    running.Upsert(
        pb.UpsertRequest(
            collection="large",
            ids=codec.ids_to_wire(np.arange(1_500)),
            vectors=codec.vectors_to_wire(vectors),
        )
    )
    running.CollectionsSeal(pb.SealRequest(name="large"))
    request = pb.ExplainRequest(
        collection="large", query=codec.vectors_to_wire(vectors[:1]), k=3, mode=pb.SCAN
    )
    found = running.Explain(request)
    assert codec.ids_from_wire(found.matches.ids)[0] == 0
    assert found.io_engine == "mmap"
    assert found.bytes_read >= 4096 * found.pages_read > 0
