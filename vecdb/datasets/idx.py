"""idx, the format of MNIST and its family: big-endian, often gzip.

Bytes 0, 0, type, number of axes; a uint32 length an axis; then the numbers. The first axis counts
rows, the others together are the dimensions. Beside ``train-images-idx3-ubyte`` the family keeps
``train-labels-idx1-ubyte`` (payload ``{"label": 3}``) and ``t10k-images-idx3-ubyte`` (queries).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import MatrixRows, StreamRows, all_vectors, conversion_notes, stored_dtype
from .dataset import Batch, Dataset, PairedRows, Rows, no_vectors, row_numbers
from .refusal import bad_file, check_loaded, check_shape, reading, wrong_size
from .streams import is_gzip, open_stream, unpacked_size

TYPES: dict[int, np.dtype[Any]] = {
    8: np.dtype("u1"),
    9: np.dtype("i1"),
    11: np.dtype(">i2"),
    12: np.dtype(">i4"),
    13: np.dtype(">f4"),
    14: np.dtype(">f8"),
}
BASE = "train-images-idx3-ubyte"
QUERIES = "t10k-images-idx3-ubyte"
_AXES = 8


@dataclass(frozen=True, slots=True)
class Header:
    """The numbers begin ``offset`` bytes in, once unpacked."""

    shape: tuple[int, ...]
    item: np.dtype[Any]
    packed: bool

    @property
    def offset(self) -> int:
        return 4 + 4 * len(self.shape)

    @property
    def size(self) -> int:
        return self.offset + math.prod(self.shape) * self.item.itemsize

    @property
    def arithmetic(self) -> str:
        lengths = "*".join(map(str, self.shape))
        unpacked = ", unpacked," if self.packed else ""
        return f"4 + 4*{len(self.shape)} + {lengths}*{self.item.itemsize} ({self.item}){unpacked}"


def load_idx(path: Path) -> Dataset:
    """Images as vectors, with their labels and the test images where they are beside."""
    dataset = _load_images(path)
    if not path.name.startswith(BASE):
        return dataset
    labels = _beside(path, "train-labels-idx1-ubyte")
    if labels is not None:
        values = _read_labels(labels, dataset.count)
        paired = PairedRows(path, dataset.source, LabelRows(values))
        dataset = replace(dataset, source=paired)
    queries = _beside(path, QUERIES)
    return (
        dataset if queries is None else replace(dataset, queries=all_vectors(_load_images(queries)))
    )


def read_header(path: Path) -> Header:
    """The header, once it agrees with the size of the file."""
    packed = is_gzip(path)
    with reading(path), open_stream(path) as stream:
        start = stream.read(4)
        if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in TYPES:
            raise bad_file(
                path,
                f"expected bytes 0, 0 and a type of {', '.join(map(str, TYPES))} at its beginning, "
                f"found {list(start[:3])}",
                hint="It is not an idx file: name its format with format=",
            )
        axes = start[3]
        lengths = stream.read(4 * axes)
    if not 1 <= axes <= _AXES or len(lengths) < 4 * axes:
        raise bad_file(path, f"expected 1 to {_AXES} axes and their lengths, found {axes}")
    header = Header(tuple(np.frombuffer(lengths, ">u4").tolist()), TYPES[start[2]], packed)
    size = unpacked_size(path, header.size) if packed else path.stat().st_size
    if size != header.size:
        more = packed and size > header.size
        raise wrong_size(
            path, header.arithmetic, header.size, f"more than {header.size}" if more else size
        )
    return header


@dataclass(frozen=True, slots=True)
class LabelRows:
    """A payload ``{"label": n}`` a row."""

    labels: NDArray[np.int64]

    def read(self, rows: int, start: int) -> Iterator[Batch]:
        for first in range(start, len(self.labels), rows):
            part = self.labels[first : first + rows].tolist()
            yield Batch(
                ids=row_numbers(first, len(part)),
                vectors=no_vectors(len(part)),
                payloads=[{"label": label} for label in part],
            )


def _load_images(path: Path) -> Dataset:
    header = read_header(path)
    if len(header.shape) < 2:
        raise bad_file(
            path,
            f"expected 2 axes or more, found {len(header.shape)}: these are labels, not vectors",
            hint=f"Load the images, such as {BASE}: their labels come with them",
        )
    count, dim = header.shape[0], math.prod(header.shape[1:])
    check_shape(path, count, dim)
    dtype = stored_dtype(path, header.item)
    source: Rows
    if header.packed:
        source = StreamRows(
            path=path,
            open=partial(open_stream, path),
            offset=header.offset,
            count=count,
            dim=dim,
            raw=header.item,
            dtype=dtype,
        )
    else:
        with reading(path):
            matrix = np.memmap(path, header.item, "r", offset=header.offset, shape=(count, dim))
        source = MatrixRows(matrix=np.asarray(matrix), dtype=dtype)
    return Dataset(
        path=path,
        format="idx",
        dim=dim,
        count=count,
        dtype=dtype,
        source=source,
        notes=conversion_notes(header.item),
    )


def _read_labels(path: Path, count: int | None) -> NDArray[np.int64]:
    header = read_header(path)
    if header.shape != (count,) or header.item.kind not in "iu":
        raise bad_file(
            path, f"expected {count} labels, one an image, found {header.item} {header.shape}"
        )
    size = header.size - header.offset
    check_loaded(path, "labels", 8 * header.shape[0])
    with reading(path), open_stream(path) as stream:
        stream.seek(header.offset)
        return np.frombuffer(stream.read(size), header.item).astype(np.int64)


def _beside(path: Path, name: str) -> Path | None:
    found = (path.with_name(name + suffix) for suffix in ("", ".gz"))
    return next((one for one in found if one.is_file()), None)
