"""Which slots of a segment match a filter: its columns compared whole, exactly as payloads are.

SQUASH (arXiv 2502.01528, section 3) looks 8-bit codes of quantiles up in a table for each
attribute. Here values are compared as they are: of a million integers that takes 0.33 ms, and 0.40
through codes and a table (1.6 in numpy), whose making takes 116 ms. Values are sorted nowhere, so
a comparison costs the same for any range.

What no column tells is tested by payload: each part of the filter gives the slots that match for
sure and those that may, and only what lies between is looked at.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..filters import And, Compare, Node, Not, Or
from ..filters.expression import Scalar
from ..storage.columns import STATE_NULL, STATE_VALUE, VALUE_DTYPES, Column
from .column_pairs import match_points, match_uuids
from .column_texts import match_texts
from .masks import any_in_groups

Bits = NDArray[np.bool_]
TestSlots = Callable[[NDArray[np.int64]], Bits]
"""Whether the payload of each of these slots, ascending, matches the whole filter."""

_FEW_VALUES = 16
"""Up to so many are compared one after the other; of more each value is looked up."""


class Unsupported(Exception):
    """No column tells: there is none of that name, or it is of a type that is not compared here."""


@dataclass(frozen=True, slots=True)
class _Known:
    """bool[n]: the slots that match for sure, those that may; one array if all is known."""

    sure: Bits
    possible: Bits


def match_columns(
    node: Node, columns: Mapping[str, Column], count: int, test_slots: TestSlots | None = None
) -> Bits:
    """bool[count]: whether each slot matches.

    Raises ``Unsupported`` where the columns do not tell and there is no ``test_slots``.
    """
    known = _match(node, columns, count)
    if known.sure is known.possible:
        return known.sure
    unknown = np.flatnonzero(known.possible & ~known.sure)
    if not len(unknown):
        return known.sure
    if test_slots is None:
        raise Unsupported
    found = known.sure.copy()
    found[unknown] = test_slots(unknown)
    return found


def _match(node: Node, columns: Mapping[str, Column], count: int) -> _Known:
    match node:
        case Compare():
            try:
                bits = _compare(node, columns, count)
            except Unsupported:
                return _Known(np.zeros(count, np.bool_), np.ones(count, np.bool_))
            return _Known(bits, bits)
        case Not(child):
            known = _match(child, columns, count)
            possible = ~known.sure
            return _Known(possible if _whole(known) else ~known.possible, possible)
        case And(children):
            return _join([_match(child, columns, count) for child in children], np.True_, count)
        case Or(children):
            return _join([_match(child, columns, count) for child in children], np.False_, count)
    return _Known(np.zeros(count, np.bool_), np.ones(count, np.bool_))


def _whole(known: _Known) -> bool:
    return known.sure is known.possible


def _join(parts: list[_Known], of_none: np.bool_, count: int) -> _Known:
    """AND of the parts where ``of_none``, what no parts give, is true; else OR."""
    join = np.logical_and if of_none else np.logical_or
    start = np.full(count, of_none)
    sure = reduce(join, (part.sure for part in parts), start)
    if all(map(_whole, parts)):
        return _Known(sure, sure)
    return _Known(sure, reduce(join, (part.possible for part in parts), start))


# --------------------------------------------------------------------------------- comparisons


def _compare(node: Compare, columns: Mapping[str, Column], count: int) -> Bits:
    try:
        column = columns[node.field]
    except KeyError:
        raise Unsupported from None
    if column.kind not in VALUE_DTYPES:
        raise Unsupported
    if node.operator == "null":
        return np.equal(column.state, STATE_NULL)
    if node.operator == "exists":
        return np.diff(column.ends, prepend=np.uint32(0)) > 0
    if node.operator == "all" and len(node.values) > 1:  # which only a list can have
        each = (
            _some_element(column, _match_values(column, "eq", (value,))) for value in node.values
        )
        return reduce(np.logical_and, each)
    return _some_element(column, _match_values(column, node.operator, node.values))


def _some_element(column: Column, hits: Bits) -> Bits:
    """bool by slot of bool by value: whether some value of the slot is one."""
    if len(hits) == len(column.state) and bool((column.state == STATE_VALUE).all()):
        return hits  # value s is that of slot s
    return any_in_groups(column.ends, hits)


def _match_values(column: Column, operator: str, values: tuple[Scalar, ...]) -> Bits:
    """bool by value: whether it is what the filter wants."""
    wanted: Any = values  # of the column's type, for its parser has checked them
    if column.kind == "uuid":
        return match_uuids(column.values, operator, wanted)
    if column.kind == "geo":
        return match_points(column.values, operator, wanted)
    if column.kind == "text":
        return match_texts(column, operator, wanted)
    if operator == "in":
        return _one_of(column, values)
    if operator == "prefix" and column.kind == "keyword":
        (start,) = values
        words, size = column.words, len(str(start))
        low = bisect_left(words, str(start))
        high = bisect_right(words, str(start), lo=low, key=lambda word: word[:size])
        return _within(column.values, low, high - 1)
    if operator == "between":
        return _between(column, *values)
    (value,) = values
    match operator:
        case "eq":
            return _equal(column, value)
        case "ne":
            return ~_equal(column, value)
        case "lt" | "gte":
            below = _below(column, value)
            return below if operator == "lt" else ~below
        case "lte" | "gt":
            above = _above(column, value)
            return above if operator == "gt" else ~above
    raise Unsupported


def _equal(column: Column, value: Any) -> Bits:
    return _between(column, value, value)


def _between(column: Column, low: Any, high: Any) -> Bits:
    if column.kind == "keyword":
        return _within(
            column.values, bisect_left(column.words, low), bisect_right(column.words, high) - 1
        )
    return _within(column.values, low, high)


def _within(values: NDArray[Any], low: Any, high: Any) -> Bits:
    found = np.zeros(len(values), np.bool_)
    if low == high:
        np.equal(values, _as(values, low), out=found)
    elif low < high:
        np.greater_equal(values, _as(values, low), out=found)
        found &= values <= _as(values, high)
    return found


def _below(column: Column, value: Any) -> Bits:
    bound = bisect_left(column.words, value) if column.kind == "keyword" else value
    found: Bits = column.values < _as(column.values, bound)
    return found


def _above(column: Column, value: Any) -> Bits:
    if column.kind == "keyword":
        found: Bits = column.values >= bisect_right(column.words, value)
    else:
        found = column.values > _as(column.values, value)
    return found


def _as(values: NDArray[Any], value: Any) -> Any:
    """``value`` in the values' own type: nothing is compared in another one."""
    return values.dtype.type(value)


def _one_of(column: Column, wanted: tuple[Scalar, ...]) -> Bits:
    values = column.values
    if column.kind == "keyword":
        table = np.zeros(len(column.words) + 1, np.bool_)  # one more: it may have no word
        for word in wanted:
            place = bisect_left(column.words, word)
            if place < len(column.words) and column.words[place] == word:
                table[place] = True
        listed: Bits = table[values]
        return listed
    if len(wanted) <= _FEW_VALUES:
        return reduce(np.logical_or, (_equal(column, value) for value in wanted))
    ordered = np.sort(np.array(wanted, values.dtype))
    places = np.searchsorted(ordered, values)
    found: Bits = ordered[np.minimum(places, len(ordered) - 1)] == values
    return found
