"""Input at the door: ids, vectors and payloads checked and brought into their stored form."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import limits
from ..errors import InvalidArgument, LimitExceeded
from ..schema import CollectionSchema
from ..storage.records import Ids
from .payload import Payload, encode_payloads


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Records ready to be stored: nothing in it can be refused any more.

    - ``ids``: int64[n] or list of str, no two alike
    - ``vectors``: [n, dim], the collection's dtype, C-contiguous
    - ``payloads``: JSON text a record (b"": none), or None where no record has one
    """

    ids: Ids
    vectors: NDArray[Any]
    payloads: list[bytes] | None

    @property
    def size_bytes(self) -> int:
        return self.vectors.nbytes + sum(map(len, self.payloads or ())) + 32 * len(self.ids)

    def digest(self) -> bytes:
        """16 bytes that tell two batches apart."""
        return digest(
            b"upsert",
            ids_bytes(self.ids),
            self.vectors.data,
            *(self.payloads if self.payloads is not None else (b"none",)),
        )


def digest(*parts: Any) -> bytes:
    """16 bytes over the parts and where they end."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        view = memoryview(part)
        state.update(view.nbytes.to_bytes(8, "little"))
        state.update(view)
    return state.digest()


def ids_bytes(ids: Ids) -> bytes:
    return "\0".join(["s", *ids]).encode() if isinstance(ids, list) else ids.tobytes()


def make_batch(
    schema: CollectionSchema,
    ids: Sequence[Any] | NDArray[Any],
    vectors: ArrayLike,
    payloads: Sequence[Payload] | None,
) -> Batch:
    """Check the columns of one batch; the error names the first offending position."""
    checked_ids = check_ids(ids, limits.BATCH_RECORDS)
    check_unique(checked_ids)
    matrix = check_vectors(schema, vectors, len(checked_ids))
    texts = encode_payloads(payloads, len(checked_ids), schema.fields)
    batch = Batch(ids=checked_ids, vectors=matrix, payloads=texts)
    if batch.size_bytes > limits.MESSAGE_BYTES:
        raise LimitExceeded(
            f"the batch has {batch.size_bytes} bytes, one atomic batch holds at most "
            f"{limits.MESSAGE_BYTES}",
            field="vectors",
            limit=limits.MESSAGE_BYTES,
            actual=batch.size_bytes,
            hint="Use upload, which splits by bytes, or smaller batches",
        )
    return batch


def columns_of_rows(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Any], list[Any], list[Any]]:
    """(ids, vectors, payloads) of rows such as {"id": 1, "vector": [...], "payload": {...}}."""
    if isinstance(rows, Mapping | str | bytes) or not isinstance(rows, Sequence):
        raise InvalidArgument(
            f"rows must be a sequence of dicts, got {type(rows).__name__}", field="rows"
        )
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InvalidArgument(
                f"rows[{index}] must be a dict, got {type(row).__name__}", field=f"rows[{index}]"
            )
        unknown = sorted(set(row) - {"id", "vector", "payload"}, key=str)
        absent = sorted({"id", "vector"} - set(row))
        if unknown or absent:
            wrong = f"unknown {unknown[0]!r}" if unknown else f"no {absent[0]!r}"
            raise InvalidArgument(
                f"rows[{index}] has {wrong}; expected the keys id, vector and optionally payload",
                field=f"rows[{index}]",
            )
    return (
        [row["id"] for row in rows],
        [row["vector"] for row in rows],
        [row.get("payload") for row in rows],
    )


def check_ids(ids: Sequence[Any] | NDArray[Any], most: int, field: str = "ids") -> Ids:
    """int64 array or list of str; all integers or all strings, 1 to ``most`` of them."""
    if isinstance(ids, str | bytes | Mapping) or not isinstance(ids, Sequence | np.ndarray):
        raise InvalidArgument(
            f"{field} must be a sequence of integers or of strings, got {type(ids).__name__}",
            field=field,
        )
    if len(ids) > most:
        raise LimitExceeded(
            f"at most {most} ids a call, got {len(ids)}",
            field=field,
            limit=most,
            actual=len(ids),
            hint="Split the call, or use upload to write many records",
        )
    if len(ids) == 0:
        raise InvalidArgument(f"{field} is empty: name at least one record", field=field)
    if isinstance(ids, np.ndarray):
        return _check_array_ids(ids, field)
    if all(type(value) is int for value in ids):
        return _check_int_ids(ids, field)
    return _check_mixed_ids(ids, field)


def _check_array_ids(ids: NDArray[Any], field: str) -> Ids:
    if ids.ndim != 1:
        raise InvalidArgument(f"{field} must have one axis, got shape {ids.shape}", field=field)
    if ids.dtype.kind in "iu":
        if ids.dtype == np.uint64 and len(ids) and int(ids.max()) >= 2**63:
            return _check_int_ids(ids.tolist(), field)
        return np.ascontiguousarray(ids, np.int64)
    if ids.dtype.kind in "UO":
        return check_ids(ids.tolist(), len(ids), field)
    raise InvalidArgument(
        f"{field} must be integers or strings, got an array of {ids.dtype}", field=field
    )


def _check_int_ids(ids: Sequence[int], field: str) -> NDArray[np.int64]:
    try:
        return np.array(ids, np.int64)
    except OverflowError:
        row = next(i for i, value in enumerate(ids) if not -(2**63) <= value < 2**63)
        raise InvalidArgument(
            f"{field}[{row}] does not fit a signed 64-bit integer", field=f"{field}[{row}]"
        ) from None


def _check_mixed_ids(ids: Sequence[Any], field: str) -> Ids:
    first_is_text = isinstance(ids[0], str)
    wanted = "strings" if first_is_text else "integers"
    for row, value in enumerate(ids):
        fits = (
            isinstance(value, str)
            if first_is_text
            else isinstance(value, int | np.integer) and not isinstance(value, bool)
        )
        if not fits:
            raise InvalidArgument(
                f"{field}[{row}] is of type {type(value).__name__}: ids are all integers or all "
                f"strings, and {field}[0] makes them {wanted}"
                if row
                else f"{field}[0] must be an integer or a string, got {type(value).__name__}",
                field=f"{field}[{row}]",
            )
        if first_is_text:
            _check_text_id(value, f"{field}[{row}]")
    if first_is_text:
        return [str(value) for value in ids]
    return _check_int_ids([int(value) for value in ids], field)


def _check_text_id(value: str, where: str) -> None:
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidArgument(f"{where} is not valid Unicode text", field=where) from None
    if not 1 <= size <= limits.ID_BYTES:
        raise InvalidArgument(
            f"{where} has {size} bytes of UTF-8, expected 1 to {limits.ID_BYTES}",
            field=where,
            limit=limits.ID_BYTES,
            actual=size,
        )


def check_unique(ids: Ids) -> None:
    distinct = len(set(ids)) if isinstance(ids, list) else len(np.unique(ids))
    if distinct == len(ids):
        return
    seen: dict[Any, int] = {}
    for row, value in enumerate(ids if isinstance(ids, list) else ids.tolist()):
        if value in seen:
            raise InvalidArgument(
                f"ids[{row}] is the same as ids[{seen[value]}]: a batch names each record once",
                field=f"ids[{row}]",
                reason="DUPLICATE_ID",
            )
        seen[value] = row


def check_vectors(schema: CollectionSchema, vectors: ArrayLike, count: int) -> NDArray[Any]:
    """[count, dim] in the collection's dtype; every value finite, no zero vector under cosine."""
    matrix = as_matrix(vectors, schema.dim, "vectors")
    if len(matrix) != count:
        raise InvalidArgument(
            f"expected {count} vectors, one an id, got {len(matrix)}", field="vectors"
        )
    return _to_stored(schema, matrix)


