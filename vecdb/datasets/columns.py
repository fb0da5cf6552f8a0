"""Which column is the vector, which the id, and which are the payload."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..results import Ids
from .refusal import bad_file

VECTOR_NAMES = (
    "vector",
    "embedding",
    "emb",
    "vectors",
    "embeddings",
    "values",
    "dense_vector",
    "features",
)
ID_NAMES = ("id", "_id", "key", "doc_id", "uuid", "pk")
PAYLOAD = "payload"
"""Where nothing but an object of this name is left, the payload is that object."""
_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What was asked for. None: decide by name; "" and (): take none."""

    vector: str | None = None
    id: str | None = None
    payload: tuple[str, ...] | None = None


def choose_vector(
    path: Path, asked: str | None, candidates: Sequence[str], more_names: Iterable[str] = ()
) -> str:
    """The column asked for, one of a customary name, or the only candidate."""
    if asked is not None:
        if asked in candidates:
            return asked
        raise bad_file(
            path,
            f"has no column of vectors called {asked!r}",
            hint=f"Columns that hold lists of numbers: {shown(candidates)}",
            reason="NO_COLUMN",
        )
    for name in (*VECTOR_NAMES, *more_names):
        if name in candidates:
            return name
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise bad_file(
            path,
            f"several columns hold lists of numbers: {shown(candidates)}",
            hint="Name the one with the vectors by vector_column=",
            reason="NO_COLUMN",
        )
    raise bad_file(
        path,
        "no column holds vectors (a list of numbers in each row)",
        hint="Vectors that stand in a file beside it: write them to vectors.npy, the rest to "
        "rows.jsonl, and load the folder",
        reason="NO_VECTORS",
    )


def choose_id(path: Path, asked: str | None, names: Sequence[str]) -> str | None:
    """The column of ids; None: row numbers are the ids."""
    if asked is None:
        return next((name for name in ID_NAMES if name in names), None)
    if asked and asked not in names:
        raise bad_file(
            path,
            f"has no column {asked!r} for ids",
            hint=f"It has {shown(names)}; id_column='' takes row numbers",
            reason="NO_COLUMN",
        )
    return asked or None


def check_ids(path: Path, values: list[Any], kind: type, place: Callable[[int], str]) -> Ids:
    """All of one kind, int or str; ``place`` names a position for the error."""
    if set(map(type, values)) <= {kind}:
        if kind is str:
            return values
        try:
            return np.array(values, np.int64)
        except OverflowError:
            at = next(i for i, value in enumerate(values) if not -(2**63) <= value < 2**63)
            raise bad_file(
                path, f"{place(at)}: expected an id that fits a signed 64-bit integer"
            ) from None
    at = next(i for i, value in enumerate(values) if type(value) is not kind)
    wanted = "text" if kind is str else "a whole number"
    found = "null" if values[at] is None else type(values[at]).__name__
    raise bad_file(
        path,
        f"{place(at)}: expected {wanted} as id, as in the rows before, found {found}",
        hint="Ids are all whole numbers or all text; id_column='' takes row numbers",
    )


def shown(names: Sequence[str]) -> str:
    listed = ", ".join(name[:40] for name in names[:_SHOWN])
    return (listed + ", ..." if len(names) > _SHOWN else listed) or "none"
