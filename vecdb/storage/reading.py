"""A read transaction as a context: a class, since every answer of a cache goes through one.

(A generator upon three others took 7 us, more than LMDB for what was read in it; this takes 4.)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import lmdb

from .gate import Gate
from .lmdb_errors import translated
from .transaction import Transaction


class Reading:
    """Used once, by one thread.

    ``check`` raises where the database cannot be used; ``begin`` makes LMDB's transaction;
    ``resize`` takes over, alone, a map that the writing process has made larger.
    """

    __slots__ = ("_begin", "_check", "_directory", "_gate", "_pid", "_raw", "_resize", "_tables")

    def __init__(
        self,
        gate: Gate,
        directory: Path,
        tables: Mapping[str, Any],
        *,
        check: Callable[[], None],
        begin: Callable[[], Any],
        resize: Callable[[], None],
    ) -> None:
        self._gate = gate
        self._directory = directory
        self._tables = tables
        self._check = check
        self._begin = begin
        self._resize = resize
        self._pid = os.getpid()
        self._raw: Any = None

    def __enter__(self) -> Transaction:
        while True:
            self._check()
            self._gate.enter()
            try:
                self._check()
                self._raw = self._begin()
            except lmdb.MapResizedError:
                self._gate.leave()
                with translated(self._directory):
                    self._resize()
                continue
            except BaseException as error:
                self._gate.leave()
                if isinstance(error, lmdb.Error):
                    with translated(self._directory):
                        raise
                raise
            return Transaction(self._raw, self._tables)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if os.getpid() == self._pid:  # a forked child would end its parent's
                self._raw.abort()
        finally:
            self._gate.leave()
        if isinstance(error, lmdb.Error):
            with translated(self._directory):
                raise error
