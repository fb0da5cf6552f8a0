"""Conditions of a write and idempotency keys, embedded and remote."""

from __future__ import annotations

import pytest

KINDS = ("embedded", "remote")

FIELDS = {"lang": "keyword", "year": "int"}


# ------------------------------------------------------------------------------- conditions


def test_if_absent_writes_new_records_only(api, vectors):
    docs = api.create()
    docs.upsert([1, 2], vectors[:2], condition={"if_absent": True})
    before = api.everything(docs)
    with api.refuses("PreconditionFailed", "ids[2]"):
        docs.upsert([4, 3, 2, 1], vectors[4:], condition={"if_absent": True})
    assert api.everything(docs) == before
    docs.delete([2])
    docs.upsert([2, 3], vectors[:2], condition={"if_absent": True})
    assert docs.count() == 3


def test_if_present_overwrites_only(api, vectors):
    docs = api.create()
    docs.upsert([1, 2], vectors[:2])
    docs.upsert([2, 1], vectors[2:4], condition={"if_present": True})
    before = api.everything(docs)
    with api.refuses("PreconditionFailed", "ids[1]"):
        docs.upsert([1, 3], vectors[:2], condition={"if_present": True})
    assert api.everything(docs) == before


def test_if_sequence_holds_for_the_last_write_of_each_record(api, vectors):
    docs = api.create()
    first = docs.upsert([1, 2], vectors[:2]).sequence
    second = docs.upsert([2], vectors[2:3]).sequence
    before = api.everything(docs)
    for wrong in (first, second, second + 1, 2**63):
        with api.refuses("PreconditionFailed"):
            docs.upsert([1, 2], vectors[:2], condition={"if_sequence": wrong})
    with api.refuses("PreconditionFailed", "ids[0]"):
        docs.upsert([3], vectors[:1], condition={"if_sequence": first})
    assert api.everything(docs) == before
    sequence = docs.get([2]).sequences[0]  # as numpy gives it
    third = docs.upsert([2], vectors[:1], condition={"if_sequence": sequence}).sequence
    fourth = docs.set_payload([2], {"a": 1}).sequence  # is a write of the record
    with api.refuses("PreconditionFailed", "ids[0]"):
        docs.upsert([2], vectors[:1], condition={"if_sequence": third})
    docs.upsert([2], vectors[:1], condition={"if_sequence": fourth})
    docs.upsert([1], vectors[:1], condition={"if_sequence": first})


def test_filter_condition_looks_at_the_stored_payload(api, vectors):
    docs = api.create(fields=FIELDS)
    docs.upsert([1, 2, 3], vectors[:3], [{"year": 1}, {"year": 2}, None])
    newer = {"filter": api.F("year") < 3}
    docs.upsert([1, 2], vectors[:2], [{"year": 3}, {"year": 2}], condition=newer)
    before = api.everything(docs)
    for ids in ([2, 1], [2, 3], [2, 4]):  # does not match, no payload, not stored
        with api.refuses("PreconditionFailed", "ids[1]"):
            docs.upsert(ids, vectors[:2], condition=newer)
    assert api.everything(docs) == before
    without = {"filter": {"year": {"exists": False}}}
    docs.upsert([3], vectors[:1], condition=without)
    with api.refuses("PreconditionFailed", "ids[0]"):
        docs.upsert(
            [4], vectors[:1], condition=without
        )  # a record that is not there has no payload


@pytest.mark.parametrize(
    ("condition", "field"),
    [
        ("if_absent", "condition"),
        ({}, "condition"),
        ({"if_absent": True, "if_present": True}, "condition"),
        ({"if_new": True}, "condition"),
        ({5: True}, "condition"),
        ({"if_absent": False}, "condition"),
        ({"if_absent": 1}, "condition"),
        ({"if_present": None}, "condition"),
        ({"if_sequence": 0}, "condition"),
        ({"if_sequence": -1}, "condition"),
        ({"if_sequence": True}, "condition"),
        ({"if_sequence": "7"}, "condition"),
        ({"if_sequence": 7.0}, "condition"),
        ({"filter": None}, "condition"),
        ({"filter": 5}, "condition.filter"),
        ({"filter": {"nothing": 1}}, "condition.filter.nothing"),
        ({"filter": {"year": {"gte": "x"}}}, "condition.filter.year.gte"),
    ],
)
def test_malformed_condition_is_refused(api, vectors, condition, field):
    docs = api.create(fields=FIELDS)
    with api.refuses("InvalidArgument", field):
        docs.upsert([1], vectors[:1], condition=condition)
    assert docs.count() == 0


# ------------------------------------------------------------------------- idempotency keys


