"""Tenants: what each sees, owns and may do, and that what is refused changes nothing."""

from __future__ import annotations

import time

import numpy as np
import pytest

SECONDS = 30.0


@pytest.fixture
def docs(api):
    """Ten records (i, 0, 0, 0), i of them of year 2000 + i % 2; nobody's."""
    made = api.create(fields={"year": "int"})
    made.upsert(list(range(10)), line(*range(10)), [{"year": 2000 + i % 2} for i in range(10)])
    return made


def line(*numbers):
    vectors = np.zeros((len(numbers), 4), np.float32)
    vectors[:, 0] = numbers
    return vectors


def seen(docs, tenant):
    """Ids that a tenant sees; the same by every way to read."""
    ids = sorted(docs.scroll(limit=1000, tenant=tenant).ids)
    query = line(0)[0]
    for mode in ("auto", "exact", "scan"):
        assert sorted(docs.search(query, 1000, tenant=tenant, mode=mode).ids) == ids
    assert sorted(docs.search_batch(line(0, 5), 1000, tenant=tenant)[1].ids) == ids
    assert docs.explain(query, tenant=tenant).matching == len(ids)
    assert docs.count(tenant=tenant) == len(ids)
    assert list(docs.get(list(range(50)), tenant=tenant).ids) == ids
    years = [docs.count({"year": year}, tenant=tenant) for year in (2000, 2001)]
    for year, count in zip((2000, 2001), years, strict=True):
        assert len(docs.search(query, 1000, tenant=tenant, filter={"year": year})) == count
    return ids


def who(docs, id):
    access = docs.who_sees(id)
    return access.owner, access.tenants


# ------------------------------------------------------------------------------------- grants


def test_tenant_sees_what_was_granted_to_it_and_no_more(docs):
    assert seen(docs, "ann") == []
    result = docs.grant([1, 2, 99], "ann")
    assert result.count == 2
    assert seen(docs, "ann") == [1, 2]
    assert docs.grant([2, 3], ["ann", "bob"]).count == 2
    assert (seen(docs, "ann"), seen(docs, "bob")) == ([1, 2, 3], [2, 3])
    assert docs.grant([2, 3], ("bob", "ann", "bob")).count == 0
    assert len(docs.scroll(limit=100)) == 10
    assert who(docs, 2) == (None, ("ann", "bob"))
    assert who(docs, 9) == (None, ())


def test_what_is_revoked_is_seen_no_more(docs):
    docs.grant(list(range(6)), ["ann", "bob"])
    assert docs.revoke([0, 1, 9, 99], "ann").count == 2
    assert (seen(docs, "ann"), seen(docs, "bob")) == ([2, 3, 4, 5], [0, 1, 2, 3, 4, 5])
    assert docs.revoke([0, 1], "ann").count == 0
    docs.grant([0], "ann")
    assert seen(docs, "ann") == [0, 2, 3, 4, 5]


def test_grants_are_the_same_once_records_are_sealed(docs):
    docs.grant([1, 2, 3], "ann")
    docs.seal()
    assert seen(docs, "ann") == [1, 2, 3]
    docs.grant([4], "ann")
    docs.revoke([1], "ann")
    assert seen(docs, "ann") == [2, 3, 4]
    docs.upsert([3, 11], line(3, 11))
    docs.compact()
    assert seen(docs, "ann") == [2, 3, 4]


def test_text_ids_are_granted_too(api):
    made = api.create()
    made.upsert(["a", "b"], line(1, 2))
    assert made.grant(["a", "c"], "ann").count == 1
    assert list(made.search(line(0)[0], tenant="ann").ids) == ["a"]
    assert made.who_sees("a").tenants == ("ann",)


