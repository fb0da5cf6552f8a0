"""Every call of the interface, as any client of the wire makes it."""

from __future__ import annotations

import json
import threading
from importlib.metadata import version

import grpc
import numpy as np
import pytest

from vecdb import limits
from vecdb_client import codec
from vecdb_client.wire import vecdb_pb2 as pb

DE = pb.Filter(compare=pb.Comparison(field="lang", operator=pb.EQ, values=[pb.Value(text="de")]))
YEAR_3 = pb.Filter(
    compare=pb.Comparison(field="year", operator=pb.LTE, values=[pb.Value(integer=3)])
)
UNDECLARED = pb.Filter(
    compare=pb.Comparison(field="size", operator=pb.EQ, values=[pb.Value(integer=3)])
)


def queries(*rows: list[float]) -> pb.Vectors:
    return codec.vectors_to_wire(np.array(rows, np.float32))


def ids(message: pb.Ids) -> list[int] | list[str]:
    found = codec.ids_from_wire(message)
    return found if isinstance(found, list) else found.tolist()


# ----------------------------------------------------------------------------------- database


def test_handshake(running):
    info = running.DatabaseInfo(pb.InfoRequest(client_version="0.1.0"))
    assert info.server_version == version("vecdb-server")
    assert info.api == "v1"
    assert info.limits["message_bytes"] == limits.MESSAGE_BYTES
    assert info.database_id
    assert not info.dev


def test_stats_are_the_engines_and_the_servers(running, batch, refused):
    running.Upsert(batch(1))
    refused(lambda: running.Upsert(batch(1, collection="none")))
    stats = json.loads(running.DatabaseStats(pb.StatsRequest()).json)
    calls = stats.pop("server")["calls"]
    assert calls["/vecdb.v1.Records/Upsert"] == {"NOT_FOUND": 1, "OK": 1}
    assert stats


# -------------------------------------------------------------------------------- collections


def test_collection_is_created_and_described(running):
    schema = pb.CollectionSchema(dim=3, metric=pb.DOT, dtype=pb.UINT8, fields={"at": pb.DATETIME})
    made = running.CollectionsCreate(pb.CreateCollectionRequest(name="small", schema=schema))
    schema.code_bits = 4
    assert made.schema == schema
    assert made.id_kind == pb.ID_KIND_UNSPECIFIED
    assert running.CollectionsDescribe(pb.DescribeCollectionRequest(name="small")) == made
    listed = running.CollectionsList(pb.ListCollectionsRequest()).collections
    assert [info.name for info in listed] == ["docs", "small"]


def test_taken_name_is_refused(running, refused):
    request = pb.CreateCollectionRequest(name="docs", schema=pb.CollectionSchema(dim=3))
    assert refused(lambda: running.CollectionsCreate(request)).code == (
        grpc.StatusCode.ALREADY_EXISTS
    )


@pytest.mark.parametrize(
    ("name", "schema", "field"),
    [
        ("a/b", {"dim": 3}, "name"),
        ("", {"dim": 3}, "name"),
        ("x", {}, "dim"),
        ("x", {"dim": 3, "metric": 77}, "metric"),
        ("x", {"dim": 3, "fields": {"lang": 77}}, "fields['lang']"),
    ],
)
def test_bad_schema_is_refused_by_field(running, refused, name, schema, field):
    request = pb.CreateCollectionRequest(name=name, schema=pb.CollectionSchema(**schema))
    failure = refused(lambda: running.CollectionsCreate(request))
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert failure.detail.field == field


def test_alias_is_set_used_and_removed(running, batch, refused):
    running.CollectionsAlias(pb.AliasRequest(alias="now", collection="docs"))
    running.Upsert(batch(1, collection="now"))
    described = running.CollectionsDescribe(pb.DescribeCollectionRequest(name="now"))
    assert (described.name, list(described.aliases), described.count) == ("docs", ["now"], 1)
    running.CollectionsAlias(pb.AliasRequest(alias="now"))
    failure = refused(lambda: running.Count(pb.CountRequest(collection="now")))
    assert failure.code == grpc.StatusCode.NOT_FOUND


def test_deleted_collection_is_gone(running, refused):
    running.CollectionsDelete(pb.DeleteCollectionRequest(name="docs"))
    failure = refused(lambda: running.Count(pb.CountRequest(collection="docs")))
    assert failure.code == grpc.StatusCode.NOT_FOUND


