"""Searches under filters by every path, beside hnswlib's filter function: Fashion-MNIST, recall@10.

Filters of several selectivities, drawn at random, and such that go with where vectors lie: images
by label, then by distance to one of the label. The filter is evaluated within the time of each.
hnswlib is measured where it is installed in this environment.
"""

from __future__ import annotations

import gzip
import importlib.util
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import vecdb
from vecdb import F
from vecdb.datasets import load_dataset

from .figures import Figure
from .recall import VARIABLE

SHARES = (0.001, 0.01, 0.1, 0.5)
MODES = (
    *(("exact", None), ("scan", None), ("tree", 0.5), ("tree", None), ("tree", 2.0)),
    *(("graph", None), ("graph", 4.0), ("auto", None)),
)
EFS = (100, 400)
QUERIES, K = 200, 10
_SCALE = 100_000  # the numbers that filters compare with

Search = Callable[[NDArray[np.float32]], NDArray[np.int64]]


def measure_tree() -> Iterator[dict[str, Any]]:
    """A row for each filter and path; nothing without the data (``VECDB_BENCH_DATA``)."""
    folder = Path(os.environ.get(VARIABLE, "")) / "fashion-mnist-784"
    if not folder.is_dir():
        return
    vectors, queries = _images(folder, "train"), _images(folder, "t10k")[:QUERIES]
    numbers = {
        "random": np.random.default_rng(0).permutation(len(vectors)) * _SCALE // len(vectors),
        "label": _by_label(vectors, _labels(folder)) * _SCALE // len(vectors),
    }
    about = {"dataset": "fashion-mnist-784", "n": len(vectors), "dim": vectors.shape[1], "k": K}
    about |= {"queries": len(queries), "threads": 1}
    with tempfile.TemporaryDirectory() as place, vecdb.open(Path(place), threads=1) as db:
        docs = _fill(db, vectors, numbers)
        for kind, values in numbers.items():
            for share in SHARES:
                for row in _compare(docs, vectors, queries, kind, values, share):
                    yield about | row


def _compare(
    docs: Any,
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    kind: str,
    values: NDArray[np.int64],
    share: float,
) -> Iterator[dict[str, Any]]:
    edge = int(share * _SCALE)
    where = F(kind) < edge
    allowed = values < edge
    about = {"filter": kind, "share": share, "matching": int(allowed.sum())}
    truth, _ = _timed(_ours(docs, "exact", None, where), queries)
    for mode, effort in MODES:
        found, milliseconds = _timed(_ours(docs, mode, effort, where), queries)
        told = docs.explain(queries[0], K, mode=mode, effort=effort, filter=where)
        row = about | {"engine": "vecdb", "mode": mode, "effort": effort, "path": told.mode}
        yield row | _figures(found, truth, milliseconds)
    for ef, search in _theirs(vectors, values, edge):
        found, milliseconds = _timed(search, queries)
        row = about | {"engine": "hnswlib", "mode": "filter", "ef": ef}
        yield row | _figures(found, truth, milliseconds)


def _ours(docs: Any, mode: str, effort: float | None, where: Any) -> Search:
    def search(query: NDArray[np.float32]) -> NDArray[np.int64]:
        found = docs.search(query, K, mode=mode, effort=effort, filter=where, with_payload=False)
        ids: NDArray[np.int64] = found.ids
        return ids

    return search


_built: list[Any] = []  # the index of hnswlib, made once


