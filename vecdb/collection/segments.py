"""The segments of a database directory: loaded once, shared, removed."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from ..storage import segment_files
from ..storage.catalogue import CollectionRow
from ..storage.manifest import SegmentRow, get_tombs, named_segments, put_tombs, scan_segments
from ..storage.transaction import Transaction
from .segment import Segment, pack_slots


class Segments:
    """Safe for any thread. A segment stays in memory for as long as some snapshot holds it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        # Guarded by self._lock.
        self._loaded: weakref.WeakValueDictionary[UUID, Segment] = weakref.WeakValueDictionary()

    def load(self, row: CollectionRow, segment_row: SegmentRow) -> Segment | None:
        """The segment, its files read and verified; None: its folder is gone."""
        with self._lock:
            segment = self._loaded.get(segment_row.uuid)
        if segment is not None:
            return segment
        folder = segment_files.segment_folder(self._directory, segment_row.uuid)
        if not folder.is_dir():
            return None
        try:
            segment = Segment(self._directory, segment_row, row.schema, row.number)
        except Exception:
            if not folder.is_dir():  # removed while it was read
                return None
            raise
        with self._lock:
            return self._loaded.setdefault(segment_row.uuid, segment)

    def load_built(self, row: CollectionRow, segment_row: SegmentRow) -> Segment:
        """A segment that was written just now, read back: what the disk did to it shows here."""
        try:
            segment = self.load(row, segment_row)
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
