"""Turning records of the tail, or of several segments, into one new segment.

Built beside everything else from a snapshot, then swapped in by one transaction of the writer. The
writes that came meanwhile are still in the operations: they are replayed on the new segment.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..index.rows import as_float32
from ..quantize.planes import Encoder
from ..quantize.score import background_of, draw_sample
from ..results import SealResult
from ..storage import segment_files
from ..storage.catalogue import CollectionRow, State, find_collection, put_columns_due
from ..storage.format import OPERATION_KEY
from ..storage.manifest import (
    SegmentRow,
    delete_background,
    delete_segment,
    get_tombs,
    put_background,
    put_segment,
    put_tombs,
    scan_segments,
)
from ..storage.operations import scan_operations
from ..storage.patches import drop_patches, scan_patches
from .adding_columns import missing_columns
from .group import Group
from .masks import pack_slots, unpack_mask
from .sealed import Sealed
from .segment import Segment
from .snapshot import Snapshot


class Outdated(Exception):
    """The collection has changed in a way that the new segment does not fit: build again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """A new segment and what it takes the place of.

    - ``seen``, ``snapshot``: what it was built from
    - ``boundary``: all slots of the tail below it are sealed by this; None: of segments only
    - ``through``: the operations up to this sequence are not needed any more; 0: all stay
    - ``taken``: the segments that it takes the place of
    - ``segment``: the new one, read back from its files; None: nothing was live
    - ``background``: of the collection's scores; None: it is too small for one
    """

    row: CollectionRow
    seen: State
    snapshot: Snapshot
    boundary: int | None
    through: int
    taken: tuple[Sealed, ...]
    segment: Segment | None
    background: bytes | None

    def commit(self, group: Group) -> SealResult:
        """Swap it in, in the writer's transaction. Raises ``Outdated``."""
        number = self.row.number
        state = group.state(number)
        if state is None or state.manifest != self.seen.manifest:
            raise Outdated
        if self.boundary is not None and state.trimmed != self.seen.trimmed:
            raise Outdated
        rows = {row.uuid: row for row in scan_segments(group.transaction, number)}
        dead = self._dead_of_taken(group, rows)
        now = replace(state, manifest=state.manifest + 1)
        if self.boundary is not None:
            now = self._trim(group, now)
        for sealed in self.taken:
            delete_segment(group.transaction, number, sealed.segment.uuid)
        if self.segment is not None:
            put_segment(group.transaction, number, self.segment.row)
            stored = find_collection(group.transaction, self.row.name)
            if stored is not None and missing_columns(self.segment.info, stored.schema.fields):
                put_columns_due(group.transaction, number)
            self._drop_patches(group, self.segment)
            slots = self.segment.slots_of(dead)
            if len(slots):
                tombs = pack_slots(slots, len(self.segment))
                put_tombs(group.transaction, number, self.segment.uuid, tombs)
        if self.background is None:
            delete_background(group.transaction, number)
        else:
            put_background(group.transaction, number, self.background)
        group.change(self.row, state, now)
        group.swap(number, self.change)
        count = 0 if self.segment is None else len(self.segment)
        segments = len(rows) - len(self.taken) + (self.segment is not None)
        return SealResult(records=count, segments=segments)

    def _dead_of_taken(self, group: Group, rows: dict[Any, SegmentRow]) -> NDArray[np.uint64]:
        """Origins that the tombs of the taken segments tell of, some perhaps since it was built."""
        found = [np.empty(0, np.uint64)]
        for sealed in self.taken:
            row = rows[sealed.segment.uuid]
            dead = get_tombs(group.transaction, self.row.number, row.uuid, sealed.segment.blocks)
            found.append(sealed.segment.origins_of(unpack_mask(dead, row.count).view(np.bool_)))
        return np.concatenate(found)

    def _drop_patches(self, group: Group, segment: Segment) -> None:
        """The columns have what payloads were when they were read: at ``seen``, not at the swap."""
        patches = scan_patches(group.transaction, self.row.number)
        origins = patches.origins[patches.sequences <= self.seen.sequence].astype(np.uint64)
        inside = origins[segment.slot_of_each(origins) >= 0]
        drop_patches(group.transaction, self.row.number, inside)

    def _trim(self, group: Group, state: State) -> State:
        """Drop the operations that the segment makes superfluous; the state after that."""
        if self.boundary is None:
            raise AssertionError("only a seal trims")
        number, transaction = self.row.number, group.transaction
        for sealed in self.snapshot.segments:  # what the dropped operations told of them
            put_tombs(transaction, number, sealed.segment.uuid, sealed.dead)
        transaction.delete_range(
            "operations",
            OPERATION_KEY.pack(number, 0, 0),
            OPERATION_KEY.pack(number, self.through + 1, 0),
        )
        later = scan_operations(transaction, number, self.row.schema, self.through)
        retired = [one.retired for one in later if len(one.retired)]
        slots = np.concatenate(retired) if retired else np.empty(0, np.uint64)
        sealed_now = 0
        if self.segment is not None:
            sealed_now = len(self.segment) - len(self.segment.slots_of(np.unique(slots)))
        return replace(
            state,
            trimmed=max(state.trimmed, self.through),
            first_slot=self.boundary,
            sealed=state.sealed + sealed_now,
            buried=int(np.count_nonzero(slots < self.boundary)),
        )

    def change(self, newest: Snapshot) -> Snapshot:
        """The snapshot of the same commit with the new segment in place."""
        taken = {sealed.segment.uuid for sealed in self.taken}
        segments = [one for one in newest.segments if one.segment.uuid not in taken]
        tail = newest.tail
        if self.segment is not None:
            fresh = Sealed.without(self.segment, np.zeros(self.segment.blocks, np.uint8))
            if self.boundary is not None:
                origins = self.segment.origins_of()
                gone = origins[~tail.holds(origins)]
            else:
                gone = _dead_origins(one for one in newest.segments if one.segment.uuid in taken)
            segments.append(fresh.retire(gone))
        segments.sort(key=lambda one: (one.segment.row.sequence, one.segment.uuid.bytes))
        if self.boundary is not None:
            tail = tail.without_first(self.boundary)
        # As ``LiveSnapshot`` chooses it when the database is opened again.
        newest_encoder = (
            segments[-1].segment.encoder if segments else Encoder(tail.encoder.quantizer, None)
        )
        if newest_encoder is not tail.encoder:
            tail = tail.coded_by(newest_encoder)
        return replace(newest, segments=tuple(segments), tail=tail)

    def clean_up(self, root: Path) -> None:
        """Remove the files of what was taken; readers hold all they need in memory."""
        for sealed in self.taken:
            segment_files.remove_segment(root, sealed.segment.uuid)


