"""A process of its own that searches a collection under its memory budget and tells what it took.

``python limited.py DIRECTORY QUERIES ROUNDS``: prints a JSON object. The memory of what any search
needs (libraries, kernels, buffers) is measured first, on a collection of few records.
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path

import numpy as np

import vecdb


def resident_bytes(part: str = "RssAnon") -> int:
    """``RssAnon``: what only this process can give back; the rest is of files, for anybody."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(part + ":"):
            return 1024 * int(line.split()[1])
    raise AssertionError(f"no {part} in /proc/self/status")


def main(directory: str, queries: str, rounds: int) -> None:
    vectors = np.load(queries)
    with vecdb.open(directory, read_only=True, threads=1) as db:
        small, docs = db.collection("small"), db.collection("docs")
        for mode in ("graph", "scan", "exact"):
            small.search_batch(vectors[:8], 10, mode=mode)
            small.search(vectors[0], 10, mode=mode)
        gc.collect()
        before = resident_bytes()
        most = 0
        for turn in range(rounds):
            for start in range(0, len(vectors), 50):
                docs.search_batch(vectors[start : start + 50], 10, mode="graph")
                most = max(most, resident_bytes())
            if turn == 0:
                for mode in ("scan", "exact"):
                    docs.search_batch(vectors[:5], 10, mode=mode)
        gc.collect()
        print(
            json.dumps(
                {
                    "before": before,
                    "most": most,
                    "after": resident_bytes(),
                    "files": resident_bytes("RssFile"),
                    "budget": docs.describe().memory_budget,
                    "level": docs.describe().level,
                    "counted": sum(docs.stats()["memory_bytes"].values()),
                    "searches": docs.stats()["searches"],
                }
            )
        )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