def test_repeated_key_gives_the_first_answer_and_writes_nothing(api, vectors, key):
    docs = api.create()
    first = docs.upsert([1, 2], vectors[:2], [{"a": 1}, None], idempotency_key=key)
    docs.delete([1])
    before = api.everything(docs)
    again = docs.upsert([1, 2], vectors[:2], [{"a": 1}, None], idempotency_key=key)
    assert (again.count, again.sequence, again.replayed) == (2, first.sequence, True)
    assert api.everything(docs) == before


def test_keys_cover_every_kind_of_write(api, vectors, key):
    docs = api.create(fields=FIELDS)
    docs.upsert([1, 2, 3, 4], vectors[:4], [{"year": year} for year in range(4)])
    for number, write in enumerate(
        (
            lambda key: docs.delete([1], idempotency_key=key),
            lambda key: docs.delete(filter={"year": 1}, idempotency_key=key),
            lambda key: docs.set_payload([3], {"a": 1}, idempotency_key=key),
            lambda key: docs.set_payload([4], {"a": 1}, replace=True, idempotency_key=key),
        )
    ):
        first = write(key + bytes([number]))
        before = api.everything(docs)
        again = write(key + bytes([number]))
        assert (first.replayed, again.replayed) == (False, True)
        assert (again.count, again.sequence) == (first.count, first.sequence) == (1, before[1])
        assert api.everything(docs) == before


def test_key_of_another_request_is_refused(api, vectors, key):
    docs, other = api.create(fields=FIELDS), api.create("other", fields=FIELDS)
    key = {"idempotency_key": key}
    docs.upsert([1, 2], vectors[:2], [{"year": 1}, None], **key)
    before = api.everything(docs)
    for write in (
        lambda: docs.upsert([1, 3], vectors[:2], [{"year": 1}, None], **key),
        lambda: docs.upsert([1, 2], vectors[1:3], [{"year": 1}, None], **key),
        lambda: docs.upsert([1, 2], vectors[:2], [{"year": 2}, None], **key),
        lambda: docs.upsert([1, 2], vectors[:2], [None, {"year": 1}], **key),
        lambda: docs.upsert([1, 2], vectors[:2], **key),
        lambda: docs.upsert([2, 1], vectors[:2], [{"year": 1}, None], **key),
        lambda: docs.upsert(
            [1, 2], vectors[:2], [{"year": 1}, None], condition={"if_present": True}, **key
        ),
        lambda: docs.delete([1, 2], **key),
        lambda: docs.delete(filter={"year": 1}, **key),
        lambda: docs.set_payload([1, 2], {"year": 1}, **key),
        lambda: other.upsert([1, 2], vectors[:2], [{"year": 1}, None], **key),
    ):
        with api.refuses("InvalidArgument", "idempotency_key", "KEY_REUSED"):
            write()
    assert api.everything(docs) == before
    assert other.count() == 0


def test_ids_that_look_alike_when_joined_are_different_requests(api, vectors, key):
    docs = api.create()
    docs.upsert(["a", "b", "a\x00b"], vectors[:3])
    docs.delete(["a\x00b"], idempotency_key=key)
    with api.refuses("InvalidArgument", "idempotency_key", "KEY_REUSED"):
        docs.delete(["a", "b"], idempotency_key=key)
    assert docs.scroll().ids == ["a", "b"]


def test_refused_write_leaves_its_key_free(api, vectors, key):
    docs = api.create()
    with api.refuses("PreconditionFailed"):
        docs.upsert([1], vectors[:1], condition={"if_present": True}, idempotency_key=key)
    with api.refuses("NotFound"):
        docs.set_payload([1], {}, idempotency_key=key)
    result = docs.upsert([1], vectors[:1], idempotency_key=key)
    assert not result.replayed
    assert docs.count() == 1


def test_condition_is_not_asked_again_for_a_repeated_key(api, vectors, key):
    docs = api.create()
    options = {"condition": {"if_absent": True}, "idempotency_key": key}
    docs.upsert([1], vectors[:1], **options)
    assert docs.upsert([1], vectors[:1], **options).replayed


@pytest.mark.parametrize("key", [b"", b"k" * 65, "text", 5, bytearray(b"key")])
def test_key_is_1_to_64_bytes(api, vectors, key):
    docs = api.create()
    for write in (
        lambda: docs.upsert([1], vectors[:1], idempotency_key=key),
        lambda: docs.delete([1], idempotency_key=key),
        lambda: docs.set_payload([1], {}, idempotency_key=key),
    ):
        with api.refuses("InvalidArgument", "idempotency_key"):
            write()
