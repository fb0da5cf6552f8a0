"""Writers of tiny files, one of each format that ``vecdb.datasets`` reads.

A path ending in ``.gz`` is compressed where the format allows it. h5py and pyarrow are imported on
use.
"""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Row = Mapping[str, Any]


def write_npy(path: Path, array: ArrayLike) -> Path:
    np.save(path, np.asarray(array), allow_pickle=False)
    return path


def write_npz(path: Path, *, compressed: bool = False, **arrays: NDArray[Any]) -> Path:
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return path


def write_fvecs(path: Path, array: ArrayLike) -> Path:
    return _write_vecs(path, np.asarray(array, "<f4"))


def write_bvecs(path: Path, array: ArrayLike) -> Path:
    return _write_vecs(path, np.asarray(array, "u1"))


def write_ivecs(path: Path, array: ArrayLike) -> Path:
    return _write_vecs(path, np.asarray(array, "<i4"))


def write_fbin(path: Path, array: ArrayLike) -> Path:
    return _write_bin(path, np.asarray(array, "<f4"))


def write_u8bin(path: Path, array: ArrayLike) -> Path:
    return _write_bin(path, np.asarray(array, "u1"))


def write_i8bin(path: Path, array: ArrayLike) -> Path:
    return _write_bin(path, np.asarray(array, "i1"))


def write_ibin(path: Path, ids: ArrayLike) -> Path:
    """Ground truth without distances."""
    return _write_bin(path, np.asarray(ids, "<i4"))


def write_knn_truth(path: Path, ids: ArrayLike, distances: ArrayLike) -> Path:
    """Ground truth of big-ann: ids, then distances."""
    _write_bin(path, np.asarray(ids, "<i4"))
    with path.open("ab") as file:
        file.write(np.asarray(distances, "<f4").tobytes())
    return path


def write_range_truth(
    path: Path, ids: Sequence[Sequence[int]], distances: Sequence[Sequence[float]]
) -> Path:
    """Ground truth of a range search: as many rows a query as there are in its range."""
    counts = np.array([len(row) for row in ids], "<i4")
    header = struct.pack("<ii", len(ids), int(counts.sum()))
    flat = np.array([one for row in ids for one in row], "<i4")
    flat_distances = np.array([one for row in distances for one in row], "<f4")
    return _write(path, header, counts, flat, flat_distances)


def write_idx(path: Path, array: NDArray[Any]) -> Path:
    """uint8, int8 or float32 of any number of axes."""
    types = {"u1": 8, "i1": 9, "f4": 13}
    item = types[array.dtype.str[1:]]
    header = bytes([0, 0, item, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return _write(path, header, array.astype(array.dtype.newbyteorder(">")))


def write_hdf5(
    path: Path,
    train: NDArray[Any],
    test: NDArray[Any] | None = None,
    neighbors: NDArray[Any] | None = None,
    distances: NDArray[Any] | None = None,
    *,
    distance: str | None = "euclidean",
    kind: str | None = "dense",
    libver: str | None = None,
) -> Path:
    """As ann-benchmarks does; old files lack ``type`` (``kind=None``)."""
    import h5py

    with h5py.File(path, "w", libver=libver) as file:
        if distance is not None:
            file.attrs["distance"] = distance
        if kind is not None:
            file.attrs["type"] = kind
        named = {"train": train, "test": test, "neighbors": neighbors, "distances": distances}
        for name, array in named.items():
            if array is not None:
                file.create_dataset(name, data=array)
    return path


def write_parquet(path: Path, columns: Mapping[str, Any], *, group_rows: int | None = None) -> Path:
    """A matrix becomes a column of lists; lists and Arrow arrays are taken as they are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {
        name: pa.array(list(values)) if isinstance(values, np.ndarray) else values
        for name, values in columns.items()
    }
    pq.write_table(pa.table(arrays), path, row_group_size=group_rows)
    return path


def write_jsonl(path: Path, rows: Iterable[Row]) -> Path:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    return _write(path, "".join(lines).encode())


def write_beir(
    folder: Path, texts: Sequence[str], vectors: NDArray[Any] | None = None, *, packed: bool = False
) -> Path:
    """A corpus with ids d0, d1, ...; its vectors beside it where they are given."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {"_id": f"d{row}", "title": text.split()[0], "text": text, "metadata": {}}
        for row, text in enumerate(texts)
    ]
    write_jsonl(folder / ("corpus.jsonl.gz" if packed else "corpus.jsonl"), rows)
    write_jsonl(folder / "queries.jsonl", [{"_id": "q0", "text": texts[0]}])
    (folder / "qrels").mkdir(exist_ok=True)
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td0\t1\n")
    if vectors is not None:
        write_npy(folder / "vectors.npy", vectors)
    return folder


def write_folder(
    folder: Path,
    vectors: NDArray[Any],
    *,
    queries: NDArray[Any] | None = None,
    truth: NDArray[Any] | None = None,
    rows: Iterable[Row] | None = None,
    metric: str | None = None,
) -> Path:
    """The layout of our own data sets."""
    folder.mkdir(parents=True, exist_ok=True)
    write_npy(folder / "vectors.npy", vectors)
    if queries is not None:
        write_npy(folder / "queries.npy", queries)
    if truth is not None:
        write_npy(folder / "groundtruth.npy", np.asarray(truth, np.int32))
    if rows is not None:
        write_jsonl(folder / "rows.jsonl", rows)
    if metric is not None:
        (folder / "SOURCE.txt").write_text(f"metric: {metric}. Made for a test.\n")
    return folder


def _write_vecs(path: Path, array: NDArray[Any]) -> Path:
    head = struct.pack("<i", array.shape[1])
    return _write(path, b"".join(head + row.tobytes() for row in array))


def _write_bin(path: Path, array: NDArray[Any]) -> Path:
    return _write(path, struct.pack("<II", *array.shape), array)


def _write(path: Path, *parts: bytes | NDArray[Any]) -> Path:
    data = b"".join(part if isinstance(part, bytes) else part.tobytes() for part in parts)
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path
