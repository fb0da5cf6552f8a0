"""Tree order against PageANN's greedy grouping: how many pages the same searches read.

Graph, codes, page size and queries are the same, nothing is cached; only where a row lies differs.
All are counts, so a busy machine does not matter. Two kinds of reading:

- "rerank": the walk goes by codes in memory, pages are read to score its shortlist (level
  "graph+codes"). The shortlist is what all planes leave by one sigma, or a fixed number of rows.
- "walk": neighbours lie on the pages, which are read four a round (level "codes").
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecdb.index.graph_build import build_graph
from vecdb.index.tree_build import build_tree
from vecdb.quantize.bounds import sigma_B
from vecdb.quantize.center import mean_of
from vecdb.quantize.planes import Encoder, Quantizer
from vecdb.quantize.query import QueryPlanes
from vecdb.storage.format import LAYOUT_LINKED
from vecdb.storage.page_geometry import PAGE_SIZES, geometry

from .curves import TARGETS, at_recall, curve
from .datasets import TRUE, nearest, read_arrays, unit_rows
from .grouping_kernels import (
    NONE,
    count_pages,
    group_greedily,
    merge_by_page,
    walk_pages,
    walk_scores,
)
from .recall import VARIABLE

DATASETS = ("glove-100", "wordnet-minilm")
QUERIES = 300
WIDTHS = (10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 400, 640)
PAGE_WIDTHS = (4, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128)
SHORTLISTS = (10, 11, 12, 13, 14, 16, 18, 20, 24, 28, 32, 40, 50, 64)

_DEGREE = 32
_THREADS = 2
_SAMPLE, _STARTS = 64, 8  # every 64th slot is an entry, a walk begins at 8
_BEAM = 4
_SIGMAS = 1.0

Rows = list[dict[str, Any]]


def measure_grouping() -> Iterator[dict[str, Any]]:
    """One dict for each dataset, graph, page size, grouping, kind of reading and setting."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        raise SystemExit(f"set {VARIABLE} to the folder that holds the datasets")
    for name in DATASETS:
        base, queries = (unit_rows(part) for part in read_arrays(Path(folder) / name))
        yield from measure_set(name, base, queries[:QUERIES])


def measure_set(
    name: str, base: NDArray[np.float32], queries: NDArray[np.float32]
) -> Iterator[dict[str, Any]]:
    """``measure_grouping`` of vectors of length 1."""
    for graph, links in (("hnsw", level_0(base)), ("vecdb", built_links(base))):
        for row in _by_pages(base, queries, links):
            yield {"dataset": name, "graph": graph} | row


def _by_pages(
    base: NDArray[np.float32], queries: NDArray[np.float32], links: NDArray[np.uint32]
) -> Iterator[dict[str, Any]]:
    default = geometry(base.shape[1], "float32").page_bytes
    for page_bytes in PAGE_SIZES:
        per_page = geometry(base.shape[1], "float32", page_bytes).per_page
        if per_page < 2:
            continue
        about = {"n": len(base), "dim": base.shape[1], "page_bytes": page_bytes}
        for row in _measure(base, queries, links, page_bytes, per_page, page_bytes == default):
            yield about | row


