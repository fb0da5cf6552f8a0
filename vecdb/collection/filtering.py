"""Which records of a collection match a filter, by id one by one, or all of them at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..deadline import Deadline
from ..filters import EVERYTHING, NOTHING, Node, compile_filter, fields_of
from ..storage.catalogue import CollectionRow, State
from ..storage.format import NUMBER
from ..storage.patches import Patches, count_changes, scan_patches
from ..storage.records import unpack_record
from ..storage.transaction import Transaction
from .bounded import Bounded
from .matching import MaskCache, Matched, Matching, Typed
from .payload import decode_payload
from .record_tests import KnownFields, RecordFields, RecordTests, Test
from .snapshot import Snapshot

_CHECK_RECORDS = 1_024
_CACHE_ENTRIES = 64
_CACHE_SLOTS = 16 * 1024 * 1024


def scan_matching(
    transaction: Transaction,
    row: CollectionRow,
    test: Test | None,
    deadline: Deadline,
    start: bytes | None = None,
) -> Iterator[tuple[bytes, int, int]]:
    """(key, slot, sequence) of the records whose payload passes ``test`` (None: all), by id.

    - ``start``: the first key that may come
    """
    payloads = _Payloads(transaction, row, start) if test is not None else None
    records = transaction.scan("records", NUMBER.pack(row.number), start)
    for count, (key, value) in enumerate(records):
        if count % _CHECK_RECORDS == 0:
            deadline.check("filtering records")
        if payloads is None or test is None or test(payloads.of(key)):
            slot, sequence = unpack_record(key, value)
            yield key, slot, sequence


class _Payloads:
    """The payloads of ascending keys, read along with them."""

    def __init__(self, transaction: Transaction, row: CollectionRow, start: bytes | None) -> None:
        self._scan = transaction.scan("payloads", NUMBER.pack(row.number), start)
        self._key: bytes | None
        self._key, self._text = next(self._scan, (None, b""))

    def of(self, key: bytes) -> dict[str, Any] | None:
        while self._key is not None and self._key < key:
            self._key, self._text = next(self._scan, (None, b""))
        return decode_payload(self._text) if self._key == key else None


def make_test(node: Node | None, row: CollectionRow) -> Test | None:
    """The test of a filter; None where every record passes."""
    return None if node in (None, EVERYTHING) else compile_filter(node, row.schema.fields)


class FilterCache:
    """The slots that recent filters matched, and what is known of segments from before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Guarded by self._lock.
        self._found = Bounded[tuple[int, Typed], Matched](_CACHE_SLOTS, entries=_CACHE_ENTRIES)
        self._masks = MaskCache()
        self._known = KnownFields()
        self._patches: dict[int, tuple[int, Patches]] = {}  # Guarded by self._lock.

    def matching_slots(
        self,
        transaction: Transaction,
        row: CollectionRow,
        state: State,
        node: Node,
        deadline: Deadline,
        snapshot: Snapshot | None = None,
    ) -> NDArray[np.int64]:
        """The slots (origins) of the matching records, ascending.

        ``snapshot``: of the same commit; without one, all records are tested one by one.
        """
        if node == NOTHING:
            return np.empty(0, np.int64)
        fields = row.schema.fields
        typed = node, tuple((name, fields[name]) for name in sorted(fields_of(node)))
        key = row.number, typed
        with self._lock:
            kept = self._found.get(key)
        if kept is not None and kept.sequence == state.sequence:
            return kept.origins
        test = make_test(node, row)
        if snapshot is None or test is None:
            matching = scan_matching(transaction, row, test, deadline)
            origins = np.sort(np.fromiter((slot for _, slot, _ in matching), np.int64))
            found = Matched(sequence=state.sequence, origins=origins)
        else:
            found = Matching(
                records=RecordTests(self.fields_of(transaction, row, deadline), test),
                snapshot=snapshot,
                typed=typed,
                patches=self.patches_of(transaction, row),
                masks=self._masks,
            ).find(kept)
        found.origins.flags.writeable = False
        self._keep(key, found)
        return found.origins

    def _keep(self, key: tuple[int, Typed], found: Matched) -> None:
        with self._lock:
            kept = self._found.peek(key)
            if kept is not None and kept.sequence > found.sequence:
                return  # this was for a reader of an older commit
            self._found.put(key, found, len(found.origins))

    def fields_of(
        self, transaction: Transaction, row: CollectionRow, deadline: Deadline
    ) -> RecordFields:
        """What reads the declared fields of records, and remembers those that no column has."""
        return RecordFields(transaction, row, deadline, self._known)

    def patches_of(self, transaction: Transaction, row: CollectionRow) -> Patches:
        """Of all records whose payload was changed after it was written."""
        version = count_changes(transaction, row.number)
        with self._lock:
            known, patches = self._patches.get(row.number, (-1, None))
        if patches is None or known != version:
            patches = scan_patches(transaction, row.number)
            with self._lock:
                self._patches[row.number] = version, patches
                if len(self._patches) > _CACHE_ENTRIES:
                    self._patches.pop(next(iter(self._patches)))
        return patches
