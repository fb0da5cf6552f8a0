"""Fields declared, and taken back, when there are records already."""

from __future__ import annotations

import threading
from uuid import UUID

import numpy as np
import pytest

QUERY = np.ones(4, np.float32)


def upsert(docs, ids, payloads):
    rng = np.random.default_rng(min(ids))
    docs.upsert(ids, rng.standard_normal((len(ids), 4), dtype=np.float32), payloads)


def found(docs, filter):
    """Ids that match, which all calls agree about."""
    ids = docs.scroll(filter, limit=10_000).ids.tolist()
    assert docs.count(filter) == len(ids)
    assert sorted(docs.search(QUERY, 10_000, filter=filter).ids.tolist()) == ids
    return ids


@pytest.fixture
def docs(api):
    """Records in a segment, some changed since, and in the tail."""
    docs = api.create(fields={"lang": "keyword"})
    upsert(docs, range(40), [{"lang": "en", "year": 1980 + id} for id in range(40)])
    docs.seal()
    docs.set_payload([3, 4], {"year": 2020})
    docs.set_payload([5], {"lang": "de"}, replace=True)
    upsert(docs, range(38, 50), [{"year": [1980 + id, 2020]} for id in range(38, 50)])
    return docs


NEW = [3, 4, *range(38, 50)]


@pytest.mark.parametrize("wait", [False, True])
def test_added_field_is_exact_at_once_and_later(docs, wait):
    info = docs.add_field("year", "int", wait=wait)
    assert dict(info.fields) == {"lang": "keyword", "year": "int"}
    assert found(docs, {"year": 2020}) == NEW
    assert found(docs, {"year": {"between": [1990, 1992]}, "lang": "en"}) == [10, 11, 12]
    docs.add_field("year", "int", wait=True)
    for _ in range(2):
        assert found(docs, {"year": 2020}) == NEW
        assert found(docs, {"year": {"exists": False}}) == [5]
        assert found(docs, {"year": {"lt": 1983}}) == [0, 1, 2]
        docs.set_payload([0], {"year": 1981})
        docs.compact()


def test_writes_are_checked_against_an_added_field(api, docs):
    docs.add_field("year", "int")
    with api.refuses("InvalidArgument", "payloads[0].year"):
        upsert(docs, [1], [{"year": "new"}])
    with api.refuses("InvalidArgument", "payload.year"):
        docs.set_payload([1], {"year": "new"})
    upsert(docs, [100], [{"year": 2020}])
    assert found(docs, {"year": 2020}) == [*NEW, 100]


@pytest.mark.parametrize("at", ["segment", "tail", "patch"])
def test_record_that_does_not_fit_is_named_and_nothing_changed(api, docs, at):
    if at == "tail":
        upsert(docs, [77], [{"color": "red"}])
    elif at == "patch":
        docs.set_payload([7], {"color": "red"})
    else:
        upsert(docs, [77], [{"color": "red"}])
        docs.seal()
    before = docs.describe()
    with api.refuses("PreconditionFailed", "type", "UNFIT_RECORD") as caught:
        docs.add_field("color", "int")
    assert "record 7" in caught.value.message
    assert "'red'" in caught.value.message
    assert docs.describe().fields == before.fields
    with api.refuses("InvalidArgument", "filter.color", "UNINDEXED_FIELD") as caught:
        docs.count({"color": 1})
    assert "add_field" in caught.value.hint
    docs.add_field("color", "keyword")
    assert found(docs, {"color": "red"}) == [7 if at == "patch" else 77]


def test_name_of_a_field_in_another_spelling_is_found(api):
    docs = api.create()
    docs.upsert([1], QUERY[None], [b'{"\\u00e9t\\u00e9": "x"}'])
    with api.refuses("PreconditionFailed", "type", "UNFIT_RECORD"):
        docs.add_field("été", "int")
    docs.add_field("été", "keyword")
    assert docs.count({"été": "x"}) == 1


def test_same_field_again_changes_nothing_and_another_type_is_refused(api, docs):
    docs.add_field("year", "int")
    assert docs.add_field("year", "int").fields["year"] == "int"
    with api.refuses("AlreadyExists", "name"):
        docs.add_field("year", "float")