def level_0(base: NDArray[np.float32]) -> NDArray[np.uint32]:
    """The lowest level of faiss's HNSW: uint32[n, 32], filled with ones at the end."""
    import faiss

    index: Any = faiss.IndexHNSWFlat(base.shape[1], _DEGREE // 2)
    hnsw: Any = index.hnsw
    hnsw.efConstruction = 100
    index.add(base)
    degree = hnsw.nb_neighbors(0)
    first = faiss.vector_to_array(hnsw.offsets)[:-1].astype(np.int64)
    flat = faiss.vector_to_array(hnsw.neighbors)
    return np.ascontiguousarray(flat[first[:, None] + np.arange(degree)].astype(np.uint32))


def built_links(base: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Our graph, as a segment has it, but of rows and not of slots."""
    count = len(base)
    per_page = geometry(base.shape[1], "float32").per_page
    tree, order = build_tree(base, page_rows=per_page, seed=0, tie_order=np.arange(count))
    with ThreadPoolExecutor(_THREADS) as pool:
        links = build_graph(
            np.ascontiguousarray(base[order]),
            np.append(tree.lo[tree.leaves()], count).astype(np.int64),
            np.arange(0, count, _SAMPLE),
            metric="cosine",
            degree=_DEGREE,
            threads=_THREADS,
            pool=pool,
            progress=lambda done, total: None,
            check=lambda: None,
        )
    there = links != NONE
    out = np.full(links.shape, NONE, np.uint32)
    out[there] = order[links[there]]
    return out[np.argsort(order)]


@dataclass(frozen=True, slots=True)
class _Estimates:
    """Codes of rows, unpacked: slow, but with nothing of the kernels that searches use."""

    encoder: Encoder
    add: NDArray[np.float32]
    mul: NDArray[np.float32]
    mul_all: NDArray[np.float32]
    err: NDArray[np.float32]
    signs: NDArray[np.float32]
    values: NDArray[np.float32]

    @staticmethod
    def of(rows: NDArray[np.float32]) -> _Estimates:
        quantizer = Quantizer(dim=rows.shape[1], metric="cosine", seed=0, bits=4)
        encoder = Encoder(quantizer, mean_of([rows]))
        codes, fac, refine = quantizer.empty_codes(len(rows))
        assert refine is not None
        encoder.encode(rows, 0, codes, fac, refine)
        count, words, bits = len(rows), quantizer.words, quantizer.bits
        planes = [codes.transpose(0, 2, 1).reshape(-1, words)[:count]]
        planes += [refine[:, at * words : (at + 1) * words] for at in range(bits - 1)]
        signs = [2.0 * _bits(plane) - 1.0 for plane in planes]
        factors = np.ascontiguousarray(refine[:, -1]).view(np.float32).reshape(-1, 2)
        return _Estimates(
            encoder=encoder,
            add=fac[:, 0].reshape(-1)[:count],
            mul=fac[:, 1].reshape(-1)[:count],
            mul_all=factors[:, 0].copy(),
            err=factors[:, 1].copy(),
            signs=signs[0],
            values=np.sum([2.0 ** (bits - 2 - at) * one for at, one in enumerate(signs)], axis=0),
        )

    def prepare(self, queries: NDArray[np.float32]) -> QueryPlanes:
        return self.encoder.prepare(self.encoder.quantizer.rotate_queries(queries))

    def scan(self, planes: QueryPlanes, query: int) -> NDArray[np.float32]:
        """[n]: estimates by the scan plane."""
        y = _levels(planes.planes4[:, :, query].T) - 7.5
        product = planes.delta4[query] * (self.signs @ y)
        e: NDArray[np.float32] = self.add + self.mul * product + planes.constant[query]
        return e

    def refined(
        self, planes: QueryPlanes, query: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """[n]: estimates by all planes, and their deviations."""
        y = _levels(planes.planes8[query]) - 127.5
        product = planes.delta8[query] * (self.values @ y)
        sigmas = sigma_B(self.mul, self.err, float(planes.length[query]))
        return self.add + self.mul_all * product + planes.constant[query], sigmas


def _bits(words: NDArray[np.uint64]) -> NDArray[np.float32]:
    """[n, 64 W] of 0 and 1, from [n, W]."""
    raw = np.ascontiguousarray(words).view(np.uint8)
    return np.unpackbits(raw, axis=1, bitorder="little").astype(np.float32)


def _levels(planes: NDArray[np.uint64]) -> NDArray[np.float32]:
    """[64 W]: the numbers whose bit j is in ``planes[j]``."""
    weights = 2.0 ** np.arange(len(planes), dtype=np.float32)
    return (weights.astype(np.float32) @ _bits(planes)).astype(np.float32)


def _measure(
    base: NDArray[np.float32],
    queries: NDArray[np.float32],
    links: NDArray[np.uint32],
    page_bytes: int,
    per_page: int,
    walk_too: bool,
) -> Iterator[dict[str, Any]]:
    count = len(base)
    ids = np.arange(count)
    _, order = build_tree(base, page_rows=per_page, seed=0, tie_order=ids)
    slot_of = np.empty(count, np.int64)
    slot_of[order] = ids
    shuffled = np.random.default_rng(0).permutation(count)
    near = nearest(base, queries)

    def pages_of(rows: int) -> dict[str, NDArray[np.int64]]:
        return {
            "tree": slot_of // rows,
            "greedy": group_greedily(base, links, rows, 2),
            "random": shuffled // rows,
        }

    estimates = _Estimates.of(base)
    entries = order[::_SAMPLE].copy()
    places = pages_of(per_page)
    for grouping, page_of in places.items():
        true = np.mean([len(set(page_of[rows].tolist())) for rows in near])
        yield {"kind": "true", "grouping": grouping, "per_page": per_page, "pages": float(true)}
    yield from (
        {"per_page": per_page} | row
        for row in _reranks(links, estimates, queries, near, entries, places)
    )
    if walk_too:
        page = geometry(base.shape[1], "float32", page_bytes, LAYOUT_LINKED)
        about = {"per_page": page.per_page, "page_degree": page.neighbours}
        linked = pages_of(page.per_page)
        found = _walks(links, estimates, queries, near, entries, linked, page.neighbours)
        yield from (about | row for row in found)


def _reranks(
    links: NDArray[np.uint32],
    estimates: _Estimates,
    queries: NDArray[np.float32],
    near: list[NDArray[np.int64]],
    entries: NDArray[np.int64],
    places: dict[str, NDArray[np.int64]],
) -> Iterator[dict[str, Any]]:
    planes = estimates.prepare(queries)
    stamps = np.full(links.shape[0], -1, np.int64)
    sums: dict[tuple[Any, ...], list[float]] = {}
    stamp = 0
    for query, true in enumerate(near):
        scan = estimates.scan(planes, query)
        refined, sigmas = estimates.refined(planes, query)
        for width in WIDTHS:
            found = walk_scores(links, scan, entries, _STARTS, width)
            best = found[np.argsort(-refined[found], kind="stable")]
            low = np.sort(refined[found] - _SIGMAS * sigmas[found])[::-1]
            floor = low[min(TRUE, len(low)) - 1]
            lists = {"sigma": found[refined[found] + _SIGMAS * sigmas[found] >= floor]}
            lists |= {f"{size}": best[:size] for size in SHORTLISTS if size <= width}
            for rule, short in lists.items():
                hits = np.isin(short, true).sum() / TRUE
                for grouping, page_of in places.items():
                    stamp += 1
                    pages = count_pages(page_of, short, stamps, stamp)
                    total = sums.setdefault((grouping, rule, width), [0.0, 0.0])
                    total[0] += min(1.0, hits)
                    total[1] += pages
    for (grouping, rule, width), (found_true, read) in sums.items():
        yield {
            "kind": "rerank sigma" if rule == "sigma" else "rerank fixed",
            "grouping": grouping,
            "shortlist": rule,
            "width": width,
            "recall": found_true / len(near),
            "pages": read / len(near),
        }


def _walks(
    links: NDArray[np.uint32],
    estimates: _Estimates,
    queries: NDArray[np.float32],
    near: list[NDArray[np.int64]],
    entries: NDArray[np.int64],
    places: dict[str, NDArray[np.int64]],
    degree: int,
) -> Iterator[dict[str, Any]]:
    planes = estimates.prepare(queries)
    scores = [estimates.refined(planes, query)[0] for query in range(len(near))]
    for grouping, page_of in places.items():
        members = _members(page_of)
        merged = merge_by_page(links, members, page_of, degree)
        for width in PAGE_WIDTHS:
            hits, pages, rounds = 0.0, 0.0, 0.0
            for query, true in enumerate(near):
                read, turns = walk_pages(
                    merged, members, page_of, scores[query], entries, _STARTS, width, _BEAM
                )
                hits += min(1.0, np.isin(page_of[true], read).sum() / TRUE)
                pages, rounds = pages + len(read), rounds + turns
            yield {
                "kind": "walk",
                "grouping": grouping,
                "width": width,
                "recall": hits / len(near),
                "pages": pages / len(near),
                "rounds": rounds / len(near),
            }


def _members(page_of: NDArray[np.int64]) -> NDArray[np.int64]:
    """[pages, most of a page]: the rows of each page, then -1."""
    order = np.argsort(page_of, kind="stable")
    sizes = np.bincount(page_of)
    starts = np.cumsum(sizes) - sizes
    out = np.full((len(sizes), sizes.max()), -1, np.int64)
    out[page_of[order], np.arange(len(order)) - np.repeat(starts, sizes)] = order
    return out


def pages_at(rows: Rows) -> dict[tuple[str, str, int, str], dict[str, list[float | None]]]:
    """(kind of reading, dataset, page bytes, graph) -> grouping -> mean pages at each recall."""
    curves: dict[tuple[str, str, int, str], dict[str, Rows]] = {}
    for row in rows:
        if "recall" in row:
            key = (row["kind"], row["dataset"], row["page_bytes"], row["graph"])
            curves.setdefault(key, {}).setdefault(row["grouping"], []).append(row)
    return {
        key: {
            grouping: [at_recall(curve(some, "pages"), target, least=True) for target in TARGETS]
            for grouping, some in by_grouping.items()
        }
        for key, by_grouping in curves.items()
    }