# ------------------------------------------------------------------------------------- writes


def test_upsert_is_found_by_get(running, batch):
    written = running.Upsert(batch(1, 2))
    assert written.count == 2
    got = running.Get(pb.GetRequest(collection="docs", ids=codec.ids_to_wire([2, 9, 1])))
    assert ids(got.records.ids) == [2, 1]
    assert ids(got.missing) == [9]
    assert list(got.records.payloads) == [b'{"year":2}', b'{"year":1}']
    sequences = codec.ints_from_bytes(got.records.sequences)
    assert sequences.tolist() == [written.sequence] * 2
    assert not got.records.HasField("vectors")


def test_vectors_are_sent_only_if_asked_for(running, batch):
    running.Upsert(batch(1, 2))
    request = pb.GetRequest(
        collection="docs", ids=codec.ids_to_wire([2]), with_vector=True, without_payload=True
    )
    records = running.Get(request).records
    assert codec.vectors_from_wire(records.vectors).tolist() == [[2, 0, 0, 0]]
    assert not records.payloads


def test_repeated_key_is_answered_again(running, batch, refused):
    first = running.Upsert(batch(1, idempotency_key=b"once"))
    again = running.Upsert(batch(1, idempotency_key=b"once"))
    assert not first.replayed
    assert again.replayed
    assert again.sequence == first.sequence
    other = refused(lambda: running.Upsert(batch(2, idempotency_key=b"once")))
    assert other.code == grpc.StatusCode.INVALID_ARGUMENT


def test_write_without_wait_is_acknowledged(running, batch):
    assert running.Upsert(batch(1, no_wait=True)).sequence == 0


def test_false_condition_changes_nothing(running, batch, refused):
    running.Upsert(batch(1))
    failure = refused(lambda: running.Upsert(batch(1, 2, condition=pb.Condition(if_absent=True))))
    assert failure.code == grpc.StatusCode.FAILED_PRECONDITION
    assert failure.detail.kind == "PreconditionFailed"
    assert running.Count(pb.CountRequest(collection="docs")).count == 1


def test_condition_by_filter_holds(running, batch):
    running.Upsert(batch(3))
    assert running.Upsert(batch(3, condition=pb.Condition(filter=YEAR_3))).count == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"ids": None}, "ids"),
        ({"ids": pb.Ids()}, "ids"),
        ({"ids": pb.Ids(ints=b"1234567")}, "ids"),
        ({"ids": codec.ids_to_wire([7, 7])}, "ids[1]"),
        ({"vectors": queries([1, 2, 3, 4], [float("nan"), 0, 0, 0])}, "vectors[1]"),
        ({"vectors": queries([1, 2, 3], [1, 2, 3])}, "vectors[0]"),
        ({"vectors": pb.Vectors(data=b"123", dim=4)}, "vectors"),
        ({"vectors": pb.Vectors(data=b"1" * 32, dim=4, dtype=77)}, "vectors"),
        ({"payloads": [b"{}", b"not json"]}, "payloads[1]"),
        ({"payloads": [b"{}", b'{"year":"x"}']}, "payloads[1].year"),
        ({"condition": pb.Condition()}, "condition"),
        ({"condition": pb.Condition(if_absent=False)}, "condition"),
        ({"idempotency_key": b"x" * 65}, "idempotency_key"),
    ],
)
def test_bad_batch_is_refused_by_position_and_nothing_is_applied(
    running, batch, refused, fields, field
):
    failure = refused(lambda: running.Upsert(batch(1, 2, **fields)))
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert failure.detail.field == field
    assert running.Count(pb.CountRequest(collection="docs")).count == 0


def test_payload_is_merged_or_replaced(running, batch):
    running.Upsert(batch(1))
    one = codec.ids_to_wire([1])

    def payload() -> bytes:
        got = running.Get(pb.GetRequest(collection="docs", ids=one))
        return got.records.payloads[0]

    running.SetPayload(pb.SetPayloadRequest(collection="docs", ids=one, payload=b'{"lang":"de"}'))
    assert json.loads(payload()) == {"year": 1, "lang": "de"}
    running.SetPayload(
        pb.SetPayloadRequest(collection="docs", ids=one, payload=b'{"a":1}', replace=True)
    )
    assert json.loads(payload()) == {"a": 1}


