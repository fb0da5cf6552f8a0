"""Sealing a large tail: how long, how much memory, how much on disk."""

from __future__ import annotations

import multiprocessing
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

SIZES = ((1_000_000, 96), (100_000, 384))
_SAMPLE_SECONDS = 0.02


def measure_sealing() -> Iterator[dict[str, Any]]:
    """One dict a size: seconds of ``seal``, and the most memory meanwhile."""
    context = multiprocessing.get_context("spawn")  # a process of its own: its memory is counted
    for n, dim in SIZES:
        with context.Pool(1) as pool:
            yield pool.apply(_measure, (n, dim))


def _measure(n: int, dim: int) -> dict[str, Any]:
    import vecdb
    from vecdb.collection import sealer

    from .vectors import clustered

    sealer.SEAL_RECORDS = sealer.SEAL_RECORDS_MAX = 10 * n  # the bench says when
    vecdb.warm()
    process = psutil.Process()
    with tempfile.TemporaryDirectory(prefix="vecdb-bench-") as name:
        path = Path(name)
        with vecdb.open(path) as db:
            docs = db.create_collection("small", dim=dim)
            vectors, _ = clustered(20_000, dim, 1)
            docs.upload(vectors, progress=False)
            docs.seal()  # libraries that are loaded on use are loaded
            db.delete_collection("small")
            del vectors
            bare = _own_bytes(process)
            docs = db.create_collection("docs", dim=dim)
            for part in range(10):
                vectors, _ = clustered(n // 10, dim, part)
                ids = range(part * len(vectors), (part + 1) * len(vectors))
                docs.upload(vectors, ids=list(ids), progress=False)
                del vectors
            docs.search([1.0] * dim)  # the tail is in memory
            tail = _own_bytes(process)
            began, cpu = time.perf_counter(), time.process_time()
            peak = _Peak(process)
            result = docs.seal()
            seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
            most = peak.stop()
            raw = n * dim * 4
            return {
                "n": n,
                "dim": dim,
                "records": result.records,
                "seconds": seconds,
                "cpu_seconds": cpu_seconds,
                "raw_bytes": raw,
                "tail_share": (tail - bare) / raw,
                "peak_share": (most - bare) / raw,
                "memory_bytes": docs.stats()["memory_bytes"],
                "disk_bytes": sum(f.stat().st_size for f in (path / "segments").rglob("*")),
                "synthetic": True,
            }


class _Peak:
    """The largest ``_own_bytes`` until ``stop``."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._most = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        self._done.set()
        self._thread.join()
        return self._most

    def _run(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            self._most = max(self._most, _own_bytes(self._process))


def _own_bytes(process: psutil.Process) -> int:
    """Resident bytes without pages of mapped files, which the kernel takes back when it likes."""
    info = process.memory_info()
    return int(info.rss - info.shared)
