"""Pages in the order of a field equal a sorted list of all records."""

from __future__ import annotations

import base64
import json
from itertools import pairwise

import numpy as np
import pytest

FIELDS = ("lang", "year", "price", "new", "at", "tags")


def expected(typed, field, descending=False, ids=None):
    """Ids by (value, id); of a list the value counts that comes first; without one last."""
    having, lacking = [], []
    for id in sorted(typed.records if ids is None else ids):
        values = typed.values(id, field)
        if values:
            having.append((values[-1] if descending else values[0], id))
        else:
            lacking.append(id)
    having.sort(key=lambda one: one[0], reverse=descending)
    return [id for _, id in having] + lacking


def read(docs, limit, **options):
    """All ids, page by page."""
    found, after = [], None
    while True:
        page = docs.scroll(after=after, limit=limit, **options)
        found += list(page.ids)
        after = page.next
        if after is None:
            return found
        assert len(page) == limit
        assert isinstance(after, str)


@pytest.mark.parametrize("descending", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("texts", [False, True], ids=["int", "str"])
def test_pages_together_are_all_records_in_order(typed, texts, descending):
    made = typed(texts=texts)
    for field in FIELDS:
        order = {"field": field, "descending": descending}
        whole = expected(made, field, descending)
        for limit in (9, 100, 1_000):
            assert read(made.docs, limit, order_by=order) == whole
    assert read(made.docs, 50, order_by="year") == expected(made, "year")


def test_page_of_one_record_goes_on(typed):
    made = typed(count=60)
    for field in ("new", "tags"):
        assert read(made.docs, 1, order_by=field) == expected(made, field)


def test_filter_leaves_records_out(typed):
    made = typed()
    ids = made.where("tags", lambda one: one == "red")
    for field in FIELDS:
        found = read(made.docs, 7, order_by=field, filter={"tags": "red"})
        assert found == expected(made, field, ids=ids)


def test_page_has_everything_of_its_records(typed):
    made = typed()
    page = made.docs.scroll(limit=40, order_by="price", with_vector=True)
    assert page.payloads == [made.records[id][1] for id in page.ids.tolist()]
    expected_vectors = np.array([made.records[id][0] for id in page.ids.tolist()])
    assert page.vectors.tobytes() == expected_vectors.tobytes()
    stored = made.docs.get(page.ids)
    assert page.sequences.tolist() == stored.sequences.tolist()
    bare = made.docs.scroll(limit=40, order_by="price", with_payload=False)
    assert (bare.payloads, bare.vectors) == (None, None)


def test_writes_between_pages_neither_repeat_nor_hide_what_stays(api, rng):
    docs = api.create(fields={"year": "int"})
    vectors = rng.standard_normal((60, 4)).astype(np.float32)
    years = [place % 20 for place in range(60)]
    docs.upsert(list(range(60)), vectors, [{"year": year} for year in years])
    docs.seal()
    first = docs.scroll(limit=25, order_by="year")
    seen = first.ids.tolist()
    gone = [seen[-1], seen[3]]
    docs.delete(gone)
    docs.upsert([1_000, 1_001], vectors[:2], [{"year": 0}, {"year": 19}])
    docs.compact()
    rest, after = [], first.next
    while after is not None:
        page = docs.scroll(after=after, limit=10, order_by="year")
        rest += page.ids.tolist()
        after = page.next
    ordered = sorted(range(60), key=lambda id: (years[id], id))
    assert seen == ordered[:25]
    assert rest == [*ordered[25:], 1_001]


def test_empty_collection_has_an_empty_page(api):
    docs = api.create(fields={"year": "int"})
    page = docs.scroll(order_by="year", with_vector=True)
    assert (len(page), page.next, page.payloads, page.vectors.shape) == (0, None, [], (0, 4))
    docs.upsert(["b", "a"], np.ones((2, 4), np.float32))
    assert docs.scroll(order_by="year").ids == ["a", "b"]


@pytest.mark.parametrize(
    ("order_by", "field"),
    [
        ("nothing", "order_by"),
        ("", "order_by"),
        (7, "order_by"),
        (["year"], "order_by"),
        ({}, "order_by"),
        ({"descending": True}, "order_by"),
        ({"field": "year", "ascending": True}, "order_by"),
        ({"field": "year", "descending": 1}, "order_by.descending"),
        ({"field": "year", "descending": None}, "order_by.descending"),
        ({"field": "nothing"}, "order_by"),
        ({"field": 7}, "order_by"),
    ],
)
def test_order_that_makes_no_sense_is_refused(api, order_by, field):
    docs = api.create(fields={"year": "int"})
    with api.refuses("InvalidArgument", field):
        docs.scroll(order_by=order_by)


def mark(*parts):
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "after",
    [
        7,
        "7",
        "a b",
        "\u00e9",
        "AAAA",
        mark("year", False, 3),
        mark("year", True, 3, 7),
        mark("lang", False, "en", 7),
        mark("year", False, "3", 7),
        mark("year", False, True, 7),
        mark("year", False, 3.0, 7),
        mark("year", False, 2**63, 7),
        mark("year", False, 3, "seven"),
        mark("year", False, 3, True),
        mark("year", False, 3, 2**70),
        mark("year", False, 3, None),
        mark(1, 2, 3, 4),
    ],
)
def test_after_is_the_end_of_a_page_in_the_same_order(api, vectors, after):
    docs = api.create(fields={"year": "int", "lang": "keyword"})
    docs.upsert(list(range(8)), vectors)
    with api.refuses("InvalidArgument", "after"):
        docs.scroll(after=after, order_by="year")


def test_end_of_a_page_in_another_order_is_refused(api, vectors):
    docs = api.create(fields={"year": "int", "month": "int"})
    docs.upsert(list(range(8)), vectors, [{"year": 1, "month": 2}] * 8)
    after = docs.scroll(limit=3, order_by="year").next
    assert docs.scroll(after=after, order_by="year").ids.tolist() == [3, 4, 5, 6, 7]
    for order in ("month", {"field": "year", "descending": True}):
        with api.refuses("InvalidArgument", "after"):
            docs.scroll(after=after, order_by=order)
    with api.refuses("InvalidArgument", "after"):
        docs.scroll(after=after)


def test_values_at_the_edges_of_their_types_have_their_order(api, rng):
    docs = api.create(fields={"i": "int", "f": "float", "s": "keyword"})
    ints = [2**63 - 1, -(2**63), 2**53 + 1, 2**53, 0, -1]
    floats = [1e308, -1e308, 5e-324, 0.0, -0.0, -5e-324]
    words = ["", "a", "a\x00", "\uffff", "\U0001f600", "b"]
    payloads = [{"i": i, "f": f, "s": s} for i, f, s in zip(ints, floats, words, strict=True)]
    vectors = rng.standard_normal((6, 4)).astype(np.float32)
    docs.upsert([0, 1, 2], vectors[:3], payloads[:3])
    docs.seal()
    docs.upsert([3, 4, 5], vectors[3:], payloads[3:])
    for name, column in (("i", ints), ("f", floats), ("s", words)):
        for descending in (False, True):
            found = read(docs, 1, order_by={"field": name, "descending": descending})
            up = sorted(range(6), key=lambda place, of=column: of[place], reverse=descending)
            assert [column[place] for place in found] == [column[place] for place in up]
            for one, other in pairwise(found):
                assert column[one] != column[other] or one < other
