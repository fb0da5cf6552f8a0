"""How many calls came and how they ended."""

from __future__ import annotations

import threading
from collections import Counter

UNKNOWN = "unknown"
"""Stands for every method that the server does not have: callers must not make up labels."""


class Counters:
    """Safe for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended: Counter[tuple[str, str]] = Counter()  # Guarded by self._lock
        self._in_flight = 0  # Guarded by self._lock

    def begin(self) -> None:
        with self._lock:
            self._in_flight += 1

    def end(self, method: str, code: str) -> None:
        """A call that began has ended with ``code``."""
        with self._lock:
            self._in_flight -= 1
            self._ended[method, code] += 1

    def refuse(self, method: str, code: str) -> None:
        """A call was turned away before it began."""
        with self._lock:
            self._ended[method, code] += 1

    @property
    def in_flight(self) -> int:
        with self._lock:
            return self._in_flight

    def to_dict(self) -> dict[str, object]:
        """``calls``: method -> code -> count of ended ones; ``in_flight``: running now."""
        calls: dict[str, dict[str, int]] = {}
        with self._lock:
            for (method, code), count in sorted(self._ended.items()):
                calls.setdefault(method, {})[code] = count
            return {"calls": calls, "in_flight": self._in_flight}
