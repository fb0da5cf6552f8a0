"""What the network adds to one search over loopback, measured in two ways.

Within the same calls: the caller's time less the time that the engine took in that call, as the
server logs it. And against an embedded database: the same search here and there, in turns. The
second also counts that an engine whose threads slept since the last call is slower than one that
is called again at once.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import vecdb

from .upload import running_server


def measure_loopback(
    n: int = 10_000, dim: int = 384, k: int = 10, rounds: int = 5, queries: int = 200, seed: int = 0
) -> Iterator[dict[str, Any]]:
    """One dict a round: median milliseconds of a search, and what the network added.

    Both databases hold the same records with payloads. First the remote one alone, then queries
    alternate between the two, so that a busy moment of the machine falls on both.
    """
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, dim), dtype=np.float32)
    payloads = [{"page": i, "lang": "en"} for i in range(n)]
    with (
        tempfile.TemporaryDirectory(prefix="vecdb-bench-") as name,
        vecdb.open(Path(name)) as embedded,
        running_server() as (server, client),
    ):
        here, there = (db.create_collection("docs", dim=dim) for db in (embedded, client))
        for docs in (here, there):
            docs.upload(vectors, payloads=payloads, progress=False)
        for turn in range(rounds + 1):
            asked = rng.standard_normal((queries, dim), dtype=np.float32)
            alone = [_timed(there, query, k) for query in asked]
            there.count()  # the line of a call is written behind its answer, before the next call
            engine = _engine_times(server.directory.parent / "server.log")[-queries:]
            added = [whole - part for whole, part in zip(alone, engine, strict=True)]
            own, remote = [], []
            for number, query in enumerate(asked):
                pairs = [(own, here), (remote, there)]
                for times, docs in pairs if number % 2 else pairs[::-1]:
                    times.append(_timed(docs, query, k))
            if turn:  # the first warms up
                yield {
                    "round": turn,
                    "n": n,
                    "dim": dim,
                    "k": k,
                    "queries": queries,
                    "call_ms": float(np.median(alone)),
                    "engine_ms": float(np.median(engine)),
                    "added_ms": float(np.median(added)),
                    "embedded_in_turns_ms": float(np.median(own)),
                    "remote_in_turns_ms": float(np.median(remote)),
                    "added_in_turns_ms": float(np.median(remote) - np.median(own)),
                }


def _timed(docs: Any, query: NDArray[np.float32], k: int) -> float:
    """Milliseconds of one search."""
    began = time.perf_counter()
    docs.search(query, k)
    return (time.perf_counter() - began) * 1e3


def _engine_times(log: Path) -> list[float]:
    """Milliseconds that the engine took for each search, in their order."""
    lines = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    return [float(line["engine_ms"]) for line in lines if "engine_ms" in line]
