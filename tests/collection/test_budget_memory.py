"""A collection keeps to its memory budget: measured from outside, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import vecdb

SCRIPT = Path(__file__).with_name("limited.py")
CGROUP = Path("/sys/fs/cgroup/memory")
SLOTS, DIM = 40_000, 256
RAW_BYTES = 4 * SLOTS * DIM
CONSTANT_BYTES = 16 * 1024 * 1024
"""What docs/memory.md says of searches under way, for one thread."""
OVER = 1.1


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A collection that is sealed at a quarter of its vectors' size, and one of few records."""
    rng = np.random.default_rng(0)
    near = rng.standard_normal((200, 16)) @ rng.standard_normal((16, DIM))
    spread = 0.4 * rng.standard_normal((SLOTS, 16)) @ rng.standard_normal((16, DIM))
    vectors = (near[rng.integers(0, 200, SLOTS)] + spread).astype(np.float32)
    folder = tmp_path_factory.mktemp("budget")
    moved = vectors[:400] + 0.1 * rng.standard_normal((400, DIM)).astype(np.float32)
    np.save(folder / "queries.npy", moved)
    with vecdb.open(folder / "db") as db:
        small = db.create_collection("small", dim=DIM, metric="l2", memory_budget=2**24)
        small.upsert(np.arange(3_000), vectors[:3_000])
        small.seal()
        docs = db.create_collection("docs", dim=DIM, metric="l2", memory_budget=RAW_BYTES // 4)
        docs.upload(vectors, progress=False)
        docs.seal()
        docs.compact()
    return folder


def budgeted(folder, share):
    with vecdb.open(folder / "db") as db:
        docs = db.collection("docs")
        docs.set_memory_budget(int(share * RAW_BYTES))
        while docs.describe().sealing or docs.explain(np.zeros(DIM), mode="graph").degraded:
            docs.compact()


def command(folder, *, rounds):
    return [sys.executable, str(SCRIPT), str(folder / "db"), str(folder / "queries.npy"), rounds]


def run(arguments):
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("share", "level"), [(0.25, "codes"), (0.1, "entries"), (0.5, "graph+codes")]
)
def test_searches_keep_to_the_budget(database, share, level):
    budgeted(database, share)
    told = run(command(database, rounds="3"))
    assert told["level"] == level
    assert told["searches"]["pages_read"] > SLOTS // 4, "too few reads to fill any cache"
    assert told["counted"] <= told["budget"]
    assert told["most"] - told["before"] <= OVER * told["budget"] + CONSTANT_BYTES


@contextmanager
def limited_to(limit_bytes):
    """A control group; yields the shell's words that enter it."""
    group = CGROUP / f"vecdb-{uuid.uuid4().hex}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(limit_bytes))
        yield ["sh", "-c", f'echo $$ > {group}/tasks && exec "$@"', "sh"]
    finally:
        group.rmdir()


@pytest.mark.slow
@pytest.mark.skipif(
    not (os.access(CGROUP, os.W_OK) and (CGROUP / "memory.limit_in_bytes").exists()),
    reason="control groups (version 1) of memory cannot be made here",
)
def test_searches_go_on_in_a_process_that_has_no_more_memory_than_that(database):
    budgeted(database, 0.25)
    free = run(command(database, rounds="1"))
    limit = free["before"] + free["files"] + int(OVER * free["budget"]) + CONSTANT_BYTES
    assert limit < free["before"] + free["files"] + RAW_BYTES
    with limited_to(limit) as enter:
        told = run([*enter, *command(database, rounds="1")])
    assert told["searches"]["vectors_scored"] == free["searches"]["vectors_scored"]
