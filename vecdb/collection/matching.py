"""Which records match a filter, at one commit: segments by columns, the rest by payload.

What has been found for an earlier commit is used again. The mask that columns give of a segment is
good for as long as the segment; records of the tail are tested when they are new; a record whose
payload was changed since it was written has a patch, and is tested once for each change.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from ..filters import Node
from ..storage.patches import Patches
from .bounded import Bounded
from .column_masks import match_columns
from .masks import slots_in, unpack_mask
from .record_tests import RecordTests
from .sealed import Sealed
from .snapshot import Snapshot

MASK_BYTES = 64 * 1024 * 1024
"""Masks of segments that are kept, those used last."""
_SCATTER_SPAN = 32  # origins among so many numbers each are put in order by marking, not by sorting

Typed = tuple[Node, tuple[tuple[str, str], ...]]
"""A filter and the types of its fields: declared anew, a field may have another."""
Origins = NDArray[np.int64]
Bits = NDArray[np.bool_]

_NO_ORIGINS = np.empty(0, np.int64)
_NO_PATCHES = Patches(_NO_ORIGINS, _NO_ORIGINS)
_NO_BITS = np.empty(0, np.bool_)


class MaskCache:
    """u8[blocks] by segment and filter: the slots that match, dead or alive. For any thread."""

    def __init__(self, most_bytes: int = MASK_BYTES) -> None:
        self._lock = threading.Lock()
        # Guarded by self._lock. With the sequence that the mask is good from.
        self._masks = Bounded[tuple[UUID, Typed], tuple[int, NDArray[np.uint8]]](most_bytes)

    def get(self, segment: UUID, typed: Typed, sequence: int) -> NDArray[np.uint8] | None:
        """The mask as a commit of that sequence sees it, but for patched records."""
        with self._lock:
            kept = self._masks.get((segment, typed))
        return None if kept is None or kept[0] > sequence else kept[1]

    def put(self, segment: UUID, typed: Typed, since: int, mask: NDArray[np.uint8]) -> None:
        with self._lock:
            self._masks.put((segment, typed), (since, mask), mask.nbytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """What a filter matched at one commit.

    - ``origins``: ascending; the first ``sealed`` of them lie in segments
    - ``masks``: the live slots of each segment then
    - ``tested``: all slots of the tail below have been tested
    - ``patches``, ``patched``: the records that had a patch, and whether each matched
    """

    sequence: int
    origins: Origins
    sealed: int = 0
    masks: tuple[tuple[UUID, NDArray[np.uint8]], ...] | None = None
    tested: int = 0
    patches: Patches = _NO_PATCHES
    patched: Bits = field(default_factory=lambda: _NO_BITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """One filter at one commit; ``snapshot`` and ``patches`` are of that of ``records``."""

    records: RecordTests
    snapshot: Snapshot
    typed: Typed
    patches: Patches
    masks: MaskCache

    def find(self, kept: Matched | None) -> Matched:
        """``kept``: what was found at another commit."""
        if kept is None or kept.masks is None or kept.sequence > self.snapshot.sequence:
            kept = Matched(sequence=-1, origins=_NO_ORIGINS)
        patched = self._test_patched(kept)
        first = np.searchsorted(self.patches.origins, self.snapshot.tail.first)
        sealed = self._sealed(kept, slice(None, first), patched)
        tail = _override(self._tail(kept), self.patches.origins[first:], patched[first:])
        return Matched(
            sequence=self.snapshot.sequence,
            origins=np.concatenate([sealed, tail]),
            sealed=len(sealed),
            masks=tuple((one.segment.uuid, one.mask) for one in self.snapshot.segments),
            tested=self.snapshot.tail.size,
            patches=self.patches,
            patched=patched,
        )

    def _test_patched(self, kept: Matched) -> Bits:
        """Whether each record with a patch matches; a change is tested once."""
        patches = self.patches
        found = np.zeros(len(patches), np.bool_)
        places = np.searchsorted(kept.patches.origins, patches.origins)
        known = places < len(kept.patches)
        at = places[known]
        known[known] = (kept.patches.origins[at] == patches.origins[known]) & (
            kept.patches.sequences[at] == patches.sequences[known]
        )
        found[known] = kept.patched[places[known]]
        new = np.flatnonzero(~known)
        if len(new):
            snapshot = self.snapshot
            found[new] = self.records.of_known(
                patches.origins[new],
                patches.sequences[new],
                lambda origins: snapshot.ids_of(snapshot.places_of(origins)),
            )
        return found

    # ------------------------------------------------------------------------------- segments

    def _sealed(self, kept: Matched, some: slice, patched: Bits) -> Origins:
        """Those that match in segments, ascending; ``some``: of the patches, those there."""
        found = self._still_sealed(kept)
        if found is None:
            slots = [self._slots_in(sealed) for sealed in self.snapshot.segments]
            found = _origins_of(self.snapshot.segments, slots)
        return _override(found, self.patches.origins[some], patched[some])

    def _still_sealed(self, kept: Matched) -> Origins | None:
        """Of those kept the ones that are not dead; None: there are other segments now."""
        now = self.snapshot.segments
        before = dict(kept.masks or ())
        if kept.masks is None or list(before) != [one.segment.uuid for one in now]:
            return None
        found = kept.origins[: kept.sealed]
        masks = [before[one.segment.uuid] for one in now]
        dead = [
            np.empty(0, np.int64) if mask is one.mask else slots_in(mask & ~one.mask, len(one))
            for one, mask in zip(now, masks, strict=True)
        ]
        gone = _origins_of(now, dead)
        return _override(found, gone, np.zeros(len(gone), np.bool_))

    def _slots_in(self, sealed: Sealed) -> NDArray[np.int64]:
        return slots_in(self._mask_of(sealed) & sealed.mask, len(sealed))

    def _mask_of(self, sealed: Sealed) -> NDArray[np.uint8]:
        """By columns, and by payload where these do not tell; patched records as they were."""
        segment, sequence = sealed.segment, self.snapshot.sequence
        mask = self.masks.get(segment.uuid, self.typed, sequence)
        if mask is not None:
            return mask
        self.records.deadline.check("filtering records")
        test_slots = partial(self._test_slots, sealed)
        columns = segment.columns.of(self.records.fields.row.schema.fields)
        bits = match_columns(self.typed[0], columns, len(segment), test_slots)
        mask = np.packbits(bits, bitorder="little")
        mask.flags.writeable = False
        self.masks.put(segment.uuid, self.typed, sequence, mask)
        return mask

    def _test_slots(self, sealed: Sealed, slots: NDArray[np.int64]) -> Bits:
        """Dead ones have no payload to test."""
        live = unpack_mask(sealed.mask, len(sealed))[slots].view(np.bool_)
        found = np.zeros(len(slots), np.bool_)
        found[live] = self.records.of(sealed.segment.ids.take(slots[live]))
        return found

    # ----------------------------------------------------------------------------------- tail

    def _tail(self, kept: Matched) -> Origins:
        """Those that match in the tail; patched records are left out, or as they were."""
        tail = self.snapshot.tail
        before = kept.origins[kept.sealed :]
        before = before[np.searchsorted(before, tail.first) :]
        before = before[tail.holds(before.astype(np.uint64))]
        live = tail.live_slots()
        new = live[np.searchsorted(live, max(kept.tested, tail.first)) :]
        new = np.setdiff1d(new, self.patches.origins, assume_unique=True)
        if not len(new):
            return before
        unchanged = np.zeros(len(new), np.int64)
        return np.concatenate([before, new[self.records.of_known(new, unchanged, tail.ids_of)]])


def _origins_of(segments: Sequence[Sealed], slots: Sequence[NDArray[np.int64]]) -> Origins:
    """The origins of these slots of each segment, ascending."""
    found = [
        one.segment.origins_of(some).astype(np.int64)
        for one, some in zip(segments, slots, strict=True)
        if len(some)
    ]
    if not found:
        return _NO_ORIGINS
    origins = np.concatenate(found)
    low, high = int(origins.min()), int(origins.max())
    if high - low > _SCATTER_SPAN * len(origins):
        return np.sort(origins)
    there = np.zeros(high - low + 1, np.bool_)  # 300,000 of a million in 2 ms; sorted, in 13
    there[origins - low] = True
    return np.flatnonzero(there) + low


def _override(origins: Origins, patched: Origins, matches: Bits) -> Origins:
    """``origins`` with the answers of ``patched`` in place of their own; all ascend."""
    if not len(patched):
        return origins
    places = np.searchsorted(origins, patched)
    there = places < len(origins)
    there[there] = origins[places[there]] == patched[there]
    own = np.delete(origins, places[there])
    new = patched[matches]
    return np.insert(own, np.searchsorted(own, new), new)
