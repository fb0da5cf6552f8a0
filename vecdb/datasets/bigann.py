"""fbin, u8bin, i8bin and the ground truth of big-ann-benchmarks: a header of two uint32, then data.

Suffixes lie, arithmetic does not: truth ships as ``.ibin``, ``.bin``, ``.gt``, without a suffix and
even as ``.fbin``. So a file is read as what its size says; see ``fitting_layouts``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import MatrixRows, conversion_notes, stored_dtype
from .dataset import Dataset
from .refusal import bad_file, check_loaded, check_shape, reading, wrong_size
from .streams import first_bytes

HEADER = 8


@dataclass(frozen=True, slots=True)
class Layout:
    """``count`` rows of ``dim`` numbers each; ``repeats`` matrices of the same size follow."""

    meaning: str
    item: np.dtype[Any]
    repeats: int = 1

    def size(self, count: int, dim: int) -> int:
        return HEADER + self.repeats * count * dim * self.item.itemsize

    def arithmetic(self, count: int, dim: int) -> str:
        return f"{HEADER} + {count}*{dim}*{self.repeats * self.item.itemsize} ({self.meaning})"


LAYOUTS = {
    "fbin": Layout("float32 vectors", np.dtype("<f4")),
    "u8bin": Layout("uint8 vectors", np.dtype("u1")),
    "i8bin": Layout("int8 vectors", np.dtype("i1")),
    "ibin": Layout("int32 ids", np.dtype("<i4")),
    "knn-truth": Layout("int32 ids, float32 distances", np.dtype("<i4"), 2),
}
RANGE = "range-truth"
VECTORS = ("fbin", "u8bin", "i8bin")
TRUTHS = ("ibin", "knn-truth", RANGE)


def fitting_layouts(path: Path) -> list[str]:
    """Every reading of the header that gives the size of the file."""
    size = path.stat().st_size
    head = first_bytes(path, HEADER)
    if len(head) < HEADER:
        return []
    count, dim = _header(head)
    fitting = [
        name
        for name, layout in LAYOUTS.items()
        if count and dim and layout.size(count, dim) == size
    ]
    if _range_fault(path) is None:
        fitting.append(RANGE)
    return fitting


def load_bin(path: Path, format: str, max_n: int | None = None) -> Dataset:
    """Vectors, mapped. A crop whose header still tells the old number of rows needs ``max_n``."""
    matrix = map_bin(path, format, max_n)
    dtype = stored_dtype(path, matrix.dtype)
    return Dataset(
        path=path,
        format=format,
        dim=matrix.shape[1],
        count=len(matrix),
        dtype=dtype,
        source=MatrixRows(matrix=matrix, dtype=dtype),
        notes=conversion_notes(matrix.dtype),
    )


def map_bin(path: Path, format: str, max_n: int | None = None) -> NDArray[Any]:
    """[n, d] of a layout that is one matrix."""
    count, dim = _checked_header(path, format, max_n)
    layout = LAYOUTS[format]
    with reading(path):
        return np.asarray(np.memmap(path, layout.item, "r", offset=HEADER, shape=(count, dim)))


def map_knn_truth(path: Path) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Ids and distances, [nq, k] each."""
    count, k = _checked_header(path, "knn-truth")
    with reading(path):
        ids = np.memmap(path, "<i4", "r", offset=HEADER, shape=(count, k))
        at = HEADER + 4 * count * k
        distances = np.memmap(path, "<f4", "r", offset=at, shape=(count, k))
    return np.asarray(ids), np.asarray(distances)


def load_range_truth(path: Path) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Ids (-1 pads) and distances (infinity pads), as wide as the longest answer."""
    fault = _range_fault(path)
    if fault is not None:
        raise fault
    with reading(path):
        header = np.fromfile(path, "<i4", 2)
        queries, total = int(header[0]), int(header[1])
        counts = np.fromfile(path, "<i4", queries, offset=HEADER)
        width = int(counts.max())
        check_loaded(path, "ground truth", 8 * queries * max(width, 1))
        at = HEADER + 4 * queries
        found = np.fromfile(path, "<i4", total, offset=at)
        found_distances = np.fromfile(path, "<f4", total, offset=at + 4 * total)
    ids = np.full((queries, width), -1, np.int32)
    distances = np.full((queries, width), np.inf, np.float32)
    places = np.arange(width) < counts[:, None]
    ids[places] = found
    distances[places] = found_distances
    return ids, distances


def _header(head: bytes) -> tuple[int, int]:
    return int.from_bytes(head[:4], "little"), int.from_bytes(head[4:8], "little")


def _checked_header(path: Path, format: str, max_n: int | None = None) -> tuple[int, int]:
    """(rows, columns), once they agree with the size of the file."""
    layout, size = LAYOUTS[format], path.stat().st_size
    head = first_bytes(path, HEADER)
    if len(head) < HEADER:
        raise wrong_size(path, "a header of two uint32", HEADER, size)
    count, dim = _header(head)
    check_shape(path, count, dim)
    expected = layout.size(count, dim)
    if size == expected:
        return count, dim
    whole = (size - HEADER) // (dim * layout.item.itemsize)
    if format in VECTORS and size < expected:
        if max_n is not None and max_n <= whole:
            return whole, dim
        hint = (
            f"If it is a crop that kept the header of the whole, pass max_n= (it has {whole} rows)"
        )
    else:
        hint = "It has something appended, or is of another format"
    fitting = [name for name in fitting_layouts(path) if name != format]
    if fitting:
        hint = f"The size fits {' or '.join(fitting)}: name it with format="
    raise wrong_size(path, layout.arithmetic(count, dim), expected, size, hint=hint)


def _range_fault(path: Path) -> Exception | None:
    """Why it is not range truth: nq, total, int32 count[nq], int32 ids[total], float32[total]."""
    size = path.stat().st_size
    head = first_bytes(path, HEADER)
    if len(head) < HEADER:
        return wrong_size(path, "a header of two int32", HEADER, size)
    queries, total = _header(head)
    expected = HEADER + 4 * queries + 8 * total
    if not queries or size != expected:
        arithmetic = f"{HEADER} + 4*{queries} + 8*{total} (counts, int32 ids, float32 distances)"
        return wrong_size(path, arithmetic, expected, size)
    found = 0
    for counts in _count_blocks(path, queries):
        if counts.min() < 0:
            return bad_file(path, "expected counts of 0 or more, found a negative one")
        found += int(counts.sum())
    if found != total:
        return bad_file(
            path, f"expected counts that add up to {total} as the header says, found {found}"
        )
    return None


def _count_blocks(path: Path, queries: int, step: int = 1_000_000) -> Iterator[NDArray[np.int64]]:
    for first in range(0, queries, step):
        at = HEADER + 4 * first
        block = np.fromfile(path, "<i4", min(step, queries - first), offset=at)
        yield block.astype(np.int64)
