"""One embedded search by codes beside the same search by every vector."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import vecdb

from .vectors import clustered


def measure_search(
    n: int = 100_000,
    dim: int = 384,
    k: int = 10,
    rounds: int = 5,
    queries: int = 100,
    seed: int = 0,
) -> Iterator[dict[str, Any]]:
    """One dict a round: median milliseconds of ``search`` in both modes, in turns; their recall."""
    vectors, asked = clustered(n, dim, seed, queries)
    with tempfile.TemporaryDirectory(prefix="vecdb-bench-") as name, vecdb.open(Path(name)) as db:
        docs = db.create_collection("docs", dim=dim)
        docs.upload(vectors, progress=False)
        docs.seal()
        docs.compact()
        segments = docs.describe().segments
        for turn in range(rounds + 1):
            times: dict[str, list[float]] = {"exact": [], "scan": []}
            hits = 0
            for number, query in enumerate(asked):
                found = {}
                for mode in ("exact", "scan") if number % 2 else ("scan", "exact"):
                    began = time.perf_counter()
                    found[mode] = docs.search(query, k, mode=mode)
                    times[mode].append((time.perf_counter() - began) * 1e3)
                hits += len(set(found["exact"].ids.tolist()) & set(found["scan"].ids.tolist()))
            if turn:  # the first warms up
                yield {
                    "round": turn,
                    "n": n,
                    "dim": dim,
                    "k": k,
                    "queries": queries,
                    "segments": segments,
                    "exact_ms": float(np.median(times["exact"])),
                    "scan_ms": float(np.median(times["scan"])),
                    "recall": hits / (k * len(asked)),
                    "synthetic": True,
                }
