"""A database in this process, and a look at what it holds inside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import vecdb
from vecdb.storage.catalogue import State, get_state
from vecdb.testing.clock import ManualClock


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
