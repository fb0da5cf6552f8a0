"""HDF5 as ann-benchmarks writes it: train, test, neighbors, distances, and what they mean.

The library behind h5py may crash on a file that somebody damaged on purpose: what is checked here
are cut files, wrong shapes and links to other files, so take HDF5 from sources that you trust.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import as_stored, conversion_notes, stored_dtype
from .dataset import Batch, Dataset, row_numbers
from .refusal import bad_file, check_loaded, check_shape, import_optional, reading, wrong_size
from .streams import first_bytes

MAGIC = b"\x89HDF\r\n\x1a\n"
METRICS = {"angular": "cosine", "euclidean": "l2", "dot": "dot", "ip": "dot"}
_END_AT = {0: 40, 1: 44, 2: 28, 3: 28}
"""Version of the superblock -> where it tells the end of the file (64-bit addresses)."""


def load_hdf5(path: Path) -> Dataset:
    """Dense sets only; ``distances`` keep the file's unit (angular: 1 - cosine)."""
    _check_end(path)
    with _open(path) as file:
        distance = _text(file.attrs.get("distance"))
        if _text(file.attrs.get("type")) == "sparse" or "size_train" in file:
            raise bad_file(
                path,
                "holds sparse vectors, which no collection stores",
                hint="Take a dense set of ann-benchmarks",
                reason="SPARSE",
            )
        if distance in ("hamming", "jaccard"):
            raise bad_file(
                path,
                f"its distance is {distance}; collections have cosine, dot and l2",
                reason="UNKNOWN_METRIC",
            )
        train = _matrix(path, file, "train")
        if train is None:
            raise bad_file(path, f"has no data set 'train'; it has {sorted(file)[:10]}")
        count, dim = train.shape
        check_shape(path, count, dim)
        dtype = stored_dtype(path, train.dtype, "train")
        notes = conversion_notes(train.dtype)
        if distance not in METRICS:
            notes += ("the file does not tell its metric",)
        queries = _load(path, file, "test")
        return Dataset(
            path=path,
            format="hdf5",
            dim=dim,
            count=count,
            dtype=dtype,
            source=TrainRows(path, dtype),
            metric=METRICS.get(distance),
            queries=None if queries is None else _stored_queries(path, queries),
            truth_ids=_load(path, file, "neighbors"),
            truth_distances=_load(path, file, "distances"),
            notes=notes,
        )


@dataclass(frozen=True, slots=True)
class TrainRows:
    path: Path
    dtype: str

    def read(self, rows: int, start: int) -> Iterator[Batch]:
        with _open(self.path) as file:
            train = file["train"]
            for first in range(start, len(train), rows):
                part = train[first : first + rows]
                yield Batch(ids=row_numbers(first, len(part)), vectors=as_stored(part, self.dtype))


def _check_end(path: Path) -> None:
    """The superblock tells where the file ends: compare before the library trusts anything else."""
    head = first_bytes(path, 64)
    if not head.startswith(MAGIC) or len(head) < 64:
        raise bad_file(path, f"expected an HDF5 file, which begins {MAGIC!r}; found {head[:8]!r}")
    end_at = _END_AT.get(head[8])
    wide = head[13 if head[8] < 2 else 9] == 8
    if end_at is None or not wide:
        return
    expected = int.from_bytes(head[end_at : end_at + 8], "little")
    size = path.stat().st_size
    if size != expected:
        raise wrong_size(path, "the end that its superblock tells", expected, size)


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    h5py = import_optional("h5py", "hdf5")
    with reading(path, RuntimeError, KeyError, ValueError, TypeError), h5py.File(path, "r") as file:
        yield file


def _matrix(path: Path, file: Any, name: str) -> Any:
    """A data set of two axes that is in this very file, or None."""
    if name not in file:
        return None
    h5py = import_optional("h5py", "hdf5")
    # Links and external storage would read other files of this machine.
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise bad_file(path, f"{name} is a link to elsewhere, which is not followed")
    found = file[name]
    if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
        raise bad_file(path, f"expected the data of {name} in this file, found it elsewhere")
    if len(found.shape or ()) != 2:
        raise bad_file(path, f"expected a matrix in {name}, found shape {found.shape}")
    if found.chunks:
        check_loaded(path, f"a chunk of {name}", int(np.prod(found.chunks)) * found.dtype.itemsize)
    return found


def _load(path: Path, file: Any, name: str) -> NDArray[Any] | None:
    found = _matrix(path, file, name)
    if found is None:
        return None
    if found.dtype.kind not in "fiu":
        raise bad_file(path, f"expected numbers in {name}, found {found.dtype}")
    check_loaded(path, name, found.shape[0] * found.shape[1] * found.dtype.itemsize)
    values: NDArray[Any] = found[:]
    return values


def _stored_queries(path: Path, queries: NDArray[Any]) -> NDArray[Any]:
    return as_stored(queries, stored_dtype(path, queries.dtype, "test"))


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, str) else ""
