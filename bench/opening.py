"""Opening a database of a million records, and the first search after it, in fresh processes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import vecdb

_PIECE = 10_000

CHILD = """
import json, sys, time
import numpy as np, vecdb
vecdb.warm()
began = time.perf_counter()
db = vecdb.open(sys.argv[1], read_only=sys.argv[2] == "reader")
opened = time.perf_counter()
docs = db.collection("docs")
count = docs.count()
docs.search(np.ones(int(sys.argv[3]), np.float32), 10)
searched = time.perf_counter()
print(json.dumps({"count": count, "open_s": opened - began, "first_search_s": searched - opened}))
db.close()
"""


def measure_opening(
    n: int = 1_000_000, dims: tuple[int, ...] = (96, 384), rounds: int = 5, seed: int = 0
) -> Iterator[dict[str, Any]]:
    """One dict for each dimension and round: seconds to open, then seconds to the first answer.

    The file is in the page cache: it was written just before.
    """
    for dim in dims:
        with tempfile.TemporaryDirectory(prefix="vecdb-bench-") as name:
            with vecdb.open(name) as db:
                docs = db.create_collection("docs", dim=dim)
                docs.upload(_pieces(n, dim, seed), progress=False)
            for turn in range(rounds):
                done = subprocess.run(
                    [sys.executable, "-c", CHILD, name, "writer", str(dim)],
                    capture_output=True,
                    text=True,
                    check=True,
                )
                found = json.loads(done.stdout)
                if found["count"] != n:
                    raise AssertionError(f"{found['count']} of {n} records")
                yield {"round": turn, "n": n, "dim": dim} | found


def _pieces(n: int, dim: int, seed: int) -> Iterator[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    for start in range(0, n, _PIECE):
        yield rng.standard_normal((min(_PIECE, n - start), dim), dtype=np.float32)