def _dead_origins(segments: Iterable[Sealed]) -> NDArray[np.uint64]:
    found = [np.empty(0, np.uint64)]
    for sealed in segments:
        dead = unpack_mask(sealed.dead, len(sealed)).view(np.bool_)
        found.append(sealed.segment.origins_of(dead))
    return np.concatenate(found)


def tail_rows(
    operations: Iterable[Any], snapshot: Snapshot, state: State, rows_max: int
) -> tuple[NDArray[np.int64], int, int]:
    """(live slots of the tail to seal, boundary, through): all, or the oldest that fit.

    ``operations``: of the snapshot, read only if not all fit.
    """
    slots = snapshot.tail.live_slots()
    if len(slots) <= rows_max:
        return slots, state.next_slot, state.sequence
    boundary, through = state.first_slot, state.trimmed
    sequence, end = through, boundary
    for one in operations:
        if one.sequence != sequence:  # all parts of the one before have been seen
            boundary, through, sequence = end, sequence, one.sequence
        if len(one.vectors):
            end = one.first_slot + len(one.vectors)
        if np.searchsorted(slots, end) > rows_max:
            break
    return slots[: np.searchsorted(slots, boundary)], boundary, through


def make_background(snapshot: Snapshot, number: int) -> bytes | None:
    """Scores between records of the collection, drawn by its number; None where they are few."""
    chosen = draw_sample(snapshot.live, number)
    if not len(chosen):
        return None
    places = snapshot.live_places(snapshot.segments)
    everything = np.concatenate([*places, snapshot.tail_base + snapshot.tail.live_slots()])
    vectors = as_float32(snapshot.vectors_of(everything[chosen]))
    background = background_of(vectors, snapshot.tail.schema.metric)
    return None if background is None else background.to_bytes()