def test_bad_grants_are_refused_and_change_nothing(api, docs):
    for call in (docs.grant, docs.revoke):
        with api.refuses("InvalidArgument", "tenants"):
            call([1], [])
        with api.refuses("InvalidArgument", "tenants"):
            call([1], 5)
        with api.refuses("InvalidArgument", "tenants", "BAD_NAME"):
            call([1], "a b")
        with api.refuses("InvalidArgument", "tenants[1]", "BAD_NAME"):
            call([1], ["ann", ".x"])
        with api.refuses("InvalidArgument", "ids"):
            call([], "ann")
        with api.refuses("InvalidArgument", "ids[1]", "DUPLICATE_ID"):
            call([1, 1], "ann")
        with api.refuses("InvalidArgument", "ids", "WRONG_ID_KIND"):
            call(["a"], "ann")
        with api.refuses("LimitExceeded", "tenants"):
            call([1], [f"t{number}" for number in range(4_097)])
    with api.refuses("NotFound", "tenants", "NO_TENANT"):
        docs.revoke([1], "nobody")
    with api.refuses("NotFound", None, "NO_COLLECTION"):
        api.db.collection("nothing").grant([1], "ann")
    assert docs.tenants() == []


# -------------------------------------------------------------------------- tenants of a write


def test_write_says_who_sees_its_records(docs):
    docs.upsert([20], line(20), tenants="ann")
    docs.upsert([21, 22], line(21, 22), tenants=["bob", "ann"])
    docs.upsert([23, 24, 25], line(23, 24, 25), tenants=[["ann"], [], ("cat", "bob", "cat")])
    docs.upsert(rows=[{"id": 26, "vector": line(26)[0]}], tenants=["cat"])
    assert [who(docs, id) for id in range(20, 27)] == [
        ("ann", ("ann",)),
        ("bob", ("ann", "bob")),
        ("bob", ("ann", "bob")),
        ("ann", ("ann",)),
        (None, ()),
        ("cat", ("bob", "cat")),
        ("cat", ("cat",)),
    ]


def test_rewrite_keeps_who_sees_a_record_unless_it_says_so(docs):
    docs.upsert([20, 21], line(20, 21), tenants=["ann", "bob"])
    docs.upsert([20, 21], line(30, 31))
    assert who(docs, 20) == ("ann", ("ann", "bob"))
    docs.upsert([20], line(40), tenants="cat")
    docs.upsert([21], line(41), tenants=[])
    assert who(docs, 20) == ("cat", ("cat",))
    assert who(docs, 21) == (None, ())


def test_bad_tenants_of_a_write_are_refused_and_nothing_is_written(api, docs):
    for field, tenants in [
        ("tenants", 5),
        ("tenants", b"ann"),
        ("tenants", "a b"),
        ("tenants[1]", ["ann", ""]),
        ("tenants[1]", [["ann"], 5]),
        ("tenants[1][0]", [["ann"], ["a/b"]]),
        ("tenants[1]", [["ann"], "a/b"]),
        ("tenants", [["ann"]]),
        ("tenants", [["ann"], [], []]),
    ]:
        with api.refuses("InvalidArgument", field):
            docs.upsert([20, 21], line(20, 21), tenants=tenants)
    with api.refuses("LimitExceeded", "tenants"):
        docs.upsert([20], line(20), tenants=[f"t{number}" for number in range(4_097)])
    with api.refuses("InvalidArgument", "tenants"):
        docs.upsert([20], line(20), tenants="ann", tenant="ann")
    with api.refuses("InvalidArgument", "tenant", "BAD_NAME"):
        docs.upsert([20], line(20), tenant="a b")
    assert docs.count() == 10
    assert docs.tenants() == []


def test_many_lists_of_tenants_fit_a_batch(docs):
    ids = list(range(100, 3_100))
    lists = [[f"t{id % 7}", "all"] for id in ids]
    docs.upsert(ids, line(*ids), tenants=lists)
    assert docs.tenant("all").visible == 3_000
    assert docs.tenant("t3").records == sum(id % 7 == 3 for id in ids)
    assert docs.count(tenant="t3") == docs.tenant("t3").visible == docs.tenant("t3").records


