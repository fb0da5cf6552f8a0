"""When a failed call may be repeated, and after which pause. The only layer that retries.

==================  =====================================================================
``Unavailable``     if the call may safely run twice, or surely did not run
``LimitExceeded``   if the server told when to come again
``Conflict``        if the call may safely run twice (writes carry an idempotency key)
anything else       never
==================  =====================================================================

Pauses double from 50 ms to 2 s, jittered, and are never shorter than the server asked for. All
attempts and pauses share one budget, the caller's timeout.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

from . import limits
from .errors import Conflict, LimitExceeded, Unavailable, VecDBError

PAUSE_SECONDS: Final = 0.05
PAUSE_SECONDS_MAX: Final = 2.0
CLOSED: Final = "CLOSED"
"""Reason of ``Unavailable`` of a client that was closed: it never comes back."""


class Retry:
    """The budget of one call. ``attempt`` counts from 1 once ``begin`` was called."""

    __slots__ = ("_clock", "_deadline", "_random", "attempt", "budget")

    def __init__(
        self,
        timeout: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random.random,
    ) -> None:
        self.budget = limits.TIMEOUT_SECONDS if timeout is None else timeout
        self.attempt = 0
        self._clock = clock
        self._random = random
        self._deadline = clock() + self.budget

    @property
    def remaining(self) -> float:
        """Seconds left; 0.0 when the budget is spent."""
        return max(0.0, self._deadline - self._clock())

    def begin(self) -> None:
        """Count an attempt."""
        self.attempt += 1

    def renew(self) -> None:
        """Give the whole budget again: there was progress."""
        self.attempt = 1
        self._deadline = self._clock() + self.budget

    def pause_after(self, error: VecDBError, *, repeatable: bool) -> float | None:
        """Seconds to wait before the next attempt; None: do not repeat.

        ``repeatable``: to run twice does no harm, or the failed attempt surely did not run.
        """
        if not may_repeat(error, repeatable=repeatable):
            return None
        step = PAUSE_SECONDS * 2.0 ** min(max(self.attempt, 1) - 1, 10)
        pause = min(step, PAUSE_SECONDS_MAX) * (0.5 + 0.5 * self._random())
        if error.retry_after is not None:
            pause = max(pause, error.retry_after)
        return pause if pause < self.remaining else None


def may_repeat(error: VecDBError, *, repeatable: bool) -> bool:
    """Whether the same call may succeed later, and may be sent again."""
    if isinstance(error, Unavailable):
        return repeatable and error.reason != CLOSED
    if isinstance(error, LimitExceeded):
        return error.retry_after is not None
    return isinstance(error, Conflict) and repeatable
