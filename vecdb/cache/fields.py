"""Values of a policy, each checked: an error names its place and says what is allowed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from ..errors import InvalidArgument

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SIZES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)(B|KiB|MiB|GiB|TiB)")


def bad(place: str, expected: str, got: object, hint: str = "") -> InvalidArgument:
    """The error for a value in a policy."""
    return InvalidArgument(
        f"{place} must be {expected}; got {str(got)[:60]!r}",
        field=place,
        reason="BAD_POLICY",
        hint=hint,
    )


def mapping(place: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise bad(place, "an object with names", type(value).__name__)
    return value


def known(place: str, value: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    """Raise for a name that means nothing here."""
    for name in value:
        if name not in allowed:
            raise InvalidArgument(
                f"{place} has no field {name[:60]!r}",
                field=f"{place}.{name[:60]}",
                reason="BAD_POLICY",
                hint=f"Its fields are {', '.join(sorted(allowed))}",
            )


def number(place: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise bad(place, "a finite number", value)
    return float(value)


def threshold(place: str, value: object) -> float:
    """A cosine similarity that a hit must have."""
    given = number(place, value)
    if not 0.0 < given <= 1.0:
        raise bad(
            place,
            "a cosine similarity above 0 and at most 1 (higher is stricter)",
            value,
            "A distance d between unit vectors is the similarity 1 - d (cosine distance) or "
            "1 - d*d/2 (l2); leave the field out for the default",
        )
    return given


def share(place: str, value: object, *, most: float = 1.0) -> float:
    given = number(place, value)
    if not 0.0 <= given <= most:
        raise bad(place, f"from 0 to {most:g}", value)
    return given


def amount(place: str, value: object) -> float:
    given = number(place, value)
    if given < 0.0:
        raise bad(place, "0 or more", value)
    return given


def flag(place: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise bad(place, "true or false", value)
    return value


def count(place: str, value: object, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**62:
        raise bad(place, f"a whole number from {least}", value)
    return value


def duration(place: str, value: object, *, zero: bool = False) -> float:
    """Seconds, from a number of them or a text such as "7d", "10m", "1.5h"."""
    expected = 'a number of seconds, or a text such as "10m", "6h" or "7d"'
    if isinstance(value, str):
        found = _DURATION.fullmatch(value)
        if found is None:
            raise bad(place, expected, value)
        seconds = float(found[1]) * _UNITS[found[2]]
    else:
        seconds = number(place, value)
    if seconds < 0.0 or (seconds == 0.0 and not zero):
        raise bad(place, f"{expected}, {'0 or more' if zero else 'above 0'}", value)
    if seconds > 100 * 86_400.0:
        raise bad(place, "at most 100 days", value)
    return seconds


def size(place: str, value: object) -> int:
    """Bytes, from a number of them or a text such as "512MiB"."""
    if isinstance(value, str):
        found = _SIZE.fullmatch(value)
        if found is None:
            raise bad(place, 'a number of bytes, or a text such as "512MiB" or "4GiB"', value)
        return int(float(found[1]) * _SIZES[found[2]])
    return count(place, value)


def texts(place: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise bad(place, "a list of texts", value)
    if len(set(value)) != len(value):
        raise bad(place, "a list of texts, each once", value)
    return tuple(value)