def test_same_key_with_other_tenants_is_another_request(api, docs, key):
    first = docs.upsert([20], line(20), tenants=["ann", "bob"], idempotency_key=key)
    again = docs.upsert([20], line(20), tenants=["ann", "bob"], idempotency_key=key)
    assert (again.replayed, again.sequence) == (True, first.sequence)
    for tenants in (None, [], ["bob", "ann"], [["ann", "bob"]]):
        with api.refuses("InvalidArgument", "idempotency_key", "KEY_REUSED"):
            docs.upsert([20], line(20), tenants=tenants, idempotency_key=key)


# ------------------------------------------------------------------------------- as a tenant


def test_tenant_owns_what_it_writes(docs):
    docs.upsert([20, 21], line(20, 21), tenant="ann")
    assert who(docs, 20) == ("ann", ("ann",))
    assert seen(docs, "ann") == [20, 21]
    docs.grant([20], "bob")
    docs.upsert([20], line(22), tenant="ann")
    assert who(docs, 20) == ("ann", ("ann", "bob"))


def test_tenant_writes_no_record_of_another(api, docs):
    docs.upsert([20], line(20), [{"year": 1}], tenant="ann")
    docs.grant([20], "bob")
    for ids in ([20], [30, 20], [3]):
        with api.refuses("PermissionDenied", f"ids[{len(ids) - 1}]", "NOT_OWNER"):
            docs.upsert(ids, line(*ids), tenant="bob")
    with api.refuses("PermissionDenied", "ids[0]", "NOT_OWNER"):
        docs.set_payload([20], {"year": 2}, tenant="bob")
    assert docs.delete([20, 3], tenant="bob").count == 0
    assert docs.delete(filter={"year": 1}, tenant="bob").count == 0
    assert docs.count() == 11
    assert docs.get([20], tenant="bob").payloads == [{"year": 1}]


def test_condition_tells_a_tenant_nothing_of_another(api, docs):
    """The refusal comes before the condition is looked at, and is the same for any."""
    docs.upsert([20], line(20), [{"year": 1}], tenant="ann")
    texts = set()
    for condition in (
        {"if_absent": True},
        {"if_present": True},
        {"if_sequence": 1},
        {"filter": {"year": 1}},
        {"filter": {"year": 2}},
        None,
    ):
        with api.refuses("PermissionDenied", "ids[0]", "NOT_OWNER") as caught:
            docs.upsert([20], line(20), condition=condition, tenant="bob")
        texts.add(str(caught.value))
    assert len(texts) == 1


def test_what_a_tenant_does_not_see_is_as_if_it_were_not_there(api, docs):
    docs.upsert([20], line(20), tenant="ann")
    told = []
    for id in (20, 99):
        assert list(docs.get([id], tenant="bob").missing) == [id]
        with api.refuses("NotFound", "ids[0]") as caught:
            docs.set_payload([id], {"year": 1}, tenant="bob")
        told.append((str(caught.value), caught.value.reason, caught.value.hint))
    assert told[0] == told[1]


def test_tenant_changes_and_deletes_what_it_owns(docs):
    docs.upsert([20, 21, 22], line(20, 21, 22), [{"year": 7}] * 3, tenant="ann")
    docs.set_payload([20], {"year": 8}, tenant="ann")
    assert docs.delete([21, 0], tenant="ann").count == 1
    assert docs.delete(filter={"year": {"lte": 8}}, tenant="ann").count == 2
    assert docs.count() == 10
    info = docs.tenant("ann")
    assert (info.visible, info.records, info.bytes) == (0, 0, 0)


def test_tenants_have_idempotency_keys_of_their_own(docs, key):
    first = docs.upsert([20], line(20), tenant="ann", idempotency_key=key)
    second = docs.upsert([21], line(21), tenant="bob", idempotency_key=key)
    assert not second.replayed
    assert docs.upsert([20], line(20), tenant="ann", idempotency_key=key).sequence == first.sequence
    assert docs.delete([21], tenant="bob", idempotency_key=key[1:]).replayed is False


