"""Segments, codes and scores: what goes out for them and how answers come in; sync and async."""

from __future__ import annotations

import grpc
import numpy as np
import pytest

from vecdb_client import codec, errors, search_requests
from vecdb_client.results import SealResult
from vecdb_client.wire import vecdb_pb2 as pb

QUERY = np.ones(3, np.float32)


def test_stats_of_a_collection_are_one_call(peer, client):
    assert client.collection("docs").stats() == {"count": 7}
    assert peer.calls == ["Info", "Stats"]
    assert peer.requests[-1] == pb.CollectionStatsRequest(name="docs")


@pytest.mark.parametrize(("method", "name"), [("seal", "Seal"), ("compact", "Compact")])
def test_sealing_is_waited_for_unless_told_otherwise(peer, client, method, name):
    call = getattr(client.collection("docs"), method)
    assert call() == SealResult(records=5, segments=2)
    call(wait=False)
    assert peer.calls == ["Info", name, name]
    assert [request.name for request in peer.requests[1:]] == ["docs", "docs"]
    assert [request.no_wait for request in peer.requests[1:]] == [False, True]


@pytest.mark.parametrize("method", ["seal", "compact"])
def test_sealing_is_repeated_after_a_lost_answer(peer, client, method):
    peer.after[method.capitalize()].append(peer.abort(grpc.StatusCode.UNAVAILABLE))
    getattr(client.collection("docs"), method)()
    assert peer.count(method.capitalize()) == 2


def test_schema_names_codes_and_pages(peer, client):
    client.create_collection("docs", dim=3, code_bits=np.int64(8), page_bytes=4096)
    schema = peer.requests[-1].schema
    assert (schema.code_bits, schema.page_bytes) == (8, 4096)
    client.create_collection("plain", dim=3)
    schema = peer.requests[-1].schema
    assert (schema.code_bits, schema.page_bytes) == (4, 0)


def test_search_options_are_sent(peer, client):
    docs = client.collection("docs")
    docs.search(
        QUERY,
        mode="scan",
        effort=2,
        estimator="hamming",
        with_relevance=True,
        with_surprise=True,
    )
    sent = peer.requests[-1]
    assert (sent.mode, sent.effort, sent.effort_bound) == (pb.SCAN, 2.0, False)
    assert (sent.estimator, sent.with_relevance, sent.with_surprise) == (pb.HAMMING, True, True)
    docs.search_batch(QUERY[None], effort="bound")
    assert peer.requests[-1].effort_bound
    assert not peer.requests[-1].HasField("effort")
    docs.search(QUERY)
    sent = peer.requests[-1]
    assert (sent.HasField("effort"), sent.effort_bound) == (False, False)
    assert (sent.with_relevance, sent.with_surprise) == (False, False)


def test_effort_of_zero_is_sent_for_the_server_to_refuse():
    request = search_requests.search(
        "docs",
        QUERY[None],
        1,
        offset=0,
        diversity=None,
        tenant=None,
        filter=None,
        mode="scan",
        effort=0,
        estimator="rabitq",
        min_score=None,
        with_payload=True,
        with_vector=False,
        with_relevance=False,
        with_surprise=False,
    )
    assert pb.SearchRequest.FromString(request.data).HasField("effort")


def test_scores_come_as_columns_of_their_queries(peer, client):
    found = client.collection("docs").search_batch(
        np.ones((2, 3), np.float32), with_relevance=True, with_surprise=True
    )
    assert [one.relevance.tolist() for one in found] == [[0.0], [1.0]]
    assert [one.surprise_bits.tolist() for one in found] == [[0.25], [1.25]]
    assert {one.relevance.dtype for one in found} == {codec.FLOAT64}
    assert found[1][0].label == "Close Match"


def test_scores_that_the_server_left_out_are_none(client):
    found = client.collection("docs").search(QUERY)
    assert (found.relevance, found.surprise_bits) == (None, None)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"mode": "forest"}, "mode"),
        ({"effort": "all"}, "effort"),
        ({"effort": True}, "effort"),
        ({"effort": [1]}, "effort"),
        ({"estimator": "cosine"}, "estimator"),
        ({"estimator": None}, "estimator"),
        ({"with_relevance": 1}, "with_relevance"),
        ({"with_surprise": None}, "with_surprise"),
    ],
)
def test_search_that_makes_no_sense_is_never_sent(peer, client, arguments, field):
    with pytest.raises(errors.InvalidArgument) as caught:
        client.collection("docs").search(QUERY, **arguments)
    assert caught.value.field == field
    assert peer.calls == []
