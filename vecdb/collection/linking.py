"""The graph of a segment that is being built, and how wide walks on it have to be."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..index.calibrate import NEAREST, Sample, draw_sample, measure_widths
from ..index.entries import Entries, sample_slots
from ..index.graph import GraphRun, Walk, walk_graph
from ..index.graph_build import build_graph
from ..index.page_walk import PagePart, PageWalk, allowance_of, walk_pages
from ..quantize.planes import Encoder
from ..storage.format import LAYOUT_CODED
from ..storage.page_cache import PageCache
from ..storage.page_reader import PageReader
from ..storage.segment_info import GraphInfo
from ..storage.stored_pages import StoredPages
from .levels import GRAPH_DEGREE
from .masks import full_mask

Widths = tuple[tuple[float, int], ...]

_CACHE_BYTES = 32 * 1024 * 1024  # of pages, while walks on them are measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Coded:
    """The codes of all slots, as ``quantize.planes`` has them."""

    encoder: Encoder
    codes: NDArray[np.uint64]
    factors: NDArray[np.float32]
    refine: NDArray[np.uint64] | None
    kappa: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """``run``: links and codes of all slots; ``sample``: what ``widths`` were measured with."""

    run: GraphRun
    sample: Sample
    widths: Widths

    def info(self, page_widths: Widths) -> GraphInfo:
        degree = self.run.links.shape[1]
        return GraphInfo(degree=degree, widths=self.widths, page_widths=page_widths)


def make_graph(
    coded: Coded,
    vectors: NDArray[np.float32],
    leaves: NDArray[np.int64],
    *,
    seed: int,
    pool: Executor | None,
    threads: int,
    progress: Callable[[int, int], None],
    check: Callable[[], None],
) -> Graph:
    """Link all slots.

    - ``vectors``: [n, dim] by slot, as they are coded; ``leaves``: as of ``build_graph``
    """
    count, quantizer = len(vectors), coded.encoder.quantizer
    links = build_graph(
        vectors,
        leaves,
        sample_slots(count),
        metric=quantizer.metric,
        degree=GRAPH_DEGREE,
        threads=threads,
        pool=pool,
        progress=progress,
        check=check,
    )
    run = GraphRun(
        first=0,
        count=count,
        codes=coded.codes,
        factors=coded.factors,
        mask=full_mask(count),
        encoder=coded.encoder,
        kappa=coded.kappa,
        mul_max=float(coded.factors[:, 1].max()),
        refine=coded.refine,
        links=links,
        entries=Entries.of(coded.codes, coded.factors, count),
    )

    def find(queries: NDArray[np.float32], width: int) -> list[NDArray[np.int64]]:
        check()
        walk = Walk(k=NEAREST, width=width, pool=pool, threads=threads)
        return list(walk_graph([run], quantizer, queries, walk).found)

    sample = draw_sample(links, vectors, quantizer.metric, seed)
    return Graph(run=run, sample=sample, widths=measure_widths(sample, find))


def measure_on_pages(
    graph: Graph, pages: StoredPages, reader: PageReader, check: Callable[[], None]
) -> Widths:
    """The same of walks on pages that name neighbours."""
    run, geometry = graph.run, pages.geometry
    inline = geometry.layout == LAYOUT_CODED
    part = PagePart(
        first=0,
        pages=pages,
        mask=run.mask,
        count=run.count,
        encoder=run.encoder,
        kappa=run.kappa,
        entries=run.entries,
        codes=None if inline else run.codes,
        factors=None if inline else run.factors,
        refine=None if inline else run.refine,
    )
    cache = PageCache(_CACHE_BYTES, geometry.page_bytes, reader)

    def find(queries: NDArray[np.float32], width: int) -> list[NDArray[np.int64]]:
        check()
        walk = PageWalk(k=NEAREST, width=width, allowance=allowance_of(width))
        walked = walk_pages([part], run.encoder.quantizer, queries, walk, cache.hold)
        return [one.places for one in walked]

    try:
        return measure_widths(graph.sample, find)
    finally:
        cache.close()