def test_bad_tenant_of_a_call_is_refused_by_every_one(api, docs):
    query = line(1)[0]
    for call in (
        lambda name: docs.search(query, tenant=name),
        lambda name: docs.search_batch([query], tenant=name),
        lambda name: docs.explain(query, tenant=name),
        lambda name: docs.get([1], tenant=name),
        lambda name: docs.count(tenant=name),
        lambda name: docs.scroll(tenant=name),
        lambda name: docs.upsert([1], line(1), tenant=name),
        lambda name: docs.upload(line(1), tenant=name, progress=False),
        lambda name: docs.delete([1], tenant=name),
        lambda name: docs.set_payload([1], {}, tenant=name),
    ):
        for name in ("", "a b", ".a", "a" * 129, 5, ["ann"]):
            with api.refuses("InvalidArgument", "tenant", "BAD_NAME"):
                call(name)


# ------------------------------------------------------------------------------------- upload


def test_upload_is_for_tenants_or_as_one(api, docs):
    matrix = line(*range(100, 300))
    ids = np.arange(100, 300)
    docs.upload(matrix, ids, tenants=["ann", "bob"], progress=False)
    assert who(docs, 100) == ("ann", ("ann", "bob"))
    docs.upload(matrix[:10], ids[:10], progress=False)
    assert docs.count(tenant="bob") == 200
    docs.upload(matrix, ids + 1_000, tenant="cat", progress=False)
    assert docs.tenant("cat").records == 200
    docs.upload(matrix[:1], [100], tenants=[], progress=False)
    assert who(docs, 100) == (None, ())
    with api.refuses("PermissionDenied", None, "NOT_OWNER"):
        docs.upload(matrix, ids, tenant="cat", progress=False)
    with api.refuses("InvalidArgument", "tenants"):
        docs.upload(matrix, ids, tenant="cat", tenants="cat", progress=False)
    with api.refuses("InvalidArgument", "tenants[0]"):
        docs.upload(matrix, ids, tenants=[["ann"]], progress=False)


# ------------------------------------------------------------------------------------ tenants


def test_tenants_are_listed_by_name_in_pages(docs):
    docs.grant([1], ["bob", "ann", "cat", "Zoe"])
    names = [one.name for one in docs.tenants()]
    assert names == ["Zoe", "ann", "bob", "cat"]
    assert [one.name for one in docs.tenants(limit=2)] == names[:2]
    assert [one.name for one in docs.tenants("ann", 2)] == names[2:]
    assert docs.tenants(after="cat") == []
    assert docs.tenants()[1] == docs.tenant("ann")


def test_tenant_tells_what_it_has(docs):
    before = time.time()
    docs.upsert([20, 21], line(20, 21), [{"year": 1}, None], tenant="ann")
    docs.grant([1, 2, 3], "ann")
    info = docs.tenant("ann")
    assert (info.name, info.visible, info.records) == ("ann", 5, 2)
    assert info.bytes == 2 * 16 + len(b'{"year":1}')
    assert before - 1 < info.created < time.time() + 1
    assert (info.max_records, info.max_bytes, info.rate) == (None, None, None)


def test_who_is_not_there_is_not_found(api, docs):
    with api.refuses("NotFound", None, "NO_TENANT"):
        docs.tenant("ann")
    with api.refuses("NotFound", None, "NO_TENANT"):
        docs.delete_tenant("ann")
    with api.refuses("NotFound", "source", "NO_TENANT"):
        docs.copy_tenant("ann", "bob")
    with api.refuses("NotFound", "id", "NO_RECORD"):
        docs.who_sees(99)
    for name in ("", "a b", 5, None):
        with api.refuses("InvalidArgument", "name", "BAD_NAME"):
            docs.tenant(name)
        with api.refuses("InvalidArgument", "name", "BAD_NAME"):
            docs.delete_tenant(name)
        with api.refuses("InvalidArgument", "name", "BAD_NAME"):
            docs.set_quota(name)
        with api.refuses("InvalidArgument", "target", "BAD_NAME"):
            docs.copy_tenant("ann", name)
    with api.refuses("InvalidArgument", "after", "BAD_NAME"):
        docs.tenants("a b")
    for limit in (0, 10_001, True, "5"):
        with api.refuses("InvalidArgument", "limit"):
            docs.tenants(limit=limit)
    with api.refuses("InvalidArgument", "id[0]"):
        docs.who_sees(None)


