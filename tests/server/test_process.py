"""``vecdb serve`` as a process of its own: its output, its exit statuses, its signals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import grpc
import numpy as np
import pytest

import vecdb
from vecdb_client import codec
from vecdb_client.wire import vecdb_pb2 as pb

SECONDS = 120.0
KEY = "correct-horse-battery-staple"
READY = re.compile(r"vecdb (\S+) serving (.+) on (\S+)\n")
SCHEMA = pb.CollectionSchema(dim=8, metric=pb.L2, fields={"lang": pb.KEYWORD})


@dataclass
class Child:
    """A server process. Its log goes to a file, which never blocks it."""

    process: subprocess.Popen[str]
    log: Path
    line: str
    address: str
    key: str | None = None

    def call(self, channel: grpc.Channel, path: str, request, answer):
        metadata = (("authorization", f"Bearer {self.key}"),) if self.key else ()
        method = channel.unary_unary(
            path,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return method(request, timeout=SECONDS, metadata=metadata)

    def create(self, channel: grpc.Channel, name: str = "docs") -> None:
        request = pb.CreateCollectionRequest(name=name, schema=SCHEMA)
        self.call(channel, "/vecdb.v1.Collections/Create", request, pb.CollectionInfo)

    def upsert(self, channel: grpc.Channel, *ids: int, **fields) -> pb.WriteResponse:
        request = pb.UpsertRequest(
            collection="docs",
            ids=codec.ids_to_wire(list(ids)),
            vectors=codec.vectors_to_wire(np.ones((len(ids), 8), np.float32)),
            **fields,
        )
        return self.call(channel, "/vecdb.v1.Records/Upsert", request, pb.WriteResponse)

    def wait(self) -> int:
        return self.process.wait(SECONDS)

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def environment(**settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VECDB_")}
    return kept | settings


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "vecdb_server", *map(str, arguments)]


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., Child]]:
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: object, key: str | None = None, **settings: str) -> Child:
        log = tmp_path / f"log-{len(started)}"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command(tmp_path / "db", "--listen", "127.0.0.1:0", *arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stream,
                env=environment(**settings),
                text=True,
            )
        started.append(process)
        line = process.stdout.readline()
        match = READY.fullmatch(line)
        assert match, log.read_text()
        return Child(process, log, line, match[3], key)

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


def refuse(*arguments: object, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a server that must not start."""
    return subprocess.run(
        command(*arguments),
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


# ------------------------------------------------------------------------------------- signals


@pytest.mark.slow
def test_sigterm_under_load_keeps_what_was_acknowledged(start, tmp_path):
    child = start()
    with grpc.insecure_channel(child.address) as channel:
        child.create(channel)
    acknowledged: list[list[int]] = [[] for _ in range(4)]
    failures: list[grpc.RpcError] = []
    flowing = threading.Semaphore(0)

    def write(worker: int) -> None:
        with grpc.insecure_channel(child.address) as channel:
            for number in range(worker, 10**9, 4):
                try:
                    child.upsert(channel, 2 * number, 2 * number + 1)
                except grpc.RpcError as error:
                    failures.append(error)
                    return
                acknowledged[worker].append(number)
                flowing.release()

    writers = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for writer in writers:
        writer.start()
    for _ in range(40):
        assert flowing.acquire(timeout=SECONDS)
    child.process.send_signal(signal.SIGTERM)
    assert child.wait() == 0
    for writer in writers:
        writer.join(SECONDS)
    assert {error.code() for error in failures} == {grpc.StatusCode.UNAVAILABLE}
    with vecdb.open(tmp_path / "db") as db:
        docs = db.collection("docs")
        wanted = [2 * number for numbers in acknowledged for number in numbers]
        assert len(wanted) >= 40
        assert len(docs.get(wanted).missing) == 0
        # What was not acknowledged is whole or absent.
        stored = set(docs.scroll(limit=10_000, with_payload=False).ids.tolist())
        assert all((id ^ 1) in stored for id in stored)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_an_idle_server_with_status_0(start, tmp_path, number):
    child = start()
    assert (
        child.line
        == f"vecdb {version('vecdb-server')} serving {tmp_path / 'db'} on {child.address}\n"
    )
    child.process.send_signal(number)
    assert child.wait() == 0
    assert child.process.stdout.read() == ""  # one line is all
    events = [line["event"] for line in child.lines()]
    assert events == ["ready", "signal", "stopping", "stopped"]


@pytest.mark.slow
def test_second_signal_ends_a_draining_server_at_once(start):
    child = start("--drain-seconds", 3600, "--threads", 1)
    hold = threading.Event()

    def silent() -> Iterator[bytes]:
        hold.wait(SECONDS)  # the call is open, its request never comes
        yield b""

    with grpc.insecure_channel(child.address) as channel:
        child.create(channel)
        call = channel.stream_unary("/vecdb.v1.Records/Count").future(silent(), timeout=SECONDS)
        # The one thread is held: what comes later waits behind it.
        child.process.send_signal(signal.SIGTERM)
        wait_for(child, "stopping")
        child.process.send_signal(signal.SIGTERM)
        assert child.wait() == 128 + signal.SIGTERM
        hold.set()
        assert call.exception() is not None


def wait_for(child: Child, event: str) -> None:
    """Return once the log has the event."""
    with child.log.open() as log:
        deadline = threading.Timer(SECONDS, child.process.kill)
        deadline.start()
        try:
            while child.process.poll() is None:
                if any(json.loads(line)["event"] == event for line in log):
                    return
        finally:
            deadline.cancel()
    raise AssertionError(f"the server ended without {event}")


# ------------------------------------------------------------------------------- exit statuses


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "settings", "told"),
    [
        ([], {}, "Missing argument"),
        (["db", "--nonsense"], {}, "--nonsense"),
        (["db", "--listen", "nowhere"], {}, "host:port"),
        (["db", "--listen", "0.0.0.0:0"], {}, "needs an API key and TLS. Add --api-key-file"),
        (["db", "--threads", "0"], {}, "threads"),
        (["db", "--threads", "many"], {}, "many"),
        (["db"], {"VECDB_SERVER__QUEUE": "-1"}, "queue"),
        (["db"], {"VECDB_SERVER__LISTN": "x"}, "VECDB_SERVER__LISTN"),
        (["db"], {"VECDB_SERVER__API_KEY": "short"}, "16 or more"),
        (["db", "--api-key-file", "no-such-file"], {}, "no-such-file"),
        (["db", "--api-key", KEY], {}, "--api-key"),
    ],
)
def test_wrong_settings_end_with_status_2_and_one_line(tmp_path, arguments, settings, told):
    if "db" in arguments:
        arguments = [tmp_path / "db", *arguments[1:]]
    ended = refuse(*arguments, **settings)
    assert ended.returncode == 2, ended.stderr
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    assert not (tmp_path / "db").exists()


