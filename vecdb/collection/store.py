"""What the collections of one database share: tables, the writer, snapshots, threads, the clock."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from .. import limits
from ..errors import PreconditionFailed
from ..results import SealResult
from ..storage.catalogue import (
    CollectionRow,
    State,
    columns_due,
    find_collection,
    get_state,
    scan_states,
    sweep_dropped,
)
from ..storage.environment import Environment
from ..storage.page_reader import PageFile, PageReader, open_reader
from ..storage.principals import scan_dead
from ..storage.transaction import Transaction
from ..storage.writer import Writer
from .arguments import check_lookup
from .backgrounds import Backgrounds
from .cleaning import clean_step, needs_cleaning
from .filtering import FilterCache
from .granting import sweep_step
from .group import Group, TenantSweep
from .live import LiveSnapshot
from .residence import Residence
from .sealer import Sealer, log_failure
from .segments import Segments
from .snapshot import Snapshot
from .visible import VisibleCache
from .writes import collection_gone

Clock = Callable[[], float]
"""Seconds since 1970, as ``time.time``."""

_SWEEP_KEYS = 2_048


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One collection as one commit left it; valid while its transaction is open.

    ``snapshot`` holds its vectors, where they were asked for; it stays valid.
    """

    transaction: Transaction
    row: CollectionRow
    state: State
    snapshot: Snapshot | None = None


