"""Open a data set, whatever its format, with the queries and the truth that go with it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidArgument
from .arrays import all_vectors
from .bigann import load_bin
from .columns import Columns
from .dataset import Dataset
from .folders import load_beir, load_folder, load_idx_folder
from .hdf5 import load_hdf5
from .idx import load_idx
from .jsonl import load_jsonl
from .numpy_files import load_npy, load_npz
from .parquet import load_parquet
from .refusal import bad_file, reading
from .sniff import FORMATS, TRUTH_FORMATS, check_format, sniff_format, sniff_truth
from .texmex import load_vecs
from .truth import Truth, check_sides, read_truth

PathLike = str | os.PathLike[str]

FLAT: dict[str, Callable[[Path], Dataset]] = {
    "npy": load_npy,
    "hdf5": load_hdf5,
    "fvecs": lambda path: load_vecs(path, "fvecs"),
    "bvecs": lambda path: load_vecs(path, "bvecs"),
    "idx": lambda path: load_idx_folder(path) if path.is_dir() else load_idx(path),
}
"""Formats without columns to choose from; those of big-ann are read by ``load_bin``."""
WITH_COLUMNS: dict[str, Callable[[Path, Columns], Dataset]] = {
    "npz": load_npz,
    "jsonl": load_jsonl,
    "parquet": load_parquet,
    "beir": load_beir,
    "folder": load_folder,
}
FOLDERS = ("beir", "folder", "idx")
ANSWERS = {"npz": ("vector", "id"), "beir": ("id", "payload"), "folder": ("id", "payload")}
"""Which columns can be chosen, where not all."""


def load_dataset(
    path: PathLike,
    *,
    format: str = "auto",
    max_n: int | None = None,
    vector_column: str | None = None,
    id_column: str | None = None,
    payload_columns: Iterable[str] | None = None,
    queries: PathLike | NDArray[Any] | None = None,
    truth: PathLike | Truth | None = None,
) -> Dataset:
    """Open a file or folder; records are read later, by ``Dataset.batches``.

    - ``format``: one of ``FORMATS``; auto: by suffix, confirmed by the header's arithmetic
    - ``max_n``: only the first rows; lets a crop pass whose header tells the rows of the whole
    - ``vector_column``, ``id_column``, ``payload_columns`` (parquet, jsonl, and in part npz and
      folders): None decides by name; ``id_column=""`` takes row numbers, ``payload_columns=()``
      no payload
    - ``queries``, ``truth``: files of their own (or what they hold), where none come with the data

    Raises ``InvalidArgument`` with the path as ``field`` where the file is not what it says, and
    ``PreconditionFailed`` where the format needs a package that is not installed.
    """
    path = _existing(path)
    columns = _columns(vector_column, id_column, payload_columns)
    _check_max_n(max_n)
    chosen = sniff_format(path) if format == "auto" else check_format(format, FORMATS)
    _check_columns(chosen, columns)
    if path.is_dir() != (chosen in FOLDERS) and not (chosen == "idx" and path.is_file()):
        found = "a folder" if path.is_dir() else "a file"
        raise bad_file(path, f"is {found}, which format {chosen} is not")
    with reading(path):
        dataset = _load(path, chosen, columns, max_n)
        if queries is not None:
            if not isinstance(queries, np.ndarray):
                queries = all_vectors(load_dataset(queries))
            dataset = replace(dataset, queries=queries)
        if truth is not None:
            read = truth if isinstance(truth, Truth) else load_truth(truth)
            dataset = replace(dataset, truth_ids=read.ids, truth_distances=read.distances)
        check_sides(dataset)
    return dataset if max_n is None else dataset.head(max_n)


def load_truth(path: PathLike, *, format: str = "auto") -> Truth:
    """Nearest rows of each query: ``format`` is one of ``TRUTH_FORMATS``."""
    path = _existing(path)
    chosen = sniff_truth(path) if format == "auto" else check_format(format, TRUTH_FORMATS)
    with reading(path):
        return read_truth(path, chosen)


def _load(path: Path, format: str, columns: Columns, max_n: int | None) -> Dataset:
    if format in FLAT:
        return FLAT[format](path)
    if format in WITH_COLUMNS:
        return WITH_COLUMNS[format](path, columns)
    return load_bin(path, format, max_n)


def _existing(path: PathLike) -> Path:
    try:
        found = Path(path)
    except TypeError:
        raise InvalidArgument(
            f"path must name a file or folder; got {type(path).__name__}", field="path"
        ) from None
    with reading(found, ValueError):  # a path that holds a zero byte
        mode = found.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise bad_file(found, "expected a file or a folder, found neither (a pipe or a device)")
    return found


def _columns(vector: str | None, id: str | None, payload: Iterable[str] | None) -> Columns:
    if isinstance(payload, str):
        raise InvalidArgument(
            f"payload_columns must be a list of names; got text: [{payload[:40]!r}]?",
            field="payload_columns",
        )
    return Columns(vector=vector, id=id, payload=None if payload is None else tuple(payload))


def _check_columns(format: str, columns: Columns) -> None:
    answers = ANSWERS.get(format, ("vector", "id", "payload") if format in WITH_COLUMNS else ())
    for name in ("vector", "id", "payload"):
        if getattr(columns, name) is not None and name not in answers:
            argument = f"{name}_columns" if name == "payload" else f"{name}_column"
            raise InvalidArgument(
                f"{argument} was given, but {format} has no columns to choose from for it",
                field=argument,
                hint=f"Leave {argument} out",
            )


def _check_max_n(max_n: object) -> None:
    if max_n is None:
        return
    if isinstance(max_n, bool) or not isinstance(max_n, int) or max_n < 1:
        raise InvalidArgument(
            f"max_n must be a whole number of 1 or more, or None; got {max_n!r}", field="max_n"
        )
