"""delete and set_payload: records taken out, payloads changed."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.testing.model import Model

FIELDS = {"lang": "keyword", "year": "int"}


@pytest.fixture
def model():
    return Model(dim=4, metric="l2")


@pytest.fixture
def docs(api, rng, model):
    """Records 0 .. 49; ``model`` has them too."""
    made = api.create(fields=FIELDS)
    vectors = rng.standard_normal((50, 4)).astype(np.float32)
    payloads = [{"year": id, "lang": "en" if id % 2 else "de"} for id in range(50)]
    result = made.upsert(np.arange(50), vectors, payloads)
    model.upsert(range(50), vectors, payloads, sequence=result.sequence)
    return made


@pytest.fixture
def query():
    return np.ones(4, np.float32)


# ------------------------------------------------------------------------------------ delete


def test_deleted_record_never_matches(docs, model, query):
    best = docs.search(query, 3).ids.tolist()
    result = docs.delete(best)
    assert (result.count, result.sequence) == (3, docs.describe().sequence)
    model.delete(best)
    model.check(docs)
    model.check_search(docs, query, 50)
    assert docs.get(best).missing.tolist() == best


def test_ids_that_are_not_stored_are_passed_over(docs, model):
    assert docs.delete([48, 49, 50, -1, 49]).count == 2
    model.delete([48, 49])
    model.check(docs)
    before = docs.describe()
    assert docs.delete([48, 49]).count == 0
    assert docs.describe() == before


def test_deleted_record_may_come_again_and_is_a_new_one(docs, model, query):
    docs.delete([1])
    result = docs.upsert([1], query[None])
    model.delete([1])
    model.upsert([1], query[None], sequence=result.sequence)
    model.check(docs)
    model.check_search(docs, query, 1)
    assert docs.get([1]).payloads == [None]


def test_delete_by_filter_takes_all_that_match(api, docs, model, query):
    result = docs.delete(filter=(api.F("lang") == "en") & (api.F("year") >= 20))
    gone = model.matching(lambda one: one["lang"] == "en" and one["year"] >= 20)
    assert result.count == len(gone) == 15
    model.delete(gone)
    model.check(docs)
    model.check_search(docs, query, 50)
    assert docs.delete(filter={"lang": "en", "year": {"gte": 20}}).count == 0


def test_delete_by_filter_sees_the_writes_before_it(docs):
    docs.set_payload(list(range(10)), {"lang": "fr"}, wait=False)
    assert docs.delete(filter={"lang": "fr"}).count == 10


def test_delete_of_everything_leaves_an_empty_collection(docs, query):
    assert docs.delete(filter={}).count == 50
    assert docs.count() == 0
    assert len(docs.search(query)) == 0
    assert len(docs.scroll()) == 0
    docs.upsert([7], query[None])
    assert docs.search(query).ids.tolist() == [7]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({}, "ids"),
        ({"ids": [1], "filter": {"year": 1}}, "ids"),
        ({"ids": []}, "ids"),
        ({"ids": "1"}, "ids"),
        ({"ids": [1, None]}, "ids[1]"),
        ({"filter": {"nothing": 1}}, "filter.nothing"),
        ({"filter": "year = 1"}, "filter"),
        ({"filter": {"year": {"gte": None}}}, "filter.year.gte"),
    ],
)
def test_delete_that_makes_no_sense_is_refused(api, docs, model, arguments, field):
    with api.refuses("InvalidArgument", field):
        docs.delete(**arguments)
    model.check(docs)


# ------------------------------------------------------------------------------- set_payload


def test_patch_is_merged_key_by_key(docs, model):
    patch = {"lang": "fr", "new": {"a": [1]}, "year": None}
    result = docs.set_payload([3, 1], patch)
    assert (result.count, result.sequence) == (2, docs.describe().sequence)
    model.set_payload([3, 1], patch, merge=True, sequence=result.sequence)
    result = docs.set_payload([1], {"new": {"b": 2}})  # replaces the value of its key
    model.set_payload([1], {"new": {"b": 2}}, merge=True, sequence=result.sequence)
    model.check(docs)
    assert docs.get([1]).payloads == [{"year": None, "lang": "fr", "new": {"b": 2}}]
    assert docs.count({"lang": "fr"}) == 2


def test_payload_is_replaced_where_told_so(docs, model):
    result = docs.set_payload([3, 1], {"a": 1}, replace=True)
    model.set_payload([3, 1], {"a": 1}, merge=False, sequence=result.sequence)
    model.check(docs)
    assert docs.count({"lang": {"exists": False}}) == 2


def test_record_without_payload_gets_one(docs, query):
    docs.upsert([100, 101], np.stack([query, query]))
    docs.set_payload([100], {"a": 1})
    docs.set_payload([101], {})
    assert docs.get([100, 101]).payloads == [{"a": 1}, {}]


def test_patch_may_be_json_text(docs):
    docs.set_payload([1], b' {"b": [1, 2]} ')
    assert docs.get([1]).payloads == [{"year": 1, "lang": "en", "b": [1, 2]}]


def test_patch_leaves_vectors_and_the_search_alone(docs, model, query):
    result = docs.set_payload(list(range(50)), {"seen": True})
    model.set_payload(range(50), {"seen": True}, merge=True, sequence=result.sequence)
    model.check(docs)
    model.check_search(docs, query, 10)


def test_unknown_record_is_named_and_nothing_is_changed(api, docs, model):
    with api.refuses("NotFound", "ids[2]"):
        docs.set_payload([1, 2, 77, 78], {"a": 1})
    model.check(docs)


@pytest.mark.parametrize(
    ("ids", "payload", "field"),
    [
        ([], {}, "ids"),
        ([1, 1], {}, "ids[1]"),
        ([1], None, "payload"),
        ([1], b"", "payload"),
        ([1], [1], "payload"),
        ([1], {"year": "x"}, "payload.year"),
        ([1], {"a": float("nan")}, "payload"),
        (["a"], {}, "ids"),
    ],
)
def test_patch_that_makes_no_sense_is_refused(api, docs, model, ids, payload, field):
    with api.refuses("InvalidArgument", field):
        docs.set_payload(ids, payload)
    model.check(docs)


def test_merged_payload_has_the_same_limit(api, docs, model):
    half = {"a": "x" * 600_000}
    result = docs.set_payload([1], half)
    model.set_payload([1], half, merge=True, sequence=result.sequence)
    with api.refuses("LimitExceeded", "ids[1]") as caught:
        docs.set_payload([2, 1], {"b": "x" * 600_000})
    assert caught.value.limit == 2**20 < caught.value.actual
    model.check(docs)


def test_changes_of_an_unknown_collection_are_not_found(api):
    nothing = api.db.collection("nothing")
    for call in (
        lambda: nothing.delete([1]),
        lambda: nothing.delete(filter={}),
        lambda: nothing.set_payload([1], {}),
        lambda: nothing.upload(np.ones((1, 4), np.float32), progress=False),
    ):
        with api.refuses("NotFound", "name", "NO_COLLECTION"):
            call()