class Store:
    """Opened once for a database directory. Safe for any thread; ``close`` ends it."""

    def __init__(
        self,
        directory: Path,
        *,
        read_only: bool,
        clock: Clock,
        threads: int | None,
        map_bytes: int | None,
        build_memory: int | None = None,
        io_engine: str = "auto",
    ) -> None:
        self.environment = Environment(directory, read_only=read_only, map_bytes=map_bytes)
        self.directory = directory
        self.read_only = read_only
        self.build_memory = build_memory or _build_memory()
        self.threads = threads or os.cpu_count() or 1
        self.pool = ThreadPoolExecutor(max(1, self.threads - 1), thread_name_prefix="vecdb-search")
        self.filters = FilterCache()
        self.visible = VisibleCache()
        self.backgrounds = Backgrounds()
        self.clock = clock
        self._lock = threading.Lock()
        self._live: dict[int, LiveSnapshot] = {}  # Guarded by self._lock.
        # Rows of collections that may hold dead rows; used by the writer thread only, once it runs.
        self._unclean: dict[int, CollectionRow] = {}
        self._dropped = False  # The same.
        self._sweeps: dict[int, TenantSweep] = {}  # The same.
        self.segments = Segments(directory)
        self._io_engine = io_engine
        self._reader: PageReader | None = None  # Set once, under self._lock.
        self.writer: Writer[Group] | None = None
        self.sealer: Sealer | None = None
        if not read_only:
            try:
                self._find_chores()
                self.sealer = Sealer(self)
                self.writer = Writer(self.environment, self._begin, self._chore)
                self._find_seals()
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Finish the writes that wait, then close; twice is harmless."""
        if self.sealer is not None:
            self.sealer.close()
        if self.writer is not None:
            self.writer.close()
        self.environment.close()
        self.pool.shutdown(wait=True)
        with self._lock:  # at once, whoever may keep the database itself
            lives, self._live = list(self._live.values()), {}
            reader, self._reader = self._reader, None
        for live in lives:
            live.residence.close()
        if reader is not None:
            reader.close()

    # ------------------------------------------------------------------------------- reading

    @contextmanager
    def view(self, name: str, *, with_snapshot: bool = False) -> Iterator[View]:
        """A collection, by name or alias, as the newest commit left it."""
        check_lookup(name)
        while True:
            with self.environment.read() as transaction:
                row = find_named(transaction, name)
                state = None if row is None else get_state(transaction, row.number)
                if row is None or state is None:
                    raise collection_gone(name)
                if not with_snapshot:
                    yield View(transaction=transaction, row=row, state=state)
                    return
                snapshot = self._live_in(transaction, row).at(transaction, row, state)
                if snapshot is not None:
                    yield View(transaction=transaction, row=row, state=state, snapshot=snapshot)
                    return

    def row(self, name: str) -> CollectionRow:
        """Name, number and schema of a collection, by name or alias."""
        check_lookup(name)
        with self.environment.read() as transaction:
            row = find_named(transaction, name)
        if row is None:
            raise collection_gone(name)
        return row

    def live_of(self, row: CollectionRow) -> LiveSnapshot | None:
        """What holds the snapshot; None: nothing has asked for its vectors yet."""
        with self._lock:
            return self._live.get(row.number)

    def has_snapshot(self, name: str) -> bool:
        """Whether the collection's vectors are loaded: then a view of them costs nothing."""
        live = self.live_of(self.row(name))
        return live is not None and live.loaded is not None

    def _live_in(self, transaction: Transaction, row: CollectionRow) -> LiveSnapshot:
        with self._lock:
            found = self._live.get(row.number)
            if found is None:
                # Those of collections that another process has dropped, or whose drop overtook a
                # reader, would stay for ever.
                gone = [n for n in self._live if get_state(transaction, n) is None]
                for number in gone:
                    del self._live[number]
                residence = Residence(self.page_reader)
                found = self._live[row.number] = LiveSnapshot(row, self.segments, residence)
            return found

    def page_reader(self, file: PageFile, page_bytes: int) -> PageReader:
        """How pages are read here: tried on the first file that is asked for."""
        with self._lock:
            if self._reader is None:
                self._reader = open_reader(self._io_engine, file, page_bytes)
            return self._reader

    @property
    def io_engine(self) -> str | None:
        """The name of the engine that reads pages; None: none was read yet."""
        with self._lock:
            return None if self._reader is None else self._reader.name

    # ------------------------------------------------------------------------------- writing

    @property
    def now_us(self) -> int:
        """Microseconds since 1970, by the clock of the database."""
        return int(self.clock() * 1e6)

    def submit(self, run: Callable[[Group], Any], size_bytes: int) -> Future[Any]:
        """Queue a write; its future is done when it has been synced and readers see it."""
        if self.writer is None:
            raise _read_only()
        return self.writer.submit(run, size_bytes)

    def build(self, row: CollectionRow, kind: Literal["seal", "compact"]) -> Future[SealResult]:
        """Queue a seal or a compaction."""
        self.environment.check_usable()
        if self.sealer is None:
            raise _read_only()
        return self.sealer.request(row, kind)

    def add_columns(self, row: CollectionRow) -> Future[SealResult]:
        """Have segments given the columns of fields that were declared later."""
        self.environment.check_usable()
        if self.sealer is None:
            raise _read_only()
        return self.sealer.request(row, "columns")

    def lay_out(self, row: CollectionRow) -> None:
        """Have segments rewritten whose pages are laid out for another memory budget."""
        if self.sealer is not None:
            self.sealer.request(row, "lay out").add_done_callback(log_failure)

    def _begin(self, transaction: Transaction) -> Group:
        return Group(transaction, self._publish, self.now_us)

    def _publish(self, group: Group) -> None:
        for number, change in group.changes.items():
            with self._lock:
                live = self._live.get(number)
            swap = group.swaps.get(number)
            if live is not None and swap is not None:
                live.swap(swap, change.before, change.now, change.operations)
            elif live is not None:
                live.advance(change.before, change.now, change.operations)
            if self.sealer is not None:
                self.sealer.note(change.row, change.now)
            if needs_cleaning(change.now):
                self._unclean[number] = change.row
            else:
                self._unclean.pop(number, None)
        for number in group.dropped:
            with self._lock:
                self._live.pop(number, None)
            self._unclean.pop(number, None)
            if self.sealer is not None:
                self.sealer.forget(number)
        for number, sweep in group.sweeps.items():
            if sweep is None:
                self._sweeps.pop(number, None)
            else:
                self._sweeps[number] = sweep
        # Here, after the sync: a chore that failed has to be done again.
        self._dropped = bool(group.dropped) or (self._dropped and not group.swept)
        if group.swept and self.sealer is not None:
            self.sealer.sweep()

    # ---------------------------------------------------------------------------------- chores

    def _find_chores(self) -> None:
        with self.environment.read() as transaction:
            self._dropped = transaction.entries("dropped") > 0
            self.segments.sweep(transaction)
            for row, state in scan_states(transaction):
                if needs_cleaning(state):
                    self._unclean[row.number] = row
                if next(scan_dead(transaction, row.number), None) is not None:
                    self._sweeps[row.number] = TenantSweep(row=row)

    def _find_seals(self) -> None:
        """Go on with seals, and with new layouts, that the end of a process cut short."""
        with self.environment.read() as transaction:
            for row, state in scan_states(transaction):
                if self.sealer is not None:
                    self.sealer.note(row, state)
                if columns_due(transaction, row.number):
                    self.add_columns(row).add_done_callback(log_failure)
                if self.segments.laid_out_wrongly(transaction, row):
                    self.lay_out(row)

    def _chore(self) -> Callable[[Group], Any] | None:
        """Work for a moment when no write waits; None: there is none."""
        if self._dropped:
            return self._sweep
        for sweep in self._sweeps.values():
            return partial(sweep_step, sweep=sweep)
        for row in self._unclean.values():
            if self.sealer is None or not self.sealer.is_sealing(row.number):
                return partial(clean_step, row=row, bury=self.segments.bury)
        return None

    def _sweep(self, group: Group) -> None:
        group.swept = not sweep_dropped(group.transaction, _SWEEP_KEYS)


def _read_only() -> PreconditionFailed:
    return PreconditionFailed(
        "the database is open for reading only",
        reason="READ_ONLY",
        hint="Open it without read_only=True",
    )


def _build_memory() -> int:
    """A quarter of the machine's, within bounds."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(limits.BUILD_BYTES, min(total // 4, limits.BUILD_BYTES_MAX))


def find_named(transaction: Transaction, name: str) -> CollectionRow | None:
    """The collection of that name or alias, whatever text it is."""
    return find_collection(transaction, name) if limits.NAME.fullmatch(name) else None
