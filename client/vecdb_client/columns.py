# Generated from vecdb/collection/columns.py by client/generate.py; do not edit.
"""Arguments to columns: ids, vectors and payloads checked as far as no collection is needed.

Errors name the argument and the position, such as ``vectors[3]``. What depends on the collection
(dimension, finiteness, declared fields) is checked where that is known. The client carries a
generated copy of this file, so both say the same.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import limits
from .errors import InvalidArgument, LimitExceeded

Ids = NDArray[np.int64] | list[str]
Payload = Mapping[str, Any] | bytes | None

INT64: Final = np.dtype("<i8")
FLOAT32: Final = np.dtype("<f4")
DTYPES: Final[Mapping[str, np.dtype[Any]]] = {
    "float32": FLOAT32,
    "float16": np.dtype("<f2"),
    "uint8": np.dtype("u1"),
}
"""What vectors are taken as; of any other dtype they become float32."""
ROW_KEYS: Final = {"id", "vector", "payload"}


def check_ids(ids: object, most: int, field: str = "ids") -> Ids:
    """int64[n] or a list of n strings, 1 to ``most`` of them."""
    if isinstance(ids, str | bytes | Mapping) or not isinstance(ids, Sequence | np.ndarray):
        raise InvalidArgument(
            f"{field} must be a sequence of integers or of strings; got {type(ids).__name__}",
            field=field,
        )
    if len(ids) > most:
        raise LimitExceeded(
            f"at most {most} ids a call; got {len(ids)}",
            field=field,
            limit=most,
            actual=len(ids),
            hint="Split the call, or use upload to write many records",
        )
    if len(ids) == 0:
        raise InvalidArgument(f"{field} is empty: name at least one record", field=field)
    return normalize_ids(ids, field)


def normalize_ids(ids: Sequence[Any] | NDArray[Any], field: str = "ids") -> Ids:
    """int64[n] or a list of n strings, of any number of ids."""
    if isinstance(ids, np.ndarray):
        if ids.ndim != 1:
            raise InvalidArgument(f"{field} must have one axis; got shape {ids.shape}", field=field)
        if ids.dtype.kind == "i" or (ids.dtype.kind == "u" and ids.dtype.itemsize < 8):
            return np.ascontiguousarray(ids, INT64)
        if ids.dtype.kind not in "uUOT":
            raise InvalidArgument(
                f"{field} must be integers or strings; got an array of {ids.dtype}", field=field
            )
    values: list[Any] = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
    if all(type(value) is int for value in values):
        return _integers(values, field)
    if all(type(value) is str for value in values):
        return _texts(values, field)
    return _unusual_ids(values, field)


def _unusual_ids(ids: Sequence[Any], field: str) -> Ids:
    texts = isinstance(ids[0], str)
    for row, value in enumerate(ids):
        if isinstance(value, str):
            fits = texts
        else:
            fits = isinstance(value, int | np.integer) and not isinstance(value, bool) and not texts
        if not fits:
            raise InvalidArgument(
                f"{field}[{row}] is of type {type(value).__name__}: ids are all integers or all "
                f"strings, and {field}[0] makes them {'strings' if texts else 'integers'}"
                if row
                else f"{field}[0] must be an integer or a string; got {type(value).__name__}",
                field=f"{field}[{row}]",
            )
    if texts:
        return _texts([str(value) for value in ids], field)
    return _integers([int(value) for value in ids], field)


def _integers(ids: Sequence[int], field: str) -> NDArray[np.int64]:
    try:
        return np.array(ids, INT64)
    except OverflowError:
        row = next(row for row, value in enumerate(ids) if not -(2**63) <= value < 2**63)
        raise InvalidArgument(
            f"{field}[{row}] does not fit a signed 64-bit integer", field=f"{field}[{row}]"
        ) from None


def _texts(ids: list[str], field: str) -> list[str]:
    for row, value in enumerate(ids):
        if not is_unicode(value):
            raise InvalidArgument(
                f"{field}[{row}] is not valid Unicode text", field=f"{field}[{row}]"
            )
    return ids


def is_unicode(text: str) -> bool:
    """Whether it can be written as UTF-8: it holds no half of a surrogate pair."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def to_matrix(vectors: ArrayLike, field: str = "vectors", *, warn: bool = True) -> NDArray[Any]:
    """[n, dim] of float32, float16 or uint8, in C order; may be the caller's memory."""
    try:
        matrix = np.asarray(vectors)
    except ValueError:
        matrix = np.empty(0, object)  # ragged
    if matrix.ndim != 2 and not isinstance(vectors, np.ndarray):
        _check_rows(vectors, field)
    if matrix.ndim != 2:
        raise InvalidArgument(
            f"{field} must have the shape (n, dim); got {matrix.shape}",
            field=field,
            reason="WRONG_DIMENSION",
        )
    return _to_dtype(matrix, field, warn=warn and isinstance(vectors, np.ndarray))


