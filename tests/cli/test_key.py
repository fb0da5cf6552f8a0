"""``vecdb key``: on a directory, and on a guarded server."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime, timedelta

import pytest

import vecdb
from vecdb.cli import key as key_command
from vecdb.errors import Unauthenticated
from vecdb.keys import ROLES
from vecdb_server import logs
from vecdb_server.child import ServerProcess
from vecdb_server.config import ServerConfig
from vecdb_server.lifecycle import Server

ADMIN = "correct-horse-battery-staple"
SECRET = re.compile(r"vdb_([0-9a-f]{12})_[\w-]{43}\n")


@pytest.fixture(params=["directory", "server"])
def options(request, tmp_path, monkeypatch):
    """The words that name a database of the test's own."""
    if request.param == "directory":
        yield ("--dir", str(tmp_path / "db"))
        return
    monkeypatch.setenv("VECDB_API_KEY", ADMIN)
    config = ServerConfig(
        directory=tmp_path / "db", listen="127.0.0.1:0", api_keys=(ADMIN,), drain_seconds=0.0
    )
    with Server(config, log=logs.make_logger("error", stream=io.StringIO())) as server:
        yield ("--at", server.address)


def listed(run, options) -> list[dict[str, object]]:
    return json.loads(run("key", "list", "-o", "json", *options).out)


def test_roles_are_those_of_the_engine():
    assert tuple(ROLES) == key_command.ROLES


def test_secret_is_alone_on_stdout_and_never_again(run, options):
    made = run("key", "create", "app", "--role", "read", "--tenant", "acme", *options)
    assert made.status == 0
    found = SECRET.fullmatch(made.out)
    assert found is not None
    assert made.err == f"created the key {found[1]} (app, read); its secret is shown this once\n"
    shown = [run("key", "list", "-o", form, *options).out for form in ("table", "json", "csv")]
    assert all(found[1] in text and made.out[17:-1] not in text for text in shown)
    assert shown[0].splitlines()[1].split() == [
        found[1],
        "app",
        "read",
        "(all)",
        "acme",
        "valid",
        "-",
    ]


def test_key_has_what_was_asked_for(run, options):
    words = ("--collections", "docs, now", "--all", "--rate", 5, "--concurrency", 2)
    made = run(
        *("key", "create", "boss", "--role", "cache:put", "--expires", "30d", "-o", "json"),
        *(*words, *options),
    )
    facts = json.loads(made.out)
    assert SECRET.fullmatch(facts.pop("secret") + "\n")
    assert facts["collections"] == ["docs", "now"]
    assert (facts["role"], facts["tenant"], facts["all_tenants"]) == ("cache:put", None, True)
    assert (facts["rate"], facts["concurrency"], facts["state"]) == (5.0, 2, "valid")
    left = datetime.fromisoformat(facts["expires"]) - datetime.now(UTC)
    assert timedelta(days=29) < left <= timedelta(days=30)
    assert listed(run, options) == [facts]


def test_neither_tenant_nor_all_is_a_mistake(run, options):
    result = run("key", "create", "app", "--role", "read", *options)
    assert (result.status, result.out) == (2, "")
    assert "there is no default" in result.err
    assert "hint: Give --tenant T, or --all" in result.err
    assert listed(run, options) == []


@pytest.mark.parametrize(
    "words",
    [
        ("app", "--all"),
        ("app", "--role", "root", "--all"),
        ("a/b", "--role", "read", "--all"),
        ("app", "--role", "read", "--tenant", "a b"),
        ("app", "--role", "read", "--all", "--expires", "30"),
        ("app", "--role", "read", "--all", "--expires", "0d"),
        ("app", "--role", "read", "--all", "--collections", ""),
        ("app", "--role", "read", "--all", "--rate", "0"),
    ],
)
def test_what_is_no_key_is_a_mistake(run, local, words):
    assert run("key", "create", *words, *local.options).status == 2


def test_key_is_rotated_and_revoked(run, options):
    first = run("key", "create", "app", "--role", "read", "--all", *options).out
    id_ = SECRET.fullmatch(first)[1]
    second = run("key", "rotate", id_, "--overlap", "0s", *options)
    assert SECRET.fullmatch(second.out)[1] == id_
    assert second.out != first
    result = run("key", "revoke", id_, *options)
    assert (result.out, result.err) == ("", f"revoked the key {id_}\n")
    assert [key["state"] for key in listed(run, options)] == ["revoked"]
    assert run("key", "rotate", id_, *options).status == 6
    assert run("key", "revoke", "ffffffffffff", *options).status == 5


def test_rotation_leaves_the_old_secret_its_overlap(run, local, tmp_path):
    first = run("key", "create", "app", "--role", "read", "--all", *local.options).out.strip()
    other = run("key", "create", "app", "--role", "read", "--all", *local.options).out.strip()
    for secret, overlap in [(first, "7d"), (other, "0s")]:
        id_ = secret.split("_")[1]
        assert run("key", "rotate", id_, "--overlap", overlap, *local.options).status == 0
    with vecdb.open(tmp_path / "db") as database:
        assert database.authenticate(first).name == "app"
        with pytest.raises(Unauthenticated):
            database.authenticate(other)


def test_database_without_keys_says_so(run, docs_in, local):
    result = run("key", "list", *local.options)
    assert result.out == ""
    assert "no API key" in result.err


@pytest.mark.slow
def test_key_made_offline_opens_a_server_until_it_is_revoked(run, tmp_path, monkeypatch):
    place = ("--dir", tmp_path / "db")
    run("collection", "create", "docs", "--dim", 4, *place)
    boss = run("key", "create", "boss", "--role", "admin", "--all", *place).out.strip()
    words = ("--role", "read", "--collections", "docs", "--all")
    app = run("key", "create", "app", *words, *place).out.strip()
    with ServerProcess(tmp_path / "db", log=tmp_path / "log") as server:
        at = ("--at", server.address)

        def ask(secret: str, *command: object) -> int:
            monkeypatch.setenv("VECDB_API_KEY", secret)
            return run(*command, *at).status

        assert ask("", "record", "count", "docs") == 4
        assert ask(app[:-1], "record", "count", "docs") == 4
        assert ask(app, "record", "count", "docs") == 0
        assert ask(app, "record", "count", "others") == 4
        assert ask(app, "collection", "delete", "docs", "--yes") == 4
        assert ask(app, "key", "list") == 4
        assert ask(boss, "key", "revoke", app.split("_")[1]) == 0
        assert ask(app, "record", "count", "docs") == 4
        assert ask(boss, "record", "count", "docs") == 0
    log = (tmp_path / "log").read_text()
    assert app.split("_")[1] in log
    assert app.split("_", 2)[2][:-1] not in log
    assert boss.split("_", 2)[2] not in log