def test_payload_of_a_missing_record_is_not_found(running, refused):
    request = pb.SetPayloadRequest(collection="docs", ids=codec.ids_to_wire([1]), payload=b"{}")
    assert refused(lambda: running.SetPayload(request)).code == grpc.StatusCode.NOT_FOUND
    absent = pb.SetPayloadRequest(collection="docs", payload=b"{}")
    assert refused(lambda: running.SetPayload(absent)).detail.field == "ids"


def test_records_are_deleted_by_ids_or_by_filter(running, batch, refused):
    running.Upsert(batch(1, 2, 3, 4, 5))
    by_ids = pb.DeleteRequest(collection="docs", ids=codec.ids_to_wire([5, 99]))
    assert running.Delete(by_ids).count == 1
    assert running.Delete(pb.DeleteRequest(collection="docs", filter=YEAR_3)).count == 3
    assert running.Count(pb.CountRequest(collection="docs")).count == 1
    for wrong in ({}, {"ids": codec.ids_to_wire([4]), "filter": YEAR_3}):
        failure = refused(
            lambda wrong=wrong: running.Delete(pb.DeleteRequest(collection="docs", **wrong))
        )
        assert failure.code == grpc.StatusCode.INVALID_ARGUMENT


# -------------------------------------------------------------------------------------- reads


def test_search_gives_the_nearest_first(running, batch):
    running.Upsert(batch(*range(10)))
    request = pb.SearchRequest(collection="docs", queries=queries([3.2, 0, 0, 0]), k=3)
    found = running.Search(request).matches
    assert list(found.counts) == [3]
    assert ids(found.ids) == [3, 4, 2]
    distances = codec.floats_from_bytes(found.distances)
    np.testing.assert_allclose(distances, [0.2, 0.8, 1.2], rtol=1e-5)
    np.testing.assert_array_equal(codec.floats_from_bytes(found.scores), -distances)
    assert list(found.payloads) == [b'{"year":3}', b'{"year":4}', b'{"year":2}']


def test_many_queries_are_answered_in_order(running, batch):
    running.Upsert(batch(*range(10)))
    request = pb.SearchRequest(
        collection="docs",
        queries=queries([8, 0, 0, 0], [1, 0, 0, 0], [5, 0, 0, 0]),
        k=1,
        filter=YEAR_3,
        mode=pb.EXACT,
        without_payload=True,
        with_vector=True,
    )
    found = running.Search(request).matches
    assert list(found.counts) == [1, 1, 1]
    assert ids(found.ids) == [3, 1, 3]
    assert not found.payloads
    assert codec.vectors_from_wire(found.vectors)[:, 0].tolist() == [3, 1, 3]


def test_min_score_of_zero_is_not_taken_for_none(running, batch):
    running.Upsert(batch(*range(5)))
    request = pb.SearchRequest(collection="docs", queries=queries([2, 0, 0, 0]), k=5, min_score=0.0)
    assert ids(running.Search(request).matches.ids) == [2]


def test_queries_as_floats_are_accepted(running, batch):
    running.Upsert(batch(1, 2))
    vectors = pb.Vectors(floats=[2, 0, 0, 0], dim=4)
    request = pb.SearchRequest(collection="docs", queries=vectors, k=1)
    assert ids(running.Search(request).matches.ids) == [2]


def test_search_of_an_empty_collection_finds_nothing(running):
    request = pb.SearchRequest(collection="docs", queries=queries([2, 0, 0, 0]), k=5)
    assert list(running.Search(request).matches.counts) == [0]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"k": 0}, "k"),
        ({"mode": 77}, "mode"),
        ({"queries": queries([1, 2, 3])}, "vector"),
        ({"queries": queries([1, 2, 3, float("inf")])}, "vector"),
        ({"queries": queries([1, 2, 3, 4], [1, 2, float("nan"), 4])}, "vectors[1]"),
        ({"filter": UNDECLARED}, "filter.size"),
        ({"filter": pb.Filter()}, "filter"),
        ({"filter": pb.Filter(negate=UNDECLARED)}, "filter.not.size"),
    ],
)
def test_bad_search_is_refused_by_argument(running, refused, fields, field):
    values = {"collection": "docs", "queries": queries([1, 2, 3, 4]), "k": 3}
    failure = refused(lambda: running.Search(pb.SearchRequest(**(values | fields))))
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert failure.detail.field == field


