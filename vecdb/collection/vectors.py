"""Vectors at the door: checked against the schema and brought into their stored form."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InvalidArgument
from ..schema import CollectionSchema
from . import columns


def check_vectors(schema: CollectionSchema, vectors: ArrayLike, count: int) -> NDArray[Any]:
    """[count, dim] in the collection's dtype; every value finite, no zero vector under cosine.

    Never the caller's memory, who may fill it with other vectors before these are written.
    """
    matrix = as_matrix(vectors, schema.dim, "vectors")
    if len(matrix) != count:
        raise InvalidArgument(
            f"expected {count} vectors, one an id; got {len(matrix)}", field="vectors"
        )
    stored = _to_stored(schema, matrix)
    if schema.metric == "cosine":
        check_not_zero(stored, "vectors[{}]")
    return stored.copy() if _is_shared(stored, vectors) else stored


def as_matrix(vectors: ArrayLike, dim: int, field: str) -> NDArray[Any]:
    """[n, dim] of float32, float16 or uint8, C-contiguous.

    Other numbers become float32, as they do on their way to a server.
    """
    matrix = columns.to_matrix(vectors, field, warn=False)
    if matrix.shape[1] != dim:
        raise InvalidArgument(
            f"{field} must have the shape (n, {dim}); got {matrix.shape}",
            field=f"{field}[0]" if len(matrix) else field,
            reason="WRONG_DIMENSION",
            limit=dim,
            actual=int(matrix.shape[1]),
            hint=f"The collection holds vectors of {dim} dimensions",
        )
    return matrix


def to_dtype(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """C-contiguous; what is too large for the dtype becomes infinite."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype)


def check_finite(matrix: NDArray[Any], where: str) -> None:
    """Every number fits the dtype; ``where`` with the row's number names a row."""
    finite = np.isfinite(matrix).all(axis=1)
    if not finite.all():
        name = where.format(int(np.argmin(finite)))
        raise InvalidArgument(
            f"{name} holds NaN, infinity or a number beyond {matrix.dtype}",
            field=name,
            reason="NOT_FINITE",
        )


def check_not_zero(matrix: NDArray[Any], where: str) -> None:
    """Cosine of a zero vector is not defined."""
    nonzero = matrix.any(axis=1)
    if not nonzero.all():
        name = where.format(int(np.argmin(nonzero)))
        raise InvalidArgument(
            f"{name} is all zeros, which has no direction: cosine needs one",
            field=name,
            reason="ZERO_VECTOR",
        )


def _to_stored(schema: CollectionSchema, matrix: NDArray[Any]) -> NDArray[Any]:
    if schema.dtype == "uint8":
        return _to_bytes(matrix)
    stored = to_dtype(matrix, schema.numpy_dtype)
    check_finite(stored, "vectors[{}]")
    return stored


def _to_bytes(matrix: NDArray[Any]) -> NDArray[np.uint8]:
    if matrix.dtype == np.uint8:
        return matrix
    fits = ((matrix >= 0) & (matrix <= 255) & (matrix == np.floor(matrix))).all(axis=1)
    if not fits.all():
        row = int(np.argmin(fits))
        raise InvalidArgument(
            f"vectors[{row}] must hold whole numbers from 0 to 255: the collection stores uint8",
            field=f"vectors[{row}]",
            reason="NOT_BYTES",
        )
    return matrix.astype(np.uint8)


def _is_shared(stored: NDArray[Any], given: object) -> bool:
    """Whether somebody else may still write to the memory of ``stored``."""
    if stored.base is None:
        return stored is given
    root: Any = stored
    while isinstance(root, np.ndarray):
        root = root.base
    return not isinstance(root, bytes)  # those of a message never change
