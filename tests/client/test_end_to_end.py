"""The client against the real server: uploads, keys and TLS, deadlines, limits, restarts."""

from __future__ import annotations

import asyncio
import io
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import trustme

from vecdb_client import AsyncClient, Client, errors, limits
from vecdb_client.version import VERSION
from vecdb_server import logs, service
from vecdb_server.config import ServerConfig
from vecdb_server.lifecycle import Server

ROWS = 20_000
DIM = 32
KEY = "correct-horse-battery-staple"
SECONDS = 60.0


@pytest.fixture
def serve(tmp_path) -> Iterator[Callable[..., Server]]:
    """Starts a server over ``tmp_path / "db"`` in this process."""
    started: list[Server] = []

    def start(listen: str = "127.0.0.1:0", **settings: Any) -> Server:
        config = ServerConfig(directory=tmp_path / "db", listen=listen, **settings)
        server = Server(config, log=logs.make_logger("error", stream=io.StringIO()))
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.stop(0.0)


@pytest.fixture
def client(serve) -> Iterator[Client]:
    with Client(serve().address, timeout=SECONDS) as made:
        yield made


@pytest.fixture
def docs(client):
    return client.create_collection("docs", dim=DIM, metric="l2", fields={"row": "int"})


@pytest.fixture
def vectors(monkeypatch) -> np.ndarray:
    """20,000 of them, which go out in chunks of 128 KiB."""
    monkeypatch.setattr(limits, "UPLOAD_CHUNK_BYTES", 128 * 1024)
    return np.random.default_rng(5).standard_normal((ROWS, DIM), np.float32)


def few(*ids: int) -> np.ndarray:
    return np.random.default_rng(ids).standard_normal((len(ids), DIM), np.float32)


# ------------------------------------------------------------------------------------ uploads


@pytest.mark.slow
def test_upload_of_many_records_with_progress(docs, vectors):
    told = []
    payloads = [{"row": row} for row in range(ROWS)]
    report = docs.upload(
        vectors, payloads=payloads, progress=lambda records, size: told.append((records, size))
    )
    assert (report.ok, report.failed, report.retries) == (ROWS, (), 0)
    assert docs.count() == ROWS
    assert docs.describe().sequence == report.chunks == len(told)
    assert told == sorted(told)
    assert told[-1] == (ROWS, report.bytes)
    assert report.bytes > vectors.nbytes
    found = docs.get(np.arange(0, ROWS, 97), with_vector=True)
    assert np.array_equal(found.vectors, vectors[::97])
    assert found.payloads == payloads[::97]
    assert docs.search(vectors[777], 1, filter={"row": {"gte": 500}}).ids.tolist() == [777]


@pytest.mark.slow
def test_one_bad_row_in_the_middle_of_an_upload_fails_alone(docs, vectors):
    bad = 12_345
    vectors[bad, 3] = np.nan
    with pytest.raises(errors.UploadFailed, match=f"1 of {ROWS} records were not stored") as caught:
        docs.upload(vectors, progress=False)
    report = caught.value.report
    assert report.ok == docs.count() == ROWS - 1
    assert [(one.id, one.code) for one in report.failed] == [(bad, "InvalidArgument")]
    assert report.failed[0].message.startswith(f"vectors[{bad}] holds NaN")
    around = docs.get([bad - 1, bad, bad + 1], with_vector=True)
    assert (around.ids.tolist(), around.missing.tolist()) == ([bad - 1, bad + 1], [bad])
    assert np.array_equal(around.vectors, vectors[[bad - 1, bad + 1]])


