"""Values of parquet as JSON: which types have a form in it, and which.

=====================  ==================================================================
in the file            in the payload
=====================  ==================================================================
text, bool, integers   as they are
floats                 as they are; NaN and infinity, which JSON does not have, become null
timestamp              ISO 8601 text in UTC, to the microsecond; without a zone it is UTC
date, time             ISO 8601 text
decimal                an integer where it has no digits after the point, else a float
list, struct, map      a list, an object; a map's keys are text
=====================  ==================================================================

Bytes, durations and the rest have none: their columns are refused, by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .refusal import import_optional

Convert = Callable[[Any], Any]


class NotJson(Exception):
    """A type without a form in JSON; the message is its name."""


def convert_column(column: Any) -> list[Any]:
    """The values of an Arrow array, whose type passed ``converter_of``."""
    target = plain_type(column.type)
    values: list[Any] = (
        column if column.type == target else column.cast(target, safe=False)
    ).to_pylist()
    convert = converter_of(column.type)
    return values if convert is None else [convert(value) for value in values]


def plain_type(kind: Any) -> Any:
    """The type to cast to first: times to the microsecond, points in time to UTC."""
    pa = import_optional("pyarrow", "parquet")
    types = pa.types
    if types.is_timestamp(kind):
        return pa.timestamp("us", "UTC")
    if types.is_time64(kind):
        return pa.time64("us")
    if types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if types.is_large_list(kind):
        return pa.large_list(plain_type(kind.value_type))
    if types.is_fixed_size_list(kind):
        return pa.list_(plain_type(kind.value_type), kind.list_size)
    if types.is_list(kind):
        return pa.list_(plain_type(kind.value_type))
    if types.is_struct(kind):
        return pa.struct([pa.field(field.name, plain_type(field.type)) for field in kind])
    if types.is_map(kind):
        return pa.map_(plain_type(kind.key_type), plain_type(kind.item_type))
    return kind


def converter_of(kind: Any) -> Convert | None:
    """What turns a value, as ``to_pylist`` gives it, into JSON; None: it is JSON already."""
    types = import_optional("pyarrow", "parquet").types
    if types.is_dictionary(kind):
        return converter_of(kind.value_type)
    if is_text(kind) or types.is_boolean(kind) or types.is_integer(kind) or types.is_null(kind):
        return None
    if types.is_floating(kind):
        return _finite_or_null
    if types.is_timestamp(kind) or types.is_date(kind) or types.is_time(kind):
        return _iso
    if types.is_decimal(kind):
        return _or_null(float if kind.scale > 0 else int)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _list_of(converter_of(kind.value_type))
    if types.is_struct(kind):
        return _object_of({field.name: converter_of(field.type) for field in kind})
    if types.is_map(kind) and is_text(kind.key_type):
        return _map_of(converter_of(kind.item_type))
    raise NotJson(str(kind))


def is_text(kind: Any) -> bool:
    types = import_optional("pyarrow", "parquet").types
    return bool(types.is_string(kind) or types.is_large_string(kind))


def lacks_zone(kind: Any) -> bool:
    """Points in time of this column are taken for UTC."""
    types = import_optional("pyarrow", "parquet").types
    return bool(types.is_timestamp(kind) and kind.tz is None)


def _finite_or_null(value: Any) -> Any:
    return None if value is None or not math.isfinite(value) else float(value)


def _iso(value: Any) -> Any:
    return None if value is None else value.isoformat()


def _or_null(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


def _list_of(convert: Convert | None) -> Convert | None:
    if convert is None:
        return None
    return lambda values: None if values is None else [convert(value) for value in values]


def _object_of(fields: dict[str, Convert | None]) -> Convert:
    def convert_object(value: Any) -> Any:
        if value is None:
            return None
        return {
            name: convert(value[name]) if convert else value[name]
            for name, convert in fields.items()
        }

    return convert_object


def _map_of(convert: Convert | None) -> Convert:
    def convert_map(pairs: Any) -> Any:
        if pairs is None:
            return None
        return {name: convert(value) if convert else value for name, value in pairs}

    return convert_map
