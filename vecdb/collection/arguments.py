"""Single arguments of calls, checked; the errors name the argument and read as the client's do."""

from __future__ import annotations

import math

import numpy as np

from .. import limits
from ..errors import InvalidArgument
from .columns import is_unicode


def check_flag(name: str, value: object) -> bool:
    """A bool; nothing else is taken for one."""
    if not isinstance(value, bool | np.bool_):
        raise InvalidArgument(
            f"{name} must be True or False; got {type(value).__name__}", field=name
        )
    return bool(value)


def check_key(key: object) -> bytes:
    """An idempotency key."""
    if isinstance(key, bytes) and 1 <= len(key) <= limits.IDEMPOTENCY_KEY_BYTES:
        return key
    got = f"{len(key)} bytes" if isinstance(key, bytes) else type(key).__name__
    raise InvalidArgument(
        f"idempotency_key must be 1-{limits.IDEMPOTENCY_KEY_BYTES} bytes; got {got}",
        field="idempotency_key",
    )


def check_lookup(name: object, field: str = "name") -> str:
    """Text to look a collection or alias up by."""
    if not isinstance(name, str) or not name:
        got = type(name).__name__ if name != "" else "an empty one"
        raise InvalidArgument(f"{field} must be a string; got {got}", field=field)
    if not is_unicode(name):
        raise InvalidArgument(f"{field} is not valid Unicode text", field=field)
    return name


def check_number(name: str, value: object, fix: str) -> float:
    """A finite number; ``fix``: what to pass instead of one that is not."""
    numbers = int | float | np.integer | np.floating
    if isinstance(value, bool) or not isinstance(value, numbers):
        raise InvalidArgument(f"{name} must be a number; got {type(value).__name__}", field=name)
    try:
        number = float(value)
    except OverflowError:  # an int above the largest float
        number = math.inf
    if not math.isfinite(number):
        raise InvalidArgument(f"{name} must be finite, or {fix}", field=name)
    return number
