"""Single arguments to what messages hold; the errors name the argument."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

import numpy as np

from . import limits
from .errors import InvalidArgument, LimitExceeded
from .filter_messages import filter_to_wire
from .wire import vecdb_pb2 as pb

KEY_BYTES: Final = 16
CONDITIONS: Final = ("if_absent", "if_present", "if_sequence", "filter")
UINT32_MAX: Final = 2**32 - 1


def check_size(size: int, what: str, hint: str) -> None:
    """Raise ``LimitExceeded`` if ``what``, of ``size`` bytes, cannot be sent in one message."""
    if size > limits.MESSAGE_BYTES:
        raise LimitExceeded(
            f"{what} has {size} bytes; one call takes at most {limits.MESSAGE_BYTES}",
            limit=limits.MESSAGE_BYTES,
            actual=size,
            hint=hint,
        )


def to_condition(condition: object) -> pb.Condition:
    """The message of {"if_absent": True}, {"if_sequence": n}, ...: exactly one of them."""
    if not isinstance(condition, Mapping) or len(condition) != 1 or {*condition} - {*CONDITIONS}:
        raise InvalidArgument(
            f"condition must be a dict with exactly one of {', '.join(CONDITIONS)}",
            field="condition",
        )
    ((kind, value),) = condition.items()
    if kind == "filter":
        if value is None:
            raise InvalidArgument("the filter of a condition is None", field="condition")
        return pb.Condition(filter=filter_to_wire(value))
    if kind == "if_sequence":
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
            raise InvalidArgument(
                "if_sequence must be the sequence of a record, an integer from 0",
                field="condition",
            )
        return pb.Condition(if_sequence=min(int(value), 2**64 - 1))
    if value is not True:
        raise InvalidArgument(f"{kind} must be True; leave it out otherwise", field="condition")
    return pb.Condition(if_absent=True) if kind == "if_absent" else pb.Condition(if_present=True)


def to_key(key: bytes | None) -> bytes:
    """The caller's idempotency key, or a new one."""
    if key is None:
        return os.urandom(KEY_BYTES)
    if not isinstance(key, bytes) or not 1 <= len(key) <= limits.IDEMPOTENCY_KEY_BYTES:
        got = f"{len(key)} bytes" if isinstance(key, bytes) else type(key).__name__
        raise InvalidArgument(
            f"idempotency_key must be 1-{limits.IDEMPOTENCY_KEY_BYTES} bytes; got {got}",
            field="idempotency_key",
        )
    return key


def to_text(name: str, value: object, *, empty: bool = True) -> str:
    """A string that can be sent."""
    if not isinstance(value, str) or not (value or empty):
        got = type(value).__name__ if value != "" else "an empty one"
        raise InvalidArgument(f"{name} must be a string; got {got}", field=name)
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InvalidArgument(f"{name} is not valid Unicode text", field=name)
    return value


def to_integer(name: str, value: object, low: int) -> int:
    """An integer from ``low`` that fits its field; the bounds proper are the server's."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InvalidArgument(f"{name} must be an integer; got {type(value).__name__}", field=name)
    if not low <= value <= UINT32_MAX:
        raise InvalidArgument(f"{name} must be from {max(low, 1)}; got {value}", field=name)
    return int(value)


def to_number(name: str, value: object) -> float:
    """A real number; not a bool."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise InvalidArgument(f"{name} must be a number; got {type(value).__name__}", field=name)
    return float(value)


def to_flag(name: str, value: object) -> bool:
    """A bool; nothing else is taken for one."""
    if not isinstance(value, bool | np.bool_):
        raise InvalidArgument(
            f"{name} must be True or False; got {type(value).__name__}", field=name
        )
    return bool(value)
