"""Filters: which records they match, in every call that takes one, and how they are refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from vecdb.testing.model import Model

KINDS = ("embedded", "remote")

FIELDS = {"lang": "keyword", "ok": "bool", "year": "int", "price": "float", "at": "datetime"}

PAYLOADS = [
    {"lang": "en", "year": 2019, "price": 1.5, "ok": True, "at": "2024-05-01T12:00:00Z"},
    {"lang": "de", "year": 2020, "price": 2, "ok": False, "at": "2024-05-01T14:00:00+02:00"},
    {"lang": "eng", "year": -1, "price": -0.0, "at": "2024-05-01T12:00:00.000001Z"},
    {"lang": ["en", "fr"], "year": [1, 2, 3], "price": [0.5, 99.5]},
    {"lang": [], "year": None, "ok": None},
    {"lang": None},
    {"lang": "", "year": 2**63 - 1},
    {"other": "en"},
    {},
    None,
    {"lang": "É", "year": -(2**63), "price": 1e308, "at": "0001-01-01T00:00:00Z"},
]
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def values(payload, field):
    """What a comparison looks at: no null, no empty list."""
    found = payload.get(field)
    return found if isinstance(found, list) else [] if found is None else [found]


def some(field, test):
    return lambda payload: any(test(value) for value in values(payload, field))


def instant(text):
    return datetime.fromisoformat(text)


CASES = {
    "eq": (lambda F: F("lang") == "en", {"lang": "en"}, some("lang", lambda v: v == "en")),
    "ne": (lambda F: F("lang") != "en", {"lang": {"ne": "en"}}, some("lang", lambda v: v != "en")),
    "lt": (lambda F: F("year") < 2020, {"year": {"lt": 2020}}, some("year", lambda v: v < 2020)),
    "lte": (lambda F: F("year") <= 2, {"year": {"lte": 2}}, some("year", lambda v: v <= 2)),
    "gt": (lambda F: F("price") > 1.5, {"price": {"gt": 1.5}}, some("price", lambda v: v > 1.5)),
    "gte": (
        lambda F: F("lang") >= "en",
        {"lang": {"gte": "en"}},
        some("lang", lambda v: v >= "en"),
    ),
    "largest int": (
        lambda F: F("year") == 2**63 - 1,
        {"year": 2**63 - 1},
        some("year", lambda v: v == 2**63 - 1),
    ),
    "zero": (lambda F: F("price") == 0, {"price": 0}, some("price", lambda v: v == 0)),
    "bool": (lambda F: F("ok") == True, {"ok": True}, some("ok", lambda v: v is True)),  # noqa: E712
    "in": (
        lambda F: F("lang").isin(["fr", "de", "xx"]),
        {"lang": {"in": ["fr", "de", "xx"]}},
        some("lang", lambda v: v in ("fr", "de", "xx")),
    ),
    "any": (
        lambda F: F("lang").isin(("fr",)),
        {"lang": {"any": ["fr"]}},
        some("lang", lambda v: v == "fr"),
    ),
    "in nothing": (lambda F: F("lang").isin([]), {"lang": {"in": []}}, lambda payload: False),
    "between": (
        lambda F: F("year").between(2, 2019),
        {"year": {"between": [2, 2019]}},
        some("year", lambda v: 2 <= v <= 2019),
    ),
    "two bounds": (
        lambda F: (F("price") >= 1) & (F("price") < 2),
        {"price": {"gte": 1, "lt": 2}},
        lambda payload: (
            some("price", lambda v: v >= 1)(payload) and some("price", lambda v: v < 2)(payload)
        ),
    ),
    "prefix": (
        lambda F: F("lang").prefix("en"),
        {"lang": {"prefix": "en"}},
        some("lang", lambda v: v.startswith("en")),
    ),
    "exists": (
        lambda F: F("lang").exists(),
        {"lang": {"exists": True}},
        lambda payload: bool(values(payload, "lang")),
    ),
    "exists not": (
        lambda F: F("lang").exists(False),
        {"lang": {"exists": False}},
        lambda payload: not values(payload, "lang"),
    ),
    "null": (
        lambda F: F("lang").is_null(),
        {"lang": None},
        lambda payload: "lang" in payload and payload["lang"] is None,
    ),
    "null not": (
        lambda F: F("lang").is_null(False),
        {"lang": {"null": False}},
        lambda payload: payload.get("lang", "") is not None,
    ),
    "contains": (lambda F: F("year").contains(2), {"year": 2}, some("year", lambda v: v == 2)),
    "all": (
        lambda F: F("year").has_all([3, 1]),
        {"year": {"all": [3, 1]}},
        lambda payload: {1, 3} <= set(values(payload, "year")),
    ),
    "datetime": (
        lambda F: F("at") == NOON,
        {"at": "2024-05-01T14:00:00+02:00"},
        some("at", lambda v: instant(v) == NOON),
    ),
    "datetime of another zone": (
        lambda F: F("at") > NOON.astimezone(timezone(timedelta(hours=-9))),
        {"at": {"gt": "2024-05-01T12:00:00Z"}},
        some("at", lambda v: instant(v) > NOON),
    ),
    "and": (
        lambda F: (F("lang") == "en") & (F("year") > 2018),
        {"lang": "en", "year": {"gt": 2018}},
        lambda payload: (
            some("lang", lambda v: v == "en")(payload) and some("year", lambda v: v > 2018)(payload)
        ),
    ),
    "or": (
        lambda F: (F("lang") == "de") | (F("ok") == True) | (F("year") < 0),  # noqa: E712
        {"or": [{"lang": "de"}, {"ok": True}, {"year": {"lt": 0}}]},
        lambda payload: (
            some("lang", lambda v: v == "de")(payload)
            or some("ok", lambda v: v is True)(payload)
            or some("year", lambda v: v < 0)(payload)
        ),
    ),
    "not": (
        lambda F: ~(F("lang") == "en"),
        {"not": {"lang": "en"}},
        lambda payload: not some("lang", lambda v: v == "en")(payload),
    ),
    "not of a group": (
        lambda F: ~((F("lang") == "en") | (F("year") > 2018)),
        {"not": {"or": [{"lang": "en"}, {"year": {"gt": 2018}}]}},
        lambda payload: (
            not some("lang", lambda v: v == "en")(payload)
            and not some("year", lambda v: v > 2018)(payload)
        ),
    ),
    "empty and": (lambda F: {"and": []}, {}, lambda payload: True),
    "empty or": (lambda F: {"or": []}, {"not": {}}, lambda payload: False),
}


@pytest.fixture
def docs(api, rng):
    made = api.create(fields=FIELDS)
    ids = np.arange(len(PAYLOADS))
    made.upsert(ids, rng.standard_normal((len(ids), 4)).astype(np.float32), PAYLOADS)
    return made


@pytest.fixture
def model(docs):
    page = docs.scroll(with_vector=True)
    made = Model(dim=4, metric="l2")
    made.upsert(page.ids.tolist(), page.vectors, page.payloads, sequence=docs.describe().sequence)
    return made


@pytest.mark.parametrize("name", CASES)
def test_filter_matches_the_same_records_in_every_call(api, docs, model, name):
    build, tree, predicate = CASES[name]
    expected = model.matching(predicate)
    query = np.ones(4, np.float32)
    for filter in (build(api.F), tree):
        assert docs.count(filter) == len(expected)
        assert docs.scroll(filter).ids.tolist() == expected
        model.check_search(docs, query, 3, filter=filter, predicate=predicate)
        model.check_search(docs, query, 100, filter=filter, predicate=predicate)
        assert len(docs.search(query, 2, filter=filter)) == min(2, len(expected))
    batch = docs.search_batch(np.stack([query, -query]), 4, filter=tree, with_vector=True)
    for one, found in zip((query, -query), batch, strict=True):
        model.check_matches(found, one, 4, predicate=predicate)
    condition = {"filter": tree}
    for id in range(len(PAYLOADS)):
        if id in expected:
            docs.upsert([id], query[None], [PAYLOADS[id]], condition=condition)
        else:
            with api.refuses("PreconditionFailed", "ids[0]"):
                docs.upsert([id], query[None], condition=condition)
    assert docs.delete(filter=build(api.F)).count == len(expected)
    assert docs.count() == len(PAYLOADS) - len(expected)


@pytest.mark.parametrize("changed", [False, True], ids=["sealed", "changed since"])
def test_filter_matches_the_same_records_in_a_segment(docs, model, changed):
    """Changed: sealed with other payloads than they have now."""
    if changed:
        others = [{"lang": None, "year": 5}] * len(PAYLOADS)
        docs.upsert(model.matching(), np.ones((len(PAYLOADS), 4), np.float32), others)
    docs.seal()
    for id, payload in enumerate(PAYLOADS if changed else []):
        docs.set_payload([id], payload or {}, replace=True)
    query = np.ones(4, np.float32)
    docs.search(query, 1)
    for name, (_, tree, predicate) in CASES.items():
        expected = model.matching(predicate)
        assert sorted(docs.search(query, 100, filter=tree).ids.tolist()) == expected, name
        assert docs.count(tree) == len(expected), name
    _, tree, predicate = CASES["or"]
    gone = model.matching(predicate)
    assert docs.delete(filter=tree).count == len(gone)
    assert docs.scroll().ids.tolist() == [id for id in model.matching() if id not in gone]


def test_filter_of_one_side_is_taken_by_the_other(docs):
    import vecdb
    import vecdb_client

    for F in (vecdb.F, vecdb_client.F):
        assert docs.count(F("lang") == "en") == 2


def test_undeclared_field_is_refused_and_the_declared_are_named(api, docs):
    for call in (
        lambda: docs.count({"language": "en"}),
        lambda: docs.scroll(api.F("language") == "en"),
        lambda: docs.search(np.ones(4, np.float32), filter={"language": {"exists": True}}),
        lambda: docs.delete(filter={"language": None}),
    ):
        with api.refuses("InvalidArgument", "filter.language", "UNINDEXED_FIELD") as caught:
            call()
        for field in FIELDS:
            assert field in caught.value.hint


def test_collection_without_fields_takes_no_filter(api):
    docs = api.create()
    with api.refuses("InvalidArgument", "filter.lang", "UNINDEXED_FIELD") as caught:
        docs.count({"lang": "en"})
    assert "declares no fields" in caught.value.hint
    assert docs.count({}) == 0


def test_field_with_a_difficult_name_can_be_used(api):
    names = ["a.b", "eq", "in", "$gt", "é\U0001f600", " ", "x" * 128]
    docs = api.create(fields=dict.fromkeys(names, "int"))
    docs.upsert([1, 2], np.ones((2, 4), np.float32), [dict.fromkeys(names, 1), None])
    for name in names:
        assert docs.count({name: 1}) == docs.count(api.F(name) >= 1) == 1
        assert docs.count({name: {"eq": 2}}) == 0


MALFORMED = {
    "text": ("lang = 'en'", "filter"),
    "list": ([{"lang": "en"}], "filter"),
    "number": (5, "filter"),
    "key that is no text": ({5: 1}, "filter"),
    "operator that is none": ({"year": {"like": 1}}, "filter.year.like"),
    "operator of another type": ({"year": {"prefix": "2"}}, "filter.year.prefix"),
    "order of a bool": ({"ok": {"lt": True}}, "filter.ok.lt"),
    "no operator": ({"year": {}}, "filter.year"),
    "and of a dict": ({"and": {"lang": "en"}}, "filter.and"),
    "or of a value": ({"or": 1}, "filter.or"),
    "not of nothing": ({"not": None}, "filter.not"),
    "in of a text": ({"lang": {"in": "en"}}, "filter.lang.in"),
    "in of a wrong value": ({"year": {"in": [1, "2"]}}, "filter.year.in[1]"),
    "between of three": ({"year": {"between": [1, 2, 3]}}, "filter.year.between"),
    "between the wrong way": ({"year": {"between": [2, 1]}}, "filter.year.between"),
    "exists of a number": ({"lang": {"exists": 1}}, "filter.lang.exists"),
    "null as a value": ({"year": {"gte": None}}, "filter.year.gte"),
    "wrong type": ({"year": {"gte": "2020"}}, "filter.year.gte"),
    "wrong type in the short form": ({"year": "2020"}, "filter.year"),
    "wrong type of eq": ({"year": {"eq": "2020"}}, "filter.year"),
    "short form deep inside": ({"or": [{"not": {"lang": 5}}]}, "filter.or[0].not.lang"),
    "short form beyond 64 bits": ({"year": 2**63}, "filter.year"),
    "list as a value of eq": ({"year": {"eq": [1, 2]}}, "filter.year"),
    "eq beside another operator": ({"year": {"lt": 5, "eq": "x"}}, "filter.year"),
    "bool for a number": ({"year": {"gte": True}}, "filter.year.gte"),
    "float for an int": ({"year": {"gte": 1.0}}, "filter.year.gte"),
    "int beyond 64 bits": ({"year": {"gte": 2**63}}, "filter.year.gte"),
    "nan": ({"price": {"gte": float("nan")}}, "filter.price.gte"),
    "list as a value": ({"year": [1, 2]}, "filter.year"),
    "number of numpy": ({"year": np.int64(1)}, "filter.year"),
    "time without zone": ({"at": {"gte": "2024-05-01T12:00:00"}}, "filter.at.gte"),
    "datetime without zone": ({"at": {"gte": datetime(2024, 5, 1)}}, "filter.at.gte"),
    "half a letter": ({"lang": {"gte": "\ud800"}}, "filter.lang.gte"),
    "deep inside": (
        {"and": [{"lang": "en"}, {"or": [{"lang": "de"}, {"not": {"year": {"gte": "x"}}}]}]},
        "filter.and[1].or[1].not.year.gte",
    ),
    "second of a dict": ({"lang": "en", "year": {"gte": "x"}}, "filter.year.gte"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_filter_is_refused_by_its_path(api, docs, name):
    filter, field = MALFORMED[name]
    for call in (
        lambda: docs.count(filter),
        lambda: docs.scroll(filter),
        lambda: docs.search(np.ones(4, np.float32), filter=filter),
        lambda: docs.delete(filter=filter),
    ):
        with api.refuses("InvalidArgument", field):
            call()
    assert docs.count() == len(PAYLOADS)


def test_expression_used_as_a_truth_value_is_refused(api):
    with pytest.raises(TypeError, match="parentheses"):
        bool(api.F("year") > 1 and api.F("year") < 3)


def nested(depth, tree):
    for _ in range(depth - 1):
        tree = {"not": tree}
    return tree


def test_filter_is_16_deep_and_no_deeper(api, docs):
    assert docs.count(nested(16, {"lang": "en"})) == len(PAYLOADS) - 2
    for depth in (17, 100, 3_000):
        with api.refuses("LimitExceeded") as caught:
            docs.count(nested(depth, {"lang": "en"}))
        assert caught.value.limit == 16


def test_filter_has_1024_nodes_and_no_more(api, docs):
    assert docs.count({"or": [{"year": year} for year in range(1_023)]}) == 1
    with api.refuses("LimitExceeded") as caught:
        docs.count({"or": [{"year": year} for year in range(1_024)]})
    assert caught.value.limit == 1_024


def test_operator_has_10000_values_and_no_more(api, docs):
    assert docs.count({"year": {"in": list(range(10_000))}}) == 3
    with api.refuses("LimitExceeded", "filter.year.in") as caught:
        docs.count({"year": {"in": list(range(10_001))}})
    assert (caught.value.limit, caught.value.actual) == (10_000, 10_001)
    with api.refuses("LimitExceeded", "filter.lang.gte"):
        docs.count({"lang": {"gte": "x" * 257}})
