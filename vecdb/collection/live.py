"""The newest snapshot of one collection in this process, and how it comes to be and moves on.

A snapshot is derived: the segments that the manifest names, then the stored operations replayed. It
is loaded when it is first needed and carried forward by whoever comes first, the writer after its
commit or a reader that sees a commit newer than the snapshot. Both apply committed operations only,
one at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..errors import DataCorruption
from ..quantize.planes import Encoder
from ..storage.catalogue import CollectionRow, State
from ..storage.manifest import SegmentRow, get_tombs, scan_segments
from ..storage.operations import Operation, scan_operations
from ..storage.transaction import Transaction
from .joined import gather_operations
from .segment import Sealed, Segment, quantizer_of
from .snapshot import Snapshot
from .tail import Tail

LoadSegment = Callable[[CollectionRow, SegmentRow], Segment | None]
"""Reads a segment's files; None: they are gone, so a newer manifest names others."""


class LiveSnapshot:
    """Holds the newest snapshot of one collection. Safe for any thread."""

    def __init__(self, row: CollectionRow, load: LoadSegment) -> None:
        self._row = row
        self._load = load
        self._origin = Encoder(quantizer_of(row.schema, row.number), None)
        self._lock = threading.Lock()
        self._newest: Snapshot | None = None  # Swapped under self._lock; read at once without it.
        # Guarded by self._lock: thread -> the manifest in which it saw a folder that is not there.
        self._missing: dict[int, int] = {}

    @property
    def loaded(self) -> Snapshot | None:
        """The snapshot as it is now; None: nothing has asked for it yet."""
        return self._newest

    def at(self, transaction: Transaction, state: State) -> Snapshot | None:
        """The snapshot that ``transaction`` sees, whose state of the collection is ``state``.

        None: this process is past that commit already; begin again with a newer transaction.
        """
        newest = self._newest
        if newest is None or _is_behind(newest, state):
            with self._lock:
                newest = self._newest
                if newest is None or _is_behind(newest, state):
                    newest = self._catch_up(newest, transaction, state)
                    if newest is None:
                        return None
                    self._newest = newest
        return newest if (newest.sequence, newest.manifest) == _version(state) else None

    def advance(self, before: State, now: State, operations: Sequence[Operation]) -> None:
        """Apply what the writer has committed on top of ``before``.

        A snapshot that is not loaded, or not at ``before``, is left to the readers; so is one that
        a reader is loading just now, which may take longer than a write may wait.
        """
        if now.manifest != before.manifest or not self._lock.acquire(blocking=False):
            return
        try:
            newest = self._newest
            if newest is not None and (newest.sequence, newest.manifest) == _version(before):
                self._newest = newest.apply(operations).at(now.sequence)
        finally:
            self._lock.release()

    def swap(
        self,
        change: Callable[[Snapshot], Snapshot],
        before: State,
        now: State,
        operations: Sequence[Operation],
    ) -> None:
        """As ``advance``, of a commit that has swapped segments: ``change`` is what that does.

        Waits for a reader that is loading: it would have to load all over again. ``change`` comes
        last whatever the order in the commit: it looks at which records are live.
        """
        with self._lock:
            newest = self._newest
            if newest is not None and (newest.sequence, newest.manifest) == _version(before):
                changed = change(newest.apply(operations))
                self._newest = replace(changed, sequence=now.sequence, manifest=now.manifest)

    def _catch_up(
        self, newest: Snapshot | None, transaction: Transaction, state: State
    ) -> Snapshot | None:
        if (
            newest is None
            or newest.manifest != state.manifest
            or newest.sequence < state.trimmed  # what lies between has been moved: start over
        ):
            newest = self._start(newest, transaction, state)
            if newest is None:
                return None
        operations = scan_operations(
            transaction, self._row.number, self._row.schema, newest.sequence
        )
        for some in gather_operations(operations):
            newest = newest.apply(some)
        return newest.at(state.sequence)

    def _start(
        self, old: Snapshot | None, transaction: Transaction, state: State
    ) -> Snapshot | None:
        """The segments of the manifest and an empty tail: before the operations that are left."""
        known = {one.segment.uuid: one.segment for one in old.segments} if old else {}
        segments: list[Sealed] = []
        for row in scan_segments(transaction, self._row.number):
            segment = known.get(row.uuid) or self._load(self._row, row)
            if segment is None:
                self._miss(row, state)
                return None
            dead = get_tombs(transaction, self._row.number, row.uuid, segment.blocks)
            segments.append(Sealed.without(segment, dead))
        self._missing.clear()
        encoder = segments[-1].segment.encoder if segments else self._origin
        tail = Tail(schema=self._row.schema, encoder=encoder, first=state.first_slot)
        # Sequence 0: of an operation that was cut into parts some may be left.
        return Snapshot(sequence=0, manifest=state.manifest, segments=tuple(segments), tail=tail)

    def _miss(self, row: SegmentRow, state: State) -> None:
        """A folder is gone: taken by a compaction, so that a newer commit names another; or lost.

        Raises ``DataCorruption`` when a second look finds the same manifest. A look of another
        thread is no second one: its transaction may be as old as that of the first.
        """
        thread = threading.get_ident()
        if self._missing.get(thread) == state.manifest:
            raise DataCorruption(
                f"segment {row.uuid.hex} is not there",
                path=f"segments/{row.uuid.hex}",
                hint="Restore the database from a backup",
            )
        self._missing[thread] = state.manifest


def _version(state: State) -> tuple[int, int]:
    return state.sequence, state.manifest


def _is_behind(snapshot: Snapshot, state: State) -> bool:
    """Whether ``state`` is of a later commit: neither number ever goes back."""
    return snapshot.sequence < state.sequence or snapshot.manifest < state.manifest
