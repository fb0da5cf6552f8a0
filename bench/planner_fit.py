"""The planner's constants: every path forced on collections of several sizes, times and counts
fitted by least squares.

One thread, vectors in memory. What it prints goes into ``vecdb/collection/costs.py``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import vecdb
from vecdb import F
from vecdb.collection.costs import Constants

from .datasets import mixture
from .figures import Figure

SIZES = ((30_000, 96), (30_000, 384), (60_000, 768))
SHARES = (0.05, 0.2, 0.5, 1.0)
EFFORTS = (0.5, 1.0, 2.0, 4.0)
QUERIES = 25
MODES = ("exact", "scan", "tree", "graph")
UNKNOWN = {
    "exact": ("exact_start", "number"),
    "scan": ("scan_start", "scan_word"),
    "tree": ("tree_start", "node", "centroid_number", "word"),
    "graph": ("graph_start", "hop", "hop_word"),
}
_OPENED = 3.2  # centroids for each node, as the planner has it


def measure_planner() -> Iterator[dict[str, Any]]:
    """A row for each constant, and one for each measured point."""
    points: list[dict[str, Any]] = []
    for size in SIZES:
        for point in _points(*size):
            points.append(point)
            yield {"kind": "point"} | point
    shipped = Constants()
    for mode, names in UNKNOWN.items():
        fitted, error = _fit([point for point in points if point["mode"] == mode], names)
        for name, value in zip(names, fitted.tolist(), strict=True):
            now = getattr(shipped, name)
            row = {"kind": "constant", "mode": mode, "name": name, "nanoseconds": value}
            yield row | {"shipped": now, "relative_error": error}


def _points(n: int, dim: int) -> Iterator[dict[str, Any]]:
    vectors, queries = mixture(n, dim, QUERIES)
    with tempfile.TemporaryDirectory() as folder, vecdb.open(Path(folder), threads=1) as db:
        docs = db.create_collection("docs", dim=dim, metric="l2", fields={"u": "int"})
        numbers = np.random.default_rng(0).integers(0, 1_000, n)
        for start in range(0, n, 5_000):
            rows = slice(start, start + 5_000)
            docs.upsert(
                np.arange(n)[rows], vectors[rows], [{"u": int(one)} for one in numbers[rows]]
            )
        docs.seal()
        docs.compact()
        for share in SHARES:
            where = None if share == 1.0 else F("u") < int(1_000 * share)
            for mode in MODES:
                for effort in (None,) if mode in ("exact", "scan") else EFFORTS:
                    yield {"n": n, "dim": dim} | _point(docs, queries, mode, where, effort)


def _point(
    docs: Any, queries: NDArray[np.float32], mode: str, where: Any, effort: float | None
) -> dict[str, Any]:
    options = {"mode": mode, "filter": where} | ({} if effort is None else {"effort": effort})
    docs.explain(queries[0], 10, **options)
    told = [docs.explain(query, 10, **options) for query in queries]
    names = ("matching", "nodes_visited", "nodes_expanded", "codes_scanned", "blocks_scanned")
    counts = {name: float(np.mean([getattr(one, name) for one in told])) for name in names}
    seconds = float(np.median([one.seconds for one in told]))
    return {"mode": mode, "effort": effort, "seconds": seconds} | counts


def _features(point: dict[str, Any]) -> list[float]:
    """What the unknown constants of a mode are multiplied with."""
    dim, words = point["dim"], -(-point["dim"] // 64) + 1
    if point["mode"] == "exact":
        return [1.0, point["matching"] * dim]
    if point["mode"] == "scan":
        share = point["matching"] / point["n"]
        return [1.0, (1.0 - (1.0 - share) ** 8) * point["n"] * words]
    if point["mode"] == "tree":
        nodes = point["nodes_visited"]
        return [1.0, nodes, _OPENED * nodes * dim, point["codes_scanned"] * words]
    return [1.0, point["nodes_expanded"], point["nodes_expanded"] * words]


def _fit(points: list[dict[str, Any]], names: tuple[str, ...]) -> tuple[NDArray[np.float64], float]:
    """Nanoseconds of each constant, none below 0, and the median relative error of the points."""
    times = np.array([1e9 * point["seconds"] for point in points])
    rows = np.array([_features(point) for point in points])
    kept = list(range(len(names)))
    found = np.zeros(len(names))
    while kept:  # what comes out negative is taken out, the rest fitted again
        weighted = rows[:, kept] / times[:, None]
        some, *_ = np.linalg.lstsq(weighted, np.ones(len(times)), rcond=None)
        if (some >= 0).all():
            found[kept] = some
            break
        kept.remove(kept[int(np.argmin(some))])
    error = float(np.median(np.abs(rows @ found / times - 1.0)))
    return found, error


def report_planner(rows: list[dict[str, Any]]) -> list[Figure]:
    return [
        Figure(
            what=f"planner: {row['name']} of a path by {row['mode']}, nanoseconds",
            goal="",
            measured=f"{row['nanoseconds']:.4g}, shipped {row['shipped']:.4g}; the fit is off by "
            f"{row['relative_error']:.0%} in the median",
            met=None,
        )
        for row in rows
        if row["kind"] == "constant"
    ]
