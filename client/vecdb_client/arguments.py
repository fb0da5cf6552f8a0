"""Single arguments to what messages hold; the errors name the argument."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Final

import numpy as np

from . import limits
from .columns import is_unicode
from .errors import InvalidArgument, LimitExceeded
from .filter_messages import filter_to_wire
from .wire import vecdb_pb2 as pb

KEY_BYTES: Final = 16
CONDITIONS: Final = ("if_absent", "if_present", "if_sequence", "filter")
UINT32_MAX: Final = 2**32 - 1
ORDER_KEYS: Final = {"field", "descending"}


def check_size(size: int, what: str, hint: str, field: str = "") -> None:
    """Raise ``LimitExceeded`` if ``what``, of ``size`` bytes, cannot be sent in one message."""
    if size > limits.MESSAGE_BYTES:
        raise LimitExceeded(
            f"{what} has {size} bytes; one call takes at most {limits.MESSAGE_BYTES}",
            field=field,
            limit=limits.MESSAGE_BYTES,
            actual=size,
            hint=hint,
        )


def to_condition(condition: object) -> pb.Condition:
    """The message of {"if_absent": True}, {"if_sequence": n}, ...: exactly one of them."""
    if not isinstance(condition, Mapping):
        raise _malformed(f"got {type(condition).__name__}")
    if len(condition) != 1:
        raise _malformed(f"got {len(condition)} of them")
    ((kind, value),) = condition.items()
    if kind == "filter":
        message = filter_to_wire(value, "condition.filter")
        if message is None:
            raise _malformed("its filter is None")
        return pb.Condition(filter=message)
    if kind == "if_sequence":
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise _malformed("if_sequence takes the sequence of the record's last write")
        return pb.Condition(if_sequence=min(int(value), 2**64 - 1))
    if kind not in CONDITIONS:
        raise _malformed(f"{str(kind)[:40]!r} is not known")
    if value is not True:
        raise _malformed(f"{kind} takes True")
    return pb.Condition(if_absent=True) if kind == "if_absent" else pb.Condition(if_present=True)


def _malformed(found: str) -> InvalidArgument:
    return InvalidArgument(
        f"condition must be a dict with exactly one of {', '.join(CONDITIONS)}; {found}",
        field="condition",
        hint="Such as {'if_absent': True}, {'if_sequence': 7} or {'filter': {'lang': 'en'}}",
    )


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


def to_name(name: str, value: object) -> str:
    """What a collection or alias may be called."""
    if isinstance(value, str) and limits.NAME.fullmatch(value):
        return value
    raise InvalidArgument(
        f"{name} must be 1-128 letters, digits, '.', '_' or '-', not starting with '.'; "
        f"got {repr(value)[:80]}",
        field=name,
        reason="BAD_NAME",
    )


def to_field_name(value: object, field: str = "fields") -> str:
    """The name of a payload field; its length is the server's to check."""
    if isinstance(value, str) and is_unicode(value):
        return value
    shown = str(value).encode(errors="backslashreplace").decode()[:40]
    raise InvalidArgument(
        f"a field's name is a string of 1-{limits.FIELD_NAME_BYTES} bytes; got {shown!r}",
        field=field,
    )


def to_text(name: str, value: object) -> str:
    """A string that can be sent, and is not empty: that would stand for something left out."""
    if not isinstance(value, str) or not value:
        got = type(value).__name__ if value != "" else "an empty one"
        raise InvalidArgument(f"{name} must be a string; got {got}", field=name)
    if not is_unicode(value):
        raise InvalidArgument(f"{name} is not valid Unicode text", field=name)
    return value


def to_integer(name: str, value: object, high: int) -> int:
    """An integer from 1 that fits its field; ``high``, which errors tell, is the server's to check.

    0 on the wire stands for the default.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InvalidArgument(
            f"{name} must be an integer from 1 to {high}; got {type(value).__name__}", field=name
        )
    if not 1 <= value <= UINT32_MAX:
        raise InvalidArgument(
            f"{name} must be from 1 to {high}; got {value}",
            field=name,
            limit=high,
            actual=int(value),
        )
    return int(value)


def to_offset(name: str, value: object, high: int) -> int:
    """An integer from 0 that fits its field; ``high``, which errors tell, is the server's to check.

    0 on the wire is 0.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InvalidArgument(
            f"{name} must be an integer from 0 to {high}; got {type(value).__name__}", field=name
        )
    if not 0 <= value <= UINT32_MAX:
        raise InvalidArgument(f"{name} must be from 0 to {high}; got {value}", field=name)
    return int(value)


def to_choice(name: str, value: object, known: tuple[int, ...]) -> int:
    """One of a few integers; no float or bool that equals one."""
    integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not integer or value not in known:
        raise InvalidArgument(
            f"{name} must be one of {', '.join(map(str, known))}; got {str(value)[:40]!r}",
            field=name,
        )
    return int(value)


def to_budget(value: object) -> int | None:
    """A memory budget in bytes that fits its field, or None; the least is the server's to check."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InvalidArgument(
            f"memory_budget must be a number of bytes or None; got {type(value).__name__}",
            field="memory_budget",
        )
    if not 0 <= value < 2**63:
        raise InvalidArgument(
            f"memory_budget must be at least {limits.BUDGET_BYTES} bytes; got {value}",
            field="memory_budget",
            limit=limits.BUDGET_BYTES,
            hint="Leave it out to keep everything in memory",
        )
    return int(value)


def to_effort(effort: object) -> tuple[float | None, bool]:
    """The effort as a number, or None, and whether it is "bound"; the server checks its range."""
    if effort is None:
        return None, False
    if isinstance(effort, str) and effort == "bound":
        return None, True
    return to_number("effort", effort), False


def to_order(order_by: object) -> pb.OrderBy | None:
    """The message of "year" or {"field": "year", "descending": True}; None: by id."""
    if order_by is None:
        return None
    if isinstance(order_by, str):
        return pb.OrderBy(field=to_text("order_by", order_by))
    if not isinstance(order_by, Mapping) or "field" not in order_by or set(order_by) - ORDER_KEYS:
        got = f"the keys {sorted(map(str, order_by))}" if isinstance(order_by, Mapping) else None
        raise InvalidArgument(
            "order_by must be the name of a field, or a dict of field and descending; "
            f"got {got or type(order_by).__name__}",
            field="order_by",
            hint='Such as "year", or {"field": "year", "descending": True}',
        )
    return pb.OrderBy(
        field=to_text("order_by", order_by["field"]),
        descending=to_flag("order_by.descending", order_by.get("descending", False)),
    )


def to_number(name: str, value: object) -> float:
    """A real number; not a bool."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise InvalidArgument(f"{name} must be a number; got {type(value).__name__}", field=name)
    try:
        return float(value)
    except OverflowError:  # an int above the largest float
        return math.inf


def to_flag(name: str, value: object) -> bool:
    """A bool; nothing else is taken for one."""
    if not isinstance(value, bool | np.bool_):
        raise InvalidArgument(
            f"{name} must be True or False; got {type(value).__name__}", field=name
        )
    return bool(value)
