"""Writes for tenants, and as one: who owns and sees what is written, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from .sharing import line, seen, who


@pytest.fixture
def docs(api):
    """Ten records (i, 0, 0, 0), i of them of year 2000 + i % 2; nobody's."""
    made = api.create(fields={"year": "int"})
    made.upsert(list(range(10)), line(*range(10)), [{"year": 2000 + i % 2} for i in range(10)])
    return made


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
