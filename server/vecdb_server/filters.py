"""Filters from the wire to the dict form, which the engine checks against the declared fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from vecdb.errors import InvalidArgument
from vecdb.schema import RESERVED_FIELDS
from vecdb_client.codec import OPERATOR, PARTS, value_from_wire
from vecdb_client.wire import vecdb_pb2 as pb

LISTS: Final = ("in", "between", "all")
"""Operators with a list of values; all others have one."""


def filter_from_wire(message: pb.Filter, path: str = "filter") -> dict[str, Any]:
    """The dict form of ``message``; ``path`` is what errors call it.

    The shape decides the paths that the engine's errors name, so it follows what a client was
    given: an ``all_of`` of ``all_of`` is an ``and`` with a list, any other ``all_of`` one dict with
    several entries, where no entry would hide another.
    """
    node = message.WhichOneof("node")
    if node == "compare":
        return _comparison(message.compare, path)
    if node == "all_of":
        return _all_of(list(message.all_of.filters), path)
    if node == "any_of":
        return {"or": _children(list(message.any_of.filters), f"{path}.or")}
    if node == "negate":
        return {"not": filter_from_wire(message.negate, f"{path}.not")}
    raise InvalidArgument(
        f"{path}: holds none of compare, all_of, any_of, negate",
        field=path,
        hint="To match every record, leave the filter out",
    )


def _all_of(filters: list[pb.Filter], path: str) -> dict[str, Any]:
    if filters and _is_list(filters):
        return {"and": _children(filters, f"{path}.and")}
    keys = [_key(child) for child in filters]
    if None in keys or len(set(keys)) < len(keys):
        return {"and": _children(filters, f"{path}.and")}
    merged: dict[str, Any] = {}
    for child in filters:
        for name, operand in filter_from_wire(child, path).items():
            if child.WhichOneof("node") == "compare":
                merged.setdefault(name, {}).update(operand)
            else:
                merged[name] = operand
    return merged


def _is_list(filters: Iterable[pb.Filter]) -> bool:
    """Whether an ``all_of`` of these stands for a list of dicts."""
    return all(child.WhichOneof("node") == "all_of" for child in filters)


def _key(child: pb.Filter) -> tuple[str, int] | None:
    """What a dict holds of ``child`` but once; None: it is no single entry of a dict."""
    node = child.WhichOneof("node")
    if node == "compare":
        return child.compare.field, child.compare.operator
    if node == "all_of" and not (child.all_of.filters and _is_list(child.all_of.filters)):
        return None
    return node or "", 0


def _children(filters: list[pb.Filter], path: str) -> list[dict[str, Any]]:
    return [
        filter_from_wire(child, f"{path}[{position}]") for position, child in enumerate(filters)
    ]


def _comparison(message: pb.Comparison, path: str) -> dict[str, Any]:
    path = f"{path}.{message.field}"
    if message.field in RESERVED_FIELDS:  # in a dict it would be taken for the combinator
        raise InvalidArgument(
            f"{path}: no field has the name {message.field!r}", field=path, reason="UNINDEXED_FIELD"
        )
    operator = OPERATOR.from_wire(message.operator, path)
    path = f"{path}.{operator}"
    values = [
        value_from_wire(value, f"{path}[{position}]")
        for position, value in enumerate(message.values)
    ]
    if operator in LISTS:
        return {message.field: {operator: values}}
    names = PARTS.get(operator)
    if names is not None:
        if len(values) != len(names):
            raise InvalidArgument(
                f"{path}: expected the values {', '.join(names)}; got {len(values)} values",
                field=path,
            )
        return {message.field: {operator: dict(zip(names, values, strict=True))}}
    if len(values) != 1:
        raise InvalidArgument(f"{path}: expected one value; got {len(values)}", field=path)
    return {message.field: {operator: values[0]}}
