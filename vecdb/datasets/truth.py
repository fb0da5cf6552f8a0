"""Ground truth: the nearest rows of each query, read by itself and checked against a data set."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bigann import load_range_truth, map_bin, map_knn_truth
from .dataset import Dataset
from .numpy_files import map_npy
from .refusal import bad_file
from .texmex import map_vecs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """``ids``: [nq, k] row numbers, nearest first, -1 pads; ``distances``: beside them, or None."""

    format: str
    ids: NDArray[Any] = field(repr=False)
    distances: NDArray[Any] | None = field(default=None, repr=False)


def read_truth(path: Path, format: str) -> Truth:
    distances: NDArray[Any] | None = None
    ids: NDArray[Any]
    if format == "npy":
        ids = map_npy(path)
    elif format == "ivecs":
        ids = map_vecs(path, "ivecs")
    elif format == "knn-truth":
        ids, distances = map_knn_truth(path)
    elif format == "range-truth":
        ids, distances = load_range_truth(path)
    else:
        ids = map_bin(path, "ibin")
    check_truth_ids(path, ids, None)
    return Truth(format=format, ids=ids, distances=distances)


def check_truth_ids(path: Path, ids: NDArray[Any], count: int | None) -> None:
    """Whole numbers of two axes, each -1 or a row of ``count``."""
    if ids.ndim != 2 or ids.dtype.kind not in "iu":
        raise bad_file(
            path,
            f"expected ground truth of whole numbers [queries, k], found {ids.dtype} of shape "
            f"{ids.shape}",
            reason="WRONG_DTYPE",
        )
    if ids.size == 0:
        return
    low, high = int(ids.min()), int(ids.max())
    if low < -1 or (count is not None and high >= count):
        wrong, wanted = (low, "-1 or more") if low < -1 else (high, f"below {count}, its rows")
        row, column = (int(axis[0]) for axis in np.nonzero(ids == wrong))
        raise bad_file(
            path,
            f"expected ids of ground truth {wanted}, found {wrong} at query {row}, column {column}",
            hint="Is the truth of another base, or of more of it?",
            reason="BAD_TRUTH",
        )


def check_sides(dataset: Dataset) -> None:
    """Queries and truth fit the records and each other."""
    queries, ids, distances = dataset.queries, dataset.truth_ids, dataset.truth_distances
    path = dataset.path
    if queries is not None and (
        queries.ndim != 2 or (dataset.dim and queries.shape[1] != dataset.dim)
    ):
        raise bad_file(
            path, f"expected queries of {dataset.dim} dimensions, found shape {queries.shape}"
        )
    if ids is None:
        return
    check_truth_ids(path, ids, dataset.count)
    if queries is not None and len(ids) > len(queries):
        raise bad_file(
            path,
            f"expected truth of at most {len(queries)} queries, found {len(ids)}",
            reason="BAD_TRUTH",
        )
    if distances is not None and (distances.shape != ids.shape or distances.dtype.kind != "f"):
        raise bad_file(
            path,
            f"expected a distance an id, {ids.shape}, found {distances.dtype} {distances.shape}",
            reason="BAD_TRUTH",
        )