def _theirs(
    vectors: NDArray[np.float32], values: NDArray[np.int64], edge: int
) -> Iterator[tuple[int, Search]]:
    if importlib.util.find_spec("hnswlib") is None:
        return
    import hnswlib  # type: ignore[import-not-found, unused-ignore]

    if not _built:
        made = hnswlib.Index(space="l2", dim=vectors.shape[1])
        made.init_index(max_elements=len(vectors), M=16, ef_construction=200)
        made.add_items(vectors, np.arange(len(vectors)), num_threads=2)
        _built.append(made)
    index = _built[0]
    for ef in EFS:

        def search(query: NDArray[np.float32], ef: int = ef) -> NDArray[np.int64]:
            index.set_ef(ef)
            passes = (values < edge).tolist()
            try:
                ids, _ = index.knn_query(query, K, num_threads=1, filter=passes.__getitem__)
            except RuntimeError:  # it found fewer than K
                return np.empty(0, np.int64)
            return np.asarray(ids[0], np.int64)

        yield ef, search


def _timed(
    search: Search, queries: NDArray[np.float32]
) -> tuple[list[NDArray[np.int64]], list[float]]:
    search(queries[0])
    found, milliseconds = [], []
    for query in queries:
        began = time.perf_counter()
        found.append(search(query))
        milliseconds.append(1e3 * (time.perf_counter() - began))
    return found, milliseconds


def _figures(
    found: list[NDArray[np.int64]], truth: list[NDArray[np.int64]], milliseconds: list[float]
) -> dict[str, Any]:
    recalls = np.array([np.isin(one, some).mean() for one, some in zip(truth, found, strict=True)])
    worst = np.sort(recalls)[: max(1, len(recalls) // 10)]
    return {
        "recall": float(recalls.mean()),
        "worst_tenth": float(worst.mean()),
        "short": int(sum(len(some) < len(one) for one, some in zip(truth, found, strict=True))),
        "p50_ms": float(np.median(milliseconds)),
        "p95_ms": float(np.quantile(milliseconds, 0.95)),
    }


def _fill(db: Any, vectors: NDArray[np.float32], numbers: dict[str, NDArray[np.int64]]) -> Any:
    fields = dict.fromkeys(numbers, "int")
    docs = db.create_collection("docs", dim=vectors.shape[1], metric="l2", fields=fields)
    for start in range(0, len(vectors), 5_000):
        rows = range(start, min(len(vectors), start + 5_000))
        payloads = [{kind: int(some[row]) for kind, some in numbers.items()} for row in rows]
        docs.upsert(np.asarray(rows), vectors[rows.start : rows.stop], payloads)
    docs.seal()
    docs.compact()
    return docs


def _images(folder: Path, part: str) -> NDArray[np.float32]:
    dataset = load_dataset(next(folder.glob(f"{part}-images*")))
    return np.concatenate([batch.vectors for batch in dataset.batches()]).astype(np.float32)


def _labels(folder: Path) -> NDArray[np.uint8]:
    (path,) = folder.glob("train-labels*")
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8)[8:]


def _by_label(vectors: NDArray[np.float32], labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The place of each image: by label, then by distance to the first of the label."""
    gaps = np.empty(len(vectors))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        gaps[members] = np.sum((vectors[members] - vectors[members[0]]) ** 2, axis=1)
    places = np.empty(len(vectors), np.int64)
    places[np.lexsort((gaps, labels))] = np.arange(len(vectors))
    return places


def report_tree(rows: list[dict[str, Any]]) -> list[Figure]:
    """The tree's recall is bound to a goal; the other paths stand beside it."""
    found = []
    for row in rows:
        tree = row["mode"] == "tree" and row["effort"] is None
        name = f"{row['mode']}, {row['engine']}" + (f", ef {row['ef']}" if "ef" in row else "")
        effort = "" if row.get("effort") is None else f", effort {row['effort']:g}"
        found.append(
            Figure(
                what=f"recall@{row['k']} of {name}{effort}; {row['share']:.1%} of "
                f"{row['dataset']} match, {row['filter']}",
                goal=">= 0.99" if tree else "",
                measured=f"{row['recall']:.4f} (worst tenth {row['worst_tenth']:.2f}), "
                f"{row['p50_ms']:.2f} ms",
                met=row["recall"] >= 0.99 if tree else None,
            )
        )
    return found
