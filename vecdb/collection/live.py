"""The newest tail of one collection in this process, and how it comes to be and moves on.

A tail is derived: replaying the stored operations gives it. It is loaded when it is first needed
and carried forward by whoever comes first, the writer after its commit or a reader that sees a
commit newer than the tail. Both apply committed operations only, one at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..storage.catalogue import CollectionRow, State
from ..storage.operations import Operation, scan_operations
from ..storage.records import Ids
from ..storage.transaction import Transaction
from .tail import Tail

_GATHER_BYTES = 8 * 1024 * 1024
_GATHER_OPERATIONS = 4_096


class LiveTail:
    """Holds the tail of one collection. Safe for any thread."""

    def __init__(self, row: CollectionRow) -> None:
        self._number = row.number
        self._schema = row.schema
        self._lock = threading.Lock()
        self._tail: Tail | None = None  # Swapped under self._lock; read at once without it.

    @property
    def loaded(self) -> Tail | None:
        """The tail as it is now; None: nothing has asked for it yet."""
        return self._tail

    def at(self, transaction: Transaction, state: State) -> Tail | None:
        """The tail that ``transaction`` sees, whose state of the collection is ``state``.

        None: this process is past that commit already; begin again with a newer transaction.
        """
        tail = self._tail
        if tail is None or tail.sequence < state.sequence:
            with self._lock:
                tail = self._tail
                if tail is None or tail.sequence < state.sequence:
                    tail = self._tail = self._catch_up(tail, transaction, state)
        return tail if tail.sequence == state.sequence else None

    def advance(self, before: int, sequence: int, operations: Sequence[Operation]) -> None:
        """Apply what the writer has committed on top of ``before``.

        A tail that is not loaded, or not at ``before``, is left to the readers; so is one that a
        reader is loading just now, which may take longer than a write may wait.
        """
        if not self._lock.acquire(blocking=False):
            return
        try:
            tail = self._tail
            if tail is not None and tail.sequence == before:
                self._tail = apply_operations(tail, operations).at(sequence)
        finally:
            self._lock.release()

    def _catch_up(self, tail: Tail | None, transaction: Transaction, state: State) -> Tail:
        if tail is None or tail.sequence < state.trimmed:
            tail = Tail(schema=self._schema)  # what lies between has been moved: start over
        after = tail.sequence
        operations = scan_operations(transaction, self._number, self._schema, after)
        for some in _gathered(operations):
            tail = apply_operations(tail, some)
        return tail.at(state.sequence)


def apply_operations(tail: Tail, operations: Sequence[Operation]) -> Tail:
    """The tail after ``operations``, in their order; its sequence is not changed.

    Slots are never used twice, so all can be appended before any is retired.
    """
    for first, ids, vectors in _runs([one for one in operations if len(one.vectors)]):
        tail = tail.append(first, ids, vectors)
    retired = [one.retired for one in operations if len(one.retired)]
    return tail.retire(np.concatenate(retired)) if retired else tail


def _runs(operations: Sequence[Operation]) -> Iterator[tuple[int, Ids, NDArray[Any]]]:
    """(first slot, ids, vectors) of operations whose slots follow each other, joined."""
    start = 0
    for place, one in enumerate(operations):
        following = operations[place + 1].first_slot if place + 1 < len(operations) else -1
        if one.first_slot + len(one.vectors) == following:
            continue
        run = operations[start : place + 1]
        start = place + 1
        if len(run) == 1:
            yield run[0].first_slot, run[0].ids, run[0].vectors
        else:
            yield run[0].first_slot, _join_ids(run), np.concatenate([part.vectors for part in run])


def _join_ids(operations: Sequence[Operation]) -> Ids:
    if isinstance(operations[0].ids, list):
        return [text for one in operations for text in one.ids]
    return np.concatenate([np.asarray(one.ids) for one in operations])


def _gathered(operations: Iterable[Operation]) -> Iterator[list[Operation]]:
    """Some operations at a time: small ones together, within a bounded number of bytes."""
    some: list[Operation] = []
    size_bytes = 0
    for one in operations:
        some.append(one)
        size_bytes += one.vectors.nbytes
        if size_bytes >= _GATHER_BYTES or len(some) >= _GATHER_OPERATIONS:
            yield some
            some, size_bytes = [], 0
    if some:
        yield some
