"""The segments of a database directory: loaded once, shared, removed."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from ..errors import StorageError
from ..storage import segment_files
from ..storage.catalogue import CollectionRow
from ..storage.manifest import SegmentRow, get_tombs, named_segments, put_tombs, scan_segments
from ..storage.segment_info import SegmentInfo
from ..storage.transaction import Transaction
from .levels import add_sizes, choose_level, layout_at, sizes_of
from .masks import pack_slots
from .residence import Residence
from .segment import Segment, quantizer_of

Part = TypeVar("Part")


class Segments:
    """Safe for any thread. A segment stays in memory for as long as some snapshot holds it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        # Guarded by self._lock.
        self._loaded: weakref.WeakValueDictionary[UUID, Segment] = weakref.WeakValueDictionary()

    def info(self, segment_row: SegmentRow) -> SegmentInfo | None:
        """What the segment is; None: its folder is gone."""
        with self._lock:
            segment = self._loaded.get(segment_row.uuid)
        if segment is not None and segment.row == segment_row:
            return segment.info
        return self._unless_gone(
            segment_row,
            lambda: segment_files.read_info(
                self._directory, segment_row.uuid, segment_row.json_checksum
            ),
        )

    def laid_out_wrongly(self, transaction: Transaction, row: CollectionRow) -> bool:
        """Whether pages lack what searches read there under the collection's memory budget."""
        if row.schema.memory_budget is None:
            return False
        try:
            infos = [self.info(one) for one in scan_segments(transaction, row.number)]
        except StorageError:  # the first search says so
            return False
        there = [info for info in infos if info is not None]
        level = choose_level(
            row.schema.memory_budget, add_sizes([sizes_of(info) for info in there])
        ).level
        return any(layout_at(row.schema, level, info.count) > info.layout for info in there)

    def load(
        self,
        row: CollectionRow,
        segment_row: SegmentRow,
        info: SegmentInfo,
        level: str,
        residence: Residence,
    ) -> Segment | None:
        """The segment, what the level wants of its files read and verified; None: it is gone."""
        with self._lock:
            segment = self._loaded.get(segment_row.uuid)
        if segment is not None and segment.row != segment_row:
            segment = segment.with_columns(segment_row, info)
            self.keep([segment])
        if segment is not None and segment.level == level:
            return segment
        if segment is not None:
            segment = segment.at_level(level)
        else:
            quantizer = quantizer_of(row.schema, row.number)
            segment = self._unless_gone(
                segment_row,
                lambda: Segment(self._directory, segment_row, info, quantizer, level, residence),
            )
        if segment is not None:
            self.keep([segment])
        return segment

    def keep(self, segments: Iterable[Segment]) -> None:
        """These are the ones to share from now on."""
        with self._lock:
            self._loaded.update({segment.uuid: segment for segment in segments})

    def _unless_gone(self, segment_row: SegmentRow, read: Callable[[], Part]) -> Part | None:
        """What ``read`` gives; None where a compaction has taken the segment."""
        folder = segment_files.segment_folder(self._directory, segment_row.uuid)
        if not folder.is_dir():
            return None
        try:
            return read()
        except Exception:
            if not folder.is_dir():  # removed while it was read
                return None
            raise

    def load_built(
        self,
        row: CollectionRow,
        segment_row: SegmentRow,
        others: Sequence[SegmentInfo],
        residence: Residence,
    ) -> Segment:
        """A segment that was written just now, read back: what the disk did to it shows here.

        ``others``: what the collection will have beside it, which decides the level.
        """
        try:
            info = self.info(segment_row)
            if info is None:
                raise AssertionError("a segment vanished behind its writer")
            sizes = add_sizes([sizes_of(one) for one in (*others, info)])
            level = choose_level(row.schema.memory_budget, sizes).level
            segment_files.verify_vectors(self._directory, info)
            segment = self.load(row, segment_row, info, level, residence)
            if segment is None:
                raise AssertionError("a segment vanished behind its writer")
        except BaseException:
            self.remove(segment_row.uuid)
            raise
        return segment

    def remove(self, segment: UUID) -> None:
        """Remove the files; who holds the segment keeps it in memory."""
        segment_files.remove_segment(self._directory, segment)

    def sweep(self, transaction: Transaction) -> None:
        """Remove folders that no manifest names; no build may be under way."""
        segment_files.sweep(self._directory, named_segments(transaction))

    def bury(
        self, transaction: Transaction, row: CollectionRow, origins: NDArray[np.uint64]
    ) -> None:
        """Store that the records of these origins, where they lie in segments, are dead."""
        if not len(origins):
            return
        for segment_row in scan_segments(transaction, row.number):
            low, high = segment_row.first_origin, segment_row.last_origin
            near = origins[(origins >= low) & (origins <= high)]
            if not len(near):
                continue
            info = segment_files.read_info(
                self._directory, segment_row.uuid, segment_row.json_checksum
            )
            _, stored = segment_files.read_ids(self._directory, info)
            slots = np.flatnonzero(np.isin(stored, near))
            dead = get_tombs(transaction, row.number, segment_row.uuid, -(-segment_row.count // 8))
            dead |= pack_slots(slots, segment_row.count)
            put_tombs(transaction, row.number, segment_row.uuid, dead)
