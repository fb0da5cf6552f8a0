"""What the database says of how often a tenant may call, remembered for a moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from .gate import Gate

KEEP_SECONDS: Final = 1.0
"""How long it takes until a changed rate is kept to."""
KEPT_MAX: Final = 10_000


class TenantRates:
    """Safe for any thread."""

    def __init__(self, gate: Gate, clock: Callable[[], float] = time.monotonic) -> None:
        self._gate = gate
        self._clock = clock
        self._lock = threading.Lock()
        # (Name of a collection, tenant) -> when it was read, and what. Guarded by self._lock.
        self._kept: dict[tuple[str, str], tuple[float, tuple[int, float | None]]] = {}

    def of(self, collection: str, tenant: str) -> tuple[int, float | None]:
        """The collection's number, and calls a second that all keys of the tenant may make there.

        ``collection``: its name, or an alias; ``NotFound`` where there is none. None: no bound.
        """
        name = (collection, tenant)
        now = self._clock()
        with self._lock:
            kept = self._kept.get(name)
        if kept is not None and now - kept[0] < KEEP_SECONDS:
            return kept[1]
        found = self._gate.database.tenant_rate(collection, tenant)
        with self._lock:
            if len(self._kept) >= KEPT_MAX:
                self._kept.clear()
            self._kept[name] = (now, found)
        return found