@pytest.mark.slow
def test_locked_database_and_taken_port_end_with_status_3(start, tmp_path):
    child = start()
    locked = refuse(tmp_path / "db", "--listen", "127.0.0.1:0")
    assert locked.returncode == 3
    assert "Error: " in locked.stderr
    assert "Traceback" not in locked.stderr
    taken = refuse(tmp_path / "other", "--listen", child.address)
    assert taken.returncode == 3
    assert child.address in taken.stderr
    assert "--listen" in taken.stderr


# --------------------------------------------------------------------------------------- logs


@pytest.mark.slow
def test_log_and_output_hold_no_secrets(start, key_file):
    child = start("--api-key-file", key_file, "--log-level", "debug", key=KEY)
    secret = "the-payload-of-somebody"
    wrong_key = "a-wrong-key-of-somebody"
    answers = []
    with grpc.insecure_channel(child.address) as channel:
        child.create(channel)
        child.upsert(channel, 1, payloads=[json.dumps({"lang": secret}).encode()])
        found = pb.Filter(
            compare=pb.Comparison(field="lang", operator=pb.EQ, values=[pb.Value(text=secret)])
        )
        wrong = pb.Filter(
            compare=pb.Comparison(field="lang", operator=pb.GTE, values=[pb.Value(integer=48151)])
        )
        count = "/vecdb.v1.Records/Count"
        for filter in (found, wrong):
            request = pb.CountRequest(collection="docs", filter=filter)
            answers.append(
                attempt(lambda r=request: child.call(channel, count, r, pb.CountResponse))
            )
        for payload in ({"lang": [secret, 3]}, {"lang": {"x": secret}}):
            text = json.dumps(payload).encode()
            answers.append(attempt(lambda t=text: child.upsert(channel, 2, payloads=[t])))
        answers.append(attempt(lambda: child.upsert(channel, 3, payloads=[secret.encode()])))
        child.key = wrong_key
        answers.append(attempt(lambda: child.upsert(channel, 4)))
    child.process.send_signal(signal.SIGTERM)
    assert child.wait() == 0
    told = child.log.read_text() + child.line + child.process.stdout.read()
    assert told.count('"event": "call"') >= 7
    assert [answer is None for answer in answers] == [True, False, False, False, False, False]
    for hidden in (secret, "48151", wrong_key, KEY):
        assert hidden not in told
        assert not any(hidden in answer for answer in answers if answer)
    assert all(isinstance(line, dict) for line in child.lines())  # nothing but JSON


def attempt(make: Callable[[], object]) -> str | None:
    """None if the call succeeds, else all that its error tells."""
    try:
        make()
    except grpc.RpcError as error:
        return f"{error.details()} {error.trailing_metadata()}"
    return None
