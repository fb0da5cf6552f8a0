"""Group commit: one thread gathers the writes that wait into one synced transaction.

Each write is a function of the group's context. One that raises before it has changed anything
fails alone; one that raises later undoes the transaction, and the writes of its group run again,
each in a transaction of its own.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
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
    """Owns the thread. ``idle`` runs when nothing waits, and tells whether it has more to do."""

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
        self._closing = False  # Guarded by self._condition.
        self._chores_failed = False  # Written by the thread only.
        self.commits = 0  # Written by the thread only.
        self._thread = threading.Thread(target=self._loop, name="vecdb-writer", daemon=True)
        self._thread.start()

    def submit(self, run: Callable[[C], Any], size_bytes: int) -> Future[Any]:
        """Queue a write; its future holds what ``run`` returned, once that has been synced."""
        future: Future[Any] = Future()
        with self._condition:
            if self._closing:
                raise Unavailable("the database is closed", reason="CLOSED", hint="Open it again")
            full = (
                len(self._waiting) >= limits.WRITE_QUEUE
                or self._waiting_bytes + size_bytes > limits.WRITE_QUEUE_BYTES
            )
            if full and self._waiting:
                raise LimitExceeded(
                    f"{len(self._waiting)} writes ({self._waiting_bytes} bytes) wait already",
                    reason="QUEUE_FULL",
                    limit=limits.WRITE_QUEUE,
                    actual=len(self._waiting),
                    retry_after=0.1,
                    hint="Try again in a moment, from fewer writers",
                )
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
            self._condition.notify()

    def close(self) -> None:
        """Finish what waits, then end the thread."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join()

    def _loop(self) -> None:
        while True:
            group = self._gather()
            if group is None:
                return
            if group:
                self._commit(group)
                continue
            chore = self._chore()
            if chore is not None:
                outcome: Future[Any] = Future()
                self._commit([_Write(chore, 0, outcome)])
                # A chore that failed waits for the next write that succeeds.
                self._chores_failed = outcome.exception() is not None

    def _chore(self) -> Callable[[C], Any] | None:
        return None if self._chores_failed else self._idle()

    def _gather(self) -> list[_Write[C]] | None:
        """The writes of the next transaction; [] to look for idle work; None at the end."""
        group: list[_Write[C]] = []
        gathered = 0
        with self._condition:
            if not self._waiting and not self._closing:
                if self._chore() is not None:
                    return []
                self._condition.wait()
            while self._waiting:
                if group and gathered + self._waiting[0].size_bytes > limits.GROUP_BYTES:
                    break
                write = self._waiting.popleft()
                self._waiting_bytes -= write.size_bytes
                if write.future.set_running_or_notify_cancel():
                    group.append(write)
                    gathered += write.size_bytes
            if not group and self._closing and not self._waiting:
                return None
        return group

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
            if len(group) == 1:
                _resolve(group[0], None, cause)
            else:
                for write in group:
                    self._commit([write])
            return
        self.commits += 1
        self._chores_failed = False
        context.publish()
        if context.sequence:
            self._environment.note_commit(context.sequence)
        for write, answer, failure in outcomes:
            _resolve(write, answer, failure)


def _resolve(write: _Write[Any], answer: Any, error: Exception | None) -> None:
    try:
        if error is None:
            write.future.set_result(answer)
        else:
            write.future.set_exception(error)
    except InvalidStateError:  # pragma: no cover - a running future cannot be cancelled
        raise AssertionError("a write was resolved twice") from None
