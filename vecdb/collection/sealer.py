"""The thread that seals tails and compacts segments, beside reads and writes.

One build at a time. It is told of every commit, and asked by ``seal`` and ``compact``. Its work is
done from a snapshot; the writer swaps the result in.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from ..deadline import Deadline
from ..errors import DeadlineExceeded, NotFound, Unavailable
from ..results import SealResult
from ..schema import CollectionSchema
from ..storage.catalogue import CollectionRow, State, columns_due
from .adding_columns import add_columns
from .plans import (
    DEAD_SHARE,
    SPARE_BYTES,
    SPARE_BYTES_AUTOMATIC,
    Choose,
    plan_compaction,
    plan_seal,
)
from .sealed import Sealed
from .sealing import Outdated, Swap
from .tail import row_bytes

if TYPE_CHECKING:
    from .store import Store

_log = logging.getLogger("vecdb")

SEAL_RECORDS = 20_000
SEAL_SHARE = 0.05
SEAL_RECORDS_MAX = 200_000
"""A tail is sealed from max(SEAL_RECORDS, SEAL_SHARE of the collection) on, at most from this."""
TAIL_SHARE, TAIL_BYTES = 1 / 8, 4 * 1024 * 1024
"""Under a memory budget: from this share of it, and at least as many bytes."""
BURIED_RECORDS = 1_000
"""Fewer sealed records that were retired are no reason to look for a compaction."""
_TRIES = 3
_GROWTH = 1.25  # of a tail whose seal failed, until it is tried again

Kind = Literal["seal", "compact", "lay out", "columns"]
_WORDS = {
    "seal": "sealing",
    "compact": "compacting",
    "lay out": "laying out",
    "columns": "adding columns",
}


class _Closing(Exception):
    """Ends a build because the database is being closed."""


@dataclass(slots=True)
class _Request:
    row: CollectionRow
    kind: Kind
    future: Future[SealResult] = field(default_factory=Future)


def tail_limit(count: int, schema: CollectionSchema | None = None) -> int:
    """How many records in the tail call for a seal, of ``count`` in all.

    ``schema``: fewer where the tail would take too much of its memory budget.
    """
    most = SEAL_RECORDS_MAX
    if schema is not None and schema.memory_budget is not None:
        share = max(TAIL_BYTES, int(TAIL_SHARE * schema.memory_budget))
        most = min(most, max(1, share // row_bytes(schema)))
    return min(most, max(SEAL_RECORDS, int(SEAL_SHARE * count)))


def needs_seal(state: State, schema: CollectionSchema | None = None) -> bool:
    return state.count - state.sealed >= tail_limit(state.count, schema)


def choose_compaction(segments: tuple[Sealed, ...]) -> tuple[Sealed, ...]:
    """Segments that should become one: few and large ones are searched best.

    Sizes are kept geometric: a segment joins the larger one before it when together with all
    smaller ones it has half its records. So each record is written again a logarithmic number of
    times. One with many dead slots is written anew by itself.
    """
    by_size = sorted(segments, key=lambda one: (-one.live, one.segment.uuid.bytes))
    smaller = 0
    chosen: tuple[Sealed, ...] = ()
    for place in range(len(by_size) - 1, 0, -1):
        smaller += by_size[place].live
        if 2 * smaller >= by_size[place - 1].live:
            chosen = tuple(by_size[place - 1 :])
    if chosen:
        return chosen
    return tuple(one for one in segments if len(one) - one.live > DEAD_SHARE * len(one))[:1]


class Sealer:
    """Owns the thread, which begins with the first work."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._condition = threading.Condition()
        # All guarded by self._condition.
        self._requests: deque[_Request] = deque()
        self._noted: dict[int, tuple[CollectionRow, State]] = {}
        self._failed: dict[int, int] = {}  # tail's records when its seal failed
        self._looked: dict[int, int] = {}  # records retired when compactions were looked for
        self._working: tuple[int, str] | None = None  # collection's number, word for it
        self._share_done = 0.0
        self._sweeping = False
        self._closing = False
        self._choose: Choose = _worth_joining  # of the thread alone
        self._thread: threading.Thread | None = None

    def note(self, row: CollectionRow, state: State) -> None:
        """A commit has changed the collection: there may be work. Called by the writer."""
        retired = state.buried > max(BURIED_RECORDS, DEAD_SHARE * state.sealed)
        if not retired and not needs_seal(state, row.schema):
            return
        with self._condition:
            if needs_seal(state, row.schema) or state.buried > _GROWTH * self._looked.get(
                row.number, 0
            ):
                self._noted[row.number] = row, state
                self._wake()

    def forget(self, number: int) -> None:
        """The collection has been dropped."""
        with self._condition:
            self._noted.pop(number, None)
            self._failed.pop(number, None)
            self._looked.pop(number, None)

    def sweep(self) -> None:
        """A dropped collection has left the manifest: remove its files."""
        with self._condition:
            self._sweeping = True
            self._wake()

    def request(self, row: CollectionRow, kind: Kind) -> Future[SealResult]:
        """Seal the tail, or compact the segments, as soon as the thread is free."""
        request = _Request(row, kind)
        with self._condition:
            if self._closing:
                raise Unavailable("the database is closed", reason="CLOSED", hint="Open it again")
            self._requests.append(request)
            self._wake()
        return request.future

    def progress_of(self, number: int) -> str:
        """Such as "sealing 40 %"; "" where nothing is done for the collection."""
        with self._condition:
            if self._working is None or self._working[0] != number:
                return ""
            return f"{self._working[1]} {int(100 * self._share_done)} %"

    def is_sealing(self, number: int) -> bool:
        """Whether a build reads the operations of the collection just now."""
        working = self._working
        return working is not None and working[0] == number

    def close(self) -> None:
        """End a build under way, fail what waits; twice is harmless."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join()

    # ------------------------------------------------------------------------------ the thread

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="vecdb-sealer", daemon=True)
            self._thread.start()
        self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                while not (self._requests or self._noted or self._sweeping or self._closing):
                    self._condition.wait()
                if self._closing:
                    for request in self._requests:
                        request.future.set_exception(_closed())
                    self._requests.clear()
                    return
                asked = self._requests.popleft() if self._requests else None
                sweeping, self._sweeping = self._sweeping, False
                noted = self._noted.popitem()[1] if self._noted and asked is None else None
            if sweeping:
                self._sweep_files()
            if asked is not None:
                self._answer(asked)
            elif noted is not None:
                self._tend(*noted)

    def _sweep_files(self) -> None:
        try:
            with self._store.environment.read() as transaction:
                self._store.segments.sweep(transaction)
        except Exception as error:  # they are swept when the database is opened again
            _log.warning("files of dropped collections could not be removed: %s", error)

    def _answer(self, request: _Request) -> None:
        if not request.future.set_running_or_notify_cancel():
            return
        try:
            if request.kind == "lay out":
                result = self._lay_out(request.row)
            else:
                result = self._work(request.row, request.kind, automatic=False)
        except _Closing:
            request.future.set_exception(_closed())
        except BaseException as error:
            request.future.set_exception(error)
        else:
            request.future.set_result(result)

    def _lay_out(self, row: CollectionRow) -> SealResult:
        """Rewrite each segment whose pages are laid out for another level, once."""
        result = SealResult(records=0, segments=0)
        with self._store.view(row.name, with_snapshot=True) as view:
            segments = () if view.snapshot is None else view.snapshot.segments
            wrong = [one.segment.uuid for one in segments if one.segment.degraded]
        for uuid in wrong:
            self._choose = partial(_by_uuid, uuid)
            result = self._work(row, "lay out", automatic=True)
        return result

    def _tend(self, row: CollectionRow, state: State) -> None:
        """What a collection needs by itself: a seal, then compactions."""
        waiting = state.count - state.sealed
        with self._condition:
            self._looked[row.number] = state.buried
            if waiting < _GROWTH * self._failed.get(row.number, 0):
                return
        try:
            if needs_seal(state, row.schema):
                self._work(row, "seal", automatic=True)
            while self._work(row, "compact", automatic=True).records:
                pass
        except (_Closing, NotFound):  # or it has been dropped
            return
        except Exception as error:  # the records are where they were: try again later
            _log.warning("collection %s could not be sealed: %s", row.name, error)
            with self._condition:
                self._failed[row.number] = waiting
            return
        with self._condition:
            self._failed.pop(row.number, None)

    def _work(self, row: CollectionRow, kind: Kind, *, automatic: bool) -> SealResult:
        word = _WORDS[kind]
        with self._condition:
            self._working, self._share_done = (row.number, word), 0.0
        try:
            for _ in range(_TRIES):
                try:
                    return self._once(row, kind, automatic)
                except Outdated:
                    self._check()
            raise Unavailable(
                f"{word} {row.name!r} was overtaken by other changes {_TRIES} times",
                reason="BUSY",
                hint="Try again",
                retry_after=1.0,
            )
        finally:
            with self._condition:
                self._working = None
            if self._store.writer is not None:
                self._store.writer.wake()  # for chores that waited for us

    def _once(self, row: CollectionRow, kind: Kind, automatic: bool) -> SealResult:
        store = self._store
        if kind == "columns":
            return add_columns(store, row, self._show, self._check)
        threads = max(1, store.threads // 2) if automatic else store.threads
        spare = SPARE_BYTES_AUTOMATIC if automatic else SPARE_BYTES
        if kind == "seal":
            swap = plan_seal(store, row, threads, self._show, self._check, spare)
        else:
            choose: Choose = choose_compaction if automatic else _worth_joining
            if kind == "lay out":
                choose = self._choose
            swap = plan_compaction(store, row, choose, threads, self._show, self._check, spare)
        if isinstance(swap, SealResult):
            return swap
        return self._swap_in(swap)

    def _swap_in(self, swap: Swap) -> SealResult:
        store = self._store
        try:
            result: SealResult = store.submit(swap.commit, 0).result()
        except BaseException as error:
            # What may have been committed is named by the manifest: opening again will tell.
            if swap.segment is not None and not getattr(error, "maybe_applied", False):
                store.segments.remove(swap.segment.uuid)
            raise
        swap.clean_up(store.directory)
        with store.environment.read() as transaction:
            if columns_due(transaction, swap.row.number):  # declared while it was built
                store.add_columns(swap.row).add_done_callback(log_failure)
        return result

    def _show(self, share: float) -> None:
        with self._condition:
            self._share_done = share

    def _check(self) -> None:
        if self._closing:
            raise _Closing


def built_result(future: Future[SealResult], deadline: Deadline, *, wait: bool) -> SealResult:
    """What a build that was asked for did; zeros, at once, where ``wait`` is False."""
    if not wait:
        future.add_done_callback(log_failure)
        return SealResult(records=0, segments=0)
    try:
        return future.result(deadline.remaining)
    except TimeoutError:
        if future.cancel():
            future.add_done_callback(log_failure)
        raise DeadlineExceeded(
            "the deadline passed before the segment was built",
            hint="Raise timeout, or pass wait=False and look at describe()",
        ) from None


def log_failure(future: Future[SealResult]) -> None:
    error = None if future.cancelled() else future.exception()
    closed = isinstance(error, Unavailable) and error.reason == "CLOSED"
    if error is not None and not closed:
        _log.warning("a segment could not be built: %s", error)


def _by_uuid(uuid: UUID, segments: tuple[Sealed, ...]) -> tuple[Sealed, ...]:
    return tuple(one for one in segments if one.segment.uuid == uuid)


def _worth_joining(segments: tuple[Sealed, ...]) -> tuple[Sealed, ...]:
    """All, unless there is one only, nothing in it is dead and its pages are as they should be."""
    if (
        len(segments) == 1
        and segments[0].live == len(segments[0])
        and not segments[0].segment.degraded
    ):
        return ()
    return segments


def _closed() -> Unavailable:
    return Unavailable("the database was closed meanwhile", reason="CLOSED", hint="Open it again")
