"""A sealed segment as its level keeps it: parts in memory, the others on the disk; never changed.

A record keeps the slot that it was given in the tail; inside a segment that number is its
``origin``. ``Segment`` is what the files say; ``Sealed`` (``sealed``) is a segment as one commit
sees it.
"""

from __future__ import annotations

import copy
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..index.entries import Entries
from ..index.rows import row_norms
from ..quantize.planes import Encoder, Quantizer
from ..schema import CollectionSchema
from ..storage import segment_files
from ..storage.array_file import MappedArrays
from ..storage.format import LAYOUT_CODED, LAYOUT_VECTORS
from ..storage.manifest import SegmentRow
from ..storage.segment_files import Codes
from ..storage.segment_ids import SegmentIds
from ..storage.segment_info import SegmentInfo
from ..storage.stored_pages import StoredPages
from .levels import resident
from .residence import Residence
from .sealed_rows import PagedRows
from .segment_columns import SegmentColumns
from .segment_tree import SegmentTree
from .slot_sets import SlotSet, SlotSets

RECALL, WIDTH = 0.99, 64
"""What a walk of effort 1 reached among ten at the seal; the width where nothing was measured."""
_NORM_ROWS = 16_384
_OFFSETS_MAX = 2**32
_SPAN, _MANY = 8, 64
"""Origins are marked where a segment's lie this close together and this share of them is wanted."""

Offsets = NDArray[np.uint32] | NDArray[np.uint64]


def quantizer_of(schema: CollectionSchema, number: int) -> Quantizer:
    """The quantizer of a collection: its seed is the collection's number."""
    return Quantizer(dim=schema.dim, metric=schema.metric, seed=number, bits=schema.code_bits)


