"""Many threads together, or one alone: transactions share LMDB's map, a resize needs it alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Those who come while one wants to be alone wait behind it, so do not enter twice."""

    def __init__(self) -> None:
        self._alone = threading.Lock()  # Taken before self._condition.
        self._condition = threading.Condition(threading.Lock())
        self._inside = 0  # Guarded by self._condition.
        self._wanted = False  # Written under self._alone.

    def enter(self) -> None:
        """Go in together with others; ``leave`` must follow."""
        with self._condition:
            while self._wanted:
                self._condition.wait()
            self._inside += 1

    def leave(self) -> None:
        with self._condition:
            self._inside -= 1
            if self._inside == 0:
                self._condition.notify_all()

    @contextmanager
    def together(self) -> Iterator[None]:
        self.enter()
        try:
            yield
        finally:
            self.leave()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._alone:
            # Before the condition's lock: threads that come and go would let it starve there.
            self._wanted = True
            try:
                with self._condition:
                    while self._inside:
                        self._condition.wait()
                yield
            finally:
                with self._condition:
                    self._wanted = False
                    self._condition.notify_all()
