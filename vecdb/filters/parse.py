"""From a filter as people write it to canonical nodes, checked against the declared fields.

Depth and nodes are counted before anything is built: a comparison, ``and``, ``or`` and ``not`` are
a node each, and a dict of several conditions (or of none) is an ``and`` of them. Every error names
the path of what is wrong, such as ``filter.and[2].lang.gte``; ``eq`` is no step of it, so that
``{"lang": 5}`` and ``{"lang": {"eq": 5}}``, which are one filter on the wire, have one path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .. import limits
from ..errors import InvalidArgument, LimitExceeded
from .expression import Node, Scalar, all_of, any_of, compare, negate
from .operands import check_box, check_circle, check_word, check_words
from .values import check_value, describe

COMBINATORS = ("and", "or", "not")
ONE_VALUE = ("eq", "ne", "lt", "lte", "gt", "gte", "prefix")
LISTS = ("in", "any", "all")
FLAGS = ("exists", "null")

UNORDERED = ("eq", "ne", "in", "any", "all", "exists", "null")
ORDERED = ("eq", "ne", "lt", "lte", "gt", "gte", "between", "in", "any", "all", "exists", "null")
OPERATORS = {
    "keyword": (*ORDERED, "prefix"),
    "bool": UNORDERED,
    "int": ORDERED,
    "float": ORDERED,
    "datetime": ORDERED,
    "uuid": UNORDERED,
    "geo": ("within", "box", "exists", "null"),
    "text": ("match", "match_any", "phrase", "prefix", "exists", "null"),
}
CHECKS: dict[str, Callable[[object, str], tuple[Scalar, ...]]] = {
    "within": check_circle,
    "box": check_box,
    "match": check_words,
    "match_any": check_words,
    "phrase": check_words,
}
"""Of operands that are no values of the field."""
SHOWN = 20
"""Declared fields that an error lists."""


def declared_hint(fields: Mapping[str, str]) -> str:
    """What to do about the name of a field that is not declared."""
    declared = sorted(fields)
    if not declared:
        return "The collection declares no fields; add_field declares one"
    more = ", ..." if len(declared) > SHOWN else ""
    return f"Declared are: {', '.join(declared[:SHOWN])}{more}; add_field declares another"


def parse_filter(filter: object, fields: Mapping[str, str], path: str = "filter") -> Node | None:
    """The canonical form of ``filter``; None where there is none.

    ``filter`` is None, a dict, or has ``to_dict()`` (as expressions of ``F`` do, here and in the
    client); ``fields`` are the declared ones, name -> type; errors call it ``path``. Raises
    ``InvalidArgument`` for what is malformed or does not fit a field, ``LimitExceeded`` for what is
    too large.
    """
    if filter is None:
        return None
    return _Parser(fields).parse(filter, path, 1)


class _Condition(NamedTuple):
    """One entry of a dict: ``field`` is empty for ``and``, ``or`` and ``not``."""

    field: str
    operator: str
    operand: Any
    path: str


class _Parser:
    """Parses one filter; holds the count of its nodes."""

    __slots__ = ("fields", "nodes")

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = fields
        self.nodes = 0

    def parse(self, filter: object, path: str, depth: int) -> Node:
        conditions = self._conditions(_to_dict(filter, path), path)
        if len(conditions) == 1:
            return self._condition(conditions[0], depth)
        self._enter(path, depth)
        return all_of([self._condition(condition, depth + 1) for condition in conditions])

    def _conditions(self, tree: dict[Any, Any], path: str) -> list[_Condition]:
        found: list[_Condition] = []
        for key, operand in tree.items():
            if not isinstance(key, str):
                raise InvalidArgument(
                    f"{path}: keys are names of fields, or and, or, not; got {describe(key)}",
                    field=path,
                )
            here = _step(path, key)
            if key in COMBINATORS:
                found.append(_Condition("", key, operand, here))
            else:
                self._check_field(key, here)
                found += _comparisons(key, operand, here)
            if len(found) > limits.FILTER_NODES:
                raise _too_many_nodes(path, len(found))
        return found

    def _condition(self, condition: _Condition, depth: int) -> Node:
        self._enter(condition.path, depth)
        if condition.field:
            return self._compare(condition)
        if condition.operator == "not":
            return negate(self.parse(condition.operand, condition.path, depth + 1))
        children = _check_list(condition.operand, condition.path, "filters")
        join = all_of if condition.operator == "and" else any_of
        return join(
            [
                self.parse(child, f"{condition.path}[{position}]", depth + 1)
                for position, child in enumerate(children)
            ]
        )

    def _compare(self, condition: _Condition) -> Node:
        field, operator, operand, path = condition
        kind = self.fields[field]
        if operator not in OPERATORS[kind]:
            raise InvalidArgument(
                f"{path}: no such operator for a field of type {kind}",
                field=path,
                hint=f"It has {', '.join(OPERATORS[kind])}",
            )
        return compare(field, operator, _check_operand(operator, operand, kind, path))

    def _check_field(self, name: str, path: str) -> None:
        if name in self.fields:
            return
        raise InvalidArgument(
            f"{path}: a filter compares declared fields, and this is none",
            field=path,
            reason="UNINDEXED_FIELD",
            hint=declared_hint(self.fields),
        )

    def _enter(self, path: str, depth: int) -> None:
        """Count a node."""
        if depth > limits.FILTER_DEPTH:
            raise LimitExceeded(
                f"{path}: a filter is at most {limits.FILTER_DEPTH} deep",
                field=path,
                limit=limits.FILTER_DEPTH,
                actual=depth,
            )
        self.nodes += 1
        if self.nodes > limits.FILTER_NODES:
            raise _too_many_nodes(path, self.nodes)


def _comparisons(field: str, operand: object, path: str) -> list[_Condition]:
    """The comparisons of one field, its short forms written out."""
    if operand is None:
        return [_Condition(field, "null", True, path)]
    if not isinstance(operand, dict):
        return [_Condition(field, "eq", operand, path)]
    if not operand:
        raise InvalidArgument(
            f"{path}: expected a value or an operator, such as {{'eq': ...}}; got an empty dict",
            field=path,
        )
    for operator in operand:
        if not isinstance(operator, str):
            raise InvalidArgument(
                f"{path}: operators are strings, such as 'eq'; got {describe(operator)}",
                field=path,
            )
    return [
        _Condition(field, operator, value, path if operator == "eq" else _step(path, operator))
        for operator, value in operand.items()
    ]


def _check_operand(operator: str, operand: object, kind: str, path: str) -> tuple[Scalar, ...]:
    if operator in FLAGS:
        if not isinstance(operand, bool):
            raise InvalidArgument(
                f"{path}: expected true or false; got {describe(operand)}", field=path
            )
        return (operand,)
    if operator in CHECKS:
        return CHECKS[operator](operand, path)
    if operator == "prefix" and kind == "text":
        return check_word(operand, path)
    if operator in ONE_VALUE:
        return (check_value(operand, kind, path),)
    given = _check_list(operand, path, "values")
    if operator == "between" and len(given) != 2:
        raise InvalidArgument(
            f"{path}: expected the two ends [low, high], both included; got {len(given)} values",
            field=path,
        )
    if len(given) > limits.FILTER_VALUES:
        raise LimitExceeded(
            f"{path}: at most {limits.FILTER_VALUES} values; got {len(given)}",
            field=path,
            limit=limits.FILTER_VALUES,
            actual=len(given),
        )
    values = tuple(
        check_value(value, kind, f"{path}[{position}]") for position, value in enumerate(given)
    )
    if operator == "between" and values[0] > values[1]:  # type: ignore[operator]  # of one type
        raise InvalidArgument(
            f"{path}: the first end must not be above the second", field=path, hint="Swap them"
        )
    return values


def _check_list(operand: object, path: str, what: str) -> list[Any] | tuple[Any, ...]:
    if isinstance(operand, list | tuple):
        return operand
    raise InvalidArgument(f"{path}: expected a list of {what}; got {describe(operand)}", field=path)


def _to_dict(filter: object, path: str) -> dict[Any, Any]:
    if not isinstance(filter, dict) and not isinstance(filter, type):
        to_dict = getattr(filter, "to_dict", None)
        if callable(to_dict):
            filter = to_dict()
    if isinstance(filter, dict):
        return filter
    raise InvalidArgument(
        f"{path}: expected a filter, such as F('lang') == 'en' or {{'lang': 'en'}}; "
        f"got {describe(filter)}",
        field=path,
    )


def _step(path: str, key: str) -> str:
    """``path`` one step further; a key from outside is shortened and made printable."""
    short = key if len(key) <= limits.FIELD_NAME_BYTES else key[:80] + "..."
    return f"{path}.{short if short.isprintable() else ascii(short)}"


def _too_many_nodes(path: str, actual: int) -> LimitExceeded:
    return LimitExceeded(
        f"{path}: a filter has at most {limits.FILTER_NODES} comparisons and combinators",
        field=path,
        limit=limits.FILTER_NODES,
        actual=actual,
        hint="To match any of many values of one field, use in",
    )
