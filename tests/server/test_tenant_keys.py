"""A key that belongs to a tenant sees and changes what is that tenant's, whatever it asks for."""

from __future__ import annotations

import itertools
import json

import grpc
import numpy as np
import pytest

from vecdb_client import codec
from vecdb_client.wire import vecdb_pb2 as pb
from vecdb_server.access import FILLED, RULES

DENIED = grpc.StatusCode.PERMISSION_DENIED
MINE = [10, 11, 12]
SHARED = [20, 21]
FOREIGN = [1, 2, 3, 30, 31]
EVERY = [*MINE, *SHARED, *FOREIGN]
QUERY = np.array([[1, 0, 0, 0]], np.float32)
"""Of which all records of others are copies: each is nearer than what the tenant may see."""


def vectors_of(ids):
    rows = np.repeat(QUERY, len(ids), axis=0)
    for row, id in enumerate(ids):
        if id in MINE or id in SHARED:
            rows[row] += id
    return rows


def upsert_of(ids, **fields):
    values = {
        "collection": "docs",
        "ids": codec.ids_to_wire(list(ids)),
        "vectors": codec.vectors_to_wire(vectors_of(ids)),
        "payloads": [json.dumps({"lang": "en", "year": id}).encode() for id in ids],
    }
    return pb.UpsertRequest(**(values | fields))


def ids_of(message: pb.Ids) -> list[int]:
    return [] if message.WhichOneof("kind") is None else codec.ids_from_wire(message).tolist()


@pytest.fixture(params=[False, True], ids=["tail", "sealed"])
def mine(request, running):
    """The server as a key of the tenant "mine" with the role admin meets it."""
    running.Upsert(upsert_of(MINE, tenant="mine"))
    running.Upsert(upsert_of(SHARED + FOREIGN, tenant="other"))
    running.TenantsGrant(
        pb.GrantRequest(collection="docs", ids=codec.ids_to_wire(SHARED), tenants=["mine"])
    )
    if request.param:
        running.CollectionsSeal(pb.SealRequest(name="docs"))
    rights = pb.KeyRights(name="boss", role="admin", all_tenants=True)
    running.admin = running.KeysCreate(pb.CreateKeyRequest(rights=rights)).secret
    running.key = running.admin
    rights = pb.KeyRights(name="app", role="admin", tenant="mine")
    running.key = running.KeysCreate(pb.CreateKeyRequest(rights=rights)).secret
    return running


@pytest.fixture
def everything(mine):
    """Reads all there is, as one who sees all."""

    def read():
        before, mine.key = mine.key, mine.admin
        request = pb.ScrollRequest(collection="docs", limit=1000, with_vector=True)
        found = mine.Scroll(request).SerializeToString(deterministic=True)
        access = [
            mine.TenantsWhoSees(pb.WhoSeesRequest(collection="docs", id=codec.ids_to_wire([id])))
            for id in EVERY
        ]
        mine.key = before
        return found, [one.SerializeToString() for one in access]

    return read


def requests_of(tenant: str | None = None) -> dict[str, object]:
    """One request of each method of ``Records`` that would succeed."""
    vectors = codec.vectors_to_wire(QUERY)
    ids = codec.ids_to_wire(MINE)
    values = {"collection": "docs"} | ({} if tenant is None else {"tenant": tenant})
    return {
        "Upsert": upsert_of(MINE, **values),
        "Upload": iter([pb.UploadRequest(batch=upsert_of(MINE, idempotency_key=b"1", **values))]),
        "SetPayload": pb.SetPayloadRequest(ids=ids, payload=b'{"year":1}', **values),
        "Delete": pb.DeleteRequest(ids=codec.ids_to_wire([99]), **values),
        "Search": pb.SearchRequest(queries=vectors, k=100, **values),
        "SearchGroups": pb.SearchGroupsRequest(query=vectors, group_by="year", **values),
        "Explain": pb.ExplainRequest(query=vectors, k=100, **values),
        "Get": pb.GetRequest(ids=codec.ids_to_wire(EVERY), **values),
        "Count": pb.CountRequest(**values),
        "Facets": pb.FacetsRequest(field="year", **values),
        "Scroll": pb.ScrollRequest(**values),
    }


def send(mine, method: str, tenant: str | None) -> list[object]:
    """The answers to such a request."""
    found = getattr(mine, method)(requests_of(tenant)[method])
    return list(found) if method == "Upload" else [found]


