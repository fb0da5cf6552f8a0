"""Recall of ``mode="scan"`` against ``mode="exact"`` on real datasets, by distance (ties count)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import vecdb
from vecdb.datasets import load_dataset

VARIABLE = "VECDB_BENCH_DATA"
"""The folder of datasets: one folder each, of ``vectors.npy`` or idx files."""
EFFORTS = (None, 8.0)
"""The default, and high."""
QUERIES = 1_000


@dataclass(frozen=True, slots=True)
class Real:
    name: str
    metric: str
    base: NDArray[Any]
    queries: NDArray[Any]


def datasets() -> Iterator[Real]:
    """Every dataset of the folder; the last rows are the queries where it brings none."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        raise SystemExit(f"set {VARIABLE} to the folder that holds the datasets")
    for path in sorted(Path(folder).iterdir()):
        if not path.is_dir():
            continue
        if list(path.glob("train-images*")):
            base, queries = (
                _read(next(path.glob(f"{part}-images*"))) for part in ("train", "t10k")
            )
            yield Real(path.name, "l2", base, queries[:QUERIES])
            continue
        base = np.load(path / "vectors.npy")
        base = base.reshape(-1, base.shape[-1])  # pairs lie side by side
        metric = "l2" if base.dtype == np.uint8 else "cosine"
        if (path / "queries.npy").exists():
            yield Real(path.name, metric, base, np.load(path / "queries.npy")[:QUERIES])
        else:
            held = min(QUERIES, len(base) // 10)
            order = np.random.default_rng(0).permutation(len(base))
            yield Real(path.name, metric, base[np.sort(order[held:])], base[order[:held]])


def _read(path: Path) -> NDArray[Any]:
    dataset = load_dataset(path)
    return np.concatenate([batch.vectors for batch in dataset.batches()])


def measure_recall(k: int = 10) -> Iterator[dict[str, Any]]:
    """One dict for each dataset and effort: recall@k of sealed records, and where it was missed."""
    for real in datasets():
        dtype = str(real.base.dtype) if real.base.dtype in (np.uint8, np.float16) else "float32"
        with tempfile.TemporaryDirectory(prefix="vecdb-bench-") as name, vecdb.open(name) as db:
            docs = db.create_collection(
                "docs", dim=real.base.shape[1], metric=real.metric, dtype=dtype
            )
            docs.upload(real.base, progress=False)
            docs.seal()
            docs.compact()
            queries = real.queries.astype(np.float32)
            exact = docs.search_batch(queries, k, mode="exact", with_payload=False)
            for effort in EFFORTS:
                found = docs.search_batch(
                    queries, k, mode="scan", effort=effort, with_payload=False
                )
                hits = [
                    int((ours.scores >= best.scores[-1]).sum())
                    for ours, best in zip(found, exact, strict=True)
                ]
                yield {
                    "dataset": real.name,
                    "metric": real.metric,
                    "n": len(real.base),
                    "dim": int(real.base.shape[1]),
                    "k": k,
                    "queries": len(queries),
                    "effort": effort,
                    "recall": float(np.mean(hits)) / k,
                    "worst": min(hits) / k,
                }
