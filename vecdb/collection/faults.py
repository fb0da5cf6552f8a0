"""Which records of a refused chunk are at fault, so that the others can be written without them.

An error names the first record that cannot be stored. Some faults can be seen from here: then all
records that share it are left out at once, instead of one in each round.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..errors import VecDBError
from .chunks import Columns
from .positions import POSITION


def rows_at_fault(columns: Columns, error: VecDBError, named: int) -> NDArray[np.int64]:
    """Indices, ascending: the one that the error named, and those seen to have the same fault."""
    match error.reason:
        case "NOT_FINITE" if columns.vectors.dtype.kind == "f":
            same = ~np.isfinite(_as_stored(columns.vectors, error)).all(axis=1)
        case "NOT_BYTES":
            vectors = columns.vectors
            fits = (vectors >= 0) & (vectors <= 255) & (vectors == np.floor(vectors))
            same = ~fits.all(axis=1)
        case "BAD_ID" if isinstance(columns.ids, list):
            sizes = [len(text.encode()) for text in columns.ids]
            same = np.array([not 1 <= size <= limits.ID_BYTES for size in sizes])
        case "ZERO_VECTOR":
            same = ~columns.vectors.any(axis=1)
        case "WRONG_DIMENSION":
            same = np.ones(len(columns), bool)
        case "DUPLICATE_ID":
            same = np.ones(len(columns), bool)
            same[np.unique(columns.ids, return_index=True)[1]] = False
        case _:
            same = np.zeros(len(columns), bool)
    same[named] = True
    return np.flatnonzero(same)


def _as_stored(vectors: NDArray[Any], error: VecDBError) -> NDArray[Any]:
    """What is too large for the collection's dtype, which the message tells, becomes infinite."""
    if not error.message.endswith("float16"):
        return vectors
    with np.errstate(over="ignore"):
        return vectors.astype(np.float16)


def explain(columns: Columns, error: VecDBError, named: int, index: int) -> str:
    """The message for the record at ``index``, with rows counted within the whole upload."""
    row = int(columns.rows[index])
    if index != named and error.reason == "DUPLICATE_ID":
        return f"ids[{row}] is the same as an earlier one of its chunk"

    def renumber(match: re.Match[str]) -> str:
        name, found = match[1], int(match[2])
        if found == named:
            return f"{name}[{row}]"
        return f"{name}[{columns.rows[found]}]" if found < len(columns) else f"{name}[{found}]"

    return POSITION.sub(renumber, error.message)
