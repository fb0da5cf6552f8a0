"""Query vectors from a file or stdin: an npy array, or JSON."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import limits

if TYPE_CHECKING:
    from numpy.typing import NDArray

NPY = b"\x93NUMPY"
HINT = "--vector"


def read_vectors(source: str) -> NDArray[Any]:
    """[n, dim], at least one row; one vector is one row. ``-`` is stdin."""
    data = _read(source)
    matrix = _of_npy(data) if data.startswith(NPY) else _of_json(data)
    if matrix.ndim == 1:
        matrix = matrix.reshape(1, -1)
    if matrix.ndim != 2 or matrix.size == 0:
        raise _bad(f"expected one vector or a list of them, found the shape {matrix.shape}")
    if matrix.shape[1] > limits.DIM:
        raise _bad(f"expected at most {limits.DIM} dimensions, found {matrix.shape[1]}")
    return matrix


def _read(source: str) -> bytes:
    if source == "-":
        data = sys.stdin.buffer.read()
    else:
        try:
            data = Path(source).read_bytes()
        except OSError as error:
            raise _bad(f"cannot read {source}: {error.strerror}") from None
    if not data.strip():
        raise _bad("expected a vector, found nothing")
    return data


def _of_npy(data: bytes) -> NDArray[Any]:
    import numpy as np

    try:
        matrix = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise _bad(f"not a readable npy array: {error}") from None
    if matrix.dtype.kind not in "fiu":
        raise _bad(f"expected numbers, found an array of {matrix.dtype}")
    return _stored(matrix)


def _of_json(data: bytes) -> NDArray[Any]:
    import numpy as np

    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise _bad("expected an npy file, or a JSON list of numbers or of such lists") from None
    try:
        matrix = np.array(value, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        raise _bad("expected a JSON list of numbers, or of such lists of one length") from None
    if not isinstance(value, list):
        raise _bad("expected a JSON list of numbers, or of such lists")
    return _stored(matrix)


def _stored(matrix: NDArray[Any]) -> NDArray[Any]:
    """In a dtype that vectors are stored in; what overflows is refused later, by position."""
    import numpy as np

    if matrix.dtype in (np.float32, np.float16, np.uint8):
        return matrix
    with np.errstate(over="ignore"):
        return matrix.astype(np.float32)


def _bad(message: str) -> click.BadParameter:
    return click.BadParameter(message, param_hint=HINT)
