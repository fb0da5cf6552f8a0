"""A declared field holds values of its type alone, whatever the payload says elsewhere."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest

from vecdb import limits
from vecdb.errors import InvalidArgument, LimitExceeded
from vecdb.filters import (
    Compare,
    check_field_value,
    check_payload_fields,
    compile_filter,
    parse_filter,
)

FIELDS = {"lang": "keyword", "ok": "bool", "year": "int", "score": "float", "at": "datetime"}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("keyword", ""),
        ("keyword", "x" * limits.KEYWORD_BYTES),
        ("keyword", ["a", "a", "é"]),
        ("bool", True),
        ("bool", [False, True]),
        ("int", 0),
        ("int", [-(2**63), 2**63 - 1]),
        ("float", 1),
        ("float", [1.5, 2**60, -0.0, 1e308]),
        ("datetime", "2024-05-01T12:00:00Z"),
        ("datetime", ["2024-05-01 12:00:00.123456789+05:30", "20240501T120000-0800"]),
        ("int", None),
        ("int", []),
    ],
)
def test_fitting_value_is_accepted(kind, value):
    check_field_value(value, kind, "here")


@pytest.mark.parametrize(
    ("kind", "value", "path"),
    [
        ("keyword", 1, "f"),
        ("keyword", {"a": 1}, "f"),
        ("keyword", ["a", 1], "f[1]"),
        ("keyword", ["a", None], "f[1]"),
        ("keyword", [["a"]], "f[0]"),
        ("keyword", "\ud800", "f"),
        ("bool", 0, "f"),
        ("bool", "yes", "f"),
        ("int", True, "f"),
        ("int", 1.0, "f"),
        ("int", "1", "f"),
        ("int", 2**63, "f"),
        ("int", [0, -(2**63) - 1], "f[1]"),
        ("float", True, "f"),
        ("float", math.nan, "f"),
        ("float", [1.0, -math.inf], "f[1]"),
        ("float", 10**400, "f"),
        ("float", "1.0", "f"),
        ("datetime", "2024-05-01T12:00:00", "f"),
        ("datetime", "2024-05-01", "f"),
        ("datetime", "soon", "f"),
        ("datetime", 1714564800, "f"),
        ("datetime", ["2024-05-01T12:00:00Z", ""], "f[1]"),
    ],
)
def test_unfit_value_is_refused_with_its_place(kind, value, path):
    with pytest.raises(InvalidArgument) as caught:
        check_field_value(value, kind, "f")
    assert caught.value.field == path
    assert caught.value.message.startswith(path + ":")
    assert 'in": [' not in str(caught.value)  # advice for filters is out of place here


def test_datetime_object_in_a_payload_is_refused_with_advice():
    with pytest.raises(InvalidArgument, match="isoformat"):
        check_field_value(datetime.now(UTC), "datetime", "at")


def test_long_keyword_is_refused_by_its_bytes():
    with pytest.raises(LimitExceeded) as caught:
        check_field_value(["a", "é" * limits.KEYWORD_BYTES], "keyword", "lang")
    assert caught.value.field == "lang[1]"
    assert caught.value.limit == limits.KEYWORD_BYTES
    assert caught.value.actual == 2 * limits.KEYWORD_BYTES
    assert caught.value.retry_after is None


def test_payload_is_refused_by_the_name_of_its_field():
    with pytest.raises(InvalidArgument) as caught:
        check_payload_fields({"lang": "en", "year": "2020"}, FIELDS)
    assert caught.value.field == "year"
    with pytest.raises(InvalidArgument) as caught:
        check_payload_fields({"year": [1, "2"]}, FIELDS, "payloads[3]")
    assert caught.value.field == "payloads[3].year[1]"
    assert caught.value.message.startswith("payloads[3].year[1]:")


def test_undeclared_fields_hold_anything():
    check_payload_fields({"free": [None, [math.nan], {"a": "x" * 1000}], "lang": "en"}, FIELDS)


def test_declared_fields_may_be_missing_or_null():
    check_payload_fields({}, FIELDS)
    check_payload_fields(dict.fromkeys(FIELDS), FIELDS)


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1969-12-31T23:59:59.999999+00:00", -1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00.0000019Z", 1),
        ("2262-04-11T23:47:16.854775+00:00", 9_223_372_036_854_775),
    ],
)
def test_datetime_is_compared_as_microseconds(text, microseconds):
    node = parse_filter({"at": text}, FIELDS)
    assert node == Compare("at", "eq", (microseconds,))
    assert compile_filter(node, FIELDS)({"at": text})


def test_extreme_datetimes_are_compared():
    first = datetime.min.replace(tzinfo=timezone(timedelta(hours=23)))
    last = datetime.max.replace(tzinfo=timezone(timedelta(hours=-23)))
    node = parse_filter({"at": {"between": [first, last]}}, FIELDS)
    assert node is not None
    test = compile_filter(node, FIELDS)
    for value in (first, last):
        assert test({"at": value.isoformat()})


def test_large_integers_of_a_float_field_are_compared_as_floats():
    node = parse_filter({"score": 2**53}, FIELDS)
    assert node is not None
    assert compile_filter(node, FIELDS)({"score": 2**53 + 1})
