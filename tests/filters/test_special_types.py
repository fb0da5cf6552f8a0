"""UUIDs, points and texts: what fits them, what filters say of them, and what is refused."""

from __future__ import annotations

from math import nan
from uuid import UUID

import pytest

from vecdb.errors import InvalidArgument, LimitExceeded
from vecdb.filters import F, check_field_value, compile_filter, parse_filter
from vecdb.filters.geo import distance_m
from vecdb.filters.text import words_of

FIELDS = {"key": "uuid", "where": "geo", "body": "text", "lang": "keyword"}
KEY = "123e4567-e89b-12d3-a456-426614174000"
BERLIN, PARIS = {"lat": 52.52, "lon": 13.405}, {"lat": 48.8566, "lon": 2.3522}


def matches(tree, payload):
    return compile_filter(parse_filter(tree, FIELDS), FIELDS)(payload)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("  ... !", []),
        ("Hello, World", ["hello", "world"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("\uff26\uff55\uff4c\uff4c \ufb01ne", ["full", "fine"]),
        ("cafe\u0301", ["caf\u00e9"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("snake_case x2", ["snake_case", "x2"]),
        ("don't", ["don", "t"]),
        ("東京タワー is tall", ["東", "京", "タ", "ワ", "ー", "is", "tall"]),
        ("ПРИВЕТ мир", ["привет", "мир"]),
        ("\u0130", ["i\u0307"]),
    ],
)
def test_words(text, words):
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("payload", "tree", "expected"),
    [
        ({"key": KEY}, {"key": KEY.upper()}, True),
        ({"key": KEY.upper()}, F("key") == UUID(KEY), True),
        ({"key": KEY}, F("key") != UUID(KEY), False),
        ({"key": [KEY, str(UUID(int=1))]}, F("key").has_all([UUID(int=1), UUID(KEY)]), True),
        ({"key": KEY}, F("key").isin([UUID(int=1), UUID(KEY)]), True),
        ({"body": "The quick brown fox"}, F("body").match("FOX quick"), True),
        ({"body": "The quick brown fox"}, F("body").match("fox wolf"), False),
        ({"body": "The quick brown fox"}, F("body").match("fox wolf", any=True), True),
        ({"body": "The quick brown fox"}, F("body").phrase("quick brown"), True),
        ({"body": "The quick brown fox"}, F("body").phrase("brown quick"), False),
        ({"body": "a a b"}, F("body").phrase("a b"), True),
        ({"body": "quick brown"}, F("body").prefix("BRO"), True),
        ({"body": "quick brown"}, F("body").prefix("row"), False),
        ({"body": ["quick", "brown"]}, F("body").match("quick brown"), False),
        ({"body": ["quick", "brown"]}, F("body").phrase("quick brown"), False),
        ({"body": ["x", "quick brown"]}, F("body").phrase("quick brown"), True),
        ({"body": ""}, F("body").exists(), True),
        ({"body": ""}, F("body").match("x"), False),
        ({}, ~F("body").match("x"), True),
        ({"where": BERLIN}, F("where").within(52.5, 13.4, 3_000), True),
        ({"where": BERLIN}, F("where").within(52.5, 13.4, 2_000), False),
        ({"where": [PARIS, BERLIN]}, F("where").within(52.5, 13.4, 3_000), True),
        ({"where": BERLIN}, F("where").in_box(53, 13, 52, 14), True),
        ({"where": PARIS}, F("where").in_box(53, 13, 52, 14), False),
        ({"where": {"lat": 1, "lon": 179}}, F("where").in_box(2, 170, 0, -170), True),
        ({"where": {"lat": 1, "lon": -179}}, F("where").in_box(2, 170, 0, -170), True),
        ({"where": {"lat": 1, "lon": 0}}, F("where").in_box(2, 170, 0, -170), False),
        ({"where": {"lat": 0, "lon": 180}}, F("where").in_box(0, -180, 0, -170), True),
        ({"where": {"lat": 0, "lon": -180}}, F("where").in_box(0, 170, 0, 180), True),
        ({"where": {"lat": 0, "lon": 179.9}}, F("where").within(0, -179.9, 23_000), True),
    ],
)
def test_filter_says(payload, tree, expected):
    assert matches(tree, payload) is expected


def test_distances_are_great_circles():
    berlin, paris = (52.52, 13.405), (48.8566, 2.3522)
    assert distance_m(berlin, paris) == pytest.approx(877_460, abs=500)
    assert distance_m((0, 0), (0, 180)) == pytest.approx(20_015_115, abs=1)
    assert distance_m((90, 10), (90, -77)) == pytest.approx(0, abs=1e-6)
    assert distance_m(berlin, berlin) == 0


@pytest.mark.parametrize(
    ("value", "kind", "field"),
    [
        ("123", "uuid", "f"),
        (KEY.replace("-", ""), "uuid", "f"),
        ("{" + KEY + "}", "uuid", "f"),
        (7, "uuid", "f"),
        ([KEY, 7], "uuid", "f[1]"),
        ([52.5, 13.4], "geo", "f[0]"),
        ("52.5,13.4", "geo", "f"),
        ({"lat": 1}, "geo", "f"),
        ({"lat": 1, "lon": 2, "alt": 3}, "geo", "f"),
        ({"lat": 90.1, "lon": 2}, "geo", "f.lat"),
        ({"lat": 1, "lon": -180.5}, "geo", "f.lon"),
        ({"lat": nan, "lon": 0}, "geo", "f.lat"),
        ({"lat": True, "lon": 0}, "geo", "f.lat"),
        ([BERLIN, {"lat": "1", "lon": 2}], "geo", "f[1].lat"),
        (5, "text", "f"),
        (["a", None], "text", "f[1]"),
        ("\ud800", "text", "f"),
    ],
)
def test_unfit_value_is_refused(value, kind, field):
    with pytest.raises(InvalidArgument) as caught:
        check_field_value(value, kind, "f")
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("tree", "path"),
    [
        ({"key": "nonsense"}, "filter.key"),
        ({"key": {"in": [KEY, 5]}}, "filter.key.in[1]"),
        ({"key": {"lt": KEY}}, "filter.key.lt"),
        ({"and": [{"key": KEY}, {"key": {"prefix": "12"}}]}, "filter.and[1].key.prefix"),
        ({"where": BERLIN}, "filter.where.lat"),
        ({"where": {"within": [1, 2, 3]}}, "filter.where.within"),
        ({"where": {"within": {"lat": 1, "lon": 2}}}, "filter.where.within"),
        ({"where": {"within": {"lat": 91, "lon": 2, "radius_m": 3}}}, "filter.where.within.lat"),
        ({"where": {"within": {"lat": 1, "lon": "2", "radius_m": 3}}}, "filter.where.within.lon"),
        (F("where").within(1, 2, -1), "filter.where.within.radius_m"),
        (F("where").within(1, 2, nan), "filter.where.within.radius_m"),
        (F("where").within(1, 2, 3e7), "filter.where.within.radius_m"),
        (F("where").in_box(1, 2, 3, 4), "filter.where.box"),
        (F("where").in_box(1, 200, 0, 4), "filter.where.box.left"),
        ({"body": "whole text"}, "filter.body"),
        ({"body": {"match": ""}}, "filter.body.match"),
        ({"body": {"match": "?!"}}, "filter.body.match"),
        ({"body": {"match": ["a"]}}, "filter.body.match"),
        ({"body": {"phrase": 3}}, "filter.body.phrase"),
        ({"body": {"prefix": "two words"}}, "filter.body.prefix"),
        ({"body": {"in": ["a"]}}, "filter.body.in"),
        ({"lang": {"match": "a"}}, "filter.lang.match"),
        ({"lang": {"within": {}}}, "filter.lang.within"),
        ({"not": {"body": {"match": "\ud800"}}}, "filter.not.body.match"),
    ],
)
def test_malformed_filter_is_refused_by_its_path(tree, path):
    with pytest.raises(InvalidArgument) as caught:
        parse_filter(tree, FIELDS)
    assert caught.value.field == path


@pytest.mark.parametrize("text", [" ".join(f"w{n}" for n in range(33)), "x" * 8_193])
def test_too_many_words_are_refused(text):
    with pytest.raises(LimitExceeded) as caught:
        parse_filter(F("body").match(text), FIELDS)
    assert caught.value.field == "filter.body.match"
    assert caught.value.actual > caught.value.limit


def test_equal_filters_are_equal_objects():
    same = [F("body").match("b a A"), F("body").match("a, b")]
    assert len({parse_filter(one, FIELDS) for one in same}) == 1
    assert parse_filter(F("body").phrase("A"), FIELDS) == parse_filter(F("body").match("a"), FIELDS)
    assert parse_filter({"key": KEY}, FIELDS) == parse_filter(F("key") == UUID(KEY), FIELDS)
