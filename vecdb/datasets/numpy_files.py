"""npy and npz: the header is parsed, checked against the size, and nothing is ever unpickled."""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from ..results import Ids
from .arrays import MatrixRows, StreamRows, as_stored, conversion_notes, stored_dtype
from .columns import ID_NAMES, Columns, choose_vector
from .dataset import Dataset
from .refusal import bad_file, check_loaded, check_shape, reading, wrong_size

QUERY_NAMES = ("queries", "query", "test")
TRUTH_NAMES = ("groundtruth", "truth_ids", "neighbors", "truth")
DISTANCE_NAMES = ("truth_distances", "distances")
VECTOR_NAMES = ("base", "train", "arr_0")
"""Arrays of an npz that hold the vectors, after the names that columns have."""
_VERSIONS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}

_ZIP_END, _ZIP_END_MAGIC = 22, b"PK\5\6"


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the numbers; they begin ``offset`` bytes in."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    offset: int

    @property
    def size(self) -> int:
        return self.offset + math.prod(self.shape) * self.dtype.itemsize

    @property
    def arithmetic(self) -> str:
        lengths = "*".join(map(str, self.shape)) or "1"
        return f"{self.offset} + {lengths}*{self.dtype.itemsize} ({self.dtype})"


def load_npy(path: Path) -> Dataset:
    """A matrix, mapped."""
    matrix = map_npy(path)
    if matrix.ndim != 2:
        raise bad_file(path, f"expected a matrix [rows, dimensions], found shape {matrix.shape}")
    check_shape(path, *matrix.shape)
    dtype = stored_dtype(path, matrix.dtype)
    return Dataset(
        path=path,
        format="npy",
        dim=matrix.shape[1],
        count=len(matrix),
        dtype=dtype,
        source=MatrixRows(matrix=matrix, dtype=dtype),
        notes=conversion_notes(matrix.dtype),
    )


def map_npy(path: Path) -> NDArray[Any]:
    """The array of an npy file, mapped read-only."""
    with reading(path), path.open("rb") as file:
        header = _read_header(path, file)
    size = path.stat().st_size
    if size != header.size:
        raise wrong_size(path, header.arithmetic, header.size, size)
    if math.prod(header.shape) == 0:
        return np.empty(header.shape, header.dtype)
    order: Any = "F" if header.fortran else "C"
    with reading(path):
        mapped = np.memmap(
            path, header.dtype, "r", offset=header.offset, shape=header.shape, order=order
        )
    return np.asarray(mapped)


def load_npz(path: Path, columns: Columns) -> Dataset:
    """One matrix of an archive, read in order; ids, queries and truth by their names."""
    with reading(path, RuntimeError, ValueError), zipfile.ZipFile(path) as archive:
        _check_end(path, len(archive.comment))
        headers = {
            name.removesuffix(".npy"): _member_header(path, archive, name)
            for name in archive.namelist()
            if name.endswith(".npy")
        }
    matrices = [name for name, header in headers.items() if len(header.shape) == 2]
    sides = {*QUERY_NAMES, *TRUTH_NAMES, *DISTANCE_NAMES}
    chosen = choose_vector(
        path, columns.vector, [name for name in matrices if name not in sides], VECTOR_NAMES
    )
    header = headers[chosen]
    count, dim = header.shape
    check_shape(path, count, dim)
    dtype = stored_dtype(path, header.dtype, chosen)
    if header.fortran:
        raise bad_file(
            path,
            f"the matrix {chosen} is stored by columns, so its rows cannot be read in order",
            hint="Save numpy.ascontiguousarray of it, or an npy file",
        )
    ids = _load_ids(path, columns.id, headers, count)
    source = StreamRows(
        path=path,
        open=partial(_open_member, path, chosen),
        offset=header.offset,
        count=count,
        dim=dim,
        raw=header.dtype,
        dtype=dtype,
        ids=ids,
    )
    return Dataset(
        path=path,
        format="npz",
        dim=dim,
        count=count,
        dtype=dtype,
        source=source,
        queries=_stored_queries(path, _load_first(path, QUERY_NAMES, headers)),
        truth_ids=_load_first(path, TRUTH_NAMES, headers),
        truth_distances=_load_first(path, DISTANCE_NAMES, headers),
        notes=conversion_notes(header.dtype),
    )


