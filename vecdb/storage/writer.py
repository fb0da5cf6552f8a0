"""Group commit: one thread gathers the writes that wait into one synced transaction.

Each write is a function of the group's context. One that raises before it has changed anything
fails alone; one that raises later undoes the transaction, and the writes of its group run again,
each in a transaction of its own. After a failed sync nothing runs again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from .. import limits
from ..errors import LimitExceeded, Unavailable, VecDBError
from .environment import Environment
from .transaction import Transaction


class Context(Protocol):
    """What the writes of one transaction share."""

    def finish(self) -> None:
        """Called once, inside the transaction, after its writes."""

    def publish(self) -> None:
        """Called once, after the sync: make the writes visible. Must not fail."""

    @property
    def sequence(self) -> int:
        """The newest sequence that the transaction holds."""


C = TypeVar("C", bound=Context)


@dataclass(frozen=True, slots=True)
class _Write(Generic[C]):
    run: Callable[[C], Any]
    size_bytes: int
    future: Future[Any]


class _Undo(Exception):
    """Carries a write's error out of a transaction that has to be undone."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Writer(Generic[C]):
    """Owns the thread.

    ``idle`` gives a chore to do between groups of writes, or None; the thread calls it, and again
    after each piece. Work that failed is not tried again before a write has succeeded.
    """

    def __init__(
        self,
        environment: Environment,
        begin: Callable[[Transaction], C],
        idle: Callable[[], Callable[[C], Any] | None],
    ) -> None:
        self._environment = environment
        self._begin = begin
        self._idle = idle
        self._condition = threading.Condition()
        self._waiting: deque[_Write[C]] = deque()  # Guarded by self._condition.
        self._waiting_bytes = 0  # Guarded by self._condition.
        self._woken = False  # Guarded by self._condition.
        self._closing = False  # Guarded by self._condition.
        self._ended_by: BaseException | None = None  # Guarded by self._condition.
        self._chores_failed = False  # Written by the thread only.
        self.commits = 0  # Written by the thread only.
        self._thread = threading.Thread(target=self._run, name="vecdb-writer", daemon=True)
        self._thread.start()

    def submit(self, run: Callable[[C], Any], size_bytes: int) -> Future[Any]:
        """Queue a write; its future holds what ``run`` returned, once that has been synced."""
        self._environment.check_usable()  # before the lock: a fork may have left it locked
        future: Future[Any] = Future()
        with self._condition:
            if self._ended_by is not None:
                raise _ended(self._ended_by, maybe_applied=False)
            if self._closing:
                raise Unavailable("the database is closed", reason="CLOSED", hint="Open it again")
            waiting_bytes = self._waiting_bytes + size_bytes
            if len(self._waiting) >= limits.WRITE_QUEUE:
                raise _queue_full(limits.WRITE_QUEUE, len(self._waiting), "writes")
            if self._waiting and waiting_bytes > limits.WRITE_QUEUE_BYTES:
                raise _queue_full(limits.WRITE_QUEUE_BYTES, waiting_bytes, "bytes")
            self._waiting.append(_Write(run, size_bytes, future))
            self._waiting_bytes += size_bytes
            self._condition.notify()
        return future

    @property
    def depth(self) -> int:
        """Writes that wait."""
        return len(self._waiting)

    def wake(self) -> None:
        """Look for idle work."""
        with self._condition:
            self._woken = True
            self._condition.notify()

    def close(self) -> None:
        """Finish what waits, then end the thread; twice is harmless."""
        if not self._thread.is_alive():  # nor in a forked child, which has no such thread
            return
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._loop()
        except BaseException as error:
            # A bug of ours: what is in memory may not be what was committed. Nobody may be left
            # waiting, and nothing more may be written.
            self._end(error)
            raise

    def _loop(self) -> None:
        while True:
            group = self._take()
            if group:
                self._commit(group)
            with self._condition:
                if self._closing:
                    if self._waiting:
                        continue
                    return
                self._woken = False
            # After each group, not only where none waits: under a steady load one always does.
            chore = None if self._chores_failed else self._idle()
            if chore is not None:
                outcome: Future[Any] = Future()
                self._commit([_Write(chore, 0, outcome)])
                self._chores_failed = outcome.exception() is not None
                continue
            with self._condition:
                while not (self._waiting or self._woken or self._closing):
                    self._condition.wait()

    def _take(self) -> list[_Write[C]]:
        """The writes of the next transaction, [] where none waits."""
        group: list[_Write[C]] = []
        gathered = 0
        with self._condition:
            while self._waiting:
                if group and gathered + self._waiting[0].size_bytes > limits.GROUP_BYTES:
                    break
                write = self._waiting.popleft()
                self._waiting_bytes -= write.size_bytes
                if write.future.set_running_or_notify_cancel():
                    group.append(write)
                    gathered += write.size_bytes
        return group

    def _end(self, error: BaseException) -> None:
        with self._condition:
            self._ended_by = error
            left = list(self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0
        for write in left:
            if write.future.set_running_or_notify_cancel():
                _resolve(write, None, _ended(error, maybe_applied=False))

    def _commit(self, group: list[_Write[C]]) -> None:
        outcomes: list[tuple[_Write[C], Any, Exception | None]] = []
        context: C | None = None

        def apply(transaction: Transaction) -> C:
            outcomes.clear()
            opened = self._begin(transaction)
            for write in group:
                before = transaction.changes
                try:
                    outcomes.append((write, write.run(opened), None))
                except VecDBError as error:
                    if transaction.changes != before:
                        raise _Undo(error) from error
                    outcomes.append((write, None, error))
            opened.finish()
            return opened

        try:
            context = self._environment.write(apply)
        except Exception as error:
            cause = error.error if isinstance(error, _Undo) else error
            if len(group) == 1 or self._environment.failed is not None:
                for write in group:
                    _resolve(write, None, cause)
            else:
                for write in group:
                    self._commit([write])
            return
        self.commits += 1
        self._chores_failed = False
        self._environment.note_commit(context.sequence)
        try:
            context.publish()
        except BaseException as error:
            for write in group:
                _resolve(write, None, _ended(error, maybe_applied=True))
            raise
        for write, answer, failure in outcomes:
            _resolve(write, answer, failure)


def _queue_full(limit: int, actual: int, what: str) -> LimitExceeded:
    return LimitExceeded(
        f"too many writes wait already: {actual} {what}, at most {limit}",
        reason="QUEUE_FULL",
        limit=limit,
        actual=actual,
        retry_after=0.1,
        hint="Try again in a moment, from fewer writers",
    )


def _ended(error: BaseException, *, maybe_applied: bool) -> Unavailable:
    return Unavailable(
        f"the writer thread has ended: {type(error).__name__}: {error}",
        reason="WRITER_ENDED",
        maybe_applied=maybe_applied,
        hint="Open the database again, and report this as a bug",
    )


def _resolve(write: _Write[Any], answer: Any, error: Exception | None) -> None:
    if error is None:
        write.future.set_result(answer)
    else:
        write.future.set_exception(error)
