"""All records of a collection as one commit left them: the sealed segments, then the tail.

A ``Snapshot`` is a value. Searches number its rows by *place*: the slots of the first segment,
those of the next, and after all segments the slots of the tail. Places have no meaning beyond the
snapshot; what the database stores is the slot that a record was given in the tail, its origin.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..index.coded import CodedRun
from ..index.rows import Run
from ..storage.operations import Operation
from ..storage.records import Ids
from .joined import join_operations
from .residence import Tally
from .sealed import Sealed
from .slot_sets import SlotSet
from .tail import Tail


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """``sequence``: its newest write; ``manifest``: which set of segments it has."""

    sequence: int
    manifest: int
    segments: tuple[Sealed, ...] = ()
    tail: Tail

    @cached_property
    def live(self) -> int:
        return sum(sealed.live for sealed in self.segments) + self.tail.live

    def at(self, sequence: int) -> Snapshot:
        """The same records, seen at a later write that changed none of them."""
        return replace(self, sequence=sequence)

    def apply(self, operations: Sequence[Operation]) -> Snapshot:
        """The records after ``operations``, in their order; the sequence is not changed.

        Slots are never used twice, so all can be appended before any is retired.
        """
        tail = self.tail
        for first, ids, vectors in join_operations(operations):
            tail = tail.append(first, ids, vectors)
        retired = [one.retired for one in operations if len(one.retired)]
        if not retired:
            return replace(self, tail=tail)
        origins = np.concatenate(retired)
        return replace(
            self,
            tail=tail.retire(origins[origins >= tail.first]),
            segments=self._retire(origins[origins < tail.first]),
        )

    def _retire(self, origins: NDArray[np.uint64]) -> tuple[Sealed, ...]:
        if not len(origins):
            return self.segments
        return tuple(sealed.retire(origins) for sealed in self.segments)

    # ---------------------------------------------------------------------------------- places

    @cached_property
    def bases(self) -> NDArray[np.int64]:
        """The first place of each segment, and of the tail."""
        return np.cumsum([0, *(len(sealed) for sealed in self.segments)], dtype=np.int64)

    @cached_property
    def _edges(self) -> list[int]:
        """``bases``, for single places."""
        return [int(base) for base in self.bases]

    @property
    def tail_base(self) -> int:
        return self._edges[-1]

    def runs(
        self, origins: NDArray[np.int64] | None = None, tally: Tally | None = None
    ) -> list[Run]:
        """All rows by place, for exact search, or those of some records alone.

        - ``origins``: ascending, each of a live record; None: all records
        - ``tally``: to be told what is read
        """
        chosen = self.chosen(origins)
        runs = [sealed.rows(base, some, tally) for sealed, base, some in chosen]
        tail = self.tail
        rows = tail.rows if origins is None else tail.rows_where(self._in_tail(origins))
        return runs + [some.moved(self.tail_base) for some in rows]

    def coded(self, origins: NDArray[np.int64] | None = None) -> list[CodedRun]:
        """As ``runs``, of codes."""
        runs = [sealed.coded(base, some) for sealed, base, some in self.chosen(origins)]
        return runs + self.coded_tail(origins)

    def chosen(self, origins: NDArray[np.int64] | None) -> list[tuple[Sealed, int, SlotSet | None]]:
        """The segments that hold some of ``origins``, the first place of each, and where they lie.

        None: all records, and all slots.
        """
        return list(self._living() if origins is None else self._chosen(origins))

    def coded_tail(self, origins: NDArray[np.int64] | None) -> list[CodedRun]:
        """The codes of the tail, of these records alone (None: of all)."""
        tail = self.tail
        runs = tail.coded if origins is None else tail.coded_where(self._in_tail(origins))
        return [run.moved(self.tail_base) for run in runs]

    @cached_property
    def walk_width(self) -> int:
        """How wide a walk over all graphs has to be."""
        return max((sealed.segment.walk_width for sealed in self.segments), default=0)

    def at_level(self, level: str) -> Snapshot:
        """The same records, other parts of the segments in memory."""
        moved = (
            one if one.segment.level == level else one.at_level(level) for one in self.segments
        )
        return replace(self, segments=tuple(moved))

    def release(self) -> None:
        """Give back what a search has taken by reading mapped files."""
        for sealed in self.segments:
            sealed.segment.release()

    def live_places(self, segments: Iterable[Sealed]) -> list[NDArray[np.int64]]:
        """The places of live slots, of each of these segments of the snapshot."""
        wanted = {sealed.segment.uuid for sealed in segments}
        return [
            base + sealed.live_slots()
            for sealed, base in self._based()
            if sealed.segment.uuid in wanted
        ]

    def _based(self) -> Iterator[tuple[Sealed, int]]:
        """The segments, each with its first place."""
        return zip(self.segments, self.bases[:-1].tolist(), strict=True)

    def _living(self) -> Iterator[tuple[Sealed, int, None]]:
        """The segments that hold a record."""
        return ((sealed, base, None) for sealed, base in self._based() if sealed.live)

    def _chosen(self, origins: NDArray[np.int64]) -> Iterator[tuple[Sealed, int, SlotSet]]:
        """The segments that hold some of ``origins``, and where."""
        for sealed, base in self._based():
            some = sealed.segment.sets.of(origins)
            if some.count:
                yield sealed, base, some

    def places_where(self, origins: NDArray[np.int64]) -> NDArray[np.int64]:
        """The places of ``origins`` (ascending, each of a stored record), ascending."""
        parts = [base + some.slots for _, base, some in self._chosen(origins)]
        return np.concatenate([*parts, self._in_tail(origins) + self.tail_base])

    def places_of(self, origins: NDArray[np.int64]) -> NDArray[np.int64]:
        """The place of each of ``origins``, in their order; each is of a stored record."""
        places = origins + self.tail_base
        sealed_at = np.flatnonzero(origins < self.tail.first)
        if len(sealed_at):
            left = origins[sealed_at].astype(np.uint64)
            found = np.full(len(left), -1, np.int64)
            for sealed, base in self._based():
                slots = sealed.segment.slot_of_each(left)
                found = np.where(slots >= 0, slots + base, found)
            if (found < 0).any():
                raise AssertionError("a record lies in no segment of its snapshot")
            places[sealed_at] = found
        return places

    def _in_tail(self, origins: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows that were sealed may still lie in the blocks of the tail, out of use."""
        return origins[np.searchsorted(origins, self.tail.first) :]

    def ids_of(self, places: NDArray[np.int64]) -> Ids:
        parts = self._parts(places)
        if len(parts) == 1:
            part, _ = parts[0]
            return self._ids_in(part, places - self.bases[part])
        chosen = [(self._ids_in(part, places[at] - self.bases[part]), at) for part, at in parts]
        if chosen and isinstance(chosen[0][0], list):
            texts = [""] * len(places)
            for some, at in chosen:
                for place, text in zip(at.tolist(), some, strict=True):
                    texts[place] = str(text)
            return texts
        ids = np.empty(len(places), np.int64)
        for some, at in chosen:
            ids[at] = some
        return ids

    def vectors_of(self, places: NDArray[np.int64]) -> NDArray[Any]:
        """[n, dim], copied."""
        schema = self.tail.schema
        vectors = np.empty((len(places), schema.dim), schema.numpy_dtype)
        for part, at in self._parts(places):
            slots = places[at] - self.bases[part]
            if part == len(self.segments):
                vectors[at] = self.tail.vectors_of(slots)
            else:
                vectors[at] = self.segments[part].segment.vectors_of(slots)
        return vectors

    def origins_of(self, places: NDArray[np.int64]) -> NDArray[np.uint64]:
        origins = np.empty(len(places), np.uint64)
        for part, at in self._parts(places):
            slots = places[at] - self.bases[part]
            sealed = part < len(self.segments)
            origins[at] = self.segments[part].segment.origins_of(slots) if sealed else slots
        return origins

    def _ids_in(self, part: int, slots: NDArray[np.int64]) -> Ids:
        if part == len(self.segments):
            return self.tail.ids_of(slots)
        return self.segments[part].segment.ids.take(slots)

    def _parts(self, places: NDArray[np.int64]) -> list[tuple[int, NDArray[np.int64]]]:
        """(segment's number, or their count for the tail; positions in ``places``) of those met."""
        if not len(places):
            return []
        first = bisect_right(self._edges, int(places.min())) - 1
        if first == len(self.segments) or places.max() < self._edges[first + 1]:
            return [(first, np.arange(len(places)))]  # the rule where there are few parts
        part_of = np.searchsorted(self.bases, places, side="right") - 1
        return [(int(part), np.flatnonzero(part_of == part)) for part in np.unique(part_of)]