def test_undeclared_field_is_told_with_the_declared_ones(running, refused):
    failure = refused(lambda: running.Count(pb.CountRequest(collection="docs", filter=UNDECLARED)))
    assert failure.detail.reason == "UNINDEXED_FIELD"
    assert "lang, year" in failure.detail.hint


def test_count_of_a_filter(running, batch):
    running.Upsert(batch(*range(10)))
    assert running.Count(pb.CountRequest(collection="docs")).count == 10
    assert running.Count(pb.CountRequest(collection="docs", filter=YEAR_3)).count == 4


def test_scroll_goes_through_all_pages(running, batch):
    running.Upsert(batch(5, 1, 4, 2, 3))
    seen: list[int | str] = []
    request = pb.ScrollRequest(collection="docs", limit=2)
    for _ in range(3):
        page = running.Scroll(request)
        seen += ids(page.records.ids)
        request.after.CopyFrom(page.next)
    assert seen == [1, 2, 3, 4, 5]
    assert not page.HasField("next")


def test_scroll_takes_a_default_limit_and_a_filter(running, batch):
    running.Upsert(batch(*range(150)))
    assert len(ids(running.Scroll(pb.ScrollRequest(collection="docs")).records.ids)) == 100
    page = running.Scroll(pb.ScrollRequest(collection="docs", filter=YEAR_3))
    assert ids(page.records.ids) == [0, 1, 2, 3]


def test_string_ids_and_absent_payloads(running, batch):
    running.Upsert(batch(1, 2, ids=codec.ids_to_wire(["ä", "b"]), payloads=[]))
    got = running.Get(pb.GetRequest(collection="docs", ids=codec.ids_to_wire(["b", "ä", "c"])))
    assert ids(got.records.ids) == ["b", "ä"]
    assert ids(got.missing) == ["c"]
    assert list(got.records.payloads) == [b"", b""]
    described = running.CollectionsDescribe(pb.DescribeCollectionRequest(name="docs"))
    assert described.id_kind == pb.STRINGS


# ----------------------------------------------------------------------- deadlines, large answers


def test_deadline_reaches_the_engine(running, batch):
    go_on = threading.Event()
    store = running.server._database._store
    store.submit(lambda group: go_on.wait(), 0)  # keeps the writer busy
    try:
        with pytest.raises(grpc.RpcError) as caught:
            running.Upsert(batch(1), timeout=0.05)
    finally:
        go_on.set()
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    running.Upsert(batch(2))
    stored = running.Scroll(pb.ScrollRequest(collection="docs")).records.ids
    assert ids(stored) == [2], "a write whose time was over was applied"


def test_answer_of_vectors_too_large_for_a_message_is_refused_before_it_is_made(running, refused):
    dim, count = 2048, 1000
    schema = pb.CollectionSchema(dim=dim, metric=pb.L2)
    running.CollectionsCreate(pb.CreateCollectionRequest(name="wide", schema=schema))
    vectors = np.ones((count, dim), np.float32)
    running.Upsert(
        pb.UpsertRequest(
            collection="wide",
            ids=codec.ids_to_wire(np.arange(count)),
            vectors=codec.vectors_to_wire(vectors),
        )
    )
    request = pb.SearchRequest(
        collection="wide", queries=codec.vectors_to_wire(vectors[:10]), k=1000, with_vector=True
    )
    failure = refused(lambda: running.Search(request))
    assert failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert failure.detail.reason == "ANSWER_TOO_LARGE"
    assert failure.detail.actual == 10 * count * (16 + 4 * dim)
    assert "smaller k" in failure.detail.hint
    request.k = 100
    assert list(running.Search(request).matches.counts) == [100] * 10


def test_answer_of_payloads_too_large_for_a_message_is_refused(running, batch, refused):
    large = b'{"text":"' + b"x" * 1_000_000 + b'"}'
    for start in (0, 40):
        some = range(start, start + 40)
        running.Upsert(batch(*some, payloads=[large] * 40))
    failure = refused(lambda: running.Scroll(pb.ScrollRequest(collection="docs", limit=80)))
    assert failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert failure.detail.reason == "ANSWER_TOO_LARGE"
    assert "no payloads" in failure.detail.hint
    page = running.Scroll(pb.ScrollRequest(collection="docs", limit=80, without_payload=True))
    assert len(ids(page.records.ids)) == 80