def test_there_is_one_place_for_a_tenant_in_every_request_about_records():
    methods = pb.DESCRIPTOR.services_by_name["Records"].methods
    assert set(requests_of()) == {method.name for method in methods}
    for method in methods:
        rule = RULES[f"/vecdb.v1.Records/{method.name}"]
        assert rule.tenant == FILLED
        kind = method.input_type
        if rule.part:
            assert "tenant" not in kind.fields_by_name
            kind = kind.fields_by_name[rule.part].message_type
        assert kind.fields_by_name["tenant"].has_presence, method.name


@pytest.mark.parametrize("method", requests_of())
def test_request_that_names_another_tenant_is_denied(mine, refused, everything, method):
    before = everything()
    for other in ("other", "", "nobody"):
        failure = refused(lambda other=other: send(mine, method, other))
        assert (failure.code, failure.detail.reason) == (DENIED, "OTHER_TENANT")
        assert "other" not in failure.text.replace("another", "")
    assert everything() == before
    (answer, *_) = send(mine, method, "mine")
    assert method != "Upload" or answer.HasField("result")


def test_upload_may_not_change_its_tenant_on_the_way(mine, refused, everything):
    chunks = [
        pb.UploadRequest(chunk=0, batch=upsert_of(MINE, idempotency_key=b"1")),
        pb.UploadRequest(chunk=1, batch=upsert_of([40], idempotency_key=b"2", tenant="other")),
    ]
    failure = refused(lambda: list(mine.Upload(iter(chunks))))
    assert (failure.code, failure.detail.reason) == (DENIED, "OTHER_TENANT")
    assert b"40" not in everything()[0]


def test_nothing_about_tenants_is_for_a_key_of_one(mine, refused, everything):
    ids = codec.ids_to_wire(EVERY)
    values = {"collection": "docs"}
    before = everything()
    for name, request in {
        "Grant": pb.GrantRequest(ids=ids, tenants=["mine"], **values),
        "Revoke": pb.RevokeRequest(ids=ids, tenants=["other"], **values),
        "List": pb.ListTenantsRequest(**values),
        "Describe": pb.DescribeTenantRequest(tenant="mine", **values),
        "WhoSees": pb.WhoSeesRequest(id=codec.ids_to_wire([10]), **values),
        "Copy": pb.CopyTenantRequest(source="other", target="third", **values),
        "Delete": pb.DeleteTenantRequest(tenant="other", **values),
        "SetQuota": pb.SetQuotaRequest(tenant="mine", max_records=9, **values),
    }.items():
        call = getattr(mine, f"Tenants{name}")
        failure = refused(lambda call=call, request=request: call(request))
        assert (failure.code, failure.detail.reason) == (DENIED, "TENANT_KEY")
    assert everything() == before


def test_shares_given_by_a_tenant_are_refused(mine, refused, everything):
    before = everything()
    for lists in ([["mine", "other"]], [["mine"]], [[]]):
        sharing = pb.Sharing(lists=[pb.Strings(values=names) for names in lists])
        failure = refused(lambda sharing=sharing: mine.Upsert(upsert_of(MINE, sharing=sharing)))
        assert (failure.code, failure.detail.field) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "tenants",
        )
    assert everything() == before


# ------------------------------------------------------------------------------------- reads

CONDITIONS = [
    None,
    pb.Filter(all_of=pb.Filters()),
    pb.Filter(negate=pb.Filter(any_of=pb.Filters())),
    pb.Filter(compare=pb.Comparison(field="lang", operator=pb.EQ, values=[pb.Value(text="en")])),
    pb.Filter(
        negate=pb.Filter(
            compare=pb.Comparison(field="year", operator=pb.EQ, values=[pb.Value(integer=-1)])
        )
    ),
    pb.Filter(
        any_of=pb.Filters(
            filters=[
                pb.Filter(all_of=pb.Filters()),
                pb.Filter(
                    compare=pb.Comparison(
                        field="year", operator=pb.IN, values=[pb.Value(integer=id) for id in EVERY]
                    )
                ),
            ]
        )
    ),
]
VISIBLE = sorted([*MINE, *SHARED])


