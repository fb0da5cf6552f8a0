"""Ways to build a graph, side by side: CPU seconds against distances a query at equal recall.

Every way gives lists of at most 32 links over the same slots. A query walks them best first with
exact distances, from the best 8 of every 64th slot; the pool grows until recall@10 is reached, and
the distances at .95 and .99 are interpolated. hnswlib is compared where it is installed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vecdb.index.graph_build import NONE, build_graph
from vecdb.index.tree_build import build_tree
from vecdb.kernels.graph_prune import make_scratch, prune, sort_by_distance, squared_gap

from .datasets import TRUE, prepared_for_building
from .figures import Figure, listed

DEGREE = 32
STEP = 64
WIDTHS = (10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 450, 640, 900)
RECALLS = (0.95, 0.99)

Floats = NDArray[np.float32]
Links = NDArray[np.uint32]
Rows = list[dict[str, Any]]

# --------------------------------------------------------------------------------------- the walk


@njit(nogil=True)
def _insert(pool: Any, size: int, slot: int, gap: Any) -> int:
    """Put a slot into the pool, which is not full or ends in a farther one; its place."""
    slots, gaps, followed = pool
    place = min(size, slots.shape[0] - 1)
    while place > 0 and gaps[place - 1] > gap:
        slots[place], gaps[place] = slots[place - 1], gaps[place - 1]
        followed[place] = followed[place - 1]
        place -= 1
    slots[place], gaps[place], followed[place] = slot, gap, False
    return place


@njit(nogil=True)
def _walk(
    space: Any, target: int, links: Links, entries: Any, stamps: Any, stamp: int, pool: Any
) -> tuple[int, int, int]:
    """Walk to slot ``target`` of the space: size of the pool, distances, and slots expanded."""
    slots, gaps, followed = pool
    size = distances = expanded = place = 0
    around = entries
    while True:
        lowest = slots.shape[0]
        for other in around:
            if other == NONE:
                break
            if stamps[other] == stamp:
                continue
            stamps[other] = stamp
            gap = squared_gap(space, target, np.int64(other))
            distances += 1
            if size == slots.shape[0] and gap >= gaps[size - 1]:
                continue
            lowest = min(lowest, _insert(pool, size, np.int64(other), gap))
            size = min(size + 1, slots.shape[0])
        place = min(place, lowest)
        while place < size and followed[place]:
            place += 1
        if place == size:
            return size, distances, expanded
        followed[place] = True
        expanded += 1
        around = links[slots[place]]


@njit(nogil=True)
def _walk_all(
    points: Floats, count: int, links: Links, entries: Links, width: int, k: int, limits: Floats
) -> NDArray[np.float64]:
    """[queries, 3]: hits, distances (but for those of the entries) and expanded slots.

    ``points`` are the vectors and then the queries; ``limits`` the distance of each k-th nearest.
    """
    space = (points, np.ones(len(points), np.float32))
    stamps = np.zeros(len(points), np.int64)
    pool = (np.empty(width, np.int64), np.empty(width, np.float32), np.empty(width, np.bool_))
    out = np.empty((len(entries), 3))
    for query in range(len(entries)):
        target = count + query
        size, distances, expanded = _walk(
            space, target, links, entries[query], stamps, query + 1, pool
        )
        out[query, 0] = (pool[1][: min(k, size)] <= limits[query]).sum()
        out[query, 1] = distances - entries.shape[1]
        out[query, 2] = expanded
    return out


# --------------------------------------------------------------------------------- ways to build


def from_leaves(vectors: Floats, leaves: NDArray[np.int64], refine: bool = True) -> Links:
    """What a seal does."""
    roots = np.arange(0, len(vectors), STEP)
    return build_graph(
        vectors,
        leaves,
        roots,
        metric="l2",
        refine=refine,
        threads=1,
        pool=None,
        progress=lambda done, total: None,
        check=lambda: None,
    )


def without_walks(vectors: Floats, leaves: NDArray[np.int64]) -> Links:
    """The same without the pass that walks."""
    return from_leaves(vectors, leaves, refine=False)


def by_faiss(vectors: Floats, leaves: NDArray[np.int64]) -> Links:
    """Level 0 of faiss's HNSW, efConstruction 100."""
    import faiss

    faiss.omp_set_num_threads(1)
    index: Any = faiss.IndexHNSWFlat(vectors.shape[1], DEGREE // 2)
    index.hnsw.efConstruction = 100
    order = _shuffled(len(vectors))
    index.add(vectors[order])
    starts = faiss.vector_to_array(index.hnsw.offsets).astype(np.int64)[:-1]
    found = faiss.vector_to_array(index.hnsw.neighbors)[starts[:, None] + np.arange(DEGREE)]
    links = np.empty((len(vectors), DEGREE), np.uint32)
    links[order] = np.where(found < 0, NONE, order[np.maximum(found, 0)])
    return links


def by_hnswlib(vectors: Floats, leaves: NDArray[np.int64]) -> Links:
    """Level 0 of hnswlib, ef_construction 200."""
    import hnswlib

    count, dim = vectors.shape
    index = hnswlib.Index(space="l2", dim=dim)
    index.init_index(count, M=DEGREE // 2, ef_construction=200, random_seed=1)
    order = _shuffled(count)
    index.add_items(vectors[order], order, num_threads=1)
    state = index.__getstate__()
    state = state[0] if isinstance(state, tuple) else state
    raw = np.asarray(state["data_level0"]).view(np.uint8)
    raw = raw.reshape(-1, int(state["size_data_per_element"]))[:count]
    at = int(state["label_offset"])
    labels = raw[:, at : at + 8].copy().view(np.int64)[:, 0]
    sizes = raw[:, :2].copy().view(np.uint16)
    found = raw[:, 4 : 4 + 4 * DEGREE].copy().view(np.uint32)
    named = labels[np.minimum(found, count - 1)]
    links = np.empty((count, DEGREE), np.uint32)
    links[labels] = np.where(np.arange(DEGREE) < sizes, named, NONE)
    return links


def by_vamana(vectors: Floats, leaves: NDArray[np.int64]) -> Links:
    """Two rounds of walks from the medoid, L = 75, alpha 1 and then 1.2."""
    count = len(vectors)
    draws = np.random.default_rng(0)
    links = draws.integers(0, count - 1, (count, DEGREE)).astype(np.uint32)
    links += links >= np.arange(count, dtype=np.uint32)[:, None]
    for row in links:  # without repeats
        own = np.unique(row)
        row[: len(own)], row[len(own) :] = own, NONE
    medoid = int(((vectors - vectors.mean(axis=0)) ** 2).sum(axis=1).argmin())
    for alpha in (1.0, 1.2):
        _vamana_round(vectors, links, _shuffled(count), medoid, 75, np.float32(alpha**2))
    return links


@njit(nogil=True)
def _vamana_round(
    vectors: Floats, links: Links, order: Any, medoid: int, width: int, alpha2: Any
) -> None:
    count, dim = vectors.shape
    space = (vectors, np.ones(count, np.float32))
    stamps = np.zeros(count, np.int64)
    pool = (np.empty(width, np.int64), np.empty(width, np.float32), np.empty(width, np.bool_))
    scratch = make_scratch(width + DEGREE + 1, dim)
    start = np.full(1, medoid, np.uint32)
    for turn, slot in enumerate(order):
        size, _, _ = _walk(space, slot, links, start, stamps, turn + 1, pool)
        _choose(space, slot, pool[0][:size], links, alpha2, scratch)
        for i in range(DEGREE):
            other = links[slot, i]
            if other == NONE:
                break
            if (links[other] == slot).any():
                continue
            room = (links[other] == NONE).sum()
            if room > 0:
                links[other, DEGREE - room] = slot
            else:
                _choose(space, np.int64(other), np.full(1, slot), links, alpha2, scratch)


@njit(nogil=True)
def _choose(space: Any, slot: int, some: Any, links: Links, alpha2: Any, scratch: Any) -> None:
    """Prune ``some`` and the slot's own list."""
    slots, gaps, _ = scratch
    found = 0
    for i in range(len(some) + DEGREE):
        other = some[i] if i < len(some) else np.int64(links[slot, i - len(some)])
        if other == NONE:
            break
        if other != slot and not (slots[:found] == other).any():
            slots[found], gaps[found] = other, squared_gap(space, slot, other)
            found += 1
    sort_by_distance(slots[:found], gaps[:found], slot, len(links))
    prune(space, slot, found, alpha2, scratch, links[slot])


def _shuffled(count: int) -> NDArray[np.int64]:
    """Slots lie by neighbourhood; records of a user do not come so."""
    return np.random.default_rng(0).permutation(count)


WAYS: dict[str, Callable[[Floats, NDArray[np.int64]], Links]] = {
    "leaves and a walk": from_leaves,
    "leaves": without_walks,
    "faiss HNSW": by_faiss,
    "Vamana": by_vamana,
    "hnswlib": by_hnswlib,
}

# ------------------------------------------------------------------------------------- measuring


@dataclass(frozen=True, slots=True)
class Ground:
    """Vectors in slot order, and queries with the distance of each one's k-th nearest."""

    vectors: Floats
    leaves: NDArray[np.int64]
    queries: Floats
    limits: Floats
    k: int

    @classmethod
    def of(cls, base: Floats, queries: Floats, reach: NDArray[np.float64], k: int) -> Ground:
        """``reach``: the squared distance of each query's ``k``-th nearest."""
        tree, order = build_tree(base, page_rows=8, seed=1, tie_order=np.arange(len(base)))
        vectors = np.ascontiguousarray(base[order])
        leaves = np.append(tree.lo[tree.leaves()], len(base)).astype(np.int64)
        return cls(vectors, leaves, queries, (1.00001 * reach).astype(np.float32), k)

    def distances(self, links: Links) -> dict[str, float]:
        """Distances and expanded slots a query at each recall; nan where it is not reached."""
        count = len(self.vectors)
        sample = np.arange(0, count, STEP, dtype=np.uint32)
        some = self.vectors[sample]
        gaps = (some**2).sum(axis=1) - 2 * self.queries @ some.T
        entries = sample[np.argsort(gaps, axis=1)[:, :8]]
        points = np.concatenate([self.vectors, self.queries])
        curve = [[0.0, 1.0, 1.0]]
        for width in WIDTHS:
            found = _walk_all(points, count, links, entries, width, self.k, self.limits)
            curve.append([found[:, 0].mean() / self.k, found[:, 1].mean(), found[:, 2].mean()])
            if curve[-1][0] > RECALLS[-1] + 0.005:
                break
        missed = np.log(np.maximum(1.0 - np.array(curve)[:, 0], 1e-6))
        costs = {}
        for recall in RECALLS:
            for name, column in (("distances", 1), ("expanded", 2)):
                logs = np.log(np.array(curve)[:, column])
                value = np.interp(-np.log(1 - recall), -missed, logs, right=np.nan)
                costs[f"{name}_{recall}"] = float(np.exp(value))
        return costs


def measure_building(queries: int = 1_000) -> Iterator[dict[str, Any]]:
    """One dict for each dataset and way to build: CPU seconds, and costs of a query."""
    for data in prepared_for_building():
        base = np.load(data.base)
        some = slice(0, queries)
        ground = Ground.of(base, np.load(data.queries)[some], data.reach[some], TRUE)
        for name, build in WAYS.items():
            try:
                build(ground.vectors[:500], np.array([0, 128, 256, 384, 500]))  # compiles
            except ImportError:
                continue
            start, wall = time.process_time(), time.perf_counter()
            links = build(ground.vectors, ground.leaves)
            row = {"way": name, "k": TRUE, "cpu_s": time.process_time() - start}
            row |= {"wall_s": time.perf_counter() - wall}
            row |= {"degree": float((links != NONE).sum(axis=1).mean())}
            yield data.about | row | ground.distances(links)


def report_building(rows: Rows) -> list[Figure]:
    found = []
    for row in rows:
        kind = ", synthetic" if row["synthetic"] else ""
        costs = [
            listed([row[f"{name}_{recall}"] for recall in RECALLS], ",.0f")
            for name in ("distances", "expanded")
        ]
        found.append(
            Figure(
                what=f"graph of {row['dataset']} ({row['n']:,} x {row['dim']}{kind}) by "
                f"{row['way']}: CPU seconds to build on one thread, and what a walk costs at "
                "recall@10 .95 / .99",
                goal="",
                measured=f"{row['cpu_s']:.1f} s; {costs[0]} distances, {costs[1]} slots expanded; "
                f"{row['degree']:.1f} links a slot",
                met=None,
            )
        )
    return found


def build_lines(rows: Rows) -> list[str]:
    """A Markdown table of the rows, for the document that decides by it."""
    lines = [
        "| dataset | way | CPU s | links a slot | distances at .95 / .99 | expanded |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        costs = [
            listed([row[f"{name}_{recall}"] for recall in RECALLS], ",.0f")
            for name in ("distances", "expanded")
        ]
        lines.append(
            f"| {row['dataset']} ({row['n']:,} x {row['dim']}) | {row['way']} "
            f"| {row['cpu_s']:.1f} | {row['degree']:.1f} | {costs[0]} | {costs[1]} |"
        )
    return lines
