"""get, count and scroll: records read back."""

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
    """Records 0, 10, .., 990; those of an even place have a payload. ``model`` has them too."""
    made = api.create(fields=FIELDS)
    ids = np.arange(0, 1_000, 10)
    vectors = rng.standard_normal((100, 4)).astype(np.float32)
    payloads = [{"year": place, "lang": "en"} if place % 2 == 0 else None for place in range(100)]
    result = made.upsert(ids, vectors, payloads)
    model.upsert(ids.tolist(), vectors, payloads, sequence=result.sequence)
    return made


# --------------------------------------------------------------------------------------- get


def test_get_keeps_the_order_asked_and_tells_what_is_missing(docs, model):
    records = docs.get([990, 5, 0, 995, 10, -1], with_vector=True)
    model.check_records(records, [990, 0, 10])
    assert records.missing.tolist() == [5, 995, -1]
    assert records.next is None


def test_get_answers_as_often_as_asked(docs, model):
    records = docs.get([10, 10, 3, 0, 10, 3], with_vector=True)
    model.check_records(records, [10, 10, 0, 10])
    assert records.missing.tolist() == [3, 3]


def test_get_of_nothing_that_is_stored(docs):
    records = docs.get([1, 2], with_vector=True)
    assert len(records) == 0
    assert records.ids.tolist() == []
    assert records.payloads == []
    assert records.vectors.shape == (0, 4)
    assert records.missing.tolist() == [1, 2]


def test_columns_that_were_not_asked_for_are_none(docs):
    assert docs.get([0]).vectors is None
    bare = docs.get([0], with_payload=False)
    assert (bare.payloads, bare.payload_bytes, bare.vectors) == (None, None, None)
    assert bare[0].payload is None
    assert docs.scroll(limit=1, with_payload=False).payloads is None
    assert docs.scroll(limit=1).vectors is None


def test_rows_are_a_view_of_the_columns(docs):
    records = docs.get([0, 10], with_vector=True)
    first, second = records
    assert (first.id, first.payload, second.payload) == (0, {"year": 0, "lang": "en"}, None)
    assert type(first.id) is type(first.sequence) is int
    assert (second.vector == records.vectors[1]).all()
    assert records[-1].id == 10
    with pytest.raises(IndexError):
        records[2]


def test_empty_answers_have_the_kind_of_the_collection(api):
    texts = api.create("texts")
    texts.upsert(["a"], np.ones((1, 4), np.float32))
    assert texts.get(["a"]).missing == []
    assert texts.get(["b"]).ids == []
    assert texts.scroll(after="a").ids == []
    assert texts.search(np.ones(4, np.float32), min_score=1.0).ids == []
    numbers = api.create("numbers")
    numbers.upsert([1], np.ones((1, 4), np.float32))
    for ids in (
        numbers.get([1]).missing,
        numbers.get([2]).ids,
        numbers.scroll(after=1).ids,
        numbers.search(np.ones(4, np.float32), min_score=1.0).ids,
    ):
        assert isinstance(ids, np.ndarray)
        assert (ids.dtype, len(ids)) == (np.int64, 0)


# ------------------------------------------------------------------------------------ scroll


@pytest.mark.parametrize("limit", [1, 7, 50, 99, 100, 101, 10_000])
def test_pages_together_are_all_records_once(docs, limit):
    after, seen, pages = None, [], 0
    while True:
        page = docs.scroll(after=after, limit=limit)
        assert len(page) <= limit
        seen += page.ids.tolist()
        pages += 1
        after = page.next
        if after is None:
            break
        assert after == seen[-1]
    assert seen == list(range(0, 1_000, 10))
    assert pages == -(-100 // limit)


def test_page_has_everything_of_its_records(docs, model):
    model.check(docs)


def test_scroll_goes_on_behind_ids_that_are_not_stored(docs):
    assert docs.scroll(after=983).ids.tolist() == [990]
    assert docs.scroll(after=-(2**63), limit=1).ids.tolist() == [0]
    assert docs.scroll(after=990).ids.tolist() == []
    assert docs.scroll(after=990).next is None


def test_scroll_of_a_filter_pages_through_what_matches(docs):
    seen, after = [], None
    while True:
        page = docs.scroll({"year": {"gte": 50}}, after=after, limit=10)
        seen += page.ids.tolist()
        after = page.next
        if after is None:
            break
    assert seen == list(range(500, 1_000, 20))


def test_default_page_has_100_records(api):
    docs = api.create(dim=1)
    docs.upsert(np.arange(101), np.ones((101, 1), np.float32))
    page = docs.scroll()
    assert (len(page), page.next) == (100, 99)


def test_scroll_sees_writes_between_its_pages(docs):
    first = docs.scroll(limit=50)
    docs.delete([first.next + 10])
    docs.upsert([first.next + 1], np.ones((1, 4), np.float32))
    following = docs.scroll(after=first.next, limit=2)
    assert following.ids.tolist() == [first.next + 1, first.next + 20]


@pytest.mark.parametrize("limit", [0, -1, 10_001, 2**40, 1.0, "5", True, None])
def test_limit_outside_its_bounds_is_refused(api, docs, limit):
    with api.refuses("InvalidArgument", "limit"):
        docs.scroll(limit=limit)


@pytest.mark.parametrize("after", [1.5, [1], True, 2**63, -(2**63) - 1, b"a", {"a": 1}])
def test_after_is_one_id(api, docs, after):
    with api.refuses("InvalidArgument", "after"):
        docs.scroll(after=after)


def test_after_may_be_any_whole_number(docs):
    assert docs.scroll(after=np.int64(970)).ids.tolist() == [980, 990]
    assert docs.scroll(after=2**63 - 1).ids.tolist() == []


# ------------------------------------------------------------------------------------- count


def test_count_follows_writes(docs):
    assert docs.count() == docs.describe().count == 100
    docs.delete([0, 5, 10])
    assert docs.count() == 98
    docs.upsert([5, 20], np.ones((2, 4), np.float32))
    assert docs.count() == 99


def test_count_of_a_filter_is_exact_and_fresh(docs):
    filter = {"year": {"lt": 10}}
    assert docs.count(filter) == 5
    docs.set_payload([10], {"year": 3})
    assert docs.count(filter) == 6
    docs.delete([0])
    assert docs.count(filter) == 5
    docs.upsert([20], np.ones((1, 4), np.float32))
    assert docs.count(filter) == 4
    assert docs.count({"year": {"exists": False}}) + docs.count({"year": {"exists": True}}) == 99


def test_empty_collection_reads_as_such(api):
    docs = api.create(fields=FIELDS)
    assert docs.count() == docs.count({"year": 1}) == 0
    page = docs.scroll(with_vector=True)
    assert (len(page), page.next, page.payloads) == (0, None, [])
    assert page.vectors.shape == (0, 4)
    assert len(docs.search(np.ones(4, np.float32))) == 0
