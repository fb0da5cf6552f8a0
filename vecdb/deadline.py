"""A point in time after which a call stops working, checked between its stages."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from .errors import DeadlineExceeded, InvalidArgument

NEVER = math.inf


@dataclass(frozen=True, slots=True)
class Deadline:
    """``at`` is on the monotonic clock, in seconds; infinity: none."""

    at: float = NEVER

    @classmethod
    def after(cls, timeout: float | None) -> Deadline:
        """The deadline ``timeout`` seconds from now; None: no deadline."""
        if timeout is None:
            return cls()
        if not isinstance(timeout, int | float) or isinstance(timeout, bool) or not timeout > 0:
            raise InvalidArgument(
                f"timeout must be a number of seconds above 0, or None; got {timeout!r}",
                field="timeout",
            )
        return cls(time.monotonic() + timeout)

    @property
    def remaining(self) -> float | None:
        """Seconds left (0.0 when past); None where there is no deadline."""
        if self.at == NEVER:
            return None
        return max(0.0, self.at - time.monotonic())

    def check(self, doing: str) -> None:
        """Raise ``DeadlineExceeded`` if the time is over."""
        if self.at != NEVER and time.monotonic() >= self.at:
            raise DeadlineExceeded(
                f"the deadline passed while {doing}", hint="Raise timeout or ask for less"
            )