def test_copy_sees_the_same_and_goes_its_own_way(api, docs):
    docs.upsert([10], line(10), tenant="ann")
    docs.grant([1, 2], "ann")
    assert docs.copy_tenant("ann", "bob").count == 3
    assert seen(docs, "bob") == seen(docs, "ann") == [1, 2, 10]
    assert docs.tenant("bob").records == 0
    docs.grant([3], "ann")
    docs.revoke([1], "bob")
    assert (seen(docs, "ann"), seen(docs, "bob")) == ([1, 2, 3, 10], [2, 10])
    with api.refuses("AlreadyExists", "target"):
        docs.copy_tenant("ann", "bob")
    with api.refuses("PermissionDenied", "ids[0]", "NOT_OWNER"):
        docs.upsert([10], line(11), tenant="bob")


def test_deleted_tenant_sees_nothing_and_what_only_it_had_goes(docs):
    docs.upsert([10, 11], line(10, 11), tenant="ann")
    docs.grant([11, 1], ["bob", "ann"])
    assert docs.delete_tenant("ann").count == 2
    assert seen(docs, "ann") == []
    assert [one.name for one in docs.tenants()] == ["bob"]
    end = time.monotonic() + SECONDS
    while docs.count() > 11 and time.monotonic() < end:
        time.sleep(0.01)
    assert docs.count() == 11
    assert who(docs, 11) == (None, ("bob",))
    docs.grant([2], "ann")  # another of the same name
    assert seen(docs, "ann") == [2]


# ------------------------------------------------------------------------------------- quotas


def test_quota_bounds_what_a_tenant_owns(api, docs):
    info = docs.set_quota("ann", max_records=2, max_bytes=1_000, rate=2)
    assert (info.max_records, info.max_bytes, info.rate) == (2, 1_000, 2.0)
    assert docs.tenant("ann") == info
    docs.upsert([20], line(20), tenant="ann")
    for options in ({"tenant": "ann"}, {"tenants": ["ann", "bob"]}):
        with api.refuses("LimitExceeded", "tenant", "TENANT_QUOTA") as caught:
            docs.upsert([21, 22], line(21, 22), **options)
        assert (caught.value.limit, caught.value.actual) == (2, 3)
    with api.refuses("LimitExceeded", "tenant", "TENANT_QUOTA"):
        docs.upsert([20], line(20), [{"text": "x" * 1_000}], tenant="ann")
    with api.refuses("LimitExceeded", "tenant", "TENANT_QUOTA"):
        docs.set_payload([20], {"text": "x" * 1_000}, tenant="ann")
    assert docs.count() == 11
    docs.grant(list(range(10)), "ann")  # what it sees is not bounded
    docs.set_quota("ann", max_records=0)
    docs.upsert([20], line(23), tenant="ann")  # it keeps what it has
    assert docs.set_quota("ann").max_records is None
    docs.upsert([21, 22], line(21, 22), tenant="ann")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[(field, value) for field in ("max_records", "max_bytes") for value in (-1, 2**63)],
        *[(field, value) for field in ("max_records", "max_bytes") for value in (True, 1.0, "1")],
        *[("rate", value) for value in (0, -1, 1e9, float("nan"), float("inf"), 10**400)],
        *[("rate", value) for value in (True, "1")],
    ],
)
def test_bad_quota_is_refused_and_makes_no_tenant(api, docs, field, value):
    with api.refuses("InvalidArgument", field):
        docs.set_quota("ann", **{field: value})
    assert docs.tenants() == []
