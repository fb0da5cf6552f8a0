"""Upload through the client into a server on this machine: every record synced to disk."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from vecdb_client import Client
from vecdb_server.child import ServerProcess


@contextmanager
def running_server() -> Iterator[tuple[ServerProcess, Client]]:
    """A server in a process of its own, over an empty directory, and a client.

    Its log is the file ``server.log`` beside that directory.
    """
    with tempfile.TemporaryDirectory(prefix="vecdb-bench-") as name:
        work = Path(name)
        server = ServerProcess(work / "database", log=work / "server.log")
        with server, Client(server.address) as client:
            yield server, client


def measure_upload(
    n: int = 100_000, dim: int = 384, rounds: int = 5, seed: int = 0
) -> Iterator[dict[str, Any]]:
    """One dict a round: records a second, and CPU of client and server for each record."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, dim), dtype=np.float32)
    payloads = [{"source": f"file-{i % 97}.txt", "page": i % 1000, "lang": "en"} for i in range(n)]
    with running_server() as (server, client):
        process = psutil.Process(server.pid)
        for turn in range(rounds + 1):
            docs = client.create_collection(
                f"round{turn}", dim=dim, fields={"page": "int", "lang": "keyword"}
            )
            server_before, client_before = _cpu(process), _own_cpu()
            began = time.perf_counter()
            report = docs.upload(vectors, payloads=payloads, progress=False)
            seconds = time.perf_counter() - began
            if report.ok != n or docs.count() != n:
                raise AssertionError(f"{report.ok} of {n} records were stored")
            if turn:  # the first warms up
                yield {
                    "round": turn,
                    "n": n,
                    "dim": dim,
                    "seconds": seconds,
                    "records_per_second": n / seconds,
                    "server_cpu_us": (_cpu(process) - server_before) / n * 1e6,
                    "client_cpu_us": (_own_cpu() - client_before) / n * 1e6,
                }
            client.delete_collection(f"round{turn}")


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
