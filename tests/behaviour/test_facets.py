"""Counts by value equal those of a loop over all records."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

FIELDS = ("lang", "year", "price", "new", "at", "tags")


def expected(typed, field, ids=None):
    counts = Counter()
    for id in typed.records if ids is None else ids:
        counts.update(typed.values(id, field))
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))


def found(facets):
    return list(zip(facets.values, facets.counts.tolist(), strict=True))


@pytest.mark.parametrize("texts", [False, True], ids=["int", "str"])
def test_every_field_is_counted_exactly(typed, texts):
    made = typed(texts=texts)
    for field in FIELDS:
        facets = made.docs.facets(field, limit=1_000)
        assert found(facets) == expected(made, field)
        assert (facets.field, facets.others, len(facets)) == (field, 0, len(facets.values))
        assert facets.counts.dtype == np.int64
    years = made.docs.facets("year")
    assert {type(value) for value in years.values} == {int}
    assert {type(value) for value in made.docs.facets("new").values} == {bool}
    assert {type(value) for value in made.docs.facets("price").values} <= {float}


def test_filter_leaves_records_out(typed, api):
    made = typed()
    for filter, ids in (
        ({"tags": "red"}, made.where("tags", lambda one: one == "red")),
        ({"year": {"gt": 0}}, made.where("year", lambda one: one > 0)),
        ({"lang": "nowhere"}, []),
        (
            {"not": {"new": True}},
            [id for id in made.records if True not in made.values(id, "new")],
        ),
        (api.F("price") < 0.25, made.where("price", lambda one: one < 0.25)),
    ):
        for field in FIELDS:
            assert found(made.docs.facets(field, filter, 1_000)) == expected(made, field, ids)


def test_limit_cuts_and_tells_how_many_others_there_are(typed):
    made = typed()
    for field in FIELDS:
        whole = expected(made, field)
        for limit in (1, 2, 3, 10_000):
            facets = made.docs.facets(field, limit=limit)
            assert found(facets) == whole[:limit]
            assert facets.others == max(0, len(whole) - limit)


def test_rows_are_a_view_of_the_columns(typed):
    facets = typed().docs.facets("lang", limit=3)
    assert [(one.value, one.count) for one in facets] == found(facets)
    assert facets[-1].value == facets.values[2]
    with pytest.raises(IndexError):
        facets[3]


def test_counts_follow_every_write(api, vectors):
    docs = api.create(fields={"lang": "keyword"})
    assert found(docs.facets("lang")) == []
    docs.upsert(list(range(8)), vectors, [{"lang": "de"}] * 8)
    for step in range(2):
        assert found(docs.facets("lang")) == [("de", 8)]
        docs.set_payload([1, 2], {"lang": ["en", "fr", "en"]})
        assert found(docs.facets("lang")) == [("de", 6), ("en", 2), ("fr", 2)]
        docs.set_payload([1, 2], {"lang": "de"})
        if not step:
            docs.seal()
    docs.delete([7])
    docs.upsert([0], vectors[:1])
    assert found(docs.facets("lang")) == [("de", 6)]
    docs.compact()
    assert found(docs.facets("lang")) == [("de", 6)]
    docs.delete(filter={"lang": "de"})
    assert found(docs.facets("lang")) == []


def test_moments_beyond_the_years_of_utc_are_shown_in_a_zone(api, vectors):
    docs = api.create(fields={"at": "datetime"})
    edges = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"]
    docs.upsert([1, 2], vectors[:2], [{"at": one} for one in edges])
    shown = docs.facets("at").values
    assert len(shown) == 2
    for value in shown:
        assert docs.count({"at": value}) == 1


@pytest.mark.parametrize(
    ("kind", "arguments", "field"),
    [
        ("InvalidArgument", {"field": "nothing"}, "field"),
        ("InvalidArgument", {"field": ""}, "field"),
        ("InvalidArgument", {"field": None}, "field"),
        ("InvalidArgument", {"field": ["lang"]}, "field"),
        ("InvalidArgument", {"limit": 0}, "limit"),
        ("InvalidArgument", {"limit": 10_001}, "limit"),
        ("InvalidArgument", {"limit": 1.0}, "limit"),
        ("InvalidArgument", {"filter": {"other": 1}}, "filter.other"),
        ("InvalidArgument", {"filter": 7}, "filter"),
    ],
)
def test_what_makes_no_sense_is_refused(api, kind, arguments, field):
    docs = api.create(fields={"lang": "keyword"})
    with api.refuses(kind, field):
        docs.facets(**{"field": "lang", **arguments})


def test_unknown_collection_is_not_found(api):
    with api.refuses("NotFound"):
        api.db.collection("nowhere").facets("lang")
