"""Masks made of columns, against the test of each payload."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecdb.collection.column_masks import Unsupported, match_columns
from vecdb.filters import EVERYTHING, NOTHING, compile_filter, geo, parse_filter
from vecdb.filters.values import to_comparable
from vecdb.storage.columns import (
    MISSING,
    VALUE_DTYPES,
    Column,
    decode_column,
    encode_column,
    mapped_column,
)

FIELDS = {
    "lang": "keyword",
    "ok": "bool",
    "year": "int",
    "score": "float",
    "at": "datetime",
    "key": "uuid",
    "where": "geo",
    "body": "text",
}
VALUES: dict[str, list[Any]] = {
    "lang": ["", "de", "den", "df", "en", "énorme", "\U0001f600", "\uffff"],
    "ok": [True, False],
    "year": [-(2**63), -1, 0, 1, 2, 2**53, 2**53 + 1, 2**63 - 1],
    "score": [-1.5, -0.0, 0.0, 0, 1, 5e-324, 2**53 + 1, 1.7e308, -1.7e308],
    "at": ["2024-05-01T12:00:00Z", "2024-05-01T14:00:00+02:00", "2024-05-01T12:00:00.000001Z"],
    "key": [str(UUID(int=number)) for number in (0, 1, 256, 2**64, 2**64 + 1, 2**128 - 1)],
    "where": [
        {"lat": lat, "lon": lon}
        for lat, lon in [(0, 0), (0, 1), (0, 180), (0, -180.0), (90, 5), (-90, 5), (1e-9, -0.0)]
    ],
    "body": [
        "",
        "a",
        "a b",
        "b a",
        "a b a b c",
        "A, c! b",
        "ab ba",
        "\uff21 \u4e1c\u4eac",
        "a a b",
    ],
}
CIRCLES = [(0, 0, 0), (0, 0, 111_194.92664455874), (0, 0, 1), (0, 180, 20_015_086), (90, 0, 5e6)]
BOXES = [(90, -180, -90, 180), (1, 170, -1, -170), (0, 0, 0, 1), (0, -180, 0, -180), (1, 1, 0, -1)]
TEXTS = ["a", "b a", "a b", "c", "zebra a", "\u4eac", "a b c", "a a"]
ORDERED = ["eq", "ne", "lt", "lte", "gt", "gte"]


def column_of(name: str, payloads: list[dict[str, Any]], decode: Any = decode_column) -> Column:
    kind = FIELDS[name]
    convert = to_comparable(kind) or (lambda value: value)
    values = []
    for payload in payloads:
        value = payload.get(name, MISSING)
        if isinstance(value, list):
            value = (tuple if kind == "text" else list)(convert(one) for one in value)
        elif value is not None and value is not MISSING:
            value = convert(value)
        values.append(value)
    return decode(kind, encode_column(kind, values))


def expected(tree: Any, payloads: list[dict[str, Any]]) -> list[bool]:
    test = compile_filter(parse_filter(tree, FIELDS), FIELDS)
    return [test(payload) for payload in payloads]


def values_of(name: str) -> Any:
    one = st.sampled_from(VALUES[name])
    return st.one_of(one, st.none(), st.lists(one, max_size=4))


def operands(name: str) -> Any:
    one = st.sampled_from(VALUES[name])
    convert = to_comparable(FIELDS[name]) or (lambda value: value)
    many = st.lists(one, max_size=4)
    shared = st.tuples(st.sampled_from(["exists", "null"]), st.booleans())
    if name == "where":
        circles = [dict(zip(("lat", "lon", "radius_m"), some, strict=True)) for some in CIRCLES]
        boxes = [dict(zip(("top", "left", "bottom", "right"), some, strict=True)) for some in BOXES]
        special = st.one_of(
            st.tuples(st.just("within"), st.sampled_from(circles)),
            st.tuples(st.just("box"), st.sampled_from(boxes)),
        )
        return st.one_of(special, shared).map(lambda pair: {name: {pair[0]: pair[1]}})
    if name == "body":
        special = st.one_of(
            st.tuples(st.sampled_from(["match", "match_any", "phrase"]), st.sampled_from(TEXTS)),
            st.tuples(st.just("prefix"), st.sampled_from(["a", "ab", "c", "z"])),
        )
        return st.one_of(special, shared).map(lambda pair: {name: {pair[0]: pair[1]}})
    unordered = name in ("ok", "key")
    choices = [
        st.tuples(st.sampled_from(ORDERED[:2] if unordered else ORDERED), one),
        st.tuples(st.sampled_from(["in", "all"]), many),
        shared,
    ]
    if not unordered:
        ends = st.tuples(one, one).map(lambda pair: sorted(pair, key=convert))
        choices.append(st.tuples(st.just("between"), ends))
    if name == "lang":
        choices.append(st.tuples(st.just("prefix"), st.sampled_from([*VALUES[name], "d", "z"])))
    return st.one_of(choices).map(lambda pair: {name: {pair[0]: pair[1]}})


names = st.sampled_from(sorted(FIELDS))
compares = names.flatmap(operands)
trees = st.recursive(
    compares,
    lambda child: st.one_of(
        st.lists(child, max_size=3).map(lambda some: {"and": some}),
        st.lists(child, max_size=3).map(lambda some: {"or": some}),
        child.map(lambda one: {"not": one}),
    ),
    max_leaves=6,
)
mixed = st.fixed_dictionaries({}, optional={name: values_of(name) for name in FIELDS})
full = st.fixed_dictionaries({name: st.sampled_from(VALUES[name]) for name in FIELDS})
payload_lists = st.one_of(st.lists(mixed, min_size=1, max_size=20), st.lists(full, min_size=1))


@settings(max_examples=150, deadline=None)
@given(payloads=payload_lists, tree=trees, decode=st.sampled_from([decode_column, mapped_column]))
def test_columns_say_what_payloads_say(payloads, tree, decode):
    columns = {name: column_of(name, payloads, decode) for name in FIELDS}
    found = match_columns(parse_filter(tree, FIELDS), columns, len(payloads))
    assert found.tolist() == expected(tree, payloads)


@settings(max_examples=80, deadline=None)
@given(payloads=payload_lists, tree=trees, lost=st.sets(names))
def test_payloads_are_asked_for_what_columns_do_not_tell(payloads, tree, lost):
    columns = {name: column_of(name, payloads) for name in set(FIELDS) - lost}
    truth = np.array(expected(tree, payloads))
    asked = []

    def test_slots(slots):
        asked.extend(slots.tolist())
        return truth[slots]

    node = parse_filter(tree, FIELDS)
    assert match_columns(node, columns, len(payloads), test_slots).tolist() == truth.tolist()
    assert asked == sorted(set(asked))
    if asked:
        with pytest.raises(Unsupported):
            match_columns(node, columns, len(payloads))


def test_slots_that_a_known_column_decides_are_not_asked_for():
    payloads = [{"year": number % 4} for number in range(100)]
    columns = {"year": column_of("year", payloads)}
    node = parse_filter({"and": [{"year": 1}, {"score": {"gt": 0}}]}, FIELDS)
    asked = []

    def test_slots(slots):
        asked.extend(slots.tolist())
        return slots == 5

    found = match_columns(node, columns, 100, test_slots)
    assert asked == list(range(1, 100, 4))
    assert np.flatnonzero(found).tolist() == [5]


@pytest.mark.parametrize("operator", ORDERED)
def test_lists_are_looked_through_whether_few_values_match_or_many(operator):
    rng = np.random.default_rng(3)
    lists = [rng.integers(0, 100, size).tolist() for size in rng.integers(0, 4, 2_000)]
    payloads = [{"year": some} if some else {} for some in lists]
    columns = {"year": column_of("year", payloads)}
    tree = {"year": {operator: 50}}
    found = match_columns(parse_filter(tree, FIELDS), columns, len(payloads))
    assert found.tolist() == expected(tree, payloads)


@pytest.mark.parametrize("name", ["lang", "year", "score", "key"])
@pytest.mark.parametrize("count", [2, 16, 17, 300])
def test_any_number_of_values_may_be_listed(name, count):
    make = {"lang": "w{:03d}".format, "key": lambda n: str(UUID(int=n * 7**40 % 2**128))}
    values = [make.get(name, int)(n) for n in range(0, 400)]
    payloads = [{name: value} for value in values] + [{}, {name: values[:3]}]
    columns = {name: column_of(name, payloads)}
    tree = {name: {"in": values[1 :: 400 // count][:count]}}
    found = match_columns(parse_filter(tree, FIELDS), columns, len(payloads))
    assert found.tolist() == expected(tree, payloads)


def test_constants_need_no_column():
    assert match_columns(EVERYTHING, {}, 3).tolist() == [True] * 3
    assert match_columns(NOTHING, {}, 3).tolist() == [False] * 3


def test_column_of_a_type_that_is_not_compared_is_not_read():
    columns = {"year": Column("shape", np.zeros(2, np.uint8), np.zeros(2, np.uint32), np.empty(0))}
    assert "shape" not in VALUE_DTYPES
    with pytest.raises(Unsupported):
        match_columns(parse_filter({"year": 1}, FIELDS), columns, 2)


@pytest.mark.parametrize("shift", [0, 64], ids=["high halves alike", "low halves alike"])
def test_many_uuids_with_a_half_in_common_are_told_apart(shift):
    values = [str(UUID(int=(n << shift) + (9 << (64 - shift)))) for n in range(400)]
    columns = {"key": column_of("key", [{"key": value} for value in values])}
    tree = {"key": {"in": values[::3]}}
    found = match_columns(parse_filter(tree, FIELDS), columns, len(values))
    assert found.tolist() == expected(tree, [{"key": value} for value in values])


def test_points_on_a_circle_are_told_by_column_as_by_payload():
    rng = np.random.default_rng(5)
    lats, lons = rng.uniform(-90, 90, 3_000), rng.uniform(-180, 180, 3_000)
    payloads = [{"where": {"lat": a, "lon": b}} for a, b in zip(lats, lons, strict=True)]
    columns = {"where": column_of("where", payloads)}
    for lat, lon in zip(lats[:60].tolist(), lons[:60].tolist(), strict=True):
        edge = geo.distance_m((52.5, 13.4), (lat, lon))
        for radius in (edge, np.nextafter(edge, 0), np.nextafter(edge, 1e9)):
            tree = {"where": {"within": {"lat": 52.5, "lon": 13.4, "radius_m": float(radius)}}}
            found = match_columns(parse_filter(tree, FIELDS), columns, len(payloads))
            assert found.tolist() == expected(tree, payloads)
