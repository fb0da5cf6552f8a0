"""Time that passes when a test says so: ``vecdb.open(path, clock=ManualClock())``."""

from __future__ import annotations

import threading

__all__ = ["ManualClock"]


class ManualClock:
    """Seconds since 1970; stands still until it is advanced. Safe for any thread."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._lock = threading.Lock()
        self._now = float(start)  # Guarded by self._lock.

    def __call__(self) -> float:
        with self._lock:
            return self._now

    def advance(self, seconds: float) -> float:
        """Let time pass; the new time. It never goes back."""
        if not seconds >= 0:
            raise ValueError(f"time goes on, it does not go back: {seconds} seconds")
        with self._lock:
            self._now += seconds
            return self._now

    def __repr__(self) -> str:
        return f"ManualClock({self()!r})"
