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
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..index.rows import as_float32
from ..index.share import share
from ..index.tree_build import build_tree
from ..quantize.bounds import KAPPA, measure_kappa
from ..quantize.center import mean_of, normalise
from ..quantize.planes import Encoder, Quantizer
from ..quantize.rotate import NAME
from ..schema import CollectionSchema
from ..storage.catalogue import CollectionRow
from ..storage.manifest import SegmentRow
from ..storage.pages import geometry
from ..storage.records import Ids, id_kind
from ..storage.segment_files import SegmentWriter
from ..storage.segment_info import ColumnInfo, QuantizerInfo, SegmentInfo, TreeInfo
from .segment import quantizer_of
from .snapshot import Snapshot

LEAF_ROWS = 128
BRANCHING = 32
_PART_BYTES = 8 * 1024 * 1024  # of vectors gathered at once
_KAPPA_ROWS = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What a segment is built of, and by what means.

    - ``places``: int64[n] of ``snapshot``, in any order, n > 0
    - ``sequence``: what the manifest orders segments by
    - ``columns``: of each declared field, by name, the values in the order of ``places``
    - ``progress``: called with the share done, 0.0 to 1.0
    - ``check``: called now and then; what it raises ends the work and removes the files
    """

    root: Path
    row: CollectionRow
    snapshot: Snapshot
    places: NDArray[np.int64]
    sequence: int
    columns: list[list[Any]]
    pool: Executor | None
    threads: int
    progress: Callable[[float], None]
    check: Callable[[], None]

    def run(self) -> SegmentRow:
        """Write the segment's files; its row is for the manifest."""
        schema = self.row.schema
        order = self._order()
        self.progress(0.7)
        quantizer = quantizer_of(schema, self.row.number)
        encoder = Encoder(quantizer, mean_of(self._centred(order.places)))
        with SegmentWriter(self.root, uuid.uuid4()) as writer:
            shape = geometry(schema.dim, schema.dtype, schema.page_bytes)
            writer.start_pages(shape, len(order.places))
            for _, vectors in self._parts(order.places):
                writer.append_vectors(vectors)
            writer.finish_pages()
            self.progress(0.8)
            kappa = self._write_codes(writer, encoder, order.places)
            self.progress(0.95)
            writer.write_tree(order.tree_arrays)
            ids = self.snapshot.ids_of(order.places)
            origins = self.snapshot.origins_of(order.places)
            writer.write_ids(ids, origins)
            for index, (_, kind) in enumerate(sorted(schema.fields.items())):
                column = self.columns[index]
                writer.write_column(index, kind, (column[row] for row in order.rows.tolist()))
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
                quantizer=_quantizer_info(quantizer, kappa),
                tree=order.tree_info,
                columns=tuple(
                    ColumnInfo(name=name, kind=kind) for name, kind in sorted(schema.fields.items())
                ),
                sequence=self.sequence,
                first_origin=int(origins.min()),
                last_origin=int(origins.max()),
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
        """The places in slot order, and the tree over them."""
        schema = self.row.schema
        vectors = np.empty((len(self.places), schema.dim), np.float32)
        for start, part in self._parts(self.places):
            vectors[start : start + len(part)] = _to_code(schema, part)
        seed = self.row.number
        shape = geometry(schema.dim, schema.dtype, schema.page_bytes)
        tree, order = build_tree(
            vectors,
            leaf=LEAF_ROWS,
            branching=BRANCHING,
            page_rows=shape.per_page,
            seed=seed,
            tie_order=_ranks(self.snapshot.ids_of(self.places)),
            threads=self.threads,
            progress=lambda done, total: self.progress(0.7 * done / max(1, total)),
            check=self.check,
        )
        return _Order(
            rows=order,
            places=self.places[order],
            tree_arrays=tree.arrays(),
            tree_info=TreeInfo(leaf=LEAF_ROWS, branching=BRANCHING, seed=seed, nodes=len(tree)),
        )

    def _write_codes(
        self, writer: SegmentWriter, encoder: Encoder, places: NDArray[np.int64]
    ) -> float:
        """Code all rows; the error factor of the scan plane, as measured on some."""
        codes, factors, refine = encoder.quantizer.empty_codes(len(places))

        def work(starts: deque[int]) -> None:
            while True:
                self.check()
                try:
                    start = starts.popleft()
                except IndexError:
                    return
                part = self.snapshot.vectors_of(places[start : start + step])
                encoder.encode(as_float32(part), start, codes, factors, refine)

        step = self._step() // 8 * 8
        share(range(0, len(places), step), work, self.pool, self.threads)
        writer.write_codes(codes, factors, refine, encoder.mean)
        return max(KAPPA, self._measure(encoder, places))

    def _measure(self, encoder: Encoder, places: NDArray[np.int64]) -> float:
        """The error factor of the scan plane, on rows from all over the segment."""
        some = places[:: max(1, len(places) // _KAPPA_ROWS)]
        rows = as_float32(self.snapshot.vectors_of(some))
        codes, factors, _ = encoder.quantizer.empty_codes(len(rows))
        encoder.encode(rows, 0, codes, factors)
        return measure_kappa(encoder, rows, codes, factors)

    def _centred(self, places: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
        """The vectors as they are coded, part by part."""
        return (_to_code(self.row.schema, part) for _, part in self._parts(places))

    def _parts(self, places: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[Any]]]:
        """(start, stored vectors) of the places, part by part."""
        step = self._step()
        for start in range(0, len(places), step):
            self.check()
            yield start, self.snapshot.vectors_of(places[start : start + step])

    def _step(self) -> int:
        return max(64, _PART_BYTES // (4 * self.row.schema.dim))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """``rows``: which of the places given lies in each slot."""

    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    tree_arrays: dict[str, NDArray[Any]]
    tree_info: TreeInfo


def build_bytes(schema: CollectionSchema, rows: int) -> int:
    """About how much memory a build of so many rows takes beside the rows themselves."""
    quantizer = Quantizer(dim=schema.dim, metric=schema.metric, seed=0, bits=schema.code_bits)
    coded = 8 * quantizer.words + 8 + 8 * quantizer.refine_words
    return rows * (4 * schema.dim + coded + 64) + 64 * 1024 * 1024


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
