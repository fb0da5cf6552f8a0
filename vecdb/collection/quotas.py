"""What a tenant may have at most, as an argument.

The client carries a generated copy of this file.
"""

from __future__ import annotations

import math

import numpy as np

from .. import limits
from ..errors import InvalidArgument

_BOUND_MAX = (1 << 63) - 1


def check_quotas(
    max_records: object, max_bytes: object, rate: object
) -> tuple[int | None, int | None, float | None]:
    """Records and bytes that it may own, and calls a second; None: no bound."""
    return (
        _check_bound("max_records", max_records),
        _check_bound("max_bytes", max_bytes),
        _check_rate(rate),
    )


def _check_bound(field: str, value: object) -> int | None:
    if value is None:
        return None
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not 0 <= value <= _BOUND_MAX:  # type: ignore[operator]  # it is whole
        got = value if whole else type(value).__name__
        raise InvalidArgument(
            f"{field} must be an integer, 0 or more, or None for no bound; got {got}", field=field
        )
    return int(value)  # type: ignore[call-overload,no-any-return]


def _check_rate(value: object) -> float | None:
    if value is None:
        return None
    numbers = int | float | np.integer | np.floating
    if isinstance(value, bool) or not isinstance(value, numbers):
        raise InvalidArgument(f"rate must be a number; got {type(value).__name__}", field="rate")
    try:
        rate = float(value)
    except OverflowError:  # an int above the largest float
        rate = math.inf
    if not 0 < rate <= limits.TENANT_RATE:
        raise InvalidArgument(
            f"rate must be above 0 and at most {limits.TENANT_RATE} calls a second, or None for no "
            f"bound; got {rate:g}",
            field="rate",
            limit=limits.TENANT_RATE,
        )
    return rate
