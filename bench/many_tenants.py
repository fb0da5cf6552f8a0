"""What 100,000 tenants cost: to grant, to revoke, to open and to ask, beside none at all."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import vecdb

TENANTS = 100_000
EACH = 10
"""Records of a tenant; a record belongs to as many tenants."""
DIM = 32
BATCH = 10_000
ROUNDS = 5

_CHILD = """
import json, sys, time
import numpy as np, vecdb
vecdb.warm()
began = time.perf_counter()
db = vecdb.open(sys.argv[1])
docs = db.collection("docs")
tenant = sys.argv[2] or None
query = np.ones(int(sys.argv[3]), np.float32)
opened = time.perf_counter()
found = len(docs.search(query, 10, tenant=tenant))
first = time.perf_counter()
print(json.dumps({"open_s": opened - began, "first_search_s": first - opened, "found": found}))
db.close()
"""


def measure_many_tenants() -> Iterator[dict[str, Any]]:
    """One dict for each opening, and one for each kind of write."""
    yield from _measure()


def _measure() -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((TENANTS, DIM), dtype=np.float32)
    about = {"tenants": TENANTS, "records": TENANTS, "each": EACH, "dim": DIM}
    with tempfile.TemporaryDirectory(prefix="vecdb-bench-") as folder:
        paths = {tenants: Path(folder) / str(tenants) for tenants in (0, TENANTS)}
        for tenants, path in paths.items():
            with vecdb.open(path, threads=1) as db:
                docs = db.create_collection("docs", dim=DIM, metric="l2")
                docs.upload(rows, progress=False)
                docs.seal()
                if tenants:
                    before = _disk_bytes(path)
                    yield from (about | row for row in _share(docs))
                    grown = _disk_bytes(path) - before
                    yield about | {"kind": "disk", "bytes_each": grown / (TENANTS * EACH)}
        for turn in range(ROUNDS):
            for tenants, path in paths.items():
                name = "t7" if tenants else ""
                done = subprocess.run(
                    [sys.executable, "-c", _CHILD, str(path), name, str(DIM)],
                    capture_output=True,
                    text=True,
                    check=True,
                )
                found = json.loads(done.stdout)
                yield about | {"kind": "open", "round": turn} | found | {"tenants": tenants}


def _share(docs: Any) -> Iterator[dict[str, Any]]:
    """Every record to ten tenants of its own region, and what single grants cost then."""
    began = time.perf_counter()
    for start in range(0, TENANTS, BATCH):
        ids = np.arange(start, min(start + BATCH, TENANTS))
        names = [[f"t{(id + step) % TENANTS}" for step in range(EACH)] for id in ids.tolist()]
        rows = docs.get(ids, with_vector=True).vectors
        docs.upsert(ids, rows, tenants=names)
    spent = time.perf_counter() - began
    yield {"kind": "upsert with tenants", "us_each": 1e6 * spent / (TENANTS * EACH)}
    ids = np.arange(0, TENANTS, TENANTS // BATCH)
    actions: dict[str, Callable[..., Any]] = {"grant": docs.grant, "revoke": docs.revoke}
    for turn in range(ROUNDS):
        for kind, action in actions.items():
            began = time.perf_counter()
            count = action(ids, f"batch{turn}").count
            spent = time.perf_counter() - began
            yield {"kind": kind, "round": turn, "us_each": 1e6 * spent / count}


def _disk_bytes(path: Path) -> int:
    return sum(one.stat().st_blocks * 512 for one in path.rglob("*") if one.is_file())
