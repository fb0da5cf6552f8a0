"""The caches of one database: made, opened, dropped; and the thread that keeps their houses."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable
from typing import Any

from .. import limits
from ..cache_results import CacheInfo
from ..collection.arguments import check_lookup
from ..collection.group import Group
from ..collection.store import Store
from ..errors import AlreadyExists, LimitExceeded, VecDBError
from ..schema import check_integer, check_name
from ..storage.caches import (
    CacheRow,
    drop_cache,
    find_cache,
    get_cache_state,
    get_policy,
    put_cache,
    scan_caches,
)
from ..storage.transaction import Transaction
from . import writing
from .background import Background
from .cache import Cache
from .change import cache_gone
from .engine import Engine
from .housekeeping import Housekeeper
from .learning import Judge
from .lookup import Verify
from .policy_parse import PolicySource, parse_policy, policy_json

_WRITE_BYTES = 4_096
_ROUND_SECONDS = 0.25
_PAUSE_SECONDS = 0.001
_log = logging.getLogger("vecdb.cache")


class Caches:
    """Of one open database. Safe for any thread; ``close`` before the store is closed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._open: dict[str, tuple[Engine, Housekeeper]] = {}  # Guarded by self._lock.
        self._opening: dict[str, threading.Lock] = {}  # The same.
        self._thread: threading.Thread | None = None  # The same.
        self._closing = threading.Event()
        self._builder = Background("vecdb-cache-graph", 1, 64)
        self._background = Background("vecdb-cache", 4, 256)

    # ---------------------------------------------------------------------------- the directory

    def create(self, name: str, *, dim: int, policy: PolicySource | None) -> None:
        """Raises ``AlreadyExists``, ``InvalidArgument`` (of a policy too), ``LimitExceeded``."""
        check_name(name)
        check_integer("dim", dim, limits.DIM)
        text = policy_json(parse_policy(policy, 1))

        def run(group: Group) -> None:
            transaction = group.transaction
            if find_cache(transaction, name) is not None:
                raise AlreadyExists(f"there is a cache {name!r} already", field="name")
            if transaction.entries("caches") >= limits.CACHES:
                raise LimitExceeded(
                    f"a database holds at most {limits.CACHES} caches",
                    field="name",
                    limit=limits.CACHES,
                    actual=limits.CACHES,
                    hint="Categories and scopes keep kinds of questions apart within one cache",
                )
            row = CacheRow(
                name=name,
                number=group.next_collection(),
                dim=int(dim),
                created_us=group.now_us,
                secret=secrets.token_bytes(16),
            )
            put_cache(transaction, row, text)

        self._write(run)

    def drop(self, name: str) -> None:
        """Delete a cache with all that it holds."""
        check_lookup(name)

        def run(group: Group) -> None:
            row = find_cache(group.transaction, name)
            if row is None:
                raise cache_gone(name)
            with self._lock:
                known = self._open.get(name)
            if known is not None and known[0].row.number == row.number:
                writing.drop(known[0], group)
            drop_cache(group.transaction, row)
            group.drop(row.number)

        self._write(run)
        with self._lock:
            self._open.pop(name, None)

    def list(self) -> list[CacheInfo]:
        """All caches, by name."""
        with self._store.environment.read() as transaction:
            rows = list(scan_caches(transaction))
            return [info for row in rows if (info := describe(transaction, row)) is not None]

    def open(
        self,
        name: str,
        *,
        embed: Callable[[str], Any] | None = None,
        judge: Judge | None = None,
        verify: Verify | None = None,
    ) -> Cache:
        """A handle of a cache; its index is loaded when it is first opened here."""
        check_lookup(name)
        with self._lock:
            opening = self._opening.setdefault(name, threading.Lock())
        with opening:
            with self._lock:
                known = self._open.get(name)
            if known is None or known[0].dropped:
                engine = Engine(self._store, name)
                known = engine, Housekeeper(engine, self._builder)
                with self._lock:
                    self._open[name] = known
                    self._start()
        return Cache(*known, embed=embed, judge=judge, verify=verify, background=self._background)

    def _write(self, run: Callable[[Group], None]) -> None:
        self._store.environment.check_usable()
        self._store.submit(run, _WRITE_BYTES).result()

    # ------------------------------------------------------------------------------- the thread

    def close(self) -> None:
        """End the threads, and keep what was learned; twice is harmless."""
        self._closing.set()
        with self._lock:
            thread, known = self._thread, list(self._open.values())
        for engine, _ in known:
            engine.closed = True
        if thread is not None and thread.is_alive():
            thread.join()
        self._background.close()
        self._builder.close()
        for engine, house in known:
            try:
                if not engine.dropped:
                    house.note()
            except VecDBError as error:  # statistics of a database that cannot be written any more
                _log.warning("what cache %s has learned is lost: %s", engine.row.name, error)

    def _start(self) -> None:
        if self._thread is None and not self._closing.is_set():
            self._thread = threading.Thread(
                target=self._keep, name="vecdb-cache-house", daemon=True
            )
            self._thread.start()

    def _keep(self) -> None:
        while not self._closing.wait(_ROUND_SECONDS):
            with self._lock:
                known = list(self._open.items())
            for name, (engine, house) in known:
                try:
                    with house.lock:
                        while not self._closing.is_set() and not engine.dropped and house.step():
                            self._closing.wait(_PAUSE_SECONDS)
                except VecDBError as error:
                    _log.warning("cache %s: housekeeping waits: %s", name, error)
                if engine.dropped:
                    with self._lock:
                        if self._open.get(name) == (engine, house):
                            del self._open[name]


def describe(transaction: Transaction, row: CacheRow) -> CacheInfo | None:
    """None: it was dropped."""
    state = get_cache_state(transaction, row.number)
    if state is None:
        return None
    text = get_policy(transaction, row.number, state.policy)
    policy = parse_policy((text or b"{}").decode(), state.policy)
    return CacheInfo(
        name=row.name,
        dim=row.dim,
        entries=state.entries,
        bytes=state.bytes,
        policy_version=state.policy,
        scope=policy.scope,
        categories=tuple(policy.categories),
        created_us=row.created_us,
    )
