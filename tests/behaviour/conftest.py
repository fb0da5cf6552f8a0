"""Every test of this folder runs several times: embedded, and through clients of a real server."""

from __future__ import annotations

import asyncio
import inspect
import io
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import vecdb
import vecdb_client
import vecdb_client.errors
import vecdb_client.filters
from vecdb_client.async_collection import AsyncCollection
from vecdb_server import logs
from vecdb_server.config import ServerConfig
from vecdb_server.lifecycle import Server

KINDS = ("embedded", "remote", "async")
"""A module may name fewer: ``KINDS = ("embedded", "remote")``."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "api" in metafunc.fixturenames:
        kinds = getattr(metafunc.module, "KINDS", KINDS)
        metafunc.parametrize("api", kinds, indirect=True)


@dataclass(frozen=True)
class Api:
    """A database, and the errors and filters of whoever gives access to it."""

    kind: str
    db: Any
    errors: ModuleType
    F: Any

    def create(self, name: str = "docs", **schema: Any) -> Any:
        return self.db.create_collection(name, **{"dim": 4, "metric": "l2", **schema})

    @staticmethod
    def everything(docs: Any) -> tuple[Any, ...]:
        """All that can be read of a collection, to be compared."""
        page = docs.scroll(limit=10_000, with_vector=True)
        info = docs.describe()
        return (
            info.count,
            info.sequence,
            list(page.ids),
            page.payloads,
            page.sequences.tolist(),
            page.vectors.tobytes(),
        )

    @contextmanager
    def refuses(
        self, kind: str, field: str | None = None, reason: str | None = None
    ) -> Iterator[Any]:
        """The block must raise exactly that class, naming that field."""
        with pytest.raises(getattr(self.errors, kind)) as caught:
            yield caught
        assert type(caught.value) is getattr(self.errors, kind)
        if field is not None:
            assert caught.value.field == field
        if reason is not None:
            assert caught.value.reason == reason


class Blocking:
    """An ``AsyncClient`` or ``AsyncCollection`` with the methods of the synchronous one."""

    def __init__(self, inner: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._inner = inner
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            answer = found(*arguments, **options)
            if inspect.isawaitable(answer):
                future: Future[Any] = asyncio.run_coroutine_threadsafe(answer, self._loop)
                answer = future.result()
            if isinstance(answer, AsyncCollection):
                return Blocking(answer, self._loop)
            return answer

        return call


@pytest.fixture(scope="session")
def embedded(tmp_path_factory) -> Iterator[Api]:
    with vecdb.open(tmp_path_factory.mktemp("embedded"), threads=2) as db:
        yield Api("embedded", db, vecdb.errors, vecdb.F)


@pytest.fixture(scope="session")
def address(tmp_path_factory) -> Iterator[str]:
    config = ServerConfig(directory=tmp_path_factory.mktemp("server"), listen="127.0.0.1:0")
    server = Server(config, log=logs.make_logger("error", stream=io.StringIO()))
    yield server.start()
    server.stop(0.0)


@pytest.fixture(scope="session")
def remote(address) -> Iterator[Api]:
    with vecdb_client.Client(address) as db:
        yield Api("remote", db, vecdb_client.errors, vecdb_client.filters.F)


@pytest.fixture(scope="session")
def through_async(address) -> Iterator[Api]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    db = Blocking(vecdb_client.AsyncClient(address), loop)
    yield Api("async", db, vecdb_client.errors, vecdb_client.filters.F)
    db.close()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def api(request) -> Iterator[Api]:
    """An empty database, one of each kind."""
    fixture = "through_async" if request.param == "async" else request.param
    found: Api = request.getfixturevalue(fixture)
    yield found
    clear(found.db)


def clear(db: Any) -> None:
    for info in db.collections():
        db.delete_collection(info.name)


@pytest.fixture
def vectors(rng: np.random.Generator) -> Any:
    return rng.standard_normal((8, 4)).astype(np.float32)


@pytest.fixture
def key() -> bytes:
    """A new idempotency key: keys are remembered for a day, beyond their collection."""
    return os.urandom(63)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
