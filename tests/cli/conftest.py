"""The command line in this process, and databases for it: a directory and a server."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecdb
from vecdb.cli.main import main

DIM = 4
FIELDS = {"lang": "keyword", "year": "int"}


@dataclass(frozen=True)
class Result:
    """How a command ended, and what it wrote."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Place:
    """A database, as the command line names it and as a program opens it."""

    options: tuple[str, ...]
    database: Any


Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch) -> None:
    """No setting of whoever runs the tests, and lines of a known width."""
    for name in list(os.environ):
        if name.startswith("VECDB_") or name == "NO_COLOR":
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def run(capsysbinary, monkeypatch) -> Run:
    """``run("collection", "list", stdin=b"..")``: one command line, in this process."""

    def invoke(*arguments: object, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
        capsysbinary.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = int(end.code or 0)
        out, err = capsysbinary.readouterr()
        return Result(status, out.decode(), err.decode())

    return invoke


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Any]:
    """A server in this process; whoever uses it removes its collections."""
    from vecdb_server import logs
    from vecdb_server.config import ServerConfig
    from vecdb_server.lifecycle import Server

    directory = tmp_path_factory.mktemp("cli-server") / "db"
    config = ServerConfig(directory=directory, listen="127.0.0.1:0", drain_seconds=0.0)
    with Server(config, log=logs.make_logger("debug", stream=io.StringIO())) as started:
        yield started


@pytest.fixture
def remote(server) -> Iterator[Place]:
    """The server, empty."""
    from vecdb_client import Client

    with Client(server.address) as database:
        yield Place(("--at", server.address), database)
        for info in database.collections():
            database.delete_collection(info.name)


@pytest.fixture
def local(tmp_path) -> Place:
    """A directory where there is no database yet; tests open it once commands are done."""
    return Place(("--dir", str(tmp_path / "db")), Opened(tmp_path / "db"))


@pytest.fixture(params=["directory", "server"])
def place(request) -> Place:
    """Each of the two, empty."""
    found: Place = request.getfixturevalue("local" if request.param == "directory" else "remote")
    return found


@pytest.fixture
def docs(place) -> Place:
    """``place`` with the collection "docs": ten records (i, 1, 0, 0) under l2."""
    fill(place.database)
    return place


@pytest.fixture
def docs_in(local) -> None:
    """``local`` with the collection "docs"."""
    fill(local.database)


def fill(database: Any, count: int = 10) -> None:
    made = database.create_collection("docs", dim=DIM, metric="l2", fields=FIELDS)
    made.upsert(list(range(count)), vectors(count), payloads(count))


def vectors(count: int) -> np.ndarray:
    matrix = np.zeros((count, DIM), np.float32)
    matrix[:, 0] = np.arange(count)
    matrix[:, 1] = 1.0
    return matrix


def payloads(count: int) -> list[dict[str, Any]]:
    return [{"lang": "de" if i % 2 else "en", "year": 2000 + i} for i in range(count)]


class Opened:
    """A directory that is opened for each use alone, so that commands may write it between."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            with vecdb.open(self.path) as database:
                return getattr(database, name)(*arguments, **named)

        return call

    def create_collection(self, name: str, **schema: Any) -> Any:
        with vecdb.open(self.path) as database:
            database.create_collection(name, **schema)
        return OpenedCollection(self.path, name)

    def collection(self, name: str) -> Any:
        return OpenedCollection(self.path, name)


class OpenedCollection:
    """The same of a collection."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name

    def __getattr__(self, method: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            with vecdb.open(self._path) as database:
                return getattr(database.collection(self._name), method)(*arguments, **named)

        return call
