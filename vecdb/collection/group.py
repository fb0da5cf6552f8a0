"""What the writes of one transaction share: counters, states, and what to publish after the sync.

Used by the writer thread only. A write reads through the group, so it sees the writes before it in
the same transaction, and checks everything before its first change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from ..storage.catalogue import (
    CollectionRow,
    State,
    get_counters,
    get_state,
    put_counters,
    put_state,
)
from ..storage.operations import Operation
from ..storage.transaction import Transaction
from .snapshot import Snapshot

Publish = Callable[["Group"], None]
P = TypeVar("P", bound="Part")


@dataclass(slots=True, kw_only=True)
class Change:
    """What the group did to one collection: its state before and now, and the operations."""

    row: CollectionRow
    before: State
    now: State
    operations: list[Operation] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantSweep:
    """How far the records of tenants that are gone have been swept.

    - ``dead``: the grant numbers that this pass takes off the records; empty: it begins
    - ``start``: the first key of table ``access`` that it has not seen
    """

    row: CollectionRow
    dead: frozenset[int] = frozenset()
    start: bytes = b""


class Part(Protocol):
    """What the writes of a group to something that is no collection share, such as a cache."""

    def finish(self) -> None:
        """As ``Group.finish``."""

    def publish(self) -> None:
        """As ``Group.publish``."""


class Group:
    """The context of one group commit (``storage.writer.Context``)."""

    def __init__(self, transaction: Transaction, publish: Publish, now_us: int) -> None:
        self.transaction = transaction
        self.now_us = now_us
        self.changes: dict[int, Change] = {}
        self.swaps: dict[int, Callable[[Snapshot], Snapshot]] = {}
        self.dropped: list[int] = []
        self.sweeps: dict[int, TenantSweep | None] = {}  # to go on with; None: done
        self.swept = False  # nothing is left of the collections that were dropped
        self._parts: dict[int, Any] = {}
        self._publish = publish
        self._sequence, self._next_collection = get_counters(transaction)
        self._began = self._sequence, self._next_collection

    @property
    def sequence(self) -> int:
        return self._sequence

    def next_sequence(self) -> int:
        self._sequence += 1
        return self._sequence

    def next_collection(self) -> int:
        number = self._next_collection
        self._next_collection += 1
        return number

    def state(self, number: int) -> State | None:
        """The state of a collection as this transaction has it; None: dropped."""
        change = self.changes.get(number)
        return get_state(self.transaction, number) if change is None else change.now

    def change(
        self, row: CollectionRow, before: State, now: State, operation: Operation | None = None
    ) -> None:
        """Note what a write did; ``before`` is what ``state`` gave it."""
        change = self.changes.setdefault(row.number, Change(row=row, before=before, now=now))
        change.now = now
        if operation is not None:
            change.operations.append(operation)

    def swap(self, number: int, change: Callable[[Snapshot], Snapshot]) -> None:
        """Note that segments were swapped: what makes the new snapshot of the old one."""
        self.swaps[number] = change

    def drop(self, number: int) -> None:
        """Note that a collection is gone."""
        self.changes.pop(number, None)
        self.swaps.pop(number, None)
        self.dropped.append(number)

    def part(self, number: int, make: Callable[[], P]) -> P:
        """The part of that number, made where there is none yet."""
        if number not in self._parts:
            self._parts[number] = make()
        made: P = self._parts[number]
        return made

    def finish(self) -> None:
        for part in self._parts.values():
            part.finish()
        for number, change in self.changes.items():
            put_state(self.transaction, number, change.now)
        if self._began != (self._sequence, self._next_collection):
            put_counters(self.transaction, self._sequence, self._next_collection)

    def publish(self) -> None:
        self._publish(self)
        for part in self._parts.values():
            part.publish()
