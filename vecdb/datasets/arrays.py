"""Matrices: which numbers become which stored dtype, and rows by position or in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..results import Ids
from .dataset import Batch, Dataset, row_numbers
from .refusal import bad_file, check_loaded, reading, wrong_size

STORED = {
    ("f", 4): "float32",
    ("f", 2): "float16",
    ("u", 1): "uint8",
    ("f", 8): "float32",
    ("i", 1): "float32",
}
"""Kind and bytes of a number in a file -> the dtype it is given out, and stored, as."""


def stored_dtype(path: Path, raw: np.dtype[Any], what: str = "vectors") -> str:
    """Refuse numbers that no collection stores."""
    name = STORED.get((raw.kind, raw.itemsize))
    if name is None:
        integers = "Whole numbers of this size are mostly ids: is it a file of ground truth?"
        raise bad_file(
            path,
            f"expected {what} of float32, float16, float64, uint8 or int8, found {raw}",
            hint=integers if raw.kind in "iu" else "",
            reason="WRONG_DTYPE",
        )
    return name


def conversion_notes(raw: np.dtype[Any]) -> tuple[str, ...]:
    name = STORED[raw.kind, raw.itemsize]
    changed = raw.newbyteorder("=") != np.dtype(name)
    return (f"{raw.name} is given out as {name}",) if changed else ()


def as_stored(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """The same array where it has that dtype already; numbers beyond float32 become infinite."""
    with np.errstate(over="ignore"):
        return np.asarray(values, np.dtype(dtype))


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRows:
    """Rows of a matrix, as a rule one that is mapped from a file."""

    matrix: NDArray[Any]
    dtype: str
    ids: Ids | None = None

    def read(self, rows: int, start: int) -> Iterator[Batch]:
        for first in range(start, len(self.matrix), rows):
            part = self.matrix[first : first + rows]
            ids = (
                row_numbers(first, len(part))
                if self.ids is None
                else self.ids[first : first + rows]
            )
            yield Batch(ids=ids, vectors=as_stored(part, self.dtype))


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRows:
    """Rows of a matrix that begins ``offset`` bytes into what ``open`` gives, read in order."""

    path: Path
    open: Callable[[], BinaryIO]
    offset: int
    count: int
    dim: int
    raw: np.dtype[Any]
    dtype: str
    ids: Ids | None = None

    def read(self, rows: int, start: int) -> Iterator[Batch]:
        with reading(self.path), self.open() as stream:
            stream.seek(self.offset + start * self._row_bytes)
            for first in range(start, self.count, rows):
                part = self._read_rows(stream, first, min(rows, self.count - first))
                ids = (
                    row_numbers(first, len(part))
                    if self.ids is None
                    else self.ids[first : first + rows]
                )
                yield Batch(ids=ids, vectors=as_stored(part, self.dtype))
            if stream.read(1):
                raise self._wrong_size(f"more than {self._size}")

    @property
    def _row_bytes(self) -> int:
        return self.dim * self.raw.itemsize

    @property
    def _size(self) -> int:
        return self.offset + self.count * self._row_bytes

    def _read_rows(self, stream: BinaryIO, first: int, count: int) -> NDArray[Any]:
        data = stream.read(count * self._row_bytes)
        if len(data) < count * self._row_bytes:
            raise self._wrong_size(self.offset + first * self._row_bytes + len(data))
        return np.frombuffer(data, self.raw).reshape(count, self.dim)

    def _wrong_size(self, found: int | str) -> Exception:
        arithmetic = f"{self.offset} + {self.count}*{self.dim}*{self.raw.itemsize}, unpacked,"
        return wrong_size(self.path, arithmetic, self._size, found)


def all_vectors(dataset: Dataset) -> NDArray[Any]:
    """Every vector of a small data set: mapped where it is a flat file, else loaded."""
    source = dataset.source
    if isinstance(source, MatrixRows) and source.matrix.dtype == np.dtype(dataset.dtype):
        return source.matrix
    itemsize = np.dtype(dataset.dtype).itemsize
    if dataset.count is not None:
        check_loaded(dataset.path, "queries", dataset.count * dataset.dim * itemsize)
    parts, size = [], 0
    for batch in dataset.batches():
        size += batch.vectors.nbytes
        check_loaded(dataset.path, "queries", size)
        parts.append(batch.vectors)
    return np.concatenate(parts)
