"""From chosen rows of a snapshot to the files of a new segment.

The files come to be under a temporary name and are renamed when all of them are synced; nothing
names them until the manifest does.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..index.graph_build import graph_build_bytes, merge_links
from ..index.rows import as_float32
from ..index.share import share
from ..index.tree_build import build_tree
from ..kernels.permute import permute_rows
from ..quantize.bounds import KAPPA, measure_kappa
from ..quantize.center import mean_of, normalise
from ..quantize.planes import Encoder, Quantizer
from ..quantize.rotate import NAME
from ..schema import CollectionSchema
from ..storage.catalogue import CollectionRow
from ..storage.format import LAYOUT_VECTORS
from ..storage.manifest import SegmentRow
from ..storage.page_geometry import PageGeometry, geometry
from ..storage.records import Ids, id_kind
from ..storage.segment_info import ColumnInfo, QuantizerInfo, SegmentInfo, TreeInfo
from ..storage.segment_writer import SegmentWriter
from .fields import for_column
from .levels import GRAPH_DEGREE, GRAPH_SLOTS
from .linking import Coded, Graph, make_graph, measure_on_pages
from .residence import OpenReader
from .segment import quantizer_of
from .snapshot import Snapshot

LEAF_ROWS = 128
BRANCHING = 32
_PART_BYTES = 8 * 1024 * 1024  # of vectors gathered at once
_KAPPA_ROWS = 4_096
_TREE_DONE, _GRAPH_DONE = 0.3, 0.85  # shares of the work, when tree and graph are built


@dataclass(frozen=True, kw_only=True)
class Build:
    """What a segment is built of, and by what means.

    - ``places``: int64[n] of ``snapshot``, in any order, n > 0
    - ``sequence``: what the manifest orders segments by
    - ``layout``: of its pages, ``storage.format.LAYOUT_...``
    - ``open_reader``: gives what reads pages
    - ``columns``: of each declared field, by name, the values in the order of ``places``
    - ``progress``: called with the share done, 0.0 to 1.0
    - ``check``: called now and then; what it raises ends the work and removes the files
    """

    root: Path
    row: CollectionRow
    snapshot: Snapshot
    places: NDArray[np.int64]
    sequence: int
    layout: int
    open_reader: OpenReader
    columns: list[list[Any]]
    pool: Executor | None
    threads: int
    progress: Callable[[float], None]
    check: Callable[[], None]

    def run(self) -> SegmentRow:
        """Write the segment's files; its row is for the manifest."""
        schema = self.row.schema
        order = self._order()
        encoder = Encoder(quantizer_of(schema, self.row.number), mean_of(self._centred(order)))
        coded = self._code(encoder, order)
        graph = self._link(coded, order)
        with SegmentWriter(self.root, uuid.uuid4()) as writer:
            shape = self._write_pages(writer, order, coded, graph)
            page_widths = self._page_widths(writer, shape, graph)
            self.progress(0.95)
            writer.write_codes(coded.codes, coded.factors, coded.refine, encoder.mean)
            if graph is not None:
                writer.write_graph(graph.run.links)
            writer.write_tree(order.tree_arrays)
            ids = self.snapshot.ids_of(order.places)
            origins = self.snapshot.origins_of(order.places)
            writer.write_ids(ids, origins)
            for index, (_, kind) in enumerate(sorted(schema.fields.items())):
                column = self.columns[index]
                values = (column[row] for row in order.rows.tolist())
                writer.write_column(index, kind, for_column(kind, values))
            self.check()
            info = SegmentInfo(
                uuid=writer.uuid,
                count=len(order.places),
                dim=schema.dim,
                metric=schema.metric,
                dtype=schema.dtype,
                id_kind=id_kind(ids),
                page_bytes=shape.page_bytes,
                per_page=shape.per_page,
                quantizer=_quantizer_info(encoder.quantizer, coded.kappa),
                tree=order.tree_info,
                columns=tuple(
                    ColumnInfo(name=name, kind=kind) for name, kind in sorted(schema.fields.items())
                ),
                sequence=self.sequence,
                first_origin=int(origins.min()),
                last_origin=int(origins.max()),
                layout=self.layout,
                graph=None if graph is None else graph.info(page_widths),
            )
            info, checksum = writer.commit(info)
        self.progress(1.0)
        return SegmentRow(
            uuid=info.uuid,
            count=info.count,
            json_checksum=checksum,
            sequence=self.sequence,
            first_origin=info.first_origin,
            last_origin=info.last_origin,
        )

    def _order(self) -> _Order:
        """The places in slot order, their vectors, and the tree over them."""
        schema = self.row.schema
        vectors = np.empty((len(self.places), schema.dim), np.float32)
        for start, part in self._parts(self.places):
            vectors[start : start + len(part)] = _to_code(schema, part)
        seed = self.row.number
        tree, order = build_tree(
            vectors,
            leaf=LEAF_ROWS,
            branching=BRANCHING,
            page_rows=self._shape().per_page,
            seed=seed,
            tie_order=_ranks(self.snapshot.ids_of(self.places)),
            threads=self.threads,
            progress=lambda done, total: self.progress(_TREE_DONE * done / max(1, total)),
            check=self.check,
        )
        linked = len(self.places) >= GRAPH_SLOTS
        leaves = tree.leaves()
        if linked:
            permute_rows(vectors, order)
        return _Order(
            rows=order,
            places=self.places[order],
            vectors=vectors if linked else None,
            leaves=np.append(tree.lo[leaves], len(order)).astype(np.int64),
            tree_arrays=tree.arrays(),
            tree_info=TreeInfo(leaf=LEAF_ROWS, branching=BRANCHING, seed=seed, nodes=len(tree)),
        )

    def _code(self, encoder: Encoder, order: _Order) -> Coded:
        """Code all rows; the error factor of the scan plane, as measured on some."""
        places = order.places
        codes, factors, refine = encoder.quantizer.empty_codes(len(places))

        def work(starts: deque[int]) -> None:
            while True:
                self.check()
                try:
                    start = starts.popleft()
                except IndexError:
                    return
                part = self._vectors_of(places[start : start + step])
                encoder.encode(as_float32(part), start, codes, factors, refine)

        step = self._step() // 8 * 8
        share(range(0, len(places), step), work, self.pool, self.threads)
        kappa = max(KAPPA, self._measure(encoder, places))
        return Coded(encoder=encoder, codes=codes, factors=factors, refine=refine, kappa=kappa)

    def _measure(self, encoder: Encoder, places: NDArray[np.int64]) -> float:
        """The error factor of the scan plane, on rows from all over the segment."""
        some = places[:: max(1, len(places) // _KAPPA_ROWS)]
        rows = as_float32(self._vectors_of(some))
        codes, factors, _ = encoder.quantizer.empty_codes(len(rows))
        encoder.encode(rows, 0, codes, factors)
        return measure_kappa(encoder, rows, codes, factors)

    def _link(self, coded: Coded, order: _Order) -> Graph | None:
        """The graph, and how wide walks on it have to be; None: there are few slots."""
        if order.vectors is None:
            return None
        span = _GRAPH_DONE - _TREE_DONE
        return make_graph(
            coded,
            order.vectors,
            order.leaves,
            seed=self.row.number,
            pool=self.pool,
            threads=self.threads,
            progress=lambda done, total: self.progress(_TREE_DONE + span * done / max(1, total)),
            check=self.check,
        )

    def _write_pages(
        self, writer: SegmentWriter, order: _Order, coded: Coded, graph: Graph | None
    ) -> PageGeometry:
        shape = self._shape()
        neighbours = None
        if graph is not None and shape.layout != LAYOUT_VECTORS:
            neighbours = merge_links(graph.run.links, shape.per_page, shape.neighbours)
        writer.start_pages(shape, len(order.places), neighbours, coded.codes, coded.factors)
        for _, vectors in self._parts(order.places):
            writer.append_vectors(vectors)
        writer.finish_pages()
        return shape

    def _page_widths(
        self, writer: SegmentWriter, shape: PageGeometry, graph: Graph | None
    ) -> tuple[tuple[float, int], ...]:
        """How wide walks have to be on the pages that were just written."""
        if graph is None or shape.layout == LAYOUT_VECTORS:
            return ()
        pages = writer.open_pages(shape, graph.run.count)
        reader = self.open_reader(pages.file, shape.page_bytes)
        return measure_on_pages(graph, pages, reader, self.check)

    def _shape(self) -> PageGeometry:
        schema = self.row.schema
        words = quantizer_of(schema, self.row.number).words
        return geometry(schema.dim, schema.dtype, schema.page_bytes, self.layout, words)

    def _centred(self, order: _Order) -> Iterator[NDArray[np.float32]]:
        """The vectors as they are coded, part by part."""
        return (_to_code(self.row.schema, part) for _, part in self._parts(order.places))

    def _parts(self, places: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[Any]]]:
        """(start, stored vectors) of the places, part by part."""
        step = self._step()
        for start in range(0, len(places), step):
            self.check()
            yield start, self._vectors_of(places[start : start + step])

    def _vectors_of(self, places: NDArray[np.int64]) -> NDArray[Any]:
        """[n, dim] as they are stored."""
        stored = self._stored
        if stored is None:
            return self.snapshot.vectors_of(places)
        return stored[np.searchsorted(self._ascending, places)]

    @cached_property
    def _ascending(self) -> NDArray[np.int64]:
        return np.sort(self.places)

    @cached_property
    def _stored(self) -> NDArray[Any] | None:
        """All vectors by place, where some are on the disk: in slot order each would be a read."""
        if all(one.segment.vectors is not None for one in self.snapshot.segments):
            return None
        if self._ascending[0] >= self.snapshot.tail_base:
            return None
        return self.snapshot.vectors_of(self._ascending)

    def _step(self) -> int:
        return max(64, _PART_BYTES // (4 * self.row.schema.dim))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What lies in each slot.

    - ``rows``: which of the places given; ``places``: the place itself
    - ``vectors``: as they are coded, where a graph is wanted
    - ``leaves``: int64[leaves + 1], the slots where leaves of the tree begin, and the end
    """

    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    vectors: NDArray[np.float32] | None
    leaves: NDArray[np.int64]
    tree_arrays: dict[str, NDArray[Any]]
    tree_info: TreeInfo


def build_bytes(schema: CollectionSchema, rows: int) -> int:
    """About how much memory a build of so many rows takes beside the rows themselves."""
    quantizer = Quantizer(dim=schema.dim, metric=schema.metric, seed=0, bits=schema.code_bits)
    coded = 8 * quantizer.words + 8 + 8 * quantizer.refine_words
    stored = 0 if schema.memory_budget is None else schema.row_bytes
    linked = graph_build_bytes(rows, schema.dim, GRAPH_DEGREE)
    return rows * (4 * schema.dim + coded + stored + 64) + linked + 64 * 1024 * 1024


def disk_bytes(schema: CollectionSchema, rows: int, layout: int) -> int:
    """About how much room the files of a segment of so many rows take."""
    quantizer = Quantizer(dim=schema.dim, metric=schema.metric, seed=0, bits=schema.code_bits)
    shape = geometry(schema.dim, schema.dtype, schema.page_bytes, layout, quantizer.words)
    coded = 8 * quantizer.words + 8 + 8 * quantizer.refine_words
    linked = 4 * GRAPH_DEGREE if rows >= GRAPH_SLOTS else 0
    return shape.pages(rows) * shape.page_bytes + rows * (coded + linked + 64)


def _to_code(schema: CollectionSchema, vectors: NDArray[Any]) -> NDArray[np.float32]:
    """float32 vectors, of length 1 under cosine."""
    wide = as_float32(vectors)
    return normalise(wide) if schema.metric == "cosine" else wide


def _ranks(ids: Ids) -> NDArray[np.int64]:
    """The rank of each id among all."""
    if isinstance(ids, list):
        order = np.array(sorted(range(len(ids)), key=ids.__getitem__), np.int64)
    else:
        order = np.argsort(ids, kind="stable")
    ranks = np.empty(len(ids), np.int64)
    ranks[order] = np.arange(len(ids))
    return ranks


def _quantizer_info(quantizer: Quantizer, kappa: float) -> QuantizerInfo:
    return QuantizerInfo(
        version=Quantizer.VERSION,
        rotation=NAME,
        seed=quantizer.seed,
        padded=quantizer.padded,
        block=quantizer.rotation.block,
        bits=quantizer.bits,
        kappa=kappa,
    )