@pytest.mark.slow
@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, OSError])
def test_interrupted_upload_is_resumed_and_writes_nothing_twice(docs, vectors, interrupt):
    def interrupted() -> Iterator[np.ndarray]:
        for start in range(0, ROWS, 1_000):
            if start == 12_000:
                raise interrupt
            yield vectors[start : start + 1_000]

    with pytest.raises(interrupt) as caught:
        docs.upload(interrupted(), progress=False)
    (note,) = caught.value.__notes__
    stored, upload_id = re.search(r"^(\d+) records .* resume='([0-9a-f]{32})'", note).groups()
    assert 0 < int(stored) <= docs.count() < ROWS
    report = docs.upload(vectors, progress=False, resume=upload_id)
    assert (report.ok, report.upload_id) == (ROWS, upload_id)
    assert docs.count() == ROWS
    assert docs.describe().sequence == report.chunks


# -------------------------------------------------------------------------------- keys and TLS


@pytest.fixture(scope="module")
def tls(tmp_path_factory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("tls")
    files = SimpleNamespace(cert=folder / "cert", key=folder / "key", ca=folder / "ca")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    for blob in issued.cert_chain_pems:
        blob.write_to_path(files.cert, append=True)
    issued.private_key_pem.write_to_path(files.key)
    files.key.chmod(0o600)
    authority.cert_pem.write_to_path(files.ca)
    return files


def test_key_and_tls_open_every_kind_of_call(serve, tls):
    server = serve(api_keys=(KEY,), tls_cert=tls.cert, tls_key=tls.key)
    with Client(server.address, api_key=KEY, tls=True, ca_file=str(tls.ca)) as client:
        client.wait_ready()
        docs = client.create_collection("docs", dim=DIM)
        assert docs.upload(few(*range(50)), progress=False).ok == 50
        assert len(docs.search(few(1)[0], 7)) == 7


def test_wrong_key_is_unauthenticated(serve):
    address = serve(api_keys=(KEY,)).address
    for wrong in ("another-key-of-somebody", None):
        with Client(address, api_key=wrong) as client:
            with pytest.raises(errors.Unauthenticated) as caught:
                client.collections()
            assert "api_key=" in caught.value.hint
            assert KEY not in str(caught.value)
            with pytest.raises(errors.Unauthenticated):
                client.collection("docs").upload(few(1), progress=False)


@pytest.mark.slow
def test_server_that_is_not_trusted_is_not_called(serve, tls, tmp_path):
    server = serve(api_keys=(KEY,), tls_cert=tls.cert, tls_key=tls.key)
    stranger = tmp_path / "stranger"
    trustme.CA().cert_pem.write_to_path(stranger)
    for settings in ({"tls": True, "ca_file": str(stranger)}, {}):
        with (
            Client(server.address, api_key=KEY, timeout=0.5, **settings) as client,
            pytest.raises(errors.Unavailable, match="TLS on at both ends or at neither"),
        ):
            client.collections()


# ------------------------------------------------------------------------ deadlines and limits


def test_write_that_ran_out_of_time_is_repeated_with_its_key(serve):
    server = serve()
    held, let_go = threading.Event(), threading.Event()

    def hold(group: object) -> None:
        held.set()
        assert let_go.wait(SECONDS)

    with Client(server.address) as client:
        docs = client.create_collection("docs", dim=DIM)
        holding = server._database._store.submit(hold, 1)
        assert held.wait(SECONDS)
        with pytest.raises(errors.DeadlineExceeded) as caught:
            docs.upsert([1, 2], few(1, 2), idempotency_key=b"mine", timeout=0.2)
        assert "deadline 0.2 s" in str(caught.value)
        let_go.set()
        holding.result(SECONDS)
        result = docs.upsert([1, 2], few(1, 2), idempotency_key=b"mine")
        assert (result.count, result.sequence) == (2, 1)
        assert (docs.count(), docs.describe().sequence) == (2, 1)


@pytest.mark.slow
def test_batch_over_the_limit_is_refused_before_it_is_sent():
    ids = np.arange(17_000)
    with (
        Client("127.0.0.1:1", timeout=0.1) as client,  # where nobody listens
        pytest.raises(errors.LimitExceeded, match="use upload") as caught,
    ):
        client.collection("docs").upsert(ids, np.ones((len(ids), 1_024), np.float32))
    assert caught.value.limit == limits.MESSAGE_BYTES
    assert caught.value.actual >= 4 * 1_024 * len(ids)


@pytest.mark.slow
def test_answer_over_the_limit_is_refused_with_advice(client):
    docs = client.create_collection("wide", dim=16_384)
    vectors = np.ones((1_100, 16_384), np.float32)
    docs.upload(vectors, progress=False)
    with pytest.raises(errors.LimitExceeded, match="Ask for less at once"):
        docs.get(np.arange(1_100), with_vector=True)


# ------------------------------------------------------------------------------- the handshake


def test_info_tells_who_answers(client):
    info = client.info()
    assert info.server_version == service.server_version()
    assert (info.api, info.dev) == ("v1", False)
    assert info.limits["message_bytes"] == limits.MESSAGE_BYTES
    assert info.database_id == client.stats()["database_id"]


def test_server_of_another_major_version_is_refused(serve, monkeypatch):
    monkeypatch.setattr(service, "server_version", lambda: "7.0.0")
    with Client(serve().address) as client, pytest.raises(errors.PreconditionFailed) as caught:
        client.collections()
    assert caught.value.reason == "INCOMPATIBLE_SERVER"
    assert f"'7.0.0' and interface 'v1'; this client has version '{VERSION}'" in str(caught.value)


def test_server_of_a_distant_minor_version_warns(serve, monkeypatch):
    monkeypatch.setattr(service, "server_version", lambda: "0.77.0")
    with Client(serve().address) as client:
        with pytest.warns(UserWarning, match=r"0\.77\.0"):
            assert client.collections() == []
        assert client.aliases() == {}


# --------------------------------------------------------------------------- threads, restarts


@pytest.mark.slow
def test_eight_threads_share_one_client(docs):
    found: list[list[int]] = [[] for _ in range(8)]

    def work(number: int) -> None:
        for turn in range(20):
            id = 100 * number + turn
            vector = few(id)
            docs.upsert([id], vector, [{"row": id}])
            found[number] += docs.search(vector[0], 1).ids.tolist()
            assert docs.get([id]).payloads == [{"row": id}]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[100 * number + turn for turn in range(20)] for number in range(8)]
    assert docs.count() == 160


