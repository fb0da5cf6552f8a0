"""Filters to messages: the shape is checked here, the fields and types by the server.

Depth, nodes and paths (``filter.and[2].lang.gte``) are counted and written as the engine does.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from . import limits
from .codec import OPERATOR, PARTS
from .errors import InvalidArgument, LimitExceeded
from .wire import vecdb_pb2 as pb

COMBINATORS: Final = ("and", "or", "not")
LISTS: Final = ("in", "between", "all")
FLAGS: Final = ("exists", "null")
SYNONYMS: Final = {"any": "in"}

Condition = tuple[str, str, Any, str]
"""(field or "" of a combinator, operator, operand, path)"""


def filter_to_wire(filter: object, path: str = "filter") -> pb.Filter | None:
    """The message of an expression or dict; None for None. Errors call it ``path``."""
    return None if filter is None else _Builder().build(filter, path, 1)


class _Builder:
    """Builds one filter; holds the count of its nodes."""

    __slots__ = ("nodes",)

    def __init__(self) -> None:
        self.nodes = 0

    def build(self, filter: object, path: str, depth: int) -> pb.Filter:
        conditions = []
        for condition in _conditions(_to_dict(filter, path), path):
            conditions.append(condition)
            if len(conditions) > limits.FILTER_NODES:
                raise _too_many_nodes(path, len(conditions))
        if len(conditions) == 1:
            return self._condition(conditions[0], depth)
        self._enter(path, depth)
        parts = [self._condition(condition, depth + 1) for condition in conditions]
        return pb.Filter(all_of=pb.Filters(filters=parts))

    def _condition(self, condition: Condition, depth: int) -> pb.Filter:
        field, operator, operand, path = condition
        self._enter(path, depth)
        if field:
            return pb.Filter(compare=_comparison(field, operator, operand, path))
        if operator == "not":
            return pb.Filter(negate=self.build(operand, path, depth + 1))
        parts = [
            self.build(child, f"{path}[{position}]", depth + 1)
            for position, child in enumerate(_check_list(operand, path, "filters"))
        ]
        if operator == "or":
            return pb.Filter(any_of=pb.Filters(filters=parts))
        # An all_of is a dict of conditions, or, if all of its parts are all_of too, a list of
        # dicts: by that the server names paths as the caller wrote them.
        parts = [_as_dict(part) for part in parts]
        return pb.Filter(all_of=pb.Filters(filters=parts))

    def _enter(self, path: str, depth: int) -> None:
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


def _as_dict(part: pb.Filter) -> pb.Filter:
    if part.WhichOneof("node") == "all_of":
        return part
    return pb.Filter(all_of=pb.Filters(filters=[part]))


def _to_dict(filter: object, path: str) -> dict[Any, Any]:
    if not isinstance(filter, dict) and not isinstance(filter, type):
        to_dict = getattr(filter, "to_dict", None)
        if callable(to_dict):
            filter = to_dict()
    if isinstance(filter, dict):
        return filter
    raise InvalidArgument(
        f"{path}: expected a filter, such as F('lang') == 'en' or {{'lang': 'en'}}; "
        f"got {_describe(filter)}",
        field=path,
    )


def _conditions(tree: dict[Any, Any], path: str) -> Iterator[Condition]:
    for key, operand in tree.items():
        if not isinstance(key, str):
            raise InvalidArgument(
                f"{path}: keys are names of fields, or and, or, not; got {_describe(key)}",
                field=path,
            )
        here = _step(path, key)
        if key in COMBINATORS:
            yield ("", key, operand, here)
        elif operand is None:
            yield (key, "null", True, here)
        elif not isinstance(operand, dict):
            yield (key, "eq", operand, here)
        else:
            yield from _operators(key, operand, here)


def _operators(field: str, operators: dict[Any, Any], path: str) -> Iterator[Condition]:
    if not operators:
        raise InvalidArgument(
            f"{path}: expected a value or an operator, such as {{'eq': ...}}; got an empty dict",
            field=path,
        )
    for operator, operand in operators.items():
        if not isinstance(operator, str):
            raise InvalidArgument(
                f"{path}: operators are strings, such as 'eq'; got {_describe(operator)}",
                field=path,
            )
        here = path if operator == "eq" else _step(path, operator)
        word = SYNONYMS.get(operator, operator)
        if word not in OPERATOR.numbers:
            raise InvalidArgument(
                f"{here}: no such operator",
                field=here,
                hint=f"There are {', '.join([*OPERATOR.numbers, *SYNONYMS])}",
            )
        yield (field, word, operand, here)


def _comparison(field: str, operator: str, operand: object, path: str) -> pb.Comparison:
    if operator in FLAGS:
        if not isinstance(operand, bool):
            raise InvalidArgument(
                f"{path}: expected true or false; got {_describe(operand)}", field=path
            )
        values = [pb.Value(flag=operand)]
    elif operator in PARTS:
        values = _numbers(operand, PARTS[operator], path)
    elif operator in LISTS:
        given = _check_list(operand, path, "values")
        if operator == "between" and len(given) != 2:
            raise InvalidArgument(
                f"{path}: expected the two ends [low, high], both included; "
                f"got {len(given)} values",
                field=path,
            )
        if len(given) > limits.FILTER_VALUES:
            raise LimitExceeded(
                f"{path}: at most {limits.FILTER_VALUES} values; got {len(given)}",
                field=path,
                limit=limits.FILTER_VALUES,
                actual=len(given),
            )
        values = [_value(value, f"{path}[{row}]") for row, value in enumerate(given)]
    else:
        values = [_value(operand, path)]
    try:
        return pb.Comparison(field=field, operator=OPERATOR.to_wire(operator), values=values)
    except ValueError:
        raise InvalidArgument(f"{path}: names are valid Unicode text", field=path) from None


def _numbers(operand: object, names: tuple[str, ...], path: str) -> list[pb.Value]:
    if not isinstance(operand, dict):
        raise InvalidArgument(
            f"{path}: expected a dict of {', '.join(names)}; got {_describe(operand)}", field=path
        )
    if set(operand) != set(names):
        raise InvalidArgument(
            f"{path}: expected a dict of exactly {', '.join(names)}; got {len(operand)} keys",
            field=path,
        )
    return [_value(operand[name], f"{path}.{name}") for name in names]


def _value(value: object, path: str) -> pb.Value:
    try:
        match value:
            case bool():
                return pb.Value(flag=value)
            case int():
                return pb.Value(integer=int(value))
            case float():
                return pb.Value(number=float(value))
            case str():
                return pb.Value(text=str.__str__(value))
            case UUID():
                return pb.Value(text=str(value))
            case datetime():
                return pb.Value(text=_iso(value, path))
    except UnicodeError:
        raise InvalidArgument(
            f"{path}: text must be valid Unicode; got half of a surrogate pair", field=path
        ) from None
    except ValueError:
        raise InvalidArgument(
            f"{path}: an integer must fit 64 bits, from {-(2**63)} to {2**63 - 1}", field=path
        ) from None
    hint = ""
    if isinstance(value, list | tuple):
        hint = 'To match any of several values, use {"in": [...]}'
    elif value is None:
        hint = 'To match an explicit null, use {"null": true}'
    elif type(value).__module__ == "numpy":
        hint = "Turn numpy values into Python's with .item() or .tolist()"
    raise InvalidArgument(
        f"{path}: a filter compares with a str, int, float, bool, datetime or UUID; "
        f"got {_describe(value)}",
        field=path,
        hint=hint,
    )


def _iso(value: datetime, path: str) -> str:
    # Not "is None": pandas.NaT is a datetime too, and its offset is neither.
    if not isinstance(value.utcoffset(), timedelta):
        raise InvalidArgument(
            f"{path}: a datetime needs a zone; got one without",
            field=path,
            hint="Add one: value.replace(tzinfo=timezone.utc)",
        )
    return value.isoformat()


def _check_list(operand: object, path: str, what: str) -> list[Any] | tuple[Any, ...]:
    if isinstance(operand, list | tuple):
        return operand
    raise InvalidArgument(
        f"{path}: expected a list of {what}; got {_describe(operand)}", field=path
    )


def _describe(value: object) -> str:
    """What a value is, without telling it: messages hold no values."""
    return "null" if value is None else type(value).__name__


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
