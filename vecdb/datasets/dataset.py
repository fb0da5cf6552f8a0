"""A data set as every reader gives it: a few facts, and its records in batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..errors import InvalidArgument
from ..results import Ids, Payload
from .refusal import bad_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Records of consecutive rows.

    - ``ids``: int64[n] or list of str; the row numbers where the file has no ids
    - ``vectors``: [n, dim] in the data set's dtype; may be a strided, read-only view of the file
    - ``payloads``: a JSON-able dict a record (None: it has none), or None where no record has one
    """

    ids: Ids
    vectors: NDArray[Any]
    payloads: list[Payload | None] | None = None

    def __len__(self) -> int:
        return len(self.ids)


class Rows(Protocol):
    """Where the records are."""

    def read(self, rows: int, start: int) -> Iterator[Batch]:
        """Batches of at most ``rows`` records, from row ``start`` on."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """What a file, or a folder of files, holds. Reading it never needs memory for all of it.

    - ``format``: one of ``FORMATS``
    - ``dim``: 0 where the vectors are missing (a BEIR folder that nobody has embedded yet)
    - ``count``: None where only reading it all would tell
    - ``dtype``: float32, float16 or uint8: what ``batches`` gives, and what to store it as
    - ``metric``: cosine, dot or l2 where the file tells, else None
    - ``queries``: [q, dim] or None
    - ``truth_ids``: [at most q, k] **row numbers** of the nearest rows, nearest first, -1 pads; or
      None. ``truth_distances``: beside them, in the file's own unit
    - ``notes``: what was converted, assumed or left out

    Whether numbers are finite is not checked here but where records are stored, so that an import
    can refuse single rows.
    """

    path: Path
    format: str
    dim: int
    count: int | None
    dtype: str
    source: Rows = field(repr=False)
    metric: str | None = None
    queries: NDArray[Any] | None = field(default=None, repr=False)
    truth_ids: NDArray[Any] | None = field(default=None, repr=False)
    truth_distances: NDArray[Any] | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.path.name

    def batches(self, rows: int = 4096, start: int = 0) -> Iterator[Batch]:
        """Records from row ``start`` on, at most ``rows`` a batch (fewer where vectors are long).

        Flat files and hdf5 seek to ``start``, parquet to its row group; jsonl and compressed files
        are read up to it.
        """
        if self.dim == 0:
            raise bad_file(
                self.path,
                "has texts, but no vectors",
                hint="Embed the texts in their order (payload_batches gives them) and write the "
                "matrix to vectors.npy beside them",
                reason="NO_VECTORS",
            )
        return self.payload_batches(rows, start)

    def payload_batches(self, rows: int = 4096, start: int = 0) -> Iterator[Batch]:
        """As ``batches``, but a data set without vectors is read too: they are [n, 0]."""
        _check_whole("rows", rows, 1, limits.BATCH_RECORDS)
        _check_whole("start", start, 0, self.count)
        fitting = limits.MESSAGE_BYTES // (8 * max(1, self.dim))
        return self.source.read(min(rows, fitting), start)

    def head(self, most: int) -> Dataset:
        """The first ``most`` rows only; truth is dropped where that leaves any out."""
        if self.count is not None and most >= self.count:
            return self
        notes, kept = self.notes, self
        if self.truth_ids is not None:
            notes += (f"truth is left out: it is of all rows, and max_n keeps {most} of them",)
            kept = replace(self, truth_ids=None, truth_distances=None)
        count = None if self.count is None else most
        return replace(kept, count=count, notes=notes, source=FirstRows(self.source, most))


@dataclass(frozen=True, slots=True)
class FirstRows:
    """The first ``most`` rows of others."""

    source: Rows
    most: int

    def read(self, rows: int, start: int) -> Iterator[Batch]:
        left = self.most - start
        if left <= 0:
            return
        for batch in self.source.read(min(rows, left), start):
            if len(batch) > left:
                batch = _cut(batch, left)
            left -= len(batch)
            yield batch
            if left == 0:
                return


@dataclass(frozen=True, slots=True)
class PairedRows:
    """Vectors of one file with the ids and payloads of another, row by row."""

    path: Path
    vectors: Rows
    texts: Rows

    def read(self, rows: int, start: int) -> Iterator[Batch]:
        pairs = zip_longest(self.vectors.read(rows, start), self.texts.read(rows, start))
        for left, right in pairs:
            if left is None or right is None or len(left) != len(right):
                raise bad_file(self.path, "its files no longer have the same number of rows")
            yield replace(right, vectors=left.vectors)


def row_numbers(first: int, count: int) -> NDArray[np.int64]:
    return np.arange(first, first + count, dtype=np.int64)


def no_vectors(count: int) -> NDArray[np.float32]:
    return np.empty((count, 0), np.float32)


def _cut(batch: Batch, size: int) -> Batch:
    payloads = None if batch.payloads is None else batch.payloads[:size]
    return Batch(ids=batch.ids[:size], vectors=batch.vectors[:size], payloads=payloads)


def _check_whole(name: str, value: object, low: int, high: int | None) -> None:
    fits = (
        isinstance(value, int | np.integer)
        and not isinstance(value, bool)
        and value >= low
        and (high is None or value <= high)
    )
    if not fits:
        wanted = f"of {low} or more" if high is None else f"from {low} to {high}"
        raise InvalidArgument(f"{name} must be a whole number {wanted}; got {value!r}", field=name)
