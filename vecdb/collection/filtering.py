"""Which records of a collection match a filter: tested one by one, in the order of their ids."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..deadline import Deadline
from ..filters import EVERYTHING, NOTHING, Node, compile_filter
from ..storage.catalogue import CollectionRow, State
from ..storage.format import NUMBER
from ..storage.records import unpack_record
from ..storage.transaction import Transaction
from .payload import decode_payload

_CHECK_RECORDS = 1_024
_CACHE_ENTRIES = 64
_CACHE_SLOTS = 16 * 1024 * 1024

Test = Callable[[Any], bool]


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
    """The slots that recent filters matched, while their collection stays as it was."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Guarded by self._lock; oldest use first.
        self._found: OrderedDict[tuple[int, Node], tuple[int, NDArray[np.int64]]] = OrderedDict()

    def matching_slots(
        self,
        transaction: Transaction,
        row: CollectionRow,
        state: State,
        node: Node,
        deadline: Deadline,
    ) -> NDArray[np.int64]:
        """The slots of the matching records, ascending."""
        if node == NOTHING:
            return np.empty(0, np.int64)
        key = (row.number, node)
        with self._lock:
            sequence, slots = self._found.get(key, (-1, None))
            if slots is not None and sequence == state.sequence:
                self._found.move_to_end(key)
                return slots
        matching = scan_matching(transaction, row, make_test(node, row), deadline)
        found = np.sort(np.fromiter((slot for _, slot, _ in matching), np.int64))
        found.flags.writeable = False
        with self._lock:
            self._found[key] = (state.sequence, found)
            self._found.move_to_end(key)
            while len(self._found) > _CACHE_ENTRIES or self._held_slots() > _CACHE_SLOTS:
                self._found.popitem(last=False)
        return found

    def _held_slots(self) -> int:
        return sum(len(slots) for _, slots in self._found.values())
