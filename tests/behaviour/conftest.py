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
from datetime import UTC, datetime
from itertools import pairwise
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


FIELDS = {
    "lang": "keyword",
    "year": "int",
    "price": "float",
    "new": "bool",
    "at": "datetime",
    "tags": "keyword",
}


@dataclass(frozen=True)
class Typed:
    """A collection whose records have values of every type, lists, nulls and gaps, and its truth.

    ``records``: id -> (vector, payload) of those that are stored.
    """

    docs: Any
    records: dict[Any, tuple[Any, dict[str, Any] | None]]

    def values(self, id: Any, field: str) -> list[Any]:
        """The values of a record's field as they are compared, ascending, none twice."""
        found = (self.records[id][1] or {}).get(field)
        listed = found if isinstance(found, list) else [] if found is None else [found]
        return sorted({to_utc(one) if field == "at" else one for one in listed})

    def where(self, field: str, test: Any) -> list[Any]:
        """Ids of the records of which some value of the field passes the test, ascending."""
        return sorted(id for id in self.records if any(map(test, self.values(id, field))))


def to_utc(text: str) -> str:
    when = datetime.fromisoformat(text).astimezone(UTC)
    return when.isoformat().replace("+00:00", "Z")


@pytest.fixture
def typed(api, rng) -> Any:
    """``typed(texts=False)``: two segments, a tail, deleted and overwritten records, changed
    payloads in all of them."""

    def make(*, texts: bool = False, count: int = 420, **schema: Any) -> Typed:
        docs = api.create(f"typed{count}{texts}", fields=FIELDS, **schema)
        dim = docs.describe().dim
        ids = [f"r{number:03}" if texts else int(number) for number in rng.permutation(count)]
        vectors = rng.standard_normal((count, dim)).astype(np.float32)
        vectors[::6] = vectors[2]
        payloads = [payload_of(rng, place) for place in range(count)]
        edges = [0, count * 2 // 5, count * 4 // 5, count]
        for start, stop in pairwise(edges):
            docs.upsert(ids[start:stop], vectors[start:stop], payloads[start:stop])
            if stop < count:
                docs.seal()
        records = dict(zip(ids, zip(vectors, payloads, strict=True), strict=True))
        for place in (3, count // 2, count - 5):
            change = {"lang": "xx", "tags": ["red", "new tag"], "year": None, "new": True}
            docs.set_payload([ids[place]], change)
            vector, payload = records[ids[place]]
            records[ids[place]] = vector, {**(payload or {}), **change}
        again = ids[10:20]
        docs.upsert(again, -vectors[10:20], payloads[20:30])
        records |= dict(zip(again, zip(-vectors[10:20], payloads[20:30], strict=True), strict=True))
        gone = ids[5:count:11]
        docs.delete(gone)
        for id in gone:
            del records[id]
        return Typed(docs, records)

    return make


def payload_of(rng: np.random.Generator, place: int) -> dict[str, Any] | None:
    if place % 13 == 0:
        return None
    tags = [["red"], ["blue", "red"], [], ["blue", "blue", "green"], "red", None]
    payload: dict[str, Any] = {
        "lang": ["de", "en", "fr", "", "é", "\U0001f600"][int(rng.zipf(1.6)) % 6],
        "year": int(rng.integers(-3, 4)) if place % 7 else [2, -(2**60), 2**60],
        "price": [0.5, -0.0, 0, 1e300, -2.25][place % 5],
        "new": bool(place % 3),
        "at": [f"2024-0{1 + place % 4}-01T02:00:00+02:00", "2024-02-01T00:00:00Z"][place % 2],
        "tags": tags[place % 6],
    }
    absent = ["lang", "year", "price", "new", "at", "tags", ""][int(rng.integers(0, 7))]
    payload.pop(absent, None)
    return payload
