"""What the network adds to one search: the same search embedded and over loopback, in turns."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import vecdb

from .upload import running_server


def measure_loopback(
    n: int = 10_000, dim: int = 384, k: int = 10, rounds: int = 5, queries: int = 200, seed: int = 0
) -> list[dict[str, Any]]:
    """One dict a round: median milliseconds of a search embedded and remote, and the difference.

    Both hold the same records with payloads; queries alternate between the two, so that a busy
    moment of the machine falls on both.
    """
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, dim), dtype=np.float32)
    payloads = [{"page": i, "lang": "en"} for i in range(n)]
    results = []
    with (
        tempfile.TemporaryDirectory(prefix="vecdb-bench-") as name,
        vecdb.open(Path(name)) as embedded,
        running_server() as (_, client),
    ):
        here, there = (db.create_collection("docs", dim=dim) for db in (embedded, client))
        for docs in (here, there):
            docs.upload(vectors, payloads=payloads, progress=False)
        for turn in range(rounds + 1):
            asked = rng.standard_normal((queries, dim), dtype=np.float32)
            own, remote = [], []
            for number, query in enumerate(asked):
                pairs = [(own, here), (remote, there)]
                for times, docs in pairs if number % 2 else pairs[::-1]:
                    began = time.perf_counter()
                    docs.search(query, k)
                    times.append((time.perf_counter() - began) * 1e3)
            if turn:  # the first warms up
                results.append(
                    {
                        "round": turn,
                        "n": n,
                        "dim": dim,
                        "k": k,
                        "queries": queries,
                        "embedded_ms": float(np.median(own)),
                        "remote_ms": float(np.median(remote)),
                        "added_ms": float(np.median(remote) - np.median(own)),
                    }
                )
    return results
