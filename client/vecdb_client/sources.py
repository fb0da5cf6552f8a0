# Generated from vecdb/collection/sources.py by client/generate.py; do not edit.
"""What ``upload`` takes, read piece by piece: an array, arrays, or batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from . import columns
from .columns import INT64, Ids
from .errors import InvalidArgument
from .positions import moved

PIECE_RECORDS: Final = 1_024
"""Most records that are converted at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some rows; ``row`` is the number of the first within the upload.

    ``vectors`` is [n, dim] in one of ``columns.DTYPES``; ``payloads`` are not encoded yet.
    """

    row: int
    ids: Ids
    vectors: NDArray[Any]
    payloads: Sequence[Any] | None


class Source:
    """The rows of an upload, in order. ``total``: how many, if known beforehand.

    - ``vectors``: an array [n, dim], or an iterable of vectors, of arrays [n_i, dim], or of
      batches: objects with ``ids``, ``vectors`` and ``payloads``, or tuples of the three
    - ``ids``, ``payloads``: sequences for all rows; with batches they come from those.
      No ids: row numbers

    What an iterable gives is copied: it may fill the same array again. ``warn`` of float64.
    """

    def __init__(
        self, vectors: Any, ids: Any, payloads: Any, total: int | None, *, warn: bool = True
    ) -> None:
        self._ids = ids
        self._payloads = payloads
        self._warn = warn
        self._streams = not _is_matrix(vectors)
        if _is_matrix(vectors):
            self._blocks: Iterator[Any] = iter([vectors])
        elif isinstance(vectors, Iterable) and not isinstance(vectors, str | bytes | Mapping):
            self._blocks = _blocks(iter(vectors))
        else:
            raise InvalidArgument(
                "vectors must be an array, or an iterable of arrays or of batches; "
                f"got {type(vectors).__name__}",
                field="vectors",
            )
        self.total = len(vectors) if _is_matrix(vectors) else total
        self._check_column("ids", ids)
        self._check_column("payloads", payloads)
        if _is_matrix(vectors):
            self._check_count("ids", ids, len(vectors))
            self._check_count("payloads", payloads, len(vectors))

    def __iter__(self) -> Iterator[Piece]:
        first = 0
        for block in self._blocks:
            ids, vectors, payloads = self._columns(block, first)
            for start in range(0, len(vectors), PIECE_RECORDS):
                rows = slice(start, start + PIECE_RECORDS)
                yield self._piece(
                    first + start,
                    None if ids is None else ids[rows],
                    vectors[rows],
                    None if payloads is None else payloads[rows],
                )
            first += len(vectors)
        self._check_count("ids", self._ids, first)
        self._check_count("payloads", self._payloads, first)

    def _columns(self, block: Any, first: int) -> tuple[Any, Any, Any]:
        """ids, vectors and payloads of a block whose first row is ``first``."""
        if not _is_batch(block):
            rows = slice(first, first + len(block))
            ids = None if self._ids is None else self._ids[rows]
            payloads = None if self._payloads is None else self._payloads[rows]
            vectors = block
        else:
            if self._ids is not None or self._payloads is not None:
                raise InvalidArgument(
                    "batches bring their ids and payloads: leave the arguments out",
                    field="payloads" if self._ids is None else "ids",
                )
            ids, vectors, payloads = (
                block
                if isinstance(block, tuple) and not hasattr(block, "vectors")
                else (block.ids, block.vectors, block.payloads)
            )
        if not _is_matrix(vectors):
            vectors = columns.to_matrix(vectors)
        self._check_count("ids", ids, len(vectors))
        self._check_count("payloads", payloads, len(vectors))
        return ids, vectors, payloads

    def _piece(self, row: int, ids: Any, vectors: Any, payloads: Any) -> Piece:
        try:
            matrix = columns.to_matrix(vectors, warn=self._warn)
            some: Ids = (
                np.arange(row, row + len(matrix), dtype=INT64)
                if ids is None
                else columns.normalize_ids(ids)
            )
        except InvalidArgument as error:
            raise moved(error, row) from None
        if self._streams:
            matrix, some = matrix.copy(), some.copy()
        self._warn = self._warn and getattr(vectors, "dtype", None) != np.float64
        return Piece(row=row, ids=some, vectors=matrix, payloads=payloads)

    @staticmethod
    def _check_column(name: str, column: object) -> None:
        if column is None or isinstance(column, np.ndarray):
            return
        if isinstance(column, str | bytes | Mapping) or not isinstance(column, Sequence):
            raise InvalidArgument(
                f"{name} must be a sequence, one item a record; got {type(column).__name__}",
                field=name,
            )

    @staticmethod
    def _check_count(name: str, column: Any, rows: int) -> None:
        if column is not None and len(column) != rows:
            raise InvalidArgument(
                f"expected {rows} {name}, one a record; got {len(column)}", field=name
            )


def _blocks(items: Iterator[Any]) -> Iterator[Any]:
    """Arrays and batches as they come; single vectors gathered to arrays."""
    first = next(items, None)
    if first is None:
        return
    items = chain([first], items)
    if _is_matrix(first) or _is_batch(first):
        yield from items
        return
    while gathered := list(islice(items, PIECE_RECORDS)):
        yield gathered


def _is_matrix(value: object) -> bool:
    """An array of two axes, or what is read like one (a dataset of HDF5)."""
    return len(getattr(value, "shape", ())) == 2


def _is_batch(value: object) -> bool:
    if isinstance(value, tuple) and len(value) == 3 and _is_matrix(value[1]):
        return True
    return all(hasattr(value, name) for name in ("ids", "vectors", "payloads"))
