"""How much one key, or all keys of a tenant, may ask for: calls a second, and calls at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from vecdb.errors import LimitExceeded

from .caller import Caller

RUNNING_RETRY_SECONDS: Final = 0.1


class Throttle:
    """Safe for any thread. Keys without bounds leave no trace here."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # Key, or collection and tenant -> calls that it may begin now, and when that was so.
        # Guarded by self._lock.
        self._buckets: dict[str | tuple[int, str], tuple[float, float]] = {}
        self._running: dict[str, set[str]] = {}  # Key -> request ids. Guarded by self._lock

    def admit(self, caller: Caller) -> None:
        """Count one more call; ``LimitExceeded`` if the key has begun too many.

        What was not used within a second is lost; a key may always begin one.
        """
        rate = caller.rate
        wait = None if rate is None else self._take(caller.key, rate)
        if wait is not None:
            raise LimitExceeded(
                f"the API key {caller.key} may make {rate:g} calls a second",
                reason="KEY_RATE",
                hint="Come again after retry_after, or send more in one call",
                retry_after=wait,
            )

    def admit_tenant(self, tenant: str, collection: int, rate: float | None) -> None:
        """The same of all keys of a tenant, in the collection of that number."""
        wait = None if rate is None else self._take((collection, tenant), rate)
        if wait is not None:
            raise LimitExceeded(
                f"the keys of the tenant {tenant!r} may make {rate:g} calls a second in this "
                "collection",
                reason="TENANT_RATE",
                hint="Come again after retry_after, or send more in one call",
                retry_after=wait,
            )

    def _take(self, name: str | tuple[int, str], rate: float) -> float | None:
        """Begin one more call; or seconds until one may begin."""
        most = max(1.0, rate)
        with self._lock:
            now = self._clock()
            tokens, since = self._buckets.get(name, (most, now))
            tokens = min(most, tokens + (now - since) * rate)
            admitted = tokens >= 1.0
            self._buckets[name] = (tokens - admitted, now)
        return None if admitted else (1.0 - tokens) / rate

    def enter(self, caller: Caller, request_id: str) -> None:
        """Note that a call begins to run; ``LimitExceeded`` if as many run as the key may have."""
        if caller.concurrency is None:
            return
        with self._lock:
            running = self._running.setdefault(caller.key, set())
            full = len(running) >= caller.concurrency
            if not full:
                running.add(request_id)
        if full:
            raise LimitExceeded(
                f"the API key {caller.key} may make {caller.concurrency} calls at once",
                reason="KEY_CONCURRENCY",
                limit=caller.concurrency,
                hint="Come again after retry_after, or send fewer at once",
                retry_after=RUNNING_RETRY_SECONDS,
            )

    def leave(self, caller: Caller, request_id: str) -> None:
        """Note that a call has ended, if it ever began."""
        if caller.concurrency is None:
            return
        with self._lock:
            self._running.get(caller.key, set()).discard(request_id)
