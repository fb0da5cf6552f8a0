"""Which values fit a field's type, and as what they are compared.

=========  ==========================================  ======================================
type       in a payload, and in a filter               compared as
=========  ==========================================  ======================================
keyword    text of at most ``limits.KEYWORD_BYTES``    str, by code point
bool       true, false                                 bool
int        integer of 64 bits; no bool, no 3.0         int
float      finite number; no bool                      float
datetime   ISO 8601 text with a zone; in a filter      int, microseconds since 1970 in UTC
           also an aware ``datetime``                  (digits after the sixth are dropped)
uuid       text in five groups of hexadecimal digits,  bytes, 16 of them
           any case; in a filter also a ``UUID``
geo        {"lat": degrees, "lon": degrees}            (float, float), never in a filter
text       text of any length                          its words (``text.words_of``)
=========  ==========================================  ======================================

In a payload a declared field holds such a value, a list of them (no nulls or lists in it), or null.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from .. import limits
from ..errors import InvalidArgument, LimitExceeded
from .expression import Scalar
from .text import words_of

EXPECTED = {
    "keyword": "a string",
    "bool": "true or false",
    "int": "an integer",
    "float": "a number",
    "datetime": "ISO 8601 text with a zone, such as '2024-05-01T12:00:00Z'",
    "uuid": "a UUID as text, such as '123e4567-e89b-12d3-a456-426614174000'",
    "geo": "a point, such as {'lat': 52.52, 'lon': 13.4}",
    "text": "a string",
}
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
INT_MIN, INT_MAX = -(2**63), 2**63 - 1


def check_payload_fields(
    payload: Mapping[str, Any], fields: Mapping[str, str], where: str = ""
) -> None:
    """Raise if a declared field's value does not fit.

    The error's ``field`` is the field's name, after ``where`` and a dot if that is given.
    """
    for name, kind in fields.items():
        if name in payload:
            check_field_value(payload[name], kind, f"{where}.{name}" if where else name)


def check_field_value(value: object, kind: str, where: str) -> None:
    """Raise ``InvalidArgument`` or ``LimitExceeded`` at ``where`` if a payload's value is unfit."""
    if value is None:
        return
    if isinstance(value, list | tuple):
        for position, element in enumerate(value):
            _check_stored(element, kind, f"{where}[{position}]")
    else:
        _check_stored(value, kind, where)


def check_value(value: object, kind: str, where: str) -> Scalar:
    """Return a filter's value as what it is compared as; raise at ``where`` if it is unfit."""
    match kind:
        case "keyword" if isinstance(value, str):
            return _check_keyword(str.__str__(value), where)
        case "bool" if isinstance(value, bool):
            return value
        case "int" if isinstance(value, int) and not isinstance(value, bool):
            return _check_int(int(value), where)
        case "float" if isinstance(value, int | float) and not isinstance(value, bool):
            return _check_float(value, where)
        case "datetime" if isinstance(value, str):
            return _parse_datetime(value, where)
        case "datetime" if isinstance(value, datetime):
            return _to_microseconds(value, where)
        case "uuid" if isinstance(value, str):
            return _parse_uuid(value, where)
        case "uuid" if isinstance(value, UUID):
            return value.bytes
    raise _unfit(value, kind, where)


def _unfit(value: object, kind: str, where: str) -> InvalidArgument:
    return InvalidArgument(
        f"{where}: a field of type {kind} takes {EXPECTED[kind]}; got {describe(value)}",
        field=where,
        hint=_advice(value),
    )


def describe(value: object) -> str:
    """What a value is, without telling it: messages hold no values."""
    return "null" if value is None else type(value).__name__


def to_comparable(kind: str) -> Callable[[Any], Any] | None:
    """Turns a stored value of that type into what it is compared as; None: it is that already."""
    return _CONVERT.get(kind)


def _stored_microseconds(text: str) -> int:
    # Was checked when written, so this does not raise.
    return (datetime.fromisoformat(text) - EPOCH) // MICROSECOND


def _stored_uuid(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))


def _stored_point(point: Mapping[str, float]) -> tuple[float, float]:
    return point["lat"] + 0.0, point["lon"] + 0.0


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "datetime": _stored_microseconds,
    "uuid": _stored_uuid,
    "geo": _stored_point,
    "text": words_of,
}


