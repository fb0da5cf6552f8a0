"""fvecs, bvecs, ivecs (corpus-texmex.irisa.fr): each row is int32 d, then d numbers.

A row of a file is thus ``4 + d * itemsize`` bytes, and d is the same in each: what the first row
says is checked against the size of the file, then against the other rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import MatrixRows, conversion_notes, stored_dtype
from .dataset import Dataset
from .refusal import bad_file, check_shape, reading
from .streams import first_bytes

ITEMS: dict[str, np.dtype[Any]] = {
    "fvecs": np.dtype("<f4"),
    "bvecs": np.dtype("u1"),
    "ivecs": np.dtype("<i4"),
}
_HEAD = np.dtype("<i4")
_CHECKED_BYTES = 1024**3
"""Of a file up to this size every row's head is checked, of a larger one a sample."""
_SAMPLE = 1_000
_STEP = 262_144


def load_vecs(path: Path, format: str) -> Dataset:
    """Vectors as a strided view; ``X_query`` and ``X_groundtruth`` go with ``X_base``."""
    matrix = map_vecs(path, format)
    dtype = stored_dtype(path, matrix.dtype)
    queries = _beside(path, "_query", format)
    truth = _beside(path, "_groundtruth", "ivecs")
    return Dataset(
        path=path,
        format=format,
        dim=matrix.shape[1],
        count=len(matrix),
        dtype=dtype,
        source=MatrixRows(matrix=matrix, dtype=dtype),
        queries=None if queries is None else map_vecs(queries, format),
        truth_ids=None if truth is None else map_vecs(truth, "ivecs"),
        notes=conversion_notes(matrix.dtype),
    )


def map_vecs(path: Path, format: str) -> NDArray[Any]:
    """[n, d], mapped: a view that steps over the heads of the rows."""
    item = ITEMS[format]
    size = path.stat().st_size
    head = first_bytes(path, 4)
    dim = int.from_bytes(head, "little", signed=True) if len(head) == 4 else 0
    check_shape(path, 1 if size else 0, dim)
    row_bytes = 4 + dim * item.itemsize
    if size % row_bytes:
        raise bad_file(
            path,
            f"expected a multiple of 4 + {dim}*{item.itemsize} = {row_bytes} bytes (row 0 has "
            f"{dim} dimensions), found {size} = {size // row_bytes}*{row_bytes} + "
            f"{size % row_bytes}",
            hint=_other_readings(size, dim, format),
            reason="WRONG_SIZE",
        )
    with reading(path):
        raw = np.memmap(path, np.uint8, "r", shape=(size // row_bytes, row_bytes))
    _check_heads(path, raw, dim, format)
    return np.asarray(raw)[:, 4:].view(item)


def _check_heads(path: Path, raw: NDArray[np.uint8], dim: int, format: str) -> None:
    count, row_bytes = raw.shape
    if raw.nbytes <= _CHECKED_BYTES:
        blocks = [np.arange(at, min(at + _STEP, count)) for at in range(0, count, _STEP)]
    else:
        blocks = [np.linspace(0, count - 1, _SAMPLE).astype(np.int64)]
    for rows in blocks:
        heads = np.ascontiguousarray(raw[rows, :4]).view(_HEAD)[:, 0]
        wrong = np.flatnonzero(heads != dim)
        if len(wrong):
            row = int(rows[wrong[0]])
            raise bad_file(
                path,
                f"expected {dim} dimensions in row {row} (byte {row * row_bytes}) as in row 0, "
                f"found {heads[wrong[0]]}",
                hint=_other_readings(raw.nbytes, dim, format),
            )


def _other_readings(size: int, dim: int, format: str) -> str:
    """The size is what the numbers of another format would give."""
    own = ITEMS[format].itemsize
    fitting = [
        name
        for name, item in ITEMS.items()
        if item.itemsize != own and size % (4 + dim * item.itemsize) == 0
    ]
    if fitting:
        return f"The size fits {' or '.join(fitting)}: name it with format="
    return "It was cut short, has something appended, or is of another format"


def _beside(path: Path, part: str, suffix: str) -> Path | None:
    stem, suffix_found = path.stem, path.suffix
    if not stem.endswith("_base") or not suffix_found:
        return None
    found = path.with_name(f"{stem.removesuffix('_base')}{part}.{suffix}")
    return found if found.is_file() else None
