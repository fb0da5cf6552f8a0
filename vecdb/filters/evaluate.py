"""Does a payload match a filter? One record at a time, in plain Python.

A missing field, null and an empty list have no value: no comparison is true of them. Of a list a
comparison is true if it is true of some element.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, assert_never

from . import geo
from .expression import And, Compare, Node, Not, Or, Scalar
from .text import has_phrase
from .values import to_comparable

Payload = Mapping[str, Any]
Test = Callable[[Payload], bool]
ValueTest = Callable[[Any], bool]

# Called with (the filter's value, the record's value), hence each with its sides changed.
SWAPPED: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.gt,
    "lte": operator.ge,
    "gt": operator.lt,
    "gte": operator.le,
}


def compile_filter(node: Node, fields: Mapping[str, str]) -> Callable[[Payload | None], bool]:
    """A test of parsed payloads (None: a record without one) that were checked when written.

    ``fields`` are those that ``node`` was parsed with. The test is safe to call from any thread.
    """
    test = _compile(node, fields)
    return lambda payload: test({} if payload is None else payload)


def _compile(node: Node, fields: Mapping[str, str]) -> Test:
    match node:
        case Compare():
            return _compile_compare(node, fields[node.field])
        case Not(child):
            return _not(_compile(child, fields))
        case And(children):
            return _all([_compile(child, fields) for child in children])
        case Or(children):
            return _any([_compile(child, fields) for child in children])
    assert_never(node)


def _not(test: Test) -> Test:
    return lambda payload: not test(payload)


def _all(tests: list[Test]) -> Test:
    def test_all(payload: Payload) -> bool:
        for test in tests:  # noqa: SIM110  # all() would start a generator a payload
            if not test(payload):
                return False
        return True

    return test_all


def _any(tests: list[Test]) -> Test:
    def test_any(payload: Payload) -> bool:
        for test in tests:  # noqa: SIM110  # any() would start a generator a payload
            if test(payload):
                return True
        return False

    return test_any


def _compile_compare(node: Compare, kind: str) -> Test:
    if node.operator == "exists":
        return partial(_exists, node.field)
    if node.operator == "null":
        return partial(_is_null, node.field)
    convert = to_comparable(kind)
    if node.operator == "all":
        return _has_all(node.field, frozenset(node.values), convert)
    return _some_element(node.field, _value_test(kind, node, convert))


def _exists(field: str, payload: Payload) -> bool:
    value = payload.get(field)
    return value is not None and value != []


def _is_null(field: str, payload: Payload) -> bool:
    return field in payload and payload[field] is None


def _has_all(field: str, wanted: frozenset[Scalar], convert: Callable[[Any], Any] | None) -> Test:
    def has_all(payload: Payload) -> bool:
        value = payload.get(field)
        if not isinstance(value, list) or len(value) < len(wanted):
            return False  # two values or more are wanted, so a value by itself never has them
        return wanted.issubset(map(convert, value) if convert else value)

    return has_all


def _some_element(field: str, test: ValueTest) -> Test:
    def some_element(payload: Payload) -> bool:
        value = payload.get(field)
        if isinstance(value, list):
            return any(map(test, value))
        return value is not None and test(value)

    return some_element


def _value_test(kind: str, node: Compare, convert: Callable[[Any], Any] | None) -> ValueTest:
    """A test of one value as it is stored."""
    name, values = node.operator, node.values
    test: ValueTest
    if kind == "geo":
        test = _point_test(name, values)
    elif kind == "text":
        test = _text_test(name, values)
    elif name == "in":
        test = frozenset(values).__contains__
    elif name == "between":
        low, high = values
        test = partial(_between, low, high)
    elif name == "prefix":
        (start,) = values
        test = partial(_starts_with, start)
    else:
        (wanted,) = values
        test = partial(SWAPPED[name], wanted)
    if convert is None:
        return test
    return lambda value: test(convert(value))


def _point_test(name: str, values: tuple[Any, ...]) -> ValueTest:
    if name == "within":
        return partial(geo.is_within, *values)
    return partial(geo.is_in_box, values)


def _text_test(name: str, values: tuple[Any, ...]) -> Callable[[list[str]], bool]:
    """A test of the words of a text."""
    match name:
        case "match":
            return frozenset(values).issubset
        case "match_any":
            wanted = frozenset(values)
            return lambda words: not wanted.isdisjoint(words)
        case "phrase":
            return partial(has_phrase, values)
    (start,) = values
    return lambda words: any(word.startswith(start) for word in words)


def _between(low: Any, high: Any, value: Any) -> bool:
    return bool(low <= value <= high)


def _starts_with(start: Any, value: str) -> bool:
    return value.startswith(start)