def _read_header(path: Path, stream: BinaryIO) -> Header:
    try:
        version = np.lib.format.read_magic(stream)
        if version not in _VERSIONS:
            raise ValueError(f"version {version[0]}.{version[1]} of the format")
        shape, fortran, dtype = _VERSIONS[version](stream)
    except (ValueError, TypeError, SyntaxError, RecursionError, TokenError) as error:
        raise bad_file(
            path, f"expected the header of an npy file, found something else: {error}"
        ) from error
    if dtype.hasobject:
        raise bad_file(
            path,
            "expected an array of numbers, found Python objects, which are never unpickled",
            hint="Save it with a numeric dtype: numpy.save(path, array.astype('float32'))",
            reason="WRONG_DTYPE",
        )
    if any(length < 0 for length in shape):
        raise bad_file(path, f"expected lengths of 0 or more, found shape {shape}")
    return Header(shape, fortran, dtype, stream.tell())


def _check_end(path: Path, comment: int) -> None:
    """The archive's last record is the last thing in the file: zipfile would look for it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(size - _ZIP_END - comment)
        found = file.read(4)
    if found != _ZIP_END_MAGIC:
        raise bad_file(
            path,
            f"expected {_ZIP_END_MAGIC!r} at byte {size - _ZIP_END - comment} of {size}, where the "
            f"end of the archive begins, found {found!r}",
            hint="It has something appended",
            reason="WRONG_SIZE",
        )


def _member_header(path: Path, archive: zipfile.ZipFile, name: str) -> Header:
    if archive.getinfo(name).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise bad_file(path, f"expected {name} stored or deflated, as numpy writes it")
    with archive.open(name) as stream:
        header = _read_header(path, cast(BinaryIO, stream))
    size = archive.getinfo(name).file_size
    if size != header.size:
        raise wrong_size(path, f"in {name} {header.arithmetic}", header.size, size)
    return header


def _open_member(path: Path, name: str) -> BinaryIO:
    with zipfile.ZipFile(path) as archive:  # the open member keeps the file
        return cast(BinaryIO, archive.open(f"{name}.npy"))


def _load_member(path: Path, name: str, header: Header) -> NDArray[Any]:
    size = header.size - header.offset
    check_loaded(path, name, size)
    with reading(path), _open_member(path, name) as stream:
        stream.seek(header.offset)
        data = stream.read(size)
    if len(data) < size:
        raise wrong_size(path, f"in {name} {header.arithmetic}", header.size, len(data))
    order: Any = "F" if header.fortran else "C"
    return np.frombuffer(data, header.dtype).reshape(header.shape, order=order)


def _load_first(
    path: Path, names: tuple[str, ...], headers: dict[str, Header]
) -> NDArray[Any] | None:
    for name in names:
        if name in headers:
            return _load_member(path, name, headers[name])
    return None


def _stored_queries(path: Path, queries: NDArray[Any] | None) -> NDArray[Any] | None:
    if queries is None:
        return None
    return as_stored(queries, stored_dtype(path, queries.dtype, "queries"))


def _load_ids(path: Path, asked: str | None, headers: dict[str, Header], count: int) -> Ids | None:
    names = ("ids", *ID_NAMES) if asked is None else (asked,)
    name = next((name for name in names if name in headers), None)
    if name is None:
        if asked:
            raise bad_file(
                path,
                f"has no array {asked!r} for ids",
                hint=f"It has {', '.join(sorted(headers))}",
                reason="NO_COLUMN",
            )
        return None
    header = headers[name]
    if header.shape != (count,) or header.dtype.kind not in "iuU":
        raise bad_file(
            path,
            f"expected {count} whole numbers or texts as ids in {name}, found {header.dtype} of "
            f"shape {header.shape}",
            hint="Name another with id_column=, or pass id_column='' for row numbers",
        )
    ids = _load_member(path, name, header)
    if ids.dtype.kind == "U":
        return [str(value) for value in ids]
    if ids.dtype.itemsize == 8 and ids.dtype.kind == "u" and int(ids.max()) >= 2**63:
        raise bad_file(path, f"{name} holds a number beyond a signed 64-bit integer")
    return ids.astype(np.int64)