class Segment:
    """What a level keeps of one segment's files, verified. Immutable; safe for any thread."""

    def __init__(
        self,
        root: Path,
        row: SegmentRow,
        info: SegmentInfo,
        quantizer: Quantizer,
        level: str,
        residence: Residence,
        like: Segment | None = None,
    ) -> None:
        """Read and verify what the level needs; ``DataCorruption`` names what is damaged.

        ``like``: the same segment at another level, whose parts are used again.
        """
        self.row = row
        self.uuid = row.uuid
        self.info = info
        self.level = level
        self.residence = residence
        self._root = root
        self._mapped: list[MappedArrays] = []
        self.columns: SegmentColumns = SegmentColumns(root, info) if like is None else like.columns
        self.tree: SegmentTree = SegmentTree(root, info) if like is None else like.tree
        self.ids, self._offsets, self.order = self._read_ids(like)
        codes = self._read_codes(like)
        self.codes, self.factors, self.refine = codes.codes, codes.fac, codes.refine
        self.encoder: Encoder = Encoder(quantizer, codes.mean) if like is None else like.encoder
        self.kappa = info.quantizer.kappa
        self.mul_max: float = float(codes.fac[:, 1].max()) if like is None else like.mul_max
        self.entries: Entries | None = None
        if info.graph is not None:
            entries = None if like is None else like.entries
            self.entries = entries or Entries.of(self.codes, self.factors, info.count)
        self.links = self._read_links(like)
        self.vectors: NDArray[Any] | None = None
        self.pages: StoredPages | None = None
        if resident("vectors", level):
            self.vectors = segment_files.read_vectors(root, info)
        else:
            self.pages = (like and like.pages) or segment_files.open_pages(root, info)
        self.sets: SlotSets = SlotSets(self.find_set) if like is None else like.sets
        self._norms: NDArray[np.float64] | None = None  # Set once, under self._lock.
        self._lock = threading.Lock()
        self.release()

    def at_level(self, level: str) -> Segment:
        """The same segment, another part of it in memory."""
        return Segment(
            self._root,
            self.row,
            self.info,
            self.encoder.quantizer,
            level,
            self.residence,
            like=self,
        )

    def with_columns(self, row: SegmentRow, info: SegmentInfo) -> Segment:
        """The same segment, which has got more columns."""
        again = copy.copy(self)
        again.row, again.info = row, info
        again.columns = self.columns.extended(info)
        return again

    def __len__(self) -> int:
        return self.info.count

    @property
    def blocks(self) -> int:
        return self.info.blocks

    @property
    def on_pages(self) -> bool:
        """Whether a walk reads neighbours from pages; else there are links, or no graph."""
        return self.info.graph is not None and self.links is None

    @property
    def degraded(self) -> bool:
        """Whether its pages are in a layout for more memory: links or codes are read by mapping."""
        return self.info.graph is not None and bool(self._mapped) and not self.on_pages

    def _read_ids(self, like: Segment | None) -> tuple[SegmentIds, Offsets, NDArray[np.uint32]]:
        """Ids; how far origins are behind the first one; and the slots by origin."""
        if like is not None:
            return like.ids, like._offsets, like.order
        ids, origins = segment_files.read_ids(self._root, self.info)
        offsets: Offsets = origins - np.uint64(self.info.first_origin)
        if self.info.last_origin - self.info.first_origin < _OFFSETS_MAX:
            offsets = offsets.astype(np.uint32)
        return ids, offsets, np.argsort(offsets, kind="stable").astype(np.uint32)

    def _read_codes(self, like: Segment | None) -> Codes:
        wanted = resident("codes", self.level)
        if like is not None and wanted and resident("codes", like.level):
            return Codes(like.codes, like.factors, like.refine, like.encoder.mean)
        if wanted:
            return segment_files.read_codes(self._root, self.info)
        codes, mapped = segment_files.map_codes(self._root, self.info)
        self._mapped.append(mapped)
        return codes

    def _read_links(self, like: Segment | None) -> NDArray[np.uint32] | None:
        if self.info.graph is None:
            return None
        if resident("links", self.level):
            if like is not None and like.links is not None and resident("links", like.level):
                return like.links
            return segment_files.read_graph(self._root, self.info)
        inline = resident("codes", self.level) or self.info.layout == LAYOUT_CODED
        if self.info.layout != LAYOUT_VECTORS and inline:
            return None
        links, mapped = segment_files.map_graph(self._root, self.info)
        self._mapped.append(mapped)
        return links

    def release(self) -> None:
        """Give back what reading mapped files has taken."""
        for mapped in self._mapped:
            mapped.release()
        if self.residence.plan.budget is not None:
            self.columns.release()
            self.tree.release()

    # -------------------------------------------------------------------------------- origins

    def origins_of(self, slots: Any = slice(None)) -> NDArray[np.uint64]:
        """The origins of those slots: all, an index array or a mask."""
        offsets: NDArray[np.uint64] = self._offsets[slots].astype(np.uint64)
        return offsets + np.uint64(self.info.first_origin)

    def slots_of(self, origins: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The slots of those of ``origins`` (in any order) that are in this segment, ascending."""
        slots = self.slot_of_each(self._within(np.asarray(origins, np.uint64)))
        return np.sort(slots[slots >= 0])

    def find_set(self, origins: NDArray[np.uint64]) -> SlotSet:
        """The slots of those of ``origins`` that are in this segment."""
        here = self._within(np.asarray(origins, np.uint64))
        span = self.info.last_origin - self.info.first_origin + 1
        if span > _SPAN * len(self) or _MANY * len(here) < len(self):
            return SlotSet(len(self), slots=self.slots_of(here))
        there = np.zeros(span, np.bool_)  # 300,000 of a million: 3 ms; looked up one by one, 50
        there[here - np.uint64(self.info.first_origin)] = True
        return SlotSet(len(self), mask=np.packbits(there[self._offsets], bitorder="little"))

    def slot_of_each(self, origins: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The slot of each of ``origins``, in their order; -1: not in this segment."""
        wanted = np.asarray(origins, np.uint64)
        slots = np.full(len(wanted), -1, np.int64)
        here = np.flatnonzero(
            (wanted >= self.info.first_origin) & (wanted <= self.info.last_origin)
        )
        if len(here):
            offsets = (wanted[here] - np.uint64(self.info.first_origin)).astype(self._offsets.dtype)
            places = np.searchsorted(self._offsets, offsets, sorter=self.order)
            found = self.order[np.minimum(places, len(self) - 1)]
            slots[here] = np.where(self._offsets[found] == offsets, found.astype(np.int64), -1)
        return slots

    def _within(self, origins: NDArray[np.uint64]) -> NDArray[np.uint64]:
        low, high = self.info.first_origin, self.info.last_origin
        return origins[(origins >= low) & (origins <= high)]

    # -------------------------------------------------------------------------------- vectors

    def vectors_of(self, slots: NDArray[np.int64]) -> NDArray[Any]:
        """[n, dim], copied."""
        if self.vectors is not None:
            return self.vectors[slots]
        return PagedRows(first=0, segment=self, packed=np.empty(0, np.uint8)).take(slots)

    @property
    def has_norms(self) -> bool:
        """Whether ``norms`` were computed."""
        return self._norms is not None

    @property
    def norms(self) -> NDArray[np.float64]:
        """float64[n]; computed when exact search first asks for them. Of vectors in memory."""
        if self.vectors is None:
            raise AssertionError("lengths of vectors on the disk are not kept")
        with self._lock:
            if self._norms is None:
                norms = np.empty(len(self), np.float64)
                for start in range(0, len(self), _NORM_ROWS):
                    stop = min(len(self), start + _NORM_ROWS)
                    norms[start:stop] = row_norms(self.vectors[start:stop])
                self._norms = norms
            return self._norms

    @property
    def walk_width(self) -> int:
        """How wide a walk has to be to find ``RECALL``, or what came nearest; 0: no graph."""
        graph = self.info.graph
        if graph is None:
            return 0
        measured = (self.on_pages and graph.page_widths) or graph.widths
        enough = [width for recall, width in measured if recall >= RECALL]
        return enough[0] if enough else max((width for _, width in measured), default=WIDTH)

    def memory_bytes(self) -> dict[str, int]:
        """Bytes held, by part."""
        norms, codes = self._norms, resident("codes", self.level)
        links = self.links is not None and resident("links", self.level)
        return {
            "codes": self.codes.nbytes + self.factors.nbytes if codes else 0,
            "refine": self.refine.nbytes if codes and self.refine is not None else 0,
            "graph": self.links.nbytes if links and self.links is not None else 0,
            "entries": 0 if self.entries is None else self.entries.nbytes,
            "vectors": 0 if self.vectors is None else self.vectors.nbytes,
            "ids": self.ids.nbytes,
            "origins": self._offsets.nbytes + self.order.nbytes,
            "norms": 0 if norms is None else norms.nbytes,
        }
