"""Searches of tenants in one shared collection, beside an index of hnswlib for each tenant.

Tenants of several sizes have either records at random or those around one of them; of the latter
queries come from where their records are ("in") and from anywhere else ("out"). Each side answers
slices of the queries in turns, one query a call, on one thread.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

import vecdb

from .curves import recall_by_distance
from .datasets import TRUE, Prepared, prepared, squared_distances
from .peer_env import import_peer, peer_version

SIZES = (100, 1_000, 5_000, 20_000, 50_000)
ROWS = 200_000
"""Rows of a dataset that are used."""
QUERIES = 200
ROUNDS = 3
BEAMS = (10, 16, 24, 40, 64, 100, 160, 256, 400, 640)
"""hnswlib's ``ef``, raised until the recall is reached."""
RECALL = 0.99
SMALL = 1_000
"""A tenant with fewer records gets no graph of its own from the peer, but a plain scan."""
_M, _EF_CONSTRUCTION = 16, 200
_SLICE = 20

Answer = Callable[[Any], NDArray[np.int64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """``rows``: what it sees, ascending; ``queries``: float32[q, dim] of each kind."""

    name: str
    kind: str
    rows: NDArray[np.int64]
    queries: dict[str, NDArray[np.float32]]


def measure_tenants() -> Iterator[dict[str, Any]]:
    """One dict for each dataset, tenant and kind of queries, and one for the memory of each."""
    for data in prepared():
        base = np.ascontiguousarray(np.load(data.base, mmap_mode="r")[:ROWS], np.float32)
        yield from _measure(data, base, np.load(data.queries))


def _measure(
    data: Prepared, base: NDArray[np.float32], queries: NDArray[np.float32]
) -> Iterator[dict[str, Any]]:
    tenants = list(make_tenants(base, queries))
    about = data.about | {"n": len(base), "peer": peer_version("hnswlib")}
    with (
        tempfile.TemporaryDirectory(prefix="vecdb-bench-") as folder,
        vecdb.open(Path(folder) / "db", threads=1) as db,
    ):
        docs = db.create_collection("docs", dim=data.dim, metric="l2")
        docs.upload(base, progress=False)
        docs.seal()
        docs.compact()
        for tenant in tenants:
            yield about | {"kind": "grant"} | _grant(docs, tenant)
        theirs_bytes = 0
        for tenant in tenants:
            index, built = _graph_of(base, tenant, folder)
            theirs_bytes += built["bytes"]
            for name, asked in tenant.queries.items():
                row = _compare(docs, base, tenant, asked, index)
                shape = {"tenant": tenant.kind, "size": len(tenant.rows), "queries": name}
                yield about | {"kind": "search"} | shape | row
        shared = make_graph(base, np.arange(len(base)), folder)[1]
        ours = docs.stats()["memory_bytes"]
        yield about | {
            "kind": "memory",
            "ours": ours if isinstance(ours, int) else sum(ours.values()),
            "per_tenant": theirs_bytes,
            "shared": shared["bytes"],
            "tenants": len(tenants),
        }


def make_tenants(
    base: NDArray[np.float32], queries: NDArray[np.float32], seed: int = 0
) -> Iterator[Tenant]:
    """Two of each size that is at most a third of the rows."""
    rng = np.random.default_rng(seed)
    for size in SIZES:
        if size > len(base) // 3:
            return
        some = rng.choice(len(queries), QUERIES, replace=False)
        rows = np.sort(rng.choice(len(base), size, replace=False))
        yield Tenant(name=f"random-{size}", kind="random", rows=rows, queries={"in": queries[some]})
        middle = base[rng.integers(len(base))]
        near = np.argpartition(((base - middle) ** 2).sum(1), size)[:size]
        order = np.argsort(((queries - base[near].mean(0)) ** 2).sum(1), kind="stable")
        yield Tenant(
            name=f"near-{size}",
            kind="near",
            rows=np.sort(near),
            queries={
                "in": queries[order[:QUERIES]],
                "out": queries[rng.permutation(order)[:QUERIES]],
            },
        )


def _grant(docs: Any, tenant: Tenant) -> dict[str, Any]:
    began = time.perf_counter()
    docs.grant(tenant.rows, tenant.name)
    spent = time.perf_counter() - began
    return {"size": len(tenant.rows), "us_each": 1e6 * spent / len(tenant.rows)}


def _graph_of(base: NDArray[np.float32], tenant: Tenant, folder: str) -> tuple[Any, dict[str, Any]]:
    if len(tenant.rows) < SMALL:
        return None, {"bytes": 4 * base.shape[1] * len(tenant.rows)}
    return make_graph(base, tenant.rows, folder)


def make_graph(
    base: NDArray[np.float32], rows: NDArray[np.int64], folder: str
) -> tuple[Any, dict[str, Any]]:
    index = import_peer("hnswlib").Index(space="l2", dim=base.shape[1])
    index.init_index(len(rows), M=_M, ef_construction=_EF_CONSTRUCTION, random_seed=0)
    index.add_items(base[rows], rows, num_threads=2)
    index.set_num_threads(1)
    path = Path(folder) / "hnswlib.index"
    index.save_index(str(path))
    return index, {"bytes": path.stat().st_size}


def _compare(
    docs: Any,
    base: NDArray[np.float32],
    tenant: Tenant,
    queries: NDArray[np.float32],
    index: Any,
) -> dict[str, Any]:
    """Both sides at ``RECALL``: ours by default effort, theirs by the least ``ef`` that has it."""
    reach = exact_reach(base, tenant.rows, queries)

    def ours(query: NDArray[np.float32]) -> NDArray[np.int64]:
        found = docs.search(query, TRUE, tenant=tenant.name, with_payload=False)
        ids: NDArray[np.int64] = found.ids
        return ids

    theirs, setting = _plain(base, tenant.rows), {}
    if index is not None:
        for ef in BEAMS:
            index.set_ef(ef)
            setting = {"ef": ef}
            if _recall(base, queries, _graph(index), reach) >= RECALL:
                break
        theirs = _graph(index)
    sides = {"vecdb": ours, "hnswlib": theirs}
    in_turns(sides, queries[:_SLICE])
    walls, cpus, found = in_turns(sides, queries, ROUNDS)
    path = docs.explain(queries[0], TRUE, tenant=tenant.name).mode
    short = sum(len(one) < min(TRUE, len(tenant.rows)) for one in found["vecdb"])
    return setting | {
        "path": path,
        "short": short,
        "forbidden": int(np.setdiff1d(np.concatenate(found["vecdb"]), tenant.rows).size),
        **{f"{side}_us": 1e6 * float(np.median(times)) for side, times in walls.items()},
        **{f"{side}_p99_us": 1e6 * float(np.quantile(t, 0.99)) for side, t in walls.items()},
        **{f"{side}_cpu_us": 1e6 * spent for side, spent in cpus.items()},
        **{
            f"{side}_recall": recall_of(base, queries, answers, reach)
            for side, answers in found.items()
        },
    }


def _plain(base: NDArray[np.float32], rows: NDArray[np.int64]) -> Answer:
    own = base[rows]
    lengths = (own**2).sum(1)

    def find(query: NDArray[np.float32]) -> NDArray[np.int64]:
        near = lengths - 2.0 * (own @ query)
        best = np.argpartition(near, min(TRUE, len(near) - 1))[:TRUE]
        return rows[best[np.argsort(near[best])]]

    return find


def _graph(index: Any) -> Answer:
    def find(query: NDArray[np.float32]) -> NDArray[np.int64]:
        ids: NDArray[np.int64] = index.knn_query(query, TRUE, num_threads=1)[0][0].astype(np.int64)
        return ids

    return find


def in_turns(
    sides: dict[str, Answer], asked: Sequence[Any], rounds: int = 1
) -> tuple[dict[str, list[float]], dict[str, float], dict[str, list[NDArray[np.int64]]]]:
    """Seconds of each call by the wall, of one by the processor, and the last answers."""
    walls: dict[str, list[float]] = {side: [] for side in sides}
    cpus = dict.fromkeys(sides, 0.0)
    found: dict[str, list[NDArray[np.int64]]] = {}
    for _ in range(rounds):
        found = {side: [] for side in sides}
        for start in range(0, len(asked), _SLICE):
            for side, find in sides.items():
                spent = time.thread_time()
                for one in asked[start : start + _SLICE]:
                    began = time.perf_counter()
                    answer = find(one)
                    walls[side].append(time.perf_counter() - began)
                    found[side].append(answer)
                cpus[side] += time.thread_time() - spent
    return walls, {side: one / len(walls[side]) for side, one in cpus.items()}, found


def exact_reach(
    base: NDArray[np.float32], rows: NDArray[np.int64], queries: NDArray[np.float32]
) -> NDArray[np.float64]:
    """[q]: squared distance of the last of the ``TRUE`` nearest of ``rows``, or of all of them."""
    own = base[rows]
    ids = faiss.knn(queries, own, min(5 * TRUE, len(rows)))[1]
    gaps = np.sort(squared_distances(own, queries, ids), axis=1)
    reach: NDArray[np.float64] = gaps[:, min(TRUE, len(rows)) - 1]
    return reach


def _recall(
    base: NDArray[np.float32],
    queries: NDArray[np.float32],
    find: Answer,
    reach: NDArray[np.float64],
) -> float:
    return recall_of(base, queries, [find(query) for query in queries], reach)


def recall_of(
    base: NDArray[np.float32],
    queries: NDArray[np.float32],
    answers: list[NDArray[np.int64]],
    reach: NDArray[np.float64],
) -> float:
    ids = np.full((len(answers), TRUE), -1, np.int64)
    for row, one in zip(ids, answers, strict=True):
        row[: len(one)] = one
    return float(recall_by_distance(ids, squared_distances(base, queries, ids), reach).mean())
