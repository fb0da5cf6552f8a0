"""A database in this process, and a look at what it holds inside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecdb
from vecdb.check import check_directory
from vecdb.storage.catalogue import State, get_state
from vecdb.storage.manifest import scan_segments
from vecdb.storage.segment_files import SEGMENTS
from vecdb.testing.clock import ManualClock
from vecdb.testing.model import Model


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def db(tmp_path, clock) -> Iterator[Any]:
    with vecdb.open(tmp_path / "db", threads=1, clock=clock) as opened:
        yield opened


@pytest.fixture
def docs(db) -> Any:
    return db.create_collection("docs", dim=4, metric="l2", fields={"group": "int"})


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.fixture
def state_of():
    """The stored state of a collection."""

    def read(collection: Any) -> State:
        store = collection._store
        with store.view(collection.name) as view:
            found = get_state(view.transaction, view.row.number)
        assert found is not None
        return found

    return read


PAIR_DIM = 16


class Pair:
    """A collection and what it should hold."""

    def __init__(self, path: Path, **schema) -> None:
        self.path = path
        self.texts = schema.pop("texts", False)
        self.rng = np.random.default_rng(5)
        schema = {"dim": PAIR_DIM, "metric": "l2", **schema}
        self.model = Model(
            dim=schema["dim"], metric=schema["metric"], dtype=schema.get("dtype", "float32")
        )
        self.db = vecdb.open(path, threads=2)
        self.docs = self.db.create_collection("docs", fields={"group": "int"}, **schema)

    @property
    def store(self):
        return self.docs._store

    def ids(self, numbers) -> list:
        return [f"é{number}" if self.texts else int(number) for number in numbers]

    def vectors(self, count):
        if self.model.dtype == np.uint8:
            return self.rng.integers(1, 256, (count, PAIR_DIM)).astype(np.float32)
        return self.rng.standard_normal((count, PAIR_DIM)).astype(np.float32)

    def upsert(self, numbers) -> None:
        ids, vectors = self.ids(numbers), self.vectors(len(numbers))
        payloads = [{"group": number % 5} if number % 3 else None for number in numbers]
        done = self.docs.upsert(ids, vectors, payloads)
        self.model.upsert(ids, vectors, payloads, sequence=done.sequence)

    def delete(self, numbers) -> None:
        self.docs.delete(self.ids(numbers))
        self.model.delete(self.ids(numbers))

    def patch(self, numbers) -> None:
        done = self.docs.set_payload(self.ids(numbers), {"group": 77})
        self.model.set_payload(self.ids(numbers), {"group": 77}, merge=True, sequence=done.sequence)

    def compare(self) -> None:
        """Everything that can be read; and codes and counters fit."""
        self.model.check(self.docs)
        self.model.check_search(self.docs, self.vectors(1)[0], 50)
        self.model.check_search(
            self.docs,
            self.vectors(1)[0],
            len(self.model) + 1,
            filter={"group": 77},
            predicate=lambda payload: payload.get("group") == 77,
        )
        some = self.model.matching()[::7]
        if some:
            self.model.check_records(self.docs.get(some, with_vector=True), some)
        with self.store.view("docs", with_snapshot=True) as view:
            assert view.snapshot.live == view.state.count == len(self.model)
            assert view.snapshot.tail.live == view.state.count - view.state.sealed

    def reopen(self) -> None:
        """Compare, close, verify the files, open, compare."""
        self.compare()
        self.db.close()
        report = check_directory(self.path, deep=True)
        assert report.ok, report.problems
        assert "unfinished segments" not in report.counts
        self.db = vecdb.open(self.path, threads=2)
        self.docs = self.db.collection("docs")
        self.compare()

    def folders(self) -> int:
        folder = self.path / SEGMENTS
        return len(list(folder.iterdir())) if folder.exists() else 0

    def segments(self) -> list[int]:
        """Slots of each segment."""
        with self.store.view("docs") as view:
            return [one.count for one in scan_segments(view.transaction, view.row.number)]


@pytest.fixture
def pair(tmp_path):
    made = []

    def make(**schema):
        made.append(Pair(tmp_path / "db", **schema))
        return made[-1]

    yield make
    for one in made:
        one.db.close()


@pytest.fixture
def during(monkeypatch):
    """Calls ``action`` once in the next build, when that share of it is done."""

    def install(store, share, action):
        show, left = store.sealer._show, [action]

        def watch(done):
            show(done)
            if done >= share and left:
                left.pop()()

        monkeypatch.setattr(store.sealer, "_show", watch)
        return left

    return install
