"""The newest snapshot of one collection in this process, and how it comes to be and moves on.

A snapshot is derived: the segments that the manifest names, then the stored operations replayed. It
is loaded when it is first needed and carried forward by whoever comes first, the writer after its
commit or a reader that sees a commit newer than the snapshot. Both apply committed operations only,
one at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from ..errors import DataCorruption
from ..quantize.planes import Encoder
from ..storage.catalogue import CollectionRow, State
from ..storage.files import give_back_memory
from ..storage.manifest import SegmentRow, get_tombs, scan_segments
from ..storage.operations import Operation, scan_operations
from ..storage.transaction import Transaction
from .joined import gather_operations
from .levels import sizes_of
from .residence import Residence
from .sealed import Sealed
from .segment import quantizer_of
from .segments import Segments
from .snapshot import Snapshot
from .tail import Tail


class LiveSnapshot:
    """Holds the newest snapshot of one collection. Safe for any thread."""

    def __init__(self, row: CollectionRow, segments: Segments, residence: Residence) -> None:
        self._row = row
        self._segments = segments
        self.residence = residence
        self._origin = Encoder(quantizer_of(row.schema, row.number), None)
        self._lock = threading.Lock()
        self._newest: Snapshot | None = None  # Swapped under self._lock; read at once without it.
        # What the level was chosen for: manifest and budget. Swapped as the snapshot is.
        self._planned: tuple[int, int | None] | None = None
        # Guarded by self._lock: thread -> the manifest in which it saw a folder that is not there.
        self._missing: dict[int, int] = {}

    @property
    def loaded(self) -> Snapshot | None:
        """The snapshot as it is now; None: nothing has asked for it yet."""
        return self._newest

    def at(self, transaction: Transaction, row: CollectionRow, state: State) -> Snapshot | None:
        """The snapshot that ``transaction`` sees, whose state of the collection is ``state``.

        Its segments are at the level that the memory budget of ``row`` allows.
        None: this process is past that commit already; begin again with a newer transaction.
        """
        newest = self._newest
        budget = row.schema.memory_budget
        if newest is None or _is_behind(newest, state) or not self._is_planned(newest, budget):
            with self._lock:
                newest = self._newest
                if newest is None or _is_behind(newest, state):
                    newest = self._catch_up(newest, transaction, state, budget)
                    if newest is None:
                        return None
                if not self._is_planned(newest, budget):
                    newest = self._move(newest, budget)
                self._newest = newest
        if budget is not None:
            self.residence.fit(newest.tail.memory_bytes)
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
                self._drop_pages(newest, changed.segments)
                self._newest = replace(changed, sequence=now.sequence, manifest=now.manifest)

    def _is_planned(self, newest: Snapshot, budget: int | None) -> bool:
        return self._planned == (newest.manifest, budget)

    def _move(self, newest: Snapshot, budget: int | None) -> Snapshot:
        """The same records with their segments at the level that is right now."""
        infos = [one.segment.info for one in newest.segments]
        plan = self.residence.decide(budget, [sizes_of(info) for info in infos])
        moved = newest.at_level(plan.level)
        self._segments.keep(one.segment for one in moved.segments)
        self._planned = newest.manifest, budget
        if budget is not None:
            give_back_memory()
        return moved

    def _catch_up(
        self,
        newest: Snapshot | None,
        transaction: Transaction,
        state: State,
        budget: int | None,
    ) -> Snapshot | None:
        if (
            newest is None
            or newest.manifest != state.manifest
            or newest.sequence < state.trimmed  # what lies between has been moved: start over
        ):
            newest = self._start(newest, transaction, state, budget)
            if newest is None:
                return None
        operations = scan_operations(
            transaction, self._row.number, self._row.schema, newest.sequence
        )
        for some in gather_operations(operations):
            newest = newest.apply(some)
        return newest.at(state.sequence)

    def _start(
        self,
        old: Snapshot | None,
        transaction: Transaction,
        state: State,
        budget: int | None,
    ) -> Snapshot | None:
        """The segments of the manifest and an empty tail: before the operations that are left."""
        number = self._row.number
        rows = list(scan_segments(transaction, number))
        infos = []
        for row in rows:
            info = self._segments.info(row)
            if info is None:
                self._miss(row, state)
                return None
            infos.append(info)
        plan = self.residence.decide(budget, [sizes_of(info) for info in infos])
        segments: list[Sealed] = []
        for row, info in zip(rows, infos, strict=True):
            segment = self._segments.load(self._row, row, info, plan.level, self.residence)
            if segment is None:
                self._miss(row, state)
                return None
            dead = get_tombs(transaction, number, row.uuid, segment.blocks)
            segments.append(Sealed.without(segment, dead))
        self._missing.clear()
        self._drop_pages(old, segments)
        self._planned = state.manifest, budget
        if budget is not None:
            give_back_memory()
        encoder = segments[-1].segment.encoder if segments else self._origin
        tail = Tail(schema=self._row.schema, encoder=encoder, first=state.first_slot)
        # Sequence 0: of an operation that was cut into parts some may be left.
        return Snapshot(sequence=0, manifest=state.manifest, segments=tuple(segments), tail=tail)

    def _drop_pages(self, old: Snapshot | None, now: Iterable[Sealed]) -> None:
        """Let go of the cached pages of segments that are no more."""
        kept = {one.segment.uuid for one in now}
        for one in () if old is None else old.segments:
            if one.segment.uuid not in kept and one.segment.pages is not None:
                self.residence.drop(one.segment.pages)

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
