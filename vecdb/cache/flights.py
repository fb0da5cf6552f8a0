"""One computation for many who ask the same at once, in the same words or in others.

Who misses first flies: it computes the answer. Who comes while it is under way with the same exact
key, or with a question that would have been a hit (similarity and guards), waits for it, and then
decides against the stored answer on its own question. If the flight fails, one of those who wait
takes over; if it lands without an answer to store, they all go alone. Waiting is bounded: by the
caller's own deadline, and by ``limits.CACHE_WAITERS`` callers in all.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .. import limits
from .guards import compare_guards
from .index import PartitionKey
from .policy import VETO, Category

NEAR = 256
"""Flights of a partition that a newcomer is compared with."""

STORED, FAILED, EMPTY = "stored", "failed", "empty"


@dataclass(slots=True, eq=False)
class Flight:
    """An answer that is being computed."""

    partition: PartitionKey
    digest: bytes
    vector: NDArray[np.float32]
    guard: bytes
    done: threading.Event = field(default_factory=threading.Event)
    outcome: str = ""
    waiting: int = 0
    successor: Flight | None = None


class Flights:
    """Of one cache, in this process. Safe for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._exact: dict[bytes, Flight] = {}  # Guarded by self._lock, as all that follows.
        self._near: dict[PartitionKey, list[Flight]] = {}
        self._waiting = 0

    @property
    def waiting(self) -> int:
        return self._waiting

    def join(
        self,
        partition: PartitionKey,
        digest: bytes,
        vector: NDArray[np.float32],
        guard: bytes,
        *,
        category: Category,
        threshold: float,
    ) -> tuple[Flight | None, bool]:
        """(flight, whether it is one's own). (None, False): too many wait, go alone."""
        with self._lock:
            found = self._exact.get(digest) or self._similar(
                partition, vector, guard, category, threshold
            )
            if found is None:
                own = Flight(partition, digest, vector, guard)
                self._enter(own)
                return own, True
            if self._waiting >= limits.CACHE_WAITERS:
                return None, False
            self._waiting += 1
            found.waiting += 1
            return found, False

    def wait(self, flight: Flight, until: float | None) -> bool:
        """Wait for the flight's end, or till ``until`` (``time.monotonic``); whether it ended."""
        try:
            return flight.done.wait(None if until is None else max(0.0, until - time.monotonic()))
        finally:
            with self._lock:
                self._waiting -= 1
                flight.waiting -= 1

    def land(self, flight: Flight, outcome: str) -> None:
        """The end of one's own flight; whoever waits goes on."""
        with self._lock:
            if self._exact.get(flight.digest) is flight:
                del self._exact[flight.digest]
            beside = self._near.get(flight.partition)
            if beside is not None and flight in beside:
                beside.remove(flight)
                if not beside:
                    del self._near[flight.partition]
            flight.outcome = outcome
        flight.done.set()

    def take_over(self, failed: Flight, own: Flight) -> tuple[Flight, bool]:
        """After a failure: (flight to wait for, whether it is one's own, now entered)."""
        with self._lock:
            if failed.successor is None:
                failed.successor = own
                self._enter(own)
                return own, True
            self._waiting += 1
            failed.successor.waiting += 1
            return failed.successor, False

    def _enter(self, flight: Flight) -> None:
        self._exact[flight.digest] = flight
        beside = self._near.setdefault(flight.partition, [])
        if len(beside) < NEAR:
            beside.append(flight)

    def _similar(
        self,
        partition: PartitionKey,
        vector: NDArray[np.float32],
        guard: bytes,
        category: Category,
        threshold: float,
    ) -> Flight | None:
        best, found = threshold, None
        for flight in self._near.get(partition, ()):
            score = float(np.dot(flight.vector, vector))
            if score >= best and compare_guards(guard, flight.guard, category.guards)[0] != VETO:
                best, found = score, flight
        return found
