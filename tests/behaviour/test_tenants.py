"""Tenants: what each sees, owns and may do, and that what is refused changes nothing."""

from __future__ import annotations

import time

import pytest

from .sharing import line, seen, who

SECONDS = 30.0


@pytest.fixture
def docs(api):
    """Ten records (i, 0, 0, 0), i of them of year 2000 + i % 2; nobody's."""
    made = api.create(fields={"year": "int"})
    made.upsert(list(range(10)), line(*range(10)), [{"year": 2000 + i % 2} for i in range(10)])
    return made


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