def _check_stored(value: object, kind: str, where: str) -> None:
    if value is None or isinstance(value, list | tuple):
        raise InvalidArgument(
            f"{where}: a list in a declared field holds values alone; got {describe(value)} in it",
            field=where,
        )
    if isinstance(value, datetime):
        raise InvalidArgument(
            f"{where}: payloads are JSON, which has no datetime; got {describe(value)}",
            field=where,
            hint="Pass value.isoformat() of a datetime with a zone",
        )
    if kind == "geo":
        _check_point(value, where)
    elif kind == "text":
        if not isinstance(value, str):
            raise _unfit(value, kind, where)
        check_unicode(value, where)
    else:
        check_value(value, kind, where)


def _check_point(value: object, where: str) -> None:
    if not isinstance(value, Mapping):
        raise _unfit(value, "geo", where)
    if set(value) != {"lat", "lon"}:
        raise InvalidArgument(
            f"{where}: a field of type geo takes {EXPECTED['geo']}; got a dict of other keys",
            field=where,
        )
    check_degrees(value["lat"], 90, f"{where}.lat")
    check_degrees(value["lon"], 180, f"{where}.lon")


def check_degrees(value: object, most: int, where: str) -> float:
    """Degrees from ``-most`` to ``most``."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgument(f"{where}: expected degrees; got {describe(value)}", field=where)
    if not -most <= value <= most:  # nor is NaN
        raise InvalidArgument(
            f"{where}: degrees are from {-most} to {most} here", field=where, limit=most
        )
    return float(value) + 0.0  # -0.0 becomes 0.0


def check_unicode(text: str, where: str) -> str:
    """Text that can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(
            f"{where}: text must be valid Unicode; got half of a surrogate pair", field=where
        ) from error
    return text


def _parse_uuid(text: str, where: str) -> bytes:
    if not _UUID.fullmatch(text):
        raise InvalidArgument(
            f"{where}: text that is no UUID came where a field of type uuid takes "
            f"{EXPECTED['uuid']}",
            field=where,
        )
    return _stored_uuid(text)


def _check_keyword(text: str, where: str) -> str:
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidArgument(
            f"{where}: text must be valid Unicode; got half of a surrogate pair", field=where
        ) from error
    if size > limits.KEYWORD_BYTES:
        raise LimitExceeded(
            f"{where}: a keyword has at most {limits.KEYWORD_BYTES} bytes of UTF-8; got {size}",
            field=where,
            limit=limits.KEYWORD_BYTES,
            actual=size,
        )
    return text


def _check_int(number: int, where: str) -> int:
    if not INT_MIN <= number <= INT_MAX:
        raise InvalidArgument(
            f"{where}: an integer must fit 64 bits, from {INT_MIN} to {INT_MAX}", field=where
        )
    return number


def _check_float(number: float, where: str) -> float:
    try:
        value = float(number)
    except OverflowError:  # an int above the largest float
        value = math.inf
    if not math.isfinite(value):
        raise InvalidArgument(
            f"{where}: a number must be finite and fit 64-bit floating point", field=where
        )
    return value + 0.0  # -0.0 becomes 0.0


def _parse_datetime(text: str, where: str) -> int:
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidArgument(
            f"{where}: text that is not ISO 8601 came where a field of type datetime takes "
            f"{EXPECTED['datetime']}",
            field=where,
        ) from error
    return _to_microseconds(value, where)


def _to_microseconds(value: datetime, where: str) -> int:
    # Not "is None": pandas.NaT is a datetime too, and its offset is neither.
    if not isinstance(value.utcoffset(), timedelta):
        raise InvalidArgument(
            f"{where}: a datetime needs a zone; got one without",
            field=where,
            hint="Add one: value.replace(tzinfo=timezone.utc), or 'Z' at the end of the text",
        )
    return int((value - EPOCH) // MICROSECOND)


def _advice(value: object) -> str:
    if value is None:
        return 'To match an explicit null, use {"null": true}'
    if isinstance(value, list | tuple):
        return 'To match any of several values, use {"in": [...]}'
    if type(value).__module__ == "numpy":
        return "Turn numpy values into Python's with .item() or .tolist()"
    return ""
