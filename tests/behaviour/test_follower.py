"""A second process that reads beside the writer sees every commit, whatever it was."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import vecdb
from vecdb.storage.catalogue import get_state

SCRIPT = Path(__file__).with_name("following.py")
QUERY = [1.0, 2.0, 3.0, 4.0]
EVEN = {"even": True}

pytestmark = pytest.mark.slow


def load_script():
    spec = importlib.util.spec_from_file_location("following", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


describe = load_script().describe


def first_slot(db, name):
    row = db._store.row(name)
    with db._store.environment.read() as transaction:
        return get_state(transaction, row.number).first_slot


class Follower:
    """The other process."""

    def __init__(self, directory):
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, call, **arguments):
        self._process.stdin.write(json.dumps({"call": call, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        assert self._process.wait(60) == 0
        self._process.stdout.close()


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    # A map of the smallest size, so that it grows under the follower too.
    with vecdb.open(tmp_path_factory.mktemp("db"), map_bytes=65_536, threads=1) as db:
        yield db


@pytest.fixture(scope="module")
def follower(writer):
    made = Follower(writer.path)
    yield made
    made.close()


@pytest.fixture
def same(writer, follower):
    """Compares what both processes see; returns it."""

    def compare(name="docs", filter=None):
        ours = json.loads(json.dumps(describe(writer.collection(name), QUERY, filter)))
        assert follower.ask("describe", name=name, query=QUERY, filter=filter) == ours
        return ours

    yield compare
    for info in writer.collections():
        writer.delete_collection(info.name)


@pytest.fixture
def docs(writer):
    return writer.create_collection("docs", dim=4, metric="l2", fields={"even": "bool"})


def batch(rng, ids):
    vectors = rng.standard_normal((len(ids), 4)).astype(np.float32)
    return ids, vectors, [{"even": id % 2 == 0, "id": id} for id in ids]


def test_follower_sees_each_write_at_once(same, docs, rng):
    same()
    for start in range(0, 50, 10):
        docs.upsert(*batch(rng, range(start, start + 10)))
        assert same()["count"][0] == start + 10
        same(filter=EVEN)
    docs.upsert(*batch(rng, range(5, 45)))
    same()
    docs.delete(list(range(10)))
    assert same(filter=EVEN)["count"] == [40, 20, 40]
    docs.set_payload([11, 13], {"even": True})
    assert same(filter=EVEN)["count"] == [40, 22, 40]
    docs.delete(filter=EVEN)
    assert same(filter=EVEN)["count"] == [18, 0, 18]
    docs.delete(filter={})
    assert same()["ids"] == []
    docs.upsert(*batch(rng, range(3)))
    same()


def test_follower_keeps_up_when_dead_rows_are_cleaned_away(same, docs, rng, writer):
    """Behind, it finds that what it would replay next has been moved, and starts over."""
    docs.upsert(*batch(rng, range(1_000)))
    same()
    for turn in range(500):  # cleaning comes between writes, when the writer finds the time
        docs.upsert(*batch(rng, range(1, 1_000)))  # record 0 is moved, never written again
        if turn % 5 == 4:
            same()
        if turn >= 10 and first_slot(writer, "docs") > 1_000:
            break
    assert first_slot(writer, "docs") > 1_000
    found = same(filter=EVEN)
    assert found["count"] == [1_000, 500, 1_000]
    docs.delete(list(range(500)))
    same()


def test_follower_that_is_behind_catches_up_with_many_small_writes(same, docs, rng):
    docs.upsert(*batch(rng, range(100)))
    same()
    for id in range(300):
        docs.upsert(*batch(rng, [id % 130]), wait=False)
        if id % 7 == 0:
            docs.delete([(id * 3) % 130], wait=False)
    docs.delete([0])
    same()
    same(filter=EVEN)


def test_follower_sees_payloads_that_changed_after_they_were_sealed(same, docs, rng):
    docs.upsert(*batch(rng, range(40)))
    docs.seal()
    docs.upsert(*batch(rng, range(40, 50)))
    assert same(filter=EVEN)["count"] == [50, 25, 50]
    docs.set_payload([1, 3, 41], {"even": True})
    assert same(filter=EVEN)["count"] == [50, 28, 50]
    docs.seal()
    docs.set_payload([2, 42], {"even": False})
    assert same(filter=EVEN)["count"] == [50, 26, 50]
    docs.compact()
    assert same(filter=EVEN)["count"] == [50, 26, 50]


def test_follower_takes_over_a_map_that_has_grown(same, writer, docs, rng):
    before = writer.stats()["map_bytes"]
    vectors = rng.standard_normal((60_000, 4)).astype(np.float32)
    docs.upload(vectors, payloads=[{"even": False}] * 60_000, progress=False)
    assert writer.stats()["map_bytes"] > before
    assert same()["count"][0] == 60_000


def test_follower_sees_collections_and_aliases_come_and_go(same, writer, follower, docs, rng):
    docs.upsert(*batch(rng, range(20)))
    same()
    writer.alias("current", "docs")
    same("current")
    other = writer.create_collection("other", dim=4, fields={"even": "bool"})
    other.upsert(["a", "b"], np.ones((2, 4), np.float32))
    writer.alias("current", "other")
    assert same("current")["id_kind"] == "str"
    writer.delete_collection("docs")
    gone = follower.ask("describe", name="docs", query=QUERY)
    assert gone == {"error": "NotFound", "reason": "NO_COLLECTION"}
    assert follower.ask("names") == [["other"], {"current": "other"}]
    again = writer.create_collection("docs", dim=4, fields={"even": "bool"})
    again.upsert(*batch(rng, range(5)))
    assert same("docs")["count"][0] == 5
    assert len(follower.ask("loaded")) == 2  # the tail of the first "docs" is given back
