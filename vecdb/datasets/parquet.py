"""parquet: the vectors are a column of lists, of one length or of equal lengths."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..results import Ids, Payload
from .arrays import as_stored, conversion_notes, stored_dtype
from .columns import PAYLOAD, Columns, check_ids, choose_id, choose_vector, shown
from .dataset import Batch, Dataset, row_numbers
from .parquet_values import NotJson, convert_column, converter_of, is_text, lacks_zone
from .refusal import bad_file, check_shape, import_optional, reading, wrong_size

MAGIC = b"PAR1"
_BUFFER_BYTES = 1024 * 1024


def load_parquet(path: Path, columns: Columns) -> Dataset:
    """Columns that are neither vector nor id are the payload, unless some are named."""
    _check_footer(path)
    with _open(path) as file:
        count = _check_rows(path, file.metadata)
        types = {field.name: _storage(field.type) for field in file.schema_arrow}
        if len(types) < len(file.schema_arrow):
            raise bad_file(path, "expected columns of different names, found two alike")
        vector = choose_vector(
            path, columns.vector, [name for name, kind in types.items() if _is_vector(kind)]
        )
        id_column = choose_id(path, columns.id, list(types))
        payload = _choose_payload(path, columns.payload, types, (vector, id_column))
        if id_column is not None:
            _check_id_type(path, id_column, types[id_column])
        check_shape(path, count, 1)
        dim = _first_dim(path, file, vector, types[vector])
    raw = np.dtype(types[vector].value_type.to_pandas_dtype())
    zoneless = [name for name in payload if lacks_zone(types[name])]
    return Dataset(
        path=path,
        format="parquet",
        dim=dim,
        count=count,
        dtype=stored_dtype(path, raw, vector),
        source=ParquetRows(
            path=path,
            vector=vector,
            dim=dim,
            dtype=stored_dtype(path, raw, vector),
            id=id_column,
            id_kind=str if id_column and is_text(_values_of(types[id_column])) else int,
            payload=payload,
            nested=_is_nested(payload, types),
        ),
        notes=(
            *conversion_notes(raw),
            *(f"points in time of {name!r} have no zone: taken as UTC" for name in zoneless),
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetRows:
    """Row groups before ``start`` are not read; ``nested``: the only payload column is it."""

    path: Path
    vector: str
    dim: int
    dtype: str
    id: str | None
    id_kind: type
    payload: tuple[str, ...]
    nested: bool

    def read(self, rows: int, start: int) -> Iterator[Batch]:
        wanted = [self.vector, *([self.id] if self.id else []), *self.payload]
        with _open(self.path) as file:
            groups, first = _groups_from(file.metadata, start)
            total = file.metadata.num_rows
            for found in file.iter_batches(rows, row_groups=groups, columns=wanted):
                part = found.slice(min(len(found), max(0, start - first)))
                if len(part):
                    yield self._batch(part, max(start, first))
                first += len(found)
            if groups and first != total:
                raise bad_file(self.path, f"expected {total} rows as it says, found {first}")

    def _batch(self, part: Any, first: int) -> Batch:
        vectors = self._vectors(part.column(self.vector), first)
        payloads: list[Payload | None] | None = None
        if self.nested:
            payloads = convert_column(_plain(part.column(self.payload[0])))
        elif self.payload:
            values = [convert_column(_plain(part.column(name))) for name in self.payload]
            payloads = [
                dict(zip(self.payload, row, strict=True)) for row in zip(*values, strict=True)
            ]
        return Batch(ids=self._ids(part, first), vectors=vectors, payloads=payloads)

    def _ids(self, part: Any, first: int) -> Ids:
        if self.id is None:
            return row_numbers(first, len(part))
        values = part.column(self.id).to_pylist()
        return check_ids(self.path, values, self.id_kind, lambda at: f"row {first + at}")

    def _vectors(self, column: Any, first: int) -> NDArray[Any]:
        column = _plain(column)
        for at, length in enumerate(_lengths(column)):
            if length != self.dim:
                raise bad_file(
                    self.path,
                    f"row {first + at}: expected {self.dim} numbers in {self.vector!r}, found "
                    f"{'null' if length is None else length}",
                )
        flat = column.flatten()
        if flat.null_count:
            at = int(np.argmax(np.asarray(flat.is_null()))) // self.dim
            raise bad_file(
                self.path,
                f"row {first + at}: expected {self.dim} numbers in {self.vector!r}, found a null "
                "among them",
            )
        values = flat.to_numpy(zero_copy_only=False).reshape(len(column), self.dim)
        return as_stored(values, self.dtype)


def _check_footer(path: Path) -> None:
    """The file begins and ends as parquet does, and its footer fits into it."""
    size = path.stat().st_size
    with reading(path), path.open("rb") as file:
        head = file.read(4)
        file.seek(max(0, size - 8))
        tail = file.read(8)
    if head != MAGIC or size < 12:
        raise bad_file(path, f"expected a parquet file, which begins {MAGIC!r}; found {head!r}")
    if tail[4:] != MAGIC:
        raise bad_file(
            path,
            f"expected {MAGIC!r} as its last 4 of {size} bytes, found {tail[4:]!r}",
            hint="It was cut short or has something appended",
            reason="WRONG_SIZE",
        )
    length = int.from_bytes(tail[:4], "little")
    if length > size - 12:
        raise wrong_size(path, f"at least 4 + {length} + 8 (magic, footer)", length + 12, size)


def _check_rows(path: Path, metadata: Any) -> int:
    """Rows of the file, once those of its row groups add up to them.

    Nothing here asks for the metadata of a column: of a damaged file pyarrow 26 aborts the process.
    """
    rows = sum(metadata.row_group(index).num_rows for index in range(metadata.num_row_groups))
    if rows != metadata.num_rows:
        raise bad_file(path, f"expected {metadata.num_rows} rows as it says, found {rows}")
    return int(rows)


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    pa = import_optional("pyarrow", "parquet")
    pq = import_optional("pyarrow.parquet", "parquet")
    with (
        reading(path, pa.ArrowException, ValueError, OverflowError),
        pq.ParquetFile(
            path, buffer_size=_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True
        ) as file,
    ):
        yield file


def _groups_from(metadata: Any, start: int) -> tuple[list[int], int]:
    """Row groups that hold row ``start`` and all after it, and the first row of the first."""
    first = 0
    for index in range(metadata.num_row_groups):
        rows = metadata.row_group(index).num_rows
        if start < first + rows:
            return list(range(index, metadata.num_row_groups)), first
        first += rows
    return [], first


def _first_dim(path: Path, file: Any, vector: str, kind: Any) -> int:
    pa = import_optional("pyarrow", "parquet")
    if pa.types.is_fixed_size_list(kind):
        dim = int(kind.list_size)
    else:
        batch = next(file.iter_batches(1, columns=[vector]))
        dim = _lengths(_plain(batch.column(vector)))[0] or 0
    check_shape(path, 1, dim)
    return dim


def _lengths(column: Any) -> list[int | None]:
    """Numbers of each list, None for null."""
    pc = import_optional("pyarrow.compute", "parquet")
    lengths: list[int | None] = pc.list_value_length(column).to_pylist()
    return lengths


def _storage(kind: Any) -> Any:
    """The type below an extension type, such as that of a tensor."""
    pa = import_optional("pyarrow", "parquet")
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def _plain(column: Any) -> Any:
    return column.storage if _storage(column.type) is not column.type else column


def _values_of(kind: Any) -> Any:
    types = import_optional("pyarrow", "parquet").types
    return kind.value_type if types.is_dictionary(kind) else kind


def _is_vector(kind: Any) -> bool:
    types = import_optional("pyarrow", "parquet").types
    lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    if not lists:
        return False
    item = kind.value_type
    return bool(types.is_floating(item) or types.is_uint8(item) or types.is_int8(item))


def _is_nested(payload: tuple[str, ...], types: dict[str, Any]) -> bool:
    pa = import_optional("pyarrow", "parquet")
    return payload == (PAYLOAD,) and bool(pa.types.is_struct(types[PAYLOAD]))


def _choose_payload(
    path: Path, asked: tuple[str, ...] | None, types: dict[str, Any], taken: tuple[str | None, ...]
) -> tuple[str, ...]:
    chosen = tuple(types) if asked is None else asked
    if asked is None:
        chosen = tuple(name for name in types if name not in taken)
    fitting = []
    unfit = None
    for name in chosen:
        if name not in types:
            raise bad_file(
                path,
                f"has no column {name!r} for the payload",
                hint=f"It has {shown(list(types))}",
                reason="NO_COLUMN",
            )
        try:
            converter_of(types[name])
            fitting.append(name)
        except NotJson as error:
            unfit = unfit or f"column {name!r} is of type {error}, which JSON does not have"
    if unfit:
        raise bad_file(
            path,
            f"{unfit}, so it cannot be in the payload",
            hint=f"Name the columns to take by payload_columns=, such as {shown(fitting)}",
            reason="WRONG_DTYPE",
        )
    return chosen


def _check_id_type(path: Path, name: str, kind: Any) -> None:
    types = import_optional("pyarrow", "parquet").types
    values = _values_of(kind)
    if not is_text(values) and not types.is_integer(values):
        raise bad_file(
            path,
            f"expected whole numbers or text as ids in {name!r}, found {kind}",
            hint="Name another with id_column=, or pass id_column='' for row numbers",
            reason="WRONG_DTYPE",
        )
