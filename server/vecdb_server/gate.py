"""Whether calls may reach the engine: not yet, yes, no more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vecdb.errors import Unavailable

if TYPE_CHECKING:
    from vecdb.database import Database

STARTING_RETRY_SECONDS = 0.5


class Gate:
    """Starting, then open, then draining; never back. Safe for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._database: Database | None = None  # Guarded by self._lock
        self._draining = False  # Guarded by self._lock
        self._on_drain: set[Callable[[], None]] = set()  # Guarded by self._lock

    def open(self, database: Database) -> None:
        """Let calls through to ``database``."""
        with self._lock:
            self._database = database

    def drain(self) -> None:
        """Refuse new calls; those in flight keep the engine. Long ones are told to end."""
        with self._lock:
            self._draining = True
            callbacks = tuple(self._on_drain)
        for callback in callbacks:
            callback()

    def refusal(self) -> Unavailable | None:
        """Why a new call is refused now; None: it may go on."""
        with self._lock:
            if self._draining:
                return draining()
            if self._database is None:
                return starting()
            return None

    @property
    def database(self) -> Database:
        """The engine, for a call that was let in."""
        with self._lock:
            if self._database is None:
                raise starting()
            return self._database

    @contextmanager
    def watch(self, on_drain: Callable[[], None]) -> Iterator[None]:
        """Inside, ``on_drain`` is called when draining begins, at once if it has begun."""
        with self._lock:
            self._on_drain.add(on_drain)
            late = self._draining
        try:
            if late:
                on_drain()
            yield
        finally:
            with self._lock:
                self._on_drain.discard(on_drain)


def starting() -> Unavailable:
    return Unavailable(
        "the server is starting",
        reason="STARTING",
        hint="Wait until the health service reports vecdb.v1.Records as SERVING",
        retry_after=STARTING_RETRY_SECONDS,
    )


def draining() -> Unavailable:
    return Unavailable(
        "the server is stopping and takes no new calls",
        reason="DRAINING",
        hint="Repeat the call with its idempotency key once a server is back",
    )