@pytest.mark.parametrize("mode", [0, pb.AUTO, pb.EXACT, pb.SCAN, pb.GRAPH, pb.TREE])
def test_search_finds_what_the_tenant_sees(mine, mode):
    vectors = codec.vectors_to_wire(np.repeat(QUERY, 3, axis=0))
    efforts = [{}] if mode == pb.EXACT else [{}, {"effort": 64.0}]
    if mode in (pb.AUTO, pb.SCAN):
        efforts += [{"effort_bound": True}, {"estimator": pb.HAMMING}]
    for condition, effort, k in itertools.product(CONDITIONS, efforts, (1, 5, 16_384)):
        options = {"k": k, "mode": mode, "filter": condition, **effort}
        request = pb.SearchRequest(collection="docs", queries=vectors, with_vector=True, **options)
        matches = mine.Search(request).matches
        assert list(matches.counts) == [min(k, len(VISIBLE))] * 3
        assert set(ids_of(matches.ids)) <= set(VISIBLE)
        assert k == 1 or sorted(ids_of(matches.ids)) == sorted(VISIBLE * 3)
        request = pb.ExplainRequest(
            collection="docs", query=codec.vectors_to_wire(QUERY), **options
        )
        told = mine.Explain(request)
        assert set(ids_of(told.matches.ids)) <= set(VISIBLE)
        assert told.matching == len(VISIBLE)
        assert (told.segments, told.tail, told.level, told.why) == (0, 0, "", "")
        assert not told.costs
        figures = (told.codes_scanned, told.codes_refined, told.vectors_scored)
        assert max(figures) <= len(VISIBLE)
        hidden = (told.pages_read, told.bytes_read, told.read_calls, told.io_rounds)
        assert {*hidden, told.cache_hits, told.nodes_expanded, told.nodes_visited} == {0}
    nothing = pb.SearchRequest(collection="docs", queries=vectors, k=9, mode=mode, min_score=-0.5)
    assert list(mine.Search(nothing).matches.counts) == [0, 0, 0]


def test_pages_and_diverse_matches_are_of_what_the_tenant_sees(mine):
    vectors = codec.vectors_to_wire(QUERY)
    found = []
    for offset in range(7):
        request = pb.SearchRequest(collection="docs", queries=vectors, k=1, offset=offset)
        found += ids_of(mine.Search(request).matches.ids)
    assert sorted(found) == VISIBLE
    for diversity in (0.0, 0.5, 1.0):
        request = pb.SearchRequest(collection="docs", queries=vectors, k=9, diversity=diversity)
        assert sorted(ids_of(mine.Search(request).matches.ids)) == VISIBLE


def test_values_are_counted_among_what_the_tenant_sees(mine):
    vectors = codec.vectors_to_wire(QUERY)
    for condition in CONDITIONS:
        request = pb.FacetsRequest(collection="docs", field="year", filter=condition, limit=1000)
        facets = mine.Facets(request)
        assert sorted(value.integer for value in facets.values) == VISIBLE
        assert (set(facets.counts), facets.others) == ({1}, 0)
        request = pb.FacetsRequest(collection="docs", field="lang", filter=condition, limit=1)
        assert list(mine.Facets(request).counts) == [5]
        request = pb.SearchGroupsRequest(
            collection="docs", query=vectors, group_by="year", groups=1000, filter=condition
        )
        groups = mine.SearchGroups(request)
        assert sorted(value.integer for value in groups.values) == VISIBLE
        assert sorted(ids_of(groups.matches.ids)) == VISIBLE


def test_reads_by_id_and_in_order_find_what_the_tenant_sees(mine):
    ids = codec.ids_to_wire([*EVERY, 99])
    got = mine.Get(pb.GetRequest(collection="docs", ids=ids, with_vector=True))
    assert sorted(ids_of(got.records.ids)) == VISIBLE
    assert sorted(ids_of(got.missing)) == sorted([*FOREIGN, 99])
    for condition, limit in itertools.product(CONDITIONS, (1, 2, 1000)):
        assert mine.Count(pb.CountRequest(collection="docs", filter=condition)).count == 5
        request = pb.ScrollRequest(collection="docs", limit=limit, filter=condition)
        found = []
        while True:
            page = mine.Scroll(request)
            found += ids_of(page.records.ids)
            if not page.HasField("next"):
                break
            request.after.CopyFrom(page.next)
        assert found == VISIBLE
    for field, descending, limit in itertools.product(("year", "lang"), (False, True), (2, 1000)):
        order = pb.OrderBy(field=field, descending=descending)
        request = pb.ScrollRequest(collection="docs", limit=limit, order_by=order)
        found = []
        while True:
            page = mine.Scroll(request)
            found += ids_of(page.records.ids)
            if not page.HasField("next"):
                break
            request.after.CopyFrom(page.next)
        assert sorted(found) == VISIBLE
    behind = pb.ScrollRequest(collection="docs", after=codec.ids_to_wire([30]))
    assert ids_of(mine.Scroll(behind).records.ids) == []


