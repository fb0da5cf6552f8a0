"""Numpy arrays, ids and names to wire messages and back; the client and the server share it.

Everything that crosses as bytes is little-endian. What comes back from bytes is a read-only view of
them, not a copy. A malformed message raises ``InvalidArgument`` that names the field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from . import limits
from .errors import InvalidArgument
from .wire import vecdb_pb2 as pb

Ids = NDArray[np.int64] | list[str]

INT64: Final = np.dtype("<i8")
FLOAT32: Final = np.dtype("<f4")
FLOAT64: Final = np.dtype("<f8")
NUMPY_DTYPES: Final[Mapping[str, np.dtype[Any]]] = {
    "float32": FLOAT32,
    "float16": np.dtype("<f2"),
    "uint8": np.dtype("u1"),
}
"""Names of vector dtypes and how their items lie on the wire."""


@dataclass(frozen=True, slots=True)
class Names:
    """Names of one enumeration and their numbers on the wire.

    ``default`` is the name that an unspecified number (0) stands for; None: 0 is an error.
    """

    what: str
    numbers: Mapping[str, int]
    default: str | None = None
    _names: Mapping[int, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_names", {number: name for name, number in self.numbers.items()})

    def to_wire(self, name: object, field: str | None = None) -> Any:
        """The number of ``name``; ``field`` is what an error names (``what`` unless given)."""
        number = self.numbers.get(name) if isinstance(name, str) else None
        if number is None:
            raise InvalidArgument(
                f"{field or self.what} must be one of {', '.join(self.numbers)}; "
                f"got {str(name)[:40]!r}",
                field=field or self.what,
            )
        return number

    def from_wire(self, number: int, field: str | None = None) -> str:
        """The name of ``number``; ``field`` is what an error names (``what`` unless given)."""
        name = self._names.get(number, self.default if number == 0 else None)
        if name is None:
            raise InvalidArgument(
                f"{self.what} must be one of {', '.join(self.numbers)}; got the number {number}",
                field=field or self.what,
            )
        return name


DTYPE: Final = Names(
    "dtype", {"float32": pb.FLOAT32, "float16": pb.FLOAT16, "uint8": pb.UINT8}, default="float32"
)
METRIC: Final = Names("metric", {"cosine": pb.COSINE, "dot": pb.DOT, "l2": pb.L2}, default="cosine")
FIELD_TYPE: Final = Names(
    "field type",
    {
        "keyword": pb.KEYWORD,
        "bool": pb.BOOL,
        "int": pb.INT,
        "float": pb.FLOAT,
        "datetime": pb.DATETIME,
        "uuid": pb.UUID,
        "geo": pb.GEO,
        "text": pb.TEXT,
    },
)
MODE: Final = Names(
    "mode",
    {"auto": pb.AUTO, "exact": pb.EXACT, "scan": pb.SCAN, "tree": pb.TREE, "graph": pb.GRAPH},
    default="auto",
)
ESTIMATOR: Final = Names(
    "estimator", {"rabitq": pb.RABITQ, "hamming": pb.HAMMING}, default="rabitq"
)
ID_KIND: Final = Names("id kind", {"int": pb.INTS, "str": pb.STRINGS})
OPERATOR: Final = Names(
    "operator",
    {
        "eq": pb.EQ,
        "ne": pb.NE,
        "lt": pb.LT,
        "lte": pb.LTE,
        "gt": pb.GT,
        "gte": pb.GTE,
        "in": pb.IN,
        "between": pb.BETWEEN,
        "prefix": pb.PREFIX,
        "exists": pb.EXISTS,
        "null": pb.NULL,
        "all": pb.ALL,
        "within": pb.WITHIN,
        "box": pb.BOX,
        "match": pb.MATCH,
        "match_any": pb.MATCH_ANY,
        "phrase": pb.PHRASE,
    },
)
PARTS: Final = {"within": ("lat", "lon", "radius_m"), "box": ("top", "left", "bottom", "right")}
"""Operators with a dict of numbers, sent in this order."""


def value_to_wire(value: str | int | float | bool) -> pb.Value:
    """A value of a declared field, as it was stored."""
    match value:
        case bool():
            return pb.Value(flag=value)
        case int():
            return pb.Value(integer=value)
        case float():
            return pb.Value(number=value)
        case str():
            return pb.Value(text=value)


def value_from_wire(message: pb.Value, field: str = "values") -> str | int | float | bool:
    kind = message.WhichOneof("kind")
    if kind is None:
        raise InvalidArgument(
            f"{field}: the value holds none of text, integer, number, flag", field=field
        )
    value: str | int | float | bool = getattr(message, kind)
    return value


def ids_to_wire(ids: NDArray[Any] | Sequence[int] | Sequence[str]) -> pb.Ids:
    """Ids as a message: integers if ``ids`` is an array or its first item is one, else strings."""
    if isinstance(ids, np.ndarray) or (len(ids) > 0 and not isinstance(ids[0], str)):
        return pb.Ids(ints=np.asarray(ids, dtype=INT64).tobytes())
    try:
        return pb.Ids(strings=pb.Strings(values=cast(Sequence[str], ids)))
    except (TypeError, ValueError) as error:
        raise InvalidArgument(
            f"ids must be all integers or all strings of valid Unicode: {error}", field="ids"
        ) from None


def ids_from_wire(message: pb.Ids, field: str = "ids") -> Ids:
    """int64[n], read-only, or a list of n strings."""
    kind = message.WhichOneof("kind")
    if kind == "strings":
        return list(message.strings.values)
    if kind is None:
        raise InvalidArgument(f"{field} holds neither integers nor strings", field=field)
    return ints_from_bytes(message.ints, field)


def vectors_to_wire(array: NDArray[Any]) -> pb.Vectors:
    """Rows as a message.

    ``array`` is [n, dim] of float32, float16 or uint8; strided ones are copied. A vector [dim]
    counts as one row.
    """
    name = array.dtype.name
    if name not in NUMPY_DTYPES:
        raise InvalidArgument(
            f"vectors must be of {', '.join(NUMPY_DTYPES)}; got {name}", field="vectors"
        )
    if array.ndim not in (1, 2):
        raise InvalidArgument(
            f"vectors must have the shape (n, dim); got {array.ndim} dimensions", field="vectors"
        )
    return pb.Vectors(
        data=array.astype(NUMPY_DTYPES[name], copy=False).tobytes(),
        dim=array.shape[-1],
        dtype=DTYPE.to_wire(name),
    )


def vectors_from_wire(message: pb.Vectors, field: str = "vectors") -> NDArray[Any]:
    """[n, dim] in the message's dtype; a read-only view where the message holds bytes.

    Checks that the length fits ``dim`` and ``dtype``; not that the values are finite.
    """
    dim, data = message.dim, message.data
    name = DTYPE.from_wire(message.dtype, field)
    if data and message.floats:
        raise InvalidArgument(f"{field} holds both data and floats: send one", field=field)
    if message.floats and name != "float32":
        raise InvalidArgument(
            f"floats of {field} are float32, but its dtype is {name}: leave it out", field=field
        )
    if not data and not message.floats:
        return np.empty((0, dim), dtype=NUMPY_DTYPES[name])
    if not 1 <= dim <= limits.DIM:
        raise InvalidArgument(
            f"dim of {field} must be from 1 to {limits.DIM}; got {dim}",
            field=field,
            limit=limits.DIM,
            actual=dim,
        )
    if message.floats:
        return _rows(np.array(message.floats, dtype=FLOAT32), dim, field)
    row_bytes = dim * NUMPY_DTYPES[name].itemsize
    if len(data) % row_bytes:
        raise InvalidArgument(
            f"{field} holds {len(data)} bytes, which is no whole number of rows of "
            f"{dim} x {NUMPY_DTYPES[name].itemsize} = {row_bytes} bytes ({name})",
            field=field,
        )
    return np.frombuffer(data, dtype=NUMPY_DTYPES[name]).reshape(-1, dim)


def floats_to_bytes(values: NDArray[Any]) -> bytes:
    """float32, little-endian."""
    return values.astype(FLOAT32, copy=False).tobytes()


def floats_from_bytes(data: bytes, field: str = "scores") -> NDArray[np.float32]:
    """float32[n], read-only."""
    return _items(data, FLOAT32, field)


def doubles_to_bytes(values: NDArray[Any]) -> bytes:
    """float64, little-endian."""
    return values.astype(FLOAT64, copy=False).tobytes()


def doubles_from_bytes(data: bytes, field: str) -> NDArray[np.float64]:
    """float64[n], read-only."""
    return _items(data, FLOAT64, field)


def ints_to_bytes(values: NDArray[Any]) -> bytes:
    """int64, little-endian."""
    return values.astype(INT64, copy=False).tobytes()


def ints_from_bytes(data: bytes, field: str = "ids") -> NDArray[np.int64]:
    """int64[n], read-only."""
    return _items(data, INT64, field)


def _rows(flat: NDArray[Any], dim: int, field: str) -> NDArray[Any]:
    if len(flat) % dim:
        raise InvalidArgument(
            f"{field} holds {len(flat)} floats, which is no whole number of rows of {dim}",
            field=field,
        )
    flat.flags.writeable = False
    return flat.reshape(-1, dim)


def _items(data: bytes, dtype: np.dtype[Any], field: str) -> NDArray[Any]:
    if len(data) % dtype.itemsize:
        raise InvalidArgument(
            f"{field} holds {len(data)} bytes, which is no whole number of "
            f"{dtype.itemsize}-byte items ({dtype.name})",
            field=field,
        )
    return np.frombuffer(data, dtype=dtype)
