"""hnswlib, all in memory. Vectors of length 1 are compared by l2 too: the order is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
from loop import COMMON, folder_bytes, metered, run_search, serve

_INDEX = "hnswlib.index"
_held: dict[str, Any] = {}


def build(vectors: str, folder: str, m: int, ef_construction: int, threads: int) -> dict[str, Any]:
    rows = np.load(vectors)
    index = hnswlib.Index(space="l2", dim=rows.shape[1])

    def work() -> None:
        index.init_index(len(rows), M=m, ef_construction=ef_construction, random_seed=0)
        index.add_items(rows, np.arange(len(rows)), num_threads=threads)

    _, spent = metered(work)
    Path(folder).mkdir(parents=True, exist_ok=True)
    index.save_index(str(Path(folder) / _INDEX))
    return spent | {"disk_bytes": folder_bytes(folder)}


def load(folder: str, dim: int) -> dict[str, Any]:
    index = hnswlib.Index(space="l2", dim=dim)
    _, spent = metered(lambda: index.load_index(str(Path(folder) / _INDEX)))
    _held["index"] = index
    return spent


def search(
    queries: str,
    start: int,
    stop: int,
    k: int,
    threads: int,
    one_by_one: bool,
    answers: str,
    ef: int,
) -> dict[str, Any]:
    index = _held["index"]
    index.set_ef(max(ef, k))

    def find(asked: Any, k: int) -> Any:
        return index.knn_query(asked, k, num_threads=threads)[0].astype(np.int64)

    return run_search(find, queries, start, stop, k, one_by_one, answers)


if __name__ == "__main__":
    serve(COMMON | {"build": build, "open": load, "search": search})
