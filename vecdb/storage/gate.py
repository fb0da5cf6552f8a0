"""Many threads together, or one alone: transactions share LMDB's map, a resize needs it alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Those who come while one waits to be alone wait behind it, so do not enter twice."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside = 0  # Guarded by self._condition; -1: one is alone.
        self._waiting = 0  # Guarded by self._condition.

    @contextmanager
    def together(self) -> Iterator[None]:
        with self._condition:
            while self._inside < 0 or self._waiting:
                self._condition.wait()
            self._inside += 1
        try:
            yield
        finally:
            with self._condition:
                self._inside -= 1
                if self._inside == 0:
                    self._condition.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._condition:
            self._waiting += 1
            try:
                while self._inside != 0:
                    self._condition.wait()
                self._inside = -1
            finally:  # an interrupt may end the wait
                self._waiting -= 1
                self._condition.notify_all()
        try:
            yield
        finally:
            with self._condition:
                self._inside = 0
                self._condition.notify_all()
