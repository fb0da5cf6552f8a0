"""Our side, through the public embedded interface: one collection, sealed into one segment."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any

import numpy as np
from loop import COMMON, folder_bytes, forget_peak, metered, run_search, serve

import vecdb

_COUNTED = (
    "pages_read",
    "bytes_read",
    "read_calls",
    "io_rounds",
    "cache_hits",
    "nodes_expanded",
    "codes_scanned",
    "codes_refined",
    "vectors_scored",
)
_NAME = "docs"
_REWRITE_SECONDS = 3_600
_held: dict[str, Any] = {}


def build(
    vectors: str,
    folder: str,
    metric: str,
    code_bits: int,
    page_bytes: int | None,
    budget: int | None,
    threads: int,
) -> dict[str, Any]:
    """Upload, seal and compact; ``compact_*`` is the share of the last, which is all but all."""
    rows = np.load(vectors, mmap_mode="r")
    vecdb.warm()
    with vecdb.open(folder, threads=threads) as db:
        docs = db.create_collection(
            _NAME,
            dim=rows.shape[1],
            metric=metric,
            code_bits=code_bits,
            page_bytes=page_bytes,
            memory_budget=budget,
        )

        def fill() -> None:
            docs.upload(rows, progress=False)
            docs.seal()

        _, filled = metered(fill)
        _, compacted = metered(docs.compact)
        segments = docs.describe().segments
    spent = {name: filled[name] + compacted[name] for name in filled}
    return spent | {
        "compact_wall_s": compacted["wall_s"],
        "compact_cpu_s": compacted["cpu_s"],
        "disk_bytes": folder_bytes(Path(folder) / "segments"),
        "segments": segments,
    }


def warm() -> dict[str, Any]:
    """Kernels are compiled; memory counts from here."""
    vecdb.warm()
    return forget_peak()


def load(folder: str, threads: int, io_engine: str = "auto") -> dict[str, Any]:
    """Open anew, with nothing cached."""
    close()
    vecdb.warm()

    def work() -> None:
        _held["db"] = vecdb.open(folder, threads=threads, io_engine=io_engine)
        _held["docs"] = _held["db"].collection(_NAME)

    return metered(work)[1]


def close() -> dict[str, Any]:
    if "db" in _held:
        _held["db"].close()
    _held.clear()
    gc.collect()  # or what was open counts as held by what is opened next
    return {}


def set_budget(budget: int | None, queries: str) -> dict[str, Any]:
    """Returns when segments that were laid out for another level are rewritten."""
    docs = _held["docs"]
    query = np.load(queries, mmap_mode="r")[0]

    def work() -> None:
        docs.set_memory_budget(budget)
        until = time.monotonic() + _REWRITE_SECONDS
        while docs.explain(query, mode="graph").degraded:
            if time.monotonic() > until:
                raise TimeoutError(f"segments were not rewritten within {_REWRITE_SECONDS} s")
            time.sleep(0.1)

    return metered(work)[1]


def search(
    queries: str,
    start: int,
    stop: int,
    k: int,
    threads: int,
    one_by_one: bool,
    answers: str,
    effort: float | None,
    mode: str = "graph",
) -> dict[str, Any]:
    """``threads`` are those that the database was opened with."""
    docs = _held["docs"]
    options = {"mode": mode, "effort": effort, "with_payload": False}

    def find(asked: Any, k: int) -> Any:
        if one_by_one:
            return docs.search(asked[0], k, **options).ids[None, :]
        return _padded([found.ids for found in docs.search_batch(asked, k, **options)], k)

    return run_search(find, queries, start, stop, k, one_by_one, answers)


def explain(
    queries: str, start: int, stop: int, k: int, effort: float | None, mode: str = "graph"
) -> dict[str, Any]:
    """Means of the counts of searches one by one, and how they were made."""
    asked = np.load(queries, mmap_mode="r")[start:stop]
    docs = _held["docs"]
    found = [docs.explain(query, k, mode=mode, effort=effort) for query in asked]
    one = found[-1]
    means = {name: float(np.mean([getattr(each, name) for each in found])) for name in _COUNTED}
    return means | {
        "level": one.level,
        "why": one.why,
        "mode": one.mode,
        "degraded": one.degraded,
        "io_engine": one.io_engine,
    }


def first_answer(
    folder: str, threads: int, queries: str, effort: float | None, mode: str
) -> dict[str, Any]:
    """Seconds to open, and from there to the first answer; kernels are compiled before."""
    vecdb.warm()
    query = np.load(queries, mmap_mode="r")[0]
    opened = load(folder, threads)
    began = time.perf_counter()
    _, spent = metered(lambda: _held["docs"].search(query, mode=mode, effort=effort))
    return {
        "open_s": opened["wall_s"],
        "first_search_s": time.perf_counter() - began,
        "read_bytes": opened["read_bytes"] + spent["read_bytes"],
    }


def _padded(rows: list[Any], k: int) -> Any:
    out = np.full((len(rows), k), -1, np.int64)
    for at, row in enumerate(rows):
        out[at, : len(row)] = row
    return out


if __name__ == "__main__":
    serve(
        COMMON
        | {
            "warm": warm,
            "build": build,
            "open": load,
            "close": close,
            "set_budget": set_budget,
            "search": search,
            "explain": explain,
            "first_answer": first_answer,
        }
    )
