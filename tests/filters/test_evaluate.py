"""Every operator on every type, against an evaluator that shares no code with the engine's."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecdb.filters import F, compile_filter, parse_filter

FIELDS = {"lang": "keyword", "ok": "bool", "year": "int", "score": "float", "at": "datetime"}
VALUES: dict[str, list[Any]] = {
    "lang": ["", "de", "den", "en", "énorme", "\U0001f600", "\uffff"],
    "ok": [True, False],
    "year": [-(2**63), -1, 0, 1, 2, 2**63 - 1],
    "score": [-1.5, -0.0, 0.0, 0, 1, 1.0, 2.25, 1e300],
    "at": [
        "2024-05-01T12:00:00Z",
        "2024-05-01T14:00:00+02:00",
        "2024-05-01T12:00:00.000001+00:00",
        "1969-12-31T23:59:59-01:00",
        "0001-01-01T00:00:00+10:00",
    ],
}
OF_ONE = {
    "eq": lambda value, wanted: value == wanted,
    "ne": lambda value, wanted: value != wanted,
    "lt": lambda value, wanted: value < wanted,
    "lte": lambda value, wanted: value <= wanted,
    "gt": lambda value, wanted: value > wanted,
    "gte": lambda value, wanted: value >= wanted,
    "prefix": lambda value, wanted: value[: len(wanted)] == wanted,
    "in": lambda value, wanted: any(value == one for one in wanted),
    "any": lambda value, wanted: any(value == one for one in wanted),
    "between": lambda value, wanted: wanted[0] <= value <= wanted[1],
}


def comparable(value: Any, field: str) -> Any:
    if isinstance(value, list):
        return [comparable(one, field) for one in value]
    return datetime.fromisoformat(value) if field == "at" else value


def naive_compare(field: str, operator: str, wanted: Any, payload: dict[str, Any]) -> bool:
    present = payload.get(field)
    values = present if isinstance(present, list) else [] if present is None else [present]
    if operator == "exists":
        return (len(values) > 0) == wanted
    if operator == "null":
        return (field in payload and present is None) == wanted
    values, wanted = comparable(values, field), comparable(wanted, field)
    if operator == "all":
        return len(values) > 0 and all(one in values for one in wanted)
    return any(OF_ONE[operator](value, wanted) for value in values)


def naive(tree: dict[str, Any], payload: dict[str, Any] | None) -> bool:
    """The documented meaning of a filter, written as a definition."""
    results = []
    for key, operand in tree.items():
        if key == "and":
            results.append(all(naive(child, payload) for child in operand))
        elif key == "or":
            results.append(any(naive(child, payload) for child in operand))
        elif key == "not":
            results.append(not naive(operand, payload))
        elif operand is None:
            results.append(naive_compare(key, "null", True, payload or {}))
        elif not isinstance(operand, dict):
            results.append(naive_compare(key, "eq", operand, payload or {}))
        else:
            results += [
                naive_compare(key, operator, wanted, payload or {})
                for operator, wanted in operand.items()
            ]
    return all(results)


def matches(tree: Any, payload: dict[str, Any] | None) -> bool:
    node = parse_filter(tree, FIELDS)
    assert node is not None
    return compile_filter(node, FIELDS)(payload)


def operators_of(field: str) -> list[str]:
    names = ["eq", "ne", "in", "any", "all", "exists", "null"]
    if field != "ok":
        names += ["lt", "lte", "gt", "gte", "between"]
    return [*names, "prefix"] if field == "lang" else names


def operands_of(field: str, operator: str) -> list[Any]:
    values = VALUES[field]
    if operator in ("exists", "null"):
        return [True, False]
    if operator in ("in", "any", "all"):
        return [[], values[:1], values[:2], values[1:3] * 2, values]
    if operator == "between":
        key = [(comparable(value, field), value) for value in values]
        return [[a, b] for x, a in key for y, b in key if x <= y]
    return values


def payloads_of(field: str) -> list[dict[str, Any] | None]:
    values = VALUES[field]
    lists = [[], values[:1], values[:2], values[1:3], values[:1] * 2, values]
    return [None, {}, {"other": 1}, *({field: one} for one in [None, *values, *lists])]


@pytest.mark.parametrize(
    ("field", "operator"), [(field, name) for field in FIELDS for name in operators_of(field)]
)
def test_operator_agrees_with_its_definition(field, operator):
    seen = set()
    for operand in operands_of(field, operator):
        tree = {field: {operator: operand}}
        for payload in payloads_of(field):
            expected = naive(tree, payload)
            assert matches(tree, payload) is expected, (tree, payload)
            seen.add(expected)
    assert seen == {True, False}  # the cases reach both answers


@pytest.mark.parametrize(
    ("tree", "payload", "expected"),
    [
        ({"lang": "en"}, {"lang": "en"}, True),
        ({"lang": "en"}, {"lang": ["de", "en"]}, True),
        ({"lang": "en"}, {"lang": "EN"}, False),
        ({"lang": {"ne": "en"}}, {}, False),
        ({"lang": {"ne": "en"}}, {"lang": None}, False),
        ({"lang": {"ne": "en"}}, {"lang": ["en", "de"]}, True),
        ({"lang": {"ne": "en"}}, {"lang": ["en", "en"]}, False),
        ({"not": {"lang": "en"}}, {}, True),
        ({"not": {"lang": "en"}}, {"lang": None}, True),
        ({"not": {"lang": "en"}}, {"lang": ["en", "de"]}, False),
        ({"lang": None}, {"lang": None}, True),
        ({"lang": None}, {}, False),
        ({"lang": {"null": False}}, {}, True),
        ({"lang": {"exists": True}}, {"lang": []}, False),
        ({"lang": {"exists": True}}, {"lang": ""}, True),
        ({"lang": {"exists": False}}, {"lang": None}, True),
        ({"lang": {"in": []}}, {"lang": "en"}, False),
        ({"lang": {"all": []}}, {"lang": "en"}, True),
        ({"lang": {"all": []}}, {}, False),
        ({"lang": {"all": ["en", "de"]}}, {"lang": ["de", "fr", "en"]}, True),
        ({"lang": {"all": ["en", "de"]}}, {"lang": "en"}, False),
        ({"lang": {"prefix": "e"}}, {"lang": ["de", "en"]}, True),
        # one element must lie between the ends; two on either side do not make one
        ({"year": {"between": [2, 3]}}, {"year": [1, 4]}, False),
        ({"year": {"gte": 2, "lte": 3}}, {"year": [1, 4]}, True),
        ({"year": {"lt": 2}, "ok": True}, {"year": 1, "ok": False}, False),
        ({"score": {"gte": 1}}, {"score": 1}, True),
        ({"score": 0.0}, {"score": -0.0}, True),
        ({"ok": False}, {}, False),
        ({"at": {"lt": "2024-05-01T12:00:00+01:00"}}, {"at": "2024-05-01T11:30:00Z"}, False),
        ({}, None, True),
        ({"and": []}, None, True),
        ({"or": []}, {"lang": "en"}, False),
    ],
)
def test_documented_case(tree, payload, expected):
    assert matches(tree, payload) is expected
    assert naive(tree, payload) is expected


def test_keywords_are_ordered_by_code_point():
    assert matches(F("lang") < "\U0001f600", {"lang": "\uffff"})  # UTF-16 has it the other way
    assert matches(F("lang") > "Z", {"lang": "a"})


def test_undeclared_field_of_a_payload_is_not_looked_at():
    assert matches({"lang": "en"}, {"lang": "en", "nested": {"lang": ["de"]}, "x": object()})


@st.composite
def leaves(draw: st.DrawFn) -> dict[str, Any]:
    field = draw(st.sampled_from(sorted(FIELDS)))
    operator = draw(st.sampled_from(operators_of(field)))
    value = st.sampled_from(VALUES[field])
    if operator in ("exists", "null"):
        operand: Any = draw(st.booleans())
    elif operator in ("in", "any", "all"):
        operand = draw(st.lists(value, max_size=3))
    elif operator == "between":
        ends = draw(st.lists(value, min_size=2, max_size=2))
        operand = sorted(ends, key=lambda end: comparable(end, field))
    else:
        operand = draw(value)
    return {field: {operator: operand}}


def groups(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(children, max_size=3)
    return (
        st.builds(lambda parts: {"and": parts}, several)
        | st.builds(lambda parts: {"or": parts}, several)
        | st.builds(lambda part: {"not": part}, children)
        | st.builds(lambda one, other: one | other, children, children)  # of dicts: one dict
    )


TREES = st.recursive(leaves() | st.just({}), groups, max_leaves=8)


@st.composite
def payloads(draw: st.DrawFn) -> dict[str, Any] | None:
    payload = {}
    for field, values in VALUES.items():
        value = st.sampled_from(values)
        if draw(st.booleans()):
            payload[field] = draw(value | st.none() | st.lists(value, max_size=3))
    return payload or None


@settings(deadline=None, max_examples=300)
@given(tree=TREES, payload=payloads())
def test_random_filter_agrees_with_its_definition(tree, payload):
    assert matches(tree, payload) is naive(tree, payload)


@settings(deadline=None, max_examples=150)
@given(one=TREES, other=TREES, payload=payloads())
def test_negated_groups_obey_de_morgan(one, other, payload):
    negated = [{"not": one}, {"not": other}]
    assert matches({"not": {"and": [one, other]}}, payload) is matches({"or": negated}, payload)
    assert matches({"not": {"or": [one, other]}}, payload) is matches({"and": negated}, payload)


@settings(deadline=None, max_examples=100)
@given(tree=TREES, payload=payloads())
def test_filter_or_its_negation_matches_but_never_both(tree, payload):
    assert matches(tree, payload) is not matches({"not": tree}, payload)
