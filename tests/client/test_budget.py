"""Memory budgets and explanations: what goes out for them and how answers come in."""

from __future__ import annotations

from dataclasses import replace

import grpc
import numpy as np
import pytest

from vecdb_client import errors
from vecdb_client.results import Explanation
from vecdb_client.wire import vecdb_pb2 as pb

QUERY = np.ones(3, np.float32)
MIB = 1024 * 1024


def test_schema_names_the_budget_or_leaves_it_out(peer, client):
    client.create_collection("docs", dim=3, memory_budget=np.int64(2**40))
    assert peer.requests[-1].schema.memory_budget == 2**40
    client.create_collection("plain", dim=3)
    assert not peer.requests[-1].schema.HasField("memory_budget")


def test_budget_is_set_and_lifted(peer, client):
    docs = client.collection("docs")
    info = docs.set_memory_budget(5 * MIB)
    assert (info.memory_budget, info.level, info.level_reason) == (5 * MIB, "codes", "as told")
    assert peer.requests[-1] == pb.SetMemoryBudgetRequest(name="docs", memory_budget=5 * MIB)
    info = docs.set_memory_budget(None)
    assert (info.memory_budget, info.level) == (None, "all")
    assert peer.requests[-1] == pb.SetMemoryBudgetRequest(name="docs")


def test_budget_is_set_again_after_a_lost_answer(peer, client):
    peer.after["SetMemoryBudget"].append(peer.abort(grpc.StatusCode.UNAVAILABLE))
    client.collection("docs").set_memory_budget(MIB)
    assert peer.count("SetMemoryBudget") == 2


@pytest.mark.parametrize("budget", [-1, 2**63, "1MiB", 1e9, True])
def test_budget_that_does_not_fit_is_never_sent(peer, client, budget):
    with pytest.raises(errors.InvalidArgument) as caught:
        client.collection("docs").set_memory_budget(budget)
    assert caught.value.field == "memory_budget"
    with pytest.raises(errors.InvalidArgument):
        client.create_collection("docs", dim=3, memory_budget=budget)
    assert peer.calls == []


def test_budget_of_zero_is_sent_for_the_server_to_refuse(peer, client):
    client.collection("docs").set_memory_budget(0)
    assert peer.requests[-1].HasField("memory_budget")


def test_explanation_comes_whole(client):
    found = client.collection("docs").explain(QUERY, 1)
    assert found.matches.ids.tolist() == [7]
    assert (found.matches.payload_bytes, found.matches.vectors) == (None, None)
    assert replace(found, matches=None) == Explanation(
        matches=None,
        mode="graph",
        matching=9,
        segments=2,
        tail=3,
        level="codes",
        why="as told",
        degraded=True,
        io_engine=None,
        seconds=0.25,
        pages_read=4,
        bytes_read=16_384,
        read_calls=4,
        io_rounds=2,
        cache_hits=1,
        nodes_expanded=5,
        blocks_scanned=6,
        codes_scanned=7,
        codes_refined=8,
        vectors_scored=9,
    )


def test_what_is_to_be_explained_is_sent(peer, client):
    docs = client.collection("docs")
    docs.explain(QUERY, 5, filter={"year": 1}, mode="graph", effort=2, min_score=0.5)
    sent = peer.requests[-1]
    assert (sent.collection, sent.k, sent.mode, sent.effort) == ("docs", 5, pb.GRAPH, 2.0)
    assert (sent.query.dim, sent.min_score, sent.estimator) == (3, 0.5, pb.RABITQ)
    assert sent.filter.compare.field == "year"
    docs.explain(QUERY, mode="scan", effort="bound", estimator="hamming")
    sent = peer.requests[-1]
    assert (sent.effort_bound, sent.HasField("effort"), sent.estimator) == (True, False, pb.HAMMING)
    assert not sent.HasField("min_score")


@pytest.mark.parametrize(
    ("arguments", "field"),
    [({"mode": "forest"}, "mode"), ({"effort": "all"}, "effort"), ({"k": 0}, "k")],
)
def test_explanation_that_makes_no_sense_is_never_asked_for(peer, client, arguments, field):
    with pytest.raises(errors.InvalidArgument) as caught:
        client.collection("docs").explain(QUERY, **arguments)
    assert caught.value.field == field
    assert peer.calls == []