def test_many_calls_at_once_through_asyncio(serve):
    async def main() -> None:
        async with AsyncClient(serve().address, timeout=SECONDS) as client:
            docs = await client.create_collection("docs", dim=DIM, metric="l2")
            report = await docs.upload(few(*range(64)), progress=False)
            assert report.ok == 64
            queries = few(*range(64))
            answers = await asyncio.gather(*(docs.search(query, 1) for query in queries))
            assert [answer.ids[0] for answer in answers] == list(range(64))
            await asyncio.gather(*(docs.delete([id]) for id in range(64)))
            assert await docs.count() == 0

    asyncio.run(main())


def test_client_does_not_notice_a_restart_between_calls(serve, tmp_path):
    server = serve()
    with Client(server.address, timeout=SECONDS) as client:
        docs = client.create_collection("docs", dim=DIM)
        docs.upsert([1], few(1))
        before = client.info().database_id
        server.stop(0.0)
        serve(server.address)
        assert docs.count() == 1
        assert docs.upsert([2], few(2)).sequence == 2
        assert client.info().database_id == before
        assert Path(client.stats()["directory"]) == tmp_path / "db"


def test_call_while_the_server_is_away_waits_for_it(serve):
    server = serve()
    with Client(server.address, timeout=SECONDS) as client:
        docs = client.create_collection("docs", dim=DIM)
        server.stop(0.0)
        counts: list[int] = []
        call = threading.Thread(target=lambda: counts.append(docs.upsert([1], few(1)).count))
        call.start()
        serve(server.address)
        call.join()
        assert counts == [1]