def test_scores_are_not_compared_with_pairs_of_others(mine, refused):
    request = pb.SearchRequest(
        collection="docs", queries=codec.vectors_to_wire(QUERY), k=1, with_surprise=True
    )
    groups = pb.SearchGroupsRequest(
        collection="docs", query=request.queries, group_by="year", with_surprise=True
    )
    for call in (lambda: mine.Search(request), lambda: mine.SearchGroups(groups)):
        failure = refused(call)
        assert (failure.code, failure.detail.field) == (DENIED, "with_surprise")


def test_size_of_an_answer_tells_of_the_tenants_records_alone(mine, refused, monkeypatch):
    """What is too large for a message is told in bytes, which would give the number away."""
    monkeypatch.setattr("vecdb.limits.MESSAGE_BYTES", 150)
    vectors = codec.vectors_to_wire(np.repeat(QUERY, 2, axis=0))
    request = pb.SearchRequest(collection="docs", queries=vectors, k=100)
    assert refused(lambda: mine.Search(request)).detail.actual == 2 * 5 * 16
    groups = pb.SearchGroupsRequest(
        collection="docs", query=codec.vectors_to_wire(QUERY), group_by="year", group_size=100
    )
    assert refused(lambda: mine.SearchGroups(groups)).detail.actual == 10 * 5 * 16
    monkeypatch.setattr("vecdb.limits.MESSAGE_BYTES", 70)
    scroll = pb.ScrollRequest(collection="docs", limit=1000, with_vector=True)
    assert refused(lambda: mine.Scroll(scroll)).detail.actual == 5 * 16
    get = pb.GetRequest(collection="docs", ids=codec.ids_to_wire(EVERY), with_vector=True)
    assert refused(lambda: mine.Get(get)).detail.actual == 5 * 16


# ------------------------------------------------------------------------------------ writes


def told(failure) -> tuple[object, ...]:
    detail = failure.detail
    return failure.code, failure.text, detail.reason, detail.field, detail.actual, detail.hint


def test_what_is_not_seen_is_as_if_it_were_not_there(mine, refused, everything):
    before = everything()
    for payload in (b'{"year":5}', b"{}"):
        failures = [
            told(
                refused(
                    lambda id=id, payload=payload: mine.SetPayload(
                        pb.SetPayloadRequest(
                            collection="docs", ids=codec.ids_to_wire([id]), payload=payload
                        )
                    )
                )
            )
            for id in (1, 30, 99)
        ]
        assert len(set(failures)) == 1
        assert failures[0][0] == grpc.StatusCode.NOT_FOUND
    gone = pb.DeleteRequest(collection="docs", ids=codec.ids_to_wire([*FOREIGN, *SHARED, 99]))
    assert mine.Delete(gone).count == 0
    where = pb.DeleteRequest(collection="docs", filter=CONDITIONS[3])
    assert mine.Delete(where).count == len(MINE)
    mine.Upsert(upsert_of(MINE))
    after = everything()
    assert sorted(map(len, before)) == sorted(map(len, after))


def test_record_of_another_is_refused_alike_under_any_condition(mine, refused, everything):
    before = everything()
    failures = set()
    for condition in (
        None,
        pb.Condition(if_absent=True),
        pb.Condition(if_present=True),
        *(pb.Condition(if_sequence=number) for number in (1, 2, 3, 1000)),
        *(pb.Condition(filter=one) for one in CONDITIONS[1:]),
    ):
        for ids in ([1], [20]):
            request = upsert_of(ids, condition=condition)
            failures.add(told(refused(lambda request=request: mine.Upsert(request))))
    assert len(failures) == 1
    (failure,) = failures
    assert (failure[0], failure[2]) == (DENIED, "NOT_OWNER")
    assert everything() == before


def test_idempotency_keys_of_others_are_not_met(mine):
    mine.Upsert(upsert_of([50], idempotency_key=b"first"))
    tenant_key, mine.key = mine.key, mine.admin
    other = mine.Upsert(upsert_of([60], idempotency_key=b"first", tenant="other"))
    nobody = mine.Upsert(upsert_of([70], idempotency_key=b"first"))
    mine.key = tenant_key
    assert not other.replayed
    assert not nobody.replayed
    assert mine.Upsert(upsert_of([50], idempotency_key=b"first")).replayed
