"""Which database a command means, and how it fails to reach it."""

from __future__ import annotations

import io
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from vecdb.cli import targets
from vecdb_server import logs
from vecdb_server.config import ServerConfig
from vecdb_server.lifecycle import Server

VECDB = Path(sys.executable).with_name("vecdb")
KEY = "correct-horse-battery-staple"


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key"
    path.write_text(f"# of a test\n{KEY}\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def free_address() -> str:
    """An address where nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{found.getsockname()[1]}"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server with TLS that wants a key, and the file of its authority."""
    folder = tmp_path_factory.mktemp("guarded")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    for blob in issued.cert_chain_pems:
        blob.write_to_path(folder / "cert.pem", append=True)
    issued.private_key_pem.write_to_path(folder / "key.pem")
    (folder / "key.pem").chmod(0o600)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    config = ServerConfig(
        directory=folder / "db",
        listen="127.0.0.1:0",
        api_keys=(KEY,),
        tls_cert=folder / "cert.pem",
        tls_key=folder / "key.pem",
        drain_seconds=0.0,
    )
    with Server(config, log=logs.make_logger("debug", stream=io.StringIO())) as server:
        yield server.address, folder / "ca.pem"


def test_stopped_server_is_told_at_once(run, free_address):
    result = run("status", "--at", free_address)
    assert result.status == 3
    assert result.err == (
        f"error: no server listens on {free_address}\n"
        f"hint: Start one: vecdb serve DIR --listen {free_address}\n"
    )


def test_without_a_target_the_default_address_is_meant(run, free_address, monkeypatch):
    monkeypatch.setattr(targets, "DEFAULT_ADDRESS", free_address)
    result = run("collection", "list")
    assert result.status == 3
    assert f"no server listens on {free_address}" in result.err
    assert "--at HOST:PORT, or --dir DIR" in result.err


def test_environment_names_the_target(run, remote, tmp_path, monkeypatch):
    remote.database.create_collection("docs", dim=4)
    monkeypatch.setenv("VECDB_AT", remote.options[1])
    assert json.loads(run("collection", "list", "-o", "json").out)[0]["name"] == "docs"
    monkeypatch.delenv("VECDB_AT")
    monkeypatch.setenv("VECDB_DIR", str(tmp_path / "db"))
    assert run("collection", "create", "here", "--dim", "4").status == 0
    assert json.loads(run("collection", "list", "-o", "json").out)[0]["name"] == "here"


def test_flag_wins_over_the_environment(run, remote, tmp_path, monkeypatch):
    monkeypatch.setenv("VECDB_AT", remote.options[1])
    result = run("collection", "list", "--dir", tmp_path / "db")
    assert result.status == 5
    assert "there is no database at" in result.err


@pytest.mark.parametrize("by", ["flags", "environment"])
def test_two_targets_are_a_mistake(run, by, monkeypatch):
    words = ["--dir", "db", "--at", "127.0.0.1:7700"]
    if by == "environment":
        words = []
        monkeypatch.setenv("VECDB_DIR", "db")
        monkeypatch.setenv("VECDB_AT", "127.0.0.1:7700")
    result = run("status", *words)
    assert result.status == 2
    assert "name two databases" in result.err


@pytest.mark.parametrize(
    "address", ["7700", "localhost", "http://localhost:7700", "::1:7700", "localhost:0", "a:b:1"]
)
def test_malformed_address_is_a_mistake(run, address, monkeypatch):
    assert run("status", "--at", address).status == 2
    monkeypatch.setenv("VECDB_AT", address)
    assert run("status").status == 2


@pytest.mark.parametrize(
    "words",
    [
        ["collection", "list"],
        ["record", "count", "docs"],
        ["record", "delete", "docs", "1", "--yes"],
        ["collection", "delete", "docs", "--yes"],
        ["search", "docs", "--id", "1"],
        ["export", "docs", "-O", "-"],
    ],
    ids=" ".join,
)
def test_missing_directory_is_not_found_and_not_made(run, tmp_path, words):
    result = run(*words, "--dir", tmp_path / "db")
    assert result.status == 5
    assert "hint: Check the path, or make one by" in result.err
    assert not (tmp_path / "db").exists()


@pytest.mark.slow
def test_directory_is_read_beside_its_writer_but_not_written(server, remote):
    """In a process of its own: one process opens a directory once."""
    remote.database.create_collection("docs", dim=4)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(VECDB), *words, "--dir", str(server.config.directory)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run("collection", "list", "-o", "jsonl").stdout.startswith('{"name": "docs"')
    assert run("record", "delete", "docs", "1", "--dry-run").stdout == "0\n"
    result = run("collection", "create", "more", "--dim", "4")
    assert result.returncode == 3
    assert f"is open for writing in process {os.getpid()}" in result.stderr
    assert "hint: Stop that process; if it is a server, reach it with --at HOST:PORT" in (
        result.stderr
    )


def test_key_and_certificate_open_a_guarded_server(run, guarded, key_file):
    address, ca = guarded
    result = run("status", "--at", address, "--ca-file", ca, "--api-key-file", key_file)
    assert (result.status, result.err) == (0, "no collection yet\n")


def test_key_of_the_environment_is_sent(run, guarded, monkeypatch):
    address, ca = guarded
    monkeypatch.setenv("VECDB_AT", address)
    monkeypatch.setenv("VECDB_CA_FILE", str(ca))
    monkeypatch.setenv("VECDB_API_KEY", KEY)
    assert run("collection", "list").status == 0
    monkeypatch.setenv("VECDB_API_KEY", KEY[::-1])
    result = run("collection", "list")
    assert result.status == 4
    assert KEY[::-1] not in result.err


def test_missing_key_is_unauthenticated(run, guarded):
    address, ca = guarded
    result = run("collection", "list", "--at", address, "--ca-file", ca, "-o", "json")
    assert result.status == 4
    assert json.loads(result.err)["error"]["code"] == "Unauthenticated"


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (KEY, 0o644, "others may use it (mode 0644)"),
        ("# nothing\n", 0o600, "must hold one key; it holds none"),
        (f"{KEY}\n{KEY}\n", 0o600, "must hold one key; it holds 2"),
    ],
)
def test_file_of_the_key_is_checked(run, tmp_path, text, mode, said):
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(mode)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    result = run("status", "--api-key-file", path)
    assert result.status == 2
    assert said in result.err
    assert KEY not in result.err


def test_missing_file_of_the_key_is_a_mistake(run, tmp_path):
    assert run("status", "--api-key-file", tmp_path / "none").status == 2
    assert run("status", "--ca-file", tmp_path / "none").status == 2


def test_key_on_the_command_line_is_not_an_option(run):
    assert run("status", "--api-key", KEY).status == 2


def test_client_that_is_not_installed_is_named(run, monkeypatch):
    monkeypatch.setattr(targets, "GROUP", "vecdb.no_such_group")
    result = run("status")
    assert result.status == 6
    assert result.err == (
        "error: a server is reached through the package vecdb-client, which is not installed\n"
        "hint: pip install vecdb-client, or name a directory: --dir DIR\n"
    )
