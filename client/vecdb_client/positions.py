# Generated from vecdb/collection/positions.py by client/generate.py; do not edit.
"""Positions in errors, such as the 3 of ``vectors[3]``, and moving them to another count."""

from __future__ import annotations

import re
from typing import Final, TypeVar

from .errors import VecDBError

POSITION: Final = re.compile(r"(ids|vectors|payloads)\[(\d+)\]")

Error = TypeVar("Error", bound=VecDBError)


def position_of(error: VecDBError) -> int | None:
    """The row that the error's field names; None if it names none."""
    match = POSITION.match(error.field)
    return int(match[2]) if match else None


def move_positions(text: str, by: int) -> str:
    """``text`` with ``by`` added to every position."""
    return POSITION.sub(lambda match: f"{match[1]}[{int(match[2]) + by}]", text)


def moved(error: Error, by: int) -> Error:
    """The same error, its positions counted from ``by`` rows earlier."""
    error.message = move_positions(error.message, by)
    error.field = move_positions(error.field, by)
    error.args = (error.message,)
    return error