@pytest.mark.parametrize(
    ("name", "kind", "field"),
    [
        ("x", "shape", "type"),
        ("", "int", "name"),
        ("and", "int", "name"),
        ("x" * 129, "int", "name"),
    ],
)
def test_field_that_cannot_be_is_refused(api, docs, name, kind, field):
    with api.refuses("InvalidArgument", field):
        docs.add_field(name, kind)


def test_no_more_fields_than_the_bound(api):
    docs = api.create(fields={f"f{number}": "int" for number in range(256)})
    with api.refuses("LimitExceeded", "fields"):
        docs.add_field("one more", "int")


def test_collection_that_is_not_there(api):
    for call in (lambda d: d.add_field("x", "int"), lambda d: d.drop_field("x")):
        with api.refuses("NotFound", reason="NO_COLLECTION"):
            call(api.db.collection("nothing"))


def test_dropped_field_is_refused_by_filters_and_taken_by_writes(api, docs):
    info = docs.drop_field("lang")
    assert dict(info.fields) == {}
    with api.refuses("InvalidArgument", "filter.lang", "UNINDEXED_FIELD"):
        docs.count({"lang": "en"})
    assert docs.get([1]).payloads[0]["lang"] == "en"
    upsert(docs, [60], [{"lang": 5}])
    with api.refuses("NotFound", "name", "NO_FIELD"):
        docs.drop_field("lang")


def test_field_declared_anew_as_another_type_is_compared_as_that(docs):
    key = str(UUID(int=0xABC))
    upsert(docs, [60, 61], [{"lang": key}, {"lang": key.upper()}])
    docs.delete(range(50))
    docs.seal()
    assert found(docs, {"lang": key}) == [60]
    docs.drop_field("lang")
    docs.set_payload([60], {"lang": str(UUID(int=0xDEF))})
    docs.add_field("lang", "uuid", wait=True)
    assert found(docs, {"lang": key}) == [61]
    docs.drop_field("lang")
    docs.add_field("lang", "keyword", wait=True)
    assert found(docs, {"lang": key}) == []
    assert found(docs, {"lang": key.upper()}) == [61]
    assert found(docs, {"lang": str(UUID(int=0xDEF))}) == [60]


def test_every_type_can_be_added(docs):
    payload = {
        "a": "word",
        "b": True,
        "c": 1,
        "d": 0.5,
        "e": "2024-05-01T12:00:00Z",
        "f": str(UUID(int=9)),
        "g": {"lat": 1, "lon": 2},
        "h": "some words here",
    }
    kinds = ("keyword", "bool", "int", "float", "datetime", "uuid", "geo", "text")
    upsert(docs, [70, 71], [payload, {name: [value] for name, value in payload.items()}])
    docs.seal()
    for name, kind in zip(payload, kinds, strict=True):
        docs.add_field(name, kind, wait=True)
        assert found(docs, {name: {"exists": True}}) == [70, 71]
    assert found(docs, {"h": {"phrase": "words here"}, "c": 1}) == [70, 71]


def test_field_is_added_while_records_are_written(api, docs):
    """No record slips in that does not fit, and each that was taken is found."""
    if api.kind == "async":
        pytest.skip("its client is for one event loop")
    stop, taken, refused = threading.Event(), [], []

    def write(start):
        id = start
        while not stop.is_set():
            value = id if id % 7 else "seven"
            try:
                upsert(docs, [id], [{"extra": value}])
                taken.append(id)
            except api.errors.InvalidArgument:
                refused.append(id)
            id += 2

    threads = [threading.Thread(target=write, args=(1_000 + n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    done = 0
    try:
        while done < 8:
            try:
                docs.add_field("extra", "int")
            except api.errors.PreconditionFailed as error:
                if error.reason != "UNFIT_RECORD":
                    raise
                docs.delete([id for id in taken if not id % 7] or [1_001])
            else:
                done += 1
                assert all(isinstance(v, int) for v in extras(docs))
                docs.drop_field("extra")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    docs.delete([id for id in taken if not id % 7] or [1_001])
    docs.add_field("extra", "int", wait=True)
    assert found(docs, {"extra": {"exists": True}}) == sorted(id for id in taken if id % 7)


def extras(docs):
    """Values of ``extra`` while it is declared."""
    return [
        payload["extra"]
        for payload in docs.scroll({"extra": {"exists": True}}, limit=10_000).payloads
    ]
