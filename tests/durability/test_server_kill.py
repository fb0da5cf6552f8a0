"""A server that is killed under its clients: they carry on by themselves, and nothing is twice."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from vecdb_client import AsyncClient, Client, limits

ROWS = 6_000
DIM = 64
PATIENCE_SECONDS = 120.0

pytestmark = pytest.mark.slow


def make_rows() -> tuple[np.ndarray, list[dict[str, int]]]:
    vectors = np.random.default_rng(1).standard_normal((ROWS, DIM), np.float32)
    return vectors, [{"row": row} for row in range(ROWS)]


class KillAtRows:
    """Progress of an upload that kills the server once so many records are stored.

    The next server is started beside the upload, which meets a port where nobody listens meanwhile.
    """

    def __init__(self, servers, rows: int, after: threading.Thread) -> None:
        self._servers = servers
        self._rows = rows
        self._after = after
        self.successor: threading.Thread | None = None

    def __call__(self, records: int, size: int) -> None:
        if self.successor is None and records >= self._rows:
            self._after.join()
            self._servers.kill()
            self.successor = threading.Thread(target=self._servers.start)
            self.successor.start()


def require_each_row_once(client: Client, report, vectors, payloads) -> None:
    docs = client.collection("docs")
    assert (report.ok, report.failed) == (ROWS, ())
    assert docs.count() == ROWS
    stored = docs.get(np.arange(ROWS), with_vector=True)
    assert len(stored.missing) == 0
    assert np.array_equal(stored.vectors, vectors)
    assert stored.payloads == payloads
    # A chunk that had been applied twice would have taken a sequence more.
    assert docs.describe().sequence == report.chunks
    assert len(np.unique(stored.sequences)) == report.chunks


def test_upload_carries_on_when_its_server_is_killed_and_started_again(servers, monkeypatch):
    monkeypatch.setattr(limits, "UPLOAD_CHUNK_BYTES", 64 * 1024)
    vectors, payloads = make_rows()
    # The first server dies with chunks synced and not acknowledged, the second at any moment.
    address = servers.start(dies_at="write synced", strike=3)
    kill = KillAtRows(servers, ROWS * 5 // 6, after=servers.succeed())
    with Client(address) as client:
        docs = client.create_collection("docs", dim=DIM, metric="l2")
        report = docs.upload(vectors, payloads=payloads, progress=kill, timeout=PATIENCE_SECONDS)
        assert kill.successor is not None
        kill.successor.join()
        assert report.retries >= 2
        require_each_row_once(client, report, vectors, payloads)


def test_asyncio_upload_carries_on_when_its_server_is_killed(servers, monkeypatch):
    monkeypatch.setattr(limits, "UPLOAD_CHUNK_BYTES", 64 * 1024)
    vectors, payloads = make_rows()
    address = servers.start(dies_at="write synced", strike=3)
    successor = servers.succeed()

    async def upload():
        async with AsyncClient(address) as client:
            docs = await client.create_collection("docs", dim=DIM, metric="l2")
            return await docs.upload(
                vectors, payloads=payloads, progress=False, timeout=PATIENCE_SECONDS
            )

    report = asyncio.run(upload())
    successor.join()
    assert report.retries >= 1
    with Client(address) as client:
        require_each_row_once(client, report, vectors, payloads)


@pytest.mark.parametrize(
    ("point", "applied"),
    [("write applied", False), ("write synced", True), ("write noted", True)],
)
def test_upsert_whose_answer_was_lost_is_repeated_and_not_applied_twice(servers, point, applied):
    strike = 2 + (point == "write noted")  # after that of the open, and of the collection
    address = servers.start(dies_at=point, strike=strike)
    successor = servers.succeed()
    with Client(address, timeout=PATIENCE_SECONDS) as client:
        docs = client.create_collection("docs", dim=2)
        result = docs.upsert([1, 2, 3], np.eye(3, 2, dtype=np.float32) + 1)
        successor.join()
        assert (result.count, result.replayed) == (3, applied)
        assert docs.count() == 3
        assert docs.describe().sequence == result.sequence == 1


@pytest.mark.parametrize("kind", ["delete", "set_payload"])
def test_other_writes_are_not_applied_twice_either(servers, kind):
    address = servers.start(dies_at="write synced", strike=3)
    successor = servers.succeed()
    with Client(address, timeout=PATIENCE_SECONDS) as client:
        docs = client.create_collection("docs", dim=2)
        docs.upsert([1, 2, 3], np.eye(3, 2, dtype=np.float32) + 1)
        result = docs.delete([1, 2]) if kind == "delete" else docs.set_payload([1, 2], {"a": 1})
        successor.join()
        assert (result.count, result.replayed, result.sequence) == (2, True, 2)
        assert docs.describe().sequence == 2
        assert docs.count() == (1 if kind == "delete" else 3)