def to_query(vector: ArrayLike, field: str = "vector", *, warn: bool = True) -> NDArray[Any]:
    """[1, dim] of one vector."""
    try:
        array = np.asarray(vector)
    except ValueError:
        array = np.empty((0, 0), object)
    if array.ndim != 1 or len(array) == 0:
        raise InvalidArgument(
            f"{field} must be one vector of the shape (dim,); got {array.shape}",
            field=field,
            reason="WRONG_DIMENSION",
            hint="For several queries use search_batch",
        )
    return _to_dtype(array, field, warn=warn and isinstance(vector, np.ndarray)).reshape(1, -1)


def _check_rows(vectors: Any, field: str) -> None:
    """Name the first row that is not like the first one."""
    if not isinstance(vectors, Sequence) or isinstance(vectors, str | bytes):
        raise InvalidArgument(
            f"{field} must be an array or a sequence of vectors; got {type(vectors).__name__}",
            field=field,
        )
    expected: int | None = None
    for row, vector in enumerate(vectors):
        try:
            shape = np.shape(vector)
        except ValueError:
            shape = ()
        if len(shape) != 1 or (expected is not None and shape[0] != expected):
            wanted = "one vector" if expected is None else f"{expected} dimensions, as the first"
            raise InvalidArgument(
                f"{field}[{row}] must have {wanted}; got shape {shape}",
                field=f"{field}[{row}]",
                reason="WRONG_DIMENSION",
            )
        expected = shape[0]


def _to_dtype(array: NDArray[Any], field: str, *, warn: bool) -> NDArray[Any]:
    if array.dtype.kind not in "fiu" or array.dtype.itemsize > 8:
        raise InvalidArgument(
            f"{field} must be numbers; got an array of {array.dtype}", field=field
        )
    if array.shape[-1] == 0 and len(array):
        raise InvalidArgument(
            f"{field} must have at least 1 dimension; got 0",
            field=f"{field}[0]",
            reason="WRONG_DIMENSION",
        )
    if array.shape[-1] > limits.DIM:
        raise InvalidArgument(
            f"{field} must have at most {limits.DIM} dimensions; got {array.shape[-1]}",
            field=field,
            reason="WRONG_DIMENSION",
            limit=limits.DIM,
            actual=array.shape[-1],
        )
    if array.dtype == np.float64 and warn:
        warnings.warn(
            f"{field} are float64 and are converted to float32: pass float32 to save the copy",
            UserWarning,
            stacklevel=4,
        )
    with np.errstate(over="ignore"):  # becomes infinity, which is refused by its position
        return np.ascontiguousarray(array, DTYPES.get(array.dtype.name, FLOAT32))


def encode_payload(payload: object, where: str = "payload") -> bytes:
    """JSON text of a dict; bytes are JSON already and pass; b"" for None."""
    if payload is None:
        return b""
    if isinstance(payload, bytes):
        text = payload
    elif isinstance(payload, Mapping):
        try:
            text = json.dumps(
                dict(payload), ensure_ascii=False, allow_nan=False, separators=(",", ":")
            ).encode()
        except (TypeError, ValueError, RecursionError) as error:
            # A UnicodeEncodeError tells the payload.
            told = "not valid Unicode" if isinstance(error, UnicodeError) else str(error)
            raise InvalidArgument(
                f"{where} cannot be written as JSON: {told}",
                field=where,
                hint="Use str, int, finite float, bool, None, lists and dicts with string keys",
            ) from None
    else:
        raise InvalidArgument(
            f"{where} must be a JSON object (a dict); got {type(payload).__name__}", field=where
        )
    if len(text) > limits.PAYLOAD_BYTES:
        raise LimitExceeded(
            f"{where} has {len(text)} bytes of JSON; at most {limits.PAYLOAD_BYTES} are stored",
            field=where,
            limit=limits.PAYLOAD_BYTES,
            actual=len(text),
        )
    return text


def check_payloads(payloads: object, count: int) -> Sequence[Any]:
    """The sequence itself if it holds ``count`` payloads, unread."""
    if isinstance(payloads, Mapping | str | bytes) or not isinstance(
        payloads, Sequence | np.ndarray
    ):
        raise InvalidArgument(
            f"payloads must be a sequence of dicts; got {type(payloads).__name__}", field="payloads"
        )
    if len(payloads) != count:
        raise InvalidArgument(
            f"expected {count} payloads, one a record; got {len(payloads)}", field="payloads"
        )
    return payloads  # type: ignore[return-value]  # an array of objects reads like a sequence


def encode_payloads(payloads: object, count: int) -> list[bytes]:
    """One text a record; none at all where no record has a payload."""
    if payloads is None:
        return []
    texts = [
        encode_payload(payload, f"payloads[{row}]")
        for row, payload in enumerate(check_payloads(payloads, count))
    ]
    return texts if any(texts) else []


def columns_of_rows(rows: object) -> tuple[list[Any], list[Any], list[Any]]:
    """(ids, vectors, payloads) of rows such as {"id": 1, "vector": [...], "payload": {...}}."""
    if isinstance(rows, Mapping | str | bytes) or not isinstance(rows, Sequence):
        raise InvalidArgument(
            f"rows must be a sequence of dicts; got {type(rows).__name__}", field="rows"
        )
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InvalidArgument(
                f"rows[{index}] must be a dict; got {type(row).__name__}", field=f"rows[{index}]"
            )
        unknown = sorted(set(row) - ROW_KEYS, key=str)
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
