"""What a collection is: dimension, metric, dtype, declared payload fields."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import limits
from .errors import InvalidArgument, LimitExceeded

METRICS = ("cosine", "dot", "l2")
DTYPES: Mapping[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "uint8": np.dtype("u1"),
}
FIELD_TYPES = ("keyword", "bool", "int", "float", "datetime", "uuid", "geo", "text")
"""A payload value of a declared field is of this type, or a list of such values, or null."""
RESERVED_FIELDS = ("and", "or", "not")
"""Words of the filter's dict form, so no field is called so."""


def check_name(name: object, what: str = "name") -> str:
    """Return ``name`` if a collection or alias may be called so; raise ``InvalidArgument``."""
    if isinstance(name, str) and limits.NAME.fullmatch(name):
        return name
    shown = repr(name)[:80]
    raise InvalidArgument(
        f"{what} must be 1-128 letters, digits, '.', '_' or '-', not starting with '.'; "
        f"got {shown}",
        field=what,
        reason="BAD_NAME",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSchema:
    """Validated on construction: an invalid schema cannot exist.

    - ``dim``: 1..``limits.DIM``
    - ``metric``: cosine, dot or l2; score is cosine, <x,q> or -|x-q|; higher is better
    - ``dtype``: how vectors are stored: float32, float16 or uint8
    - ``fields``: name -> type (``FIELD_TYPES``) of the payload fields that filters may use
    - ``code_bits``: 1, 2, 4 or 8: bits a dimension of the codes that searches read first
    - ``page_bytes``: 4096, 8192 or 16384: size of the pages that vectors are stored in; None: the
      size that fits ``dim`` and ``dtype``
    - ``memory_budget``: bytes that the sealed records of the collection may take in memory; None:
      all of it may be in memory. This and ``fields`` may change later
    """

    dim: int
    metric: str = "cosine"
    dtype: str = "float32"
    fields: Mapping[str, str] = field(default_factory=dict)
    code_bits: int = 4
    page_bytes: int | None = None
    memory_budget: int | None = None

    def __post_init__(self) -> None:
        check_integer("dim", self.dim, limits.DIM)
        _check_number("code_bits", self.code_bits, limits.CODE_BITS)
        if self.page_bytes is not None:
            _check_number("page_bytes", self.page_bytes, limits.PAGE_BYTES)
        check_budget(self.memory_budget)
        _check_choice("metric", self.metric, METRICS)
        _check_choice("dtype", self.dtype, tuple(DTYPES))
        if not isinstance(self.fields, Mapping):
            raise InvalidArgument(
                "fields must be a dict of name -> type, such as {'lang': 'keyword'}; got "
                f"{type(self.fields).__name__}",
                field="fields",
            )
        if len(self.fields) > limits.FIELDS:
            raise LimitExceeded(
                f"a collection declares at most {limits.FIELDS} fields; got {len(self.fields)}",
                field="fields",
                limit=limits.FIELDS,
                actual=len(self.fields),
            )
        for name, kind in self.fields.items():
            check_field(name, kind, "fields", f"fields[{name!r}]")

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        return DTYPES[self.dtype]

    @property
    def row_bytes(self) -> int:
        return self.dim * self.numpy_dtype.itemsize

    def to_json(self) -> bytes:
        """The stored form; ``from_json`` reads it."""
        values: dict[str, Any] = {
            "dim": int(self.dim),
            "metric": self.metric,
            "dtype": self.dtype,
            "fields": dict(self.fields),
            "code_bits": int(self.code_bits),
            "page_bytes": None if self.page_bytes is None else int(self.page_bytes),
        }
        if self.memory_budget is not None:
            values["memory_budget"] = int(self.memory_budget)
        return json.dumps(values, separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def from_json(cls, text: bytes) -> CollectionSchema:
        return cls(**json.loads(text))


def check_integer(name: str, value: object, high: int) -> int:
    """An integer from 1 to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InvalidArgument(
            f"{name} must be an integer from 1 to {high}; got {type(value).__name__}",
            field=name,
        )
    if not 1 <= value <= high:
        raise InvalidArgument(
            f"{name} must be from 1 to {high}; got {value}",
            field=name,
            limit=high,
            actual=int(value),
        )
    return int(value)


def check_budget(value: object) -> int | None:
    """A memory budget in bytes, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InvalidArgument(
            f"memory_budget must be a number of bytes or None; got {type(value).__name__}",
            field="memory_budget",
        )
    if not limits.BUDGET_BYTES <= value < 2**63:
        raise InvalidArgument(
            f"memory_budget must be at least {limits.BUDGET_BYTES} bytes; got {value}",
            field="memory_budget",
            limit=limits.BUDGET_BYTES,
            hint="Leave it out to keep everything in memory",
        )
    return int(value)


def _check_number(name: str, value: object, known: tuple[int, ...]) -> None:
    """One of a few integers; no float or bool that equals one."""
    integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not integer or value not in known:
        raise InvalidArgument(
            f"{name} must be one of {', '.join(map(str, known))}; got {str(value)[:40]!r}",
            field=name,
        )


def _check_choice(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InvalidArgument(
            f"{name} must be one of {', '.join(known)}; got {str(value)[:40]!r}", field=name
        )


def _is_text(name: str) -> bool:
    """Whether it can be written as UTF-8: half a surrogate pair cannot."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def check_field(name: object, kind: object, name_field: str, kind_field: str) -> None:
    """Raise ``InvalidArgument`` unless a field may be called so and be of that type."""
    size = len(name.encode("utf-8", "surrogatepass")) if isinstance(name, str) else 0
    if not isinstance(name, str) or not 1 <= size <= limits.FIELD_NAME_BYTES or not _is_text(name):
        raise InvalidArgument(
            f"a field's name is a string of 1-{limits.FIELD_NAME_BYTES} bytes; "
            f"got {str(name)[:40]!r}",
            field=name_field,
        )
    if name in RESERVED_FIELDS:
        raise InvalidArgument(
            f"{name!r} is a word of the filter language and cannot name a field; rename it",
            field=kind_field if name_field == "fields" else name_field,
        )
    _check_choice(kind_field, kind, FIELD_TYPES)
