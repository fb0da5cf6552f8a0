"""Work off the request's path: a few threads, a bounded queue, and no waiting for room in it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class Background:
    """Safe for any thread. What does not fit is not done, and ``submit`` says so."""

    def __init__(self, name: str, threads: int, room: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._room = threading.BoundedSemaphore(room)

    def submit(self, run: Callable[[], object]) -> bool:
        """Queue a piece of work; False: too much waits already, or it has been closed."""
        if not self._room.acquire(blocking=False):
            return False

        def work() -> None:
            try:
                run()
            finally:
                self._room.release()

        try:
            self._pool.submit(work)
        except RuntimeError:  # closed
            self._room.release()
            return False
        return True

    def close(self) -> None:
        """Forget what waits, and wait for what runs."""
        self._pool.shutdown(wait=True, cancel_futures=True)
