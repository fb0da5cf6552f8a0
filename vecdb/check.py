"""The checker: reads everything that a database holds and tells what does not fit.

It changes nothing and may run beside a writing process: it looks at one commit, and at a newer one
where a compaction has removed files meanwhile.

1. LMDB's pages fit together, and ``data.mdb`` ends at the commit that the witness tells of.
2. Every value is what was written (its checksum).
3. The files of each segment are what was written; its tree and its codes fit its vectors.
4. Records, payloads, operations and segments agree: each record lies in one row of the operations
   or in one slot of one segment, under its own id, and no other row or slot is live; each payload
   belongs to a record and is what the schema allows, and what columns say of it, unless it has a
   patch; the counters are right.
5. Tenants see what the records say: sets and counters follow from who has each record.
6. Each entry of a cache has its vector, its answer and the keys that lead to it, and no others.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from .check_access import access_faults
from .check_caches import cache_faults
from .check_columns import patch_faults
from .check_segments import SegmentCheck, Vanished
from .collection.payload import encode_payload
from .errors import DataCorruption, VecDBError
from .storage import credentials, files, format
from .storage.caches import scan_caches
from .storage.catalogue import (
    DATA_TABLES,
    CollectionRow,
    State,
    get_counters,
    get_state,
    scan_aliases,
    scan_collections,
)
from .storage.environment import Environment
from .storage.manifest import named_segments
from .storage.operations import scan_operations
from .storage.records import get_records, id_keys, unpack_record
from .storage.segment_files import list_orphans
from .storage.structure import find_damage
from .storage.transaction import Transaction

PROBLEMS = 1_000
"""More problems than this are not listed."""
_SHOW_EVERY = 1_024
_NO_SLOTS = np.empty(0, np.uint64)

Progress = Callable[[str, int], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """``where``: a file, table or collection; ``what``: what is wrong there."""

    where: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """``counts``: what was verified, kind -> number."""

    problems: tuple[Problem, ...]
    counts: dict[str, int]

    @property
    def ok(self) -> bool:
        return not self.problems


def check_directory(
    path: str | os.PathLike[str], *, progress: Progress | None = None, deep: bool = False
) -> CheckReport:
    """Verify the database in the directory ``path``.

    ``progress`` is called with the name of what is being verified and how many of it are done.
    ``deep``: make the codes of all sealed vectors again, not those of some.
    Raises ``NotFound`` if there is no database, ``UnsupportedFormat`` if another version wrote it.
    """
    directory = Path(path)
    files.require_database(directory)
    checker = _Checker(directory, progress or (lambda what, count: None), deep=deep)
    checker.run()
    return CheckReport(problems=tuple(checker.problems), counts=dict(checker.counts))


@dataclass(slots=True)
class _Rows:
    """Slots of the stored operations: ``backed`` hold a record, ``retired`` are out of use."""

    backed: NDArray[np.uint64] = field(default_factory=lambda: _NO_SLOTS)
    retired: NDArray[np.uint64] = field(default_factory=lambda: _NO_SLOTS)


class _Checker:
    """One run; used by one thread."""

    def __init__(self, directory: Path, progress: Progress, *, deep: bool) -> None:
        self._directory = directory
        self._progress = progress
        self._deep = deep
        self._lost: set[UUID] = set()
        self.problems: list[Problem] = []
        self.counts: Counter[str] = Counter()

    def run(self) -> None:
        for what in find_damage(self._directory):
            self._report(files.DATA_FILE, what)
        if self.problems:
            return  # to walk pages that do not fit together would end the process
        try:
            environment = Environment(self._directory, read_only=True)
        except DataCorruption as error:
            self._report(error.path or files.DATA_FILE, error.message)
            return
        try:
            with environment.read() as transaction:
                self._check_values(transaction)
            while not self.problems and not self._relations_checked(environment):
                pass
        finally:
            environment.close()

    def _relations_checked(self, environment: Environment) -> bool:
        """False: a segment was not there, and a newer transaction has to tell why."""
        counts = self.counts.copy()
        try:
            with environment.read() as transaction:
                self._check_relations(transaction)
        except Vanished as gone:
            self._lost.add(gone.segment)
            self.problems.clear()
            self.counts = counts
            return False
        return True

    def _report(self, where: str, what: str) -> None:
        if len(self.problems) < PROBLEMS:
            self.problems.append(Problem(where=where, what=what))

    def _count(self, what: str, number: int = 1) -> None:
        before = self.counts[what]
        self.counts[what] = before + number
        if not before or before // _SHOW_EVERY != (before + number) // _SHOW_EVERY:
            self._progress(what, before + number)

    def _check_values(self, transaction: Transaction) -> None:
        for table in format.TABLES:
            for _, error in transaction.scan_damaged(table, lambda: self._count("values")):
                self._report(f"table {table}", error.message)

    def _check_relations(self, transaction: Transaction) -> None:
        sequence, next_collection = get_counters(transaction)
        numbers = set()
        for row in scan_collections(transaction):
            self._count("collections")
            where = f"collection {row.name}"
            state = get_state(transaction, row.number)
            if state is None:
                self._report(where, "it has no state")
                continue
            if row.number >= next_collection or row.number in numbers:
                self._report(where, f"its number {row.number} is not its own")
            if state.sequence > sequence:
                self._report(where, f"sequence {state.sequence} is above the database's {sequence}")
            numbers.add(row.number)
            for what in self._faults_of(transaction, row, state):
                self._report(where, what)
        for cache in scan_caches(transaction):
            self._count("caches")
            if cache.number in numbers:
                self._report(f"cache {cache.name}", f"its number {cache.number} is not its own")
            numbers.add(cache.number)
            for what in cache_faults(transaction, cache, sequence, next_collection, self._count):
                self._report(f"cache {cache.name}", what)
        self._check_owners(transaction, numbers)
        self._check_names(transaction)
        self._check_keys(transaction)
        orphans = list_orphans(self._directory, named_segments(transaction))
        if orphans:  # what a stop has left, or a build under way: no damage
            self._count("unfinished segments", len(orphans))

    def _faults_of(
        self, transaction: Transaction, row: CollectionRow, state: State
    ) -> Iterator[str]:
        try:
            yield from self._record_faults(transaction, row, state)
            yield from self._payload_faults(transaction, row)
            yield from access_faults(transaction, row, self._count)
        except VecDBError as error:
            yield error.message

    def _record_faults(
        self, transaction: Transaction, row: CollectionRow, state: State
    ) -> Iterator[str]:
        segments = SegmentCheck(
            directory=self._directory,
            transaction=transaction,
            row=row,
            state=state,
            deep=self._deep,
            count=self._count,
            lost=self._lost,
        )
        faults = list(segments.file_faults())
        yield from faults
        rows = _Rows()
        yield from self._operation_faults(transaction, row, state, rows)
        if faults:
            return  # whose records are where cannot be told
        yield from segments.record_faults(rows.retired)
        slots = []
        for key, value in transaction.scan("records", format.NUMBER.pack(row.number)):
            self._count("records")
            slot, sequence = unpack_record(key, value)
            slots.append(slot)
            if sequence > state.sequence:
                yield f"record {key.hex()} is newer than its collection"
        backed = np.concatenate([rows.backed, segments.held])
        lost = np.setdiff1d(np.array(slots, np.uint64), backed)
        if len(lost):
            yield f"{len(lost)} records have no vector, the first in slot {lost[0]}"
        if len(set(slots)) != len(slots):
            yield "two records lie in the same slot"
        yield from patch_faults(transaction, row, state, np.array(slots, np.uint64))
        if len(slots) != state.count:
            yield f"it holds {len(slots)} records, and its state says {state.count}"

    def _operation_faults(
        self, transaction: Transaction, row: CollectionRow, state: State, rows: _Rows
    ) -> Iterator[str]:
        """Fills ``rows``."""
        written: list[int] = []
        backed: list[int] = []
        retired = [_NO_SLOTS]
        for operation in scan_operations(transaction, row.number, row.schema):
            self._count("operations")
            self._count("vectors", len(operation.vectors))
            retired.append(operation.retired)
            keys = id_keys(row.number, operation.ids)
            end = operation.first_slot + len(keys)
            if end > state.next_slot or (keys and operation.first_slot < state.first_slot):
                yield (
                    f"operation {operation.sequence} has slots {operation.first_slot} to {end}, "
                    f"its collection {state.first_slot} to {state.next_slot}"
                )
            stored = get_records(transaction, keys)
            written += range(operation.first_slot, end)
            for slot, key in enumerate(keys, operation.first_slot):
                if stored.get(key, (-1, 0))[0] == slot:
                    backed.append(slot)
        rows.retired = np.unique(np.concatenate(retired))
        live = np.setdiff1d(np.array(written, np.uint64), rows.retired)
        rows.backed = np.intersect1d(np.array(backed, np.uint64), live)
        stray = np.setdiff1d(live, rows.backed)
        if len(stray):
            yield f"{len(stray)} rows hold no record and are not retired, the first {stray[0]}"

    def _payload_faults(self, transaction: Transaction, row: CollectionRow) -> Iterator[str]:
        for key, text in transaction.scan("payloads", format.NUMBER.pack(row.number)):
            self._count("payloads")
            if transaction.get("records", key) is None:
                yield f"payload {key.hex()} belongs to no record"
            try:
                encode_payload(text, row.schema.fields, "payload")
            except VecDBError as error:
                yield f"payload {key.hex()}: {error.message}"

    def _check_owners(self, transaction: Transaction, numbers: set[int]) -> None:
        """Every key of a collection belongs to one that is there, or waits to be swept."""
        known = {format.NUMBER.pack(number) for number in numbers}
        known |= {key for key, _ in transaction.scan("dropped")}
        for table in ("states", "cache_states", *DATA_TABLES):
            heads = {key[: format.NUMBER.size] for key, _ in transaction.scan(table)}
            for head in sorted(heads - known):
                self._report(f"table {table}", f"keys of no collection: number {head.hex()}")

    def _check_keys(self, transaction: Transaction) -> None:
        for key, _ in transaction.scan(credentials.TABLE):
            self._count("API keys")
            try:
                if credentials.find_credential(transaction, key.decode("ascii", "replace")) is None:
                    self._report(f"API key {key[:24].hex()}", "its id is none that we give")
            except DataCorruption as error:
                self._report(f"table {credentials.TABLE}", error.message)

    def _check_names(self, transaction: Transaction) -> None:
        names = {row.name for row in scan_collections(transaction)}
        for alias, target in scan_aliases(transaction):
            self._count("aliases")
            if target not in names or alias in names:
                self._report(f"alias {alias}", f"it names {target!r}")
        timed = {key[format.KEY_TIME.size :] for key, _ in transaction.scan("key_times")}
        stored = {key for key, _ in transaction.scan("keys")}
        self._count("idempotency keys", len(stored))
        if timed != stored:
            self._report("table keys", f"{len(timed ^ stored)} keys without a time, or the reverse")