def as_matrix(vectors: ArrayLike, dim: int, field: str) -> NDArray[Any]:
    """[n, dim] of a real numeric dtype."""
    try:
        matrix = np.asarray(vectors)
    except ValueError:
        matrix = np.empty(0, object)
    if matrix.ndim != 2 and isinstance(vectors, Sequence) and len(vectors):
        for row, vector in enumerate(vectors):
            found = np.shape(vector) if not isinstance(vector, str) else ()
            if found != (dim,):
                raise InvalidArgument(
                    f"{field}[{row}] must have {dim} dimensions, got shape {found}",
                    field=f"{field}[{row}]",
                    reason="WRONG_DIMENSION",
                    limit=dim,
                )
    if matrix.dtype.kind not in "fiu" or matrix.dtype.itemsize > 8:
        raise InvalidArgument(
            f"{field} must be numbers, got an array of {matrix.dtype}", field=field
        )
    if matrix.ndim != 2 or matrix.shape[1] != dim:
        raise InvalidArgument(
            f"{field} must have shape (n, {dim}), got {matrix.shape}",
            field=f"{field}[0]" if matrix.ndim == 2 and len(matrix) else field,
            reason="WRONG_DIMENSION",
            limit=dim,
            actual=int(matrix.shape[1]) if matrix.ndim == 2 else None,
            hint=f"The collection holds vectors of {dim} dimensions",
        )
    return matrix


def _to_stored(schema: CollectionSchema, matrix: NDArray[Any]) -> NDArray[Any]:
    if schema.dtype == "uint8":
        stored = _to_bytes(matrix)
    else:
        with np.errstate(over="ignore"):
            stored = np.ascontiguousarray(matrix, schema.numpy_dtype)
        finite = np.isfinite(stored).all(axis=1)
        if not finite.all():
            row = int(np.argmin(finite))
            raise InvalidArgument(
                f"vectors[{row}] holds NaN, infinity or a number beyond {schema.dtype}",
                field=f"vectors[{row}]",
                reason="NOT_FINITE",
            )
    if schema.metric == "cosine":
        check_not_zero(stored, "vectors[{}]")
    return stored


def _to_bytes(matrix: NDArray[Any]) -> NDArray[np.uint8]:
    if matrix.dtype == np.uint8:
        return np.ascontiguousarray(matrix)
    fits = ((matrix >= 0) & (matrix <= 255) & (matrix == np.floor(matrix))).all(axis=1)
    if not fits.all():
        row = int(np.argmin(fits))
        raise InvalidArgument(
            f"vectors[{row}] must hold whole numbers from 0 to 255: the collection stores uint8",
            field=f"vectors[{row}]",
        )
    return matrix.astype(np.uint8)


def check_not_zero(matrix: NDArray[Any], where: str) -> None:
    """Cosine of a zero vector is not defined."""
    nonzero = matrix.any(axis=1)
    if not nonzero.all():
        row = int(np.argmin(nonzero))
        name = where.format(row)
        raise InvalidArgument(
            f"{name} is all zeros, which has no direction: cosine needs one",
            field=name,
            reason="ZERO_VECTOR",
        )
