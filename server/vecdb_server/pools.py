"""Threads that run calls, and how many calls may wait for one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from .config import ServerConfig

P = ParamSpec("P")
T = TypeVar("T")

HEALTH_THREADS = 8


class Pool(ThreadPoolExecutor):
    """A thread pool that knows when it is full: every thread busy and ``queue`` calls waiting.

    It does not refuse by itself: a full pool is asked for by the one who admits calls, so that a
    refusal can be answered properly.
    """

    def __init__(self, name: str, threads: int, queue: int = 0) -> None:
        super().__init__(max_workers=threads, thread_name_prefix=f"vecdb-{name}")
        self._bound = threads + queue
        self._unfinished = 0  # Guarded by self._count_lock
        self._count_lock = threading.Lock()

    @property
    def unfinished(self) -> int:
        """Calls that run or wait."""
        with self._count_lock:
            return self._unfinished

    @property
    def full(self) -> bool:
        return self.unfinished >= self._bound

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        with self._count_lock:
            self._unfinished += 1
        try:
            future = super().submit(fn, *args, **kwargs)
        except RuntimeError:
            self._finish(None)
            raise
        future.add_done_callback(self._finish)
        return future

    def _finish(self, future: Future[Any] | None) -> None:
        with self._count_lock:
            self._unfinished -= 1


class Pools:
    """One pool for each kind of work, so that none starves another.

    - ``calls``: unary calls
    - ``uploads``: streams, which hold their thread while they last
    - ``health``: health checks, answered however busy the rest is
    - ``refusals``: answers to calls that are turned away; they never wait for anything
    """

    __slots__ = ("calls", "health", "refusals", "uploads")

    def __init__(self, config: ServerConfig) -> None:
        self.calls = Pool("call", config.threads, config.queue)
        self.uploads = Pool("upload", config.uploads)
        self.health = Pool("health", HEALTH_THREADS)
        self.refusals = Pool("refusal", 1)

    def shutdown(self) -> None:
        """Let the threads end once they are idle; does not wait for them."""
        for pool in (self.calls, self.uploads, self.health, self.refusals):
            pool.shutdown(wait=False, cancel_futures=True)
