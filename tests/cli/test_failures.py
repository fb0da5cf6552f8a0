"""How commands fail: one line, a hint, an exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

import vecdb_client.errors
from vecdb import errors
from vecdb.cli.failures import STATUSES, Interrupted, failure_of, for_command_line, show
from vecdb.cli.invocation import Invocation
from vecdb.results import UploadReport

VECDB = Path(sys.executable).with_name("vecdb")
REPORT = UploadReport(ok=0, failed=(), bytes=0, seconds=0.0, retries=0, upload_id="", chunks=0)


def test_every_error_has_a_status():
    assert set(STATUSES) == set(errors.__all__)


@pytest.mark.parametrize("tree", [errors, vecdb_client.errors], ids=["engine", "client"])
@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("VecDBError", 1),
        ("LimitExceeded", 1),
        ("StorageError", 1),
        ("InvalidArgument", 2),
        ("Unavailable", 3),
        ("Unauthenticated", 4),
        ("PermissionDenied", 4),
        ("NotFound", 5),
        ("PreconditionFailed", 6),
        ("AlreadyExists", 6),
        ("Conflict", 6),
        ("UnsupportedFormat", 6),
        ("DeadlineExceeded", 7),
        ("DataCorruption", 8),
    ],
)
def test_exit_status_tells_the_class_of_error(tree, name, status):
    failure = failure_of(getattr(tree, name)("said", hint="do this"))
    assert (failure.status, failure.code) == (status, name)
    assert (failure.message, failure.hint) == ("said", "do this")


def test_upload_that_broke_off_has_the_status_of_its_cause():
    error = errors.UploadFailed("broke off", report=REPORT)
    assert failure_of(error).status == 1
    error.__cause__ = errors.Unavailable("gone")
    assert failure_of(error).status == 3


def test_interrupt_has_status_130():
    assert failure_of(Interrupted("interrupted after 3 records", "go on")).status == 130
    abort = click.Abort()
    abort.__cause__ = KeyboardInterrupt()
    assert failure_of(abort).status == 130


def test_error_of_the_system_names_the_file():
    failure = failure_of(PermissionError(13, "Permission denied", "out.npy"))
    assert (failure.status, failure.message) == (1, "Permission denied: out.npy")


def test_bug_is_no_failure_to_be_told_in_one_line():
    assert failure_of(AssertionError("broken")) is None
    assert failure_of(ZeroDivisionError()) is None


@pytest.mark.parametrize(
    ("hint", "told"),
    [
        ("Name the one with the vectors by vector_column=", "--map vector="),
        ("Name another with id_column=, or pass id_column='' for row numbers", "--map id="),
        ("Say which by format=", "--format"),
        ("Raise timeout, or ask for less in one call", "--timeout"),
    ],
)
def test_hints_speak_of_options_not_of_arguments(hint, told):
    assert told in for_command_line(hint)
    assert "_column=" not in for_command_line(hint)


def test_error_is_one_line_and_a_hint(capsys):
    show(failure_of(errors.NotFound("there is none", hint="make one")), as_json=False)
    assert capsys.readouterr() == ("", "error: there is none\nhint: make one\n")


def test_error_as_json_is_one_line_of_a_fixed_shape(capsys):
    show(failure_of(errors.NotFound("there is none")), as_json=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert json.loads(err) == {
        "error": {"code": "NotFound", "message": "there is none", "hint": ""}
    }


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["-o", "json"], True),
        (["-ojson"], True),
        (["--output", "jsonl"], True),
        (["--output=json"], True),
        (["-o", "table"], False),
        (["-o", "json", "-o", "table"], False),
        (["--", "-o", "json"], False),
        (["-o"], False),
        ([], False),
    ],
)
def test_json_is_seen_in_a_command_line_that_cannot_be_parsed(words, wanted):
    assert Invocation(("search", *words)).wants_json is wanted


@pytest.mark.parametrize(
    ("words", "again"),
    [
        (["import", "a b.npy"], "vecdb import 'a b.npy' --resume"),
        (["import", "--resume", "a"], "vecdb import --resume a"),
        (["import", "--", "-a.npy"], "vecdb import --resume -- -a.npy"),
    ],
)
def test_command_line_is_told_again_with_a_flag(words, again):
    assert Invocation(tuple(words)).again_with("--resume") == again


def test_environment_asks_for_json_too(monkeypatch):
    monkeypatch.setenv("VECDB_OUTPUT", "json")
    assert Invocation(()).wants_json
    assert not Invocation(("-o", "table")).wants_json


def test_mistake_in_usage_is_json_where_json_was_asked_for(run):
    result = run("collection", "create", "x", "-o", "json")
    assert result.status == 2
    assert json.loads(result.err)["error"] == {
        "code": "Usage",
        "message": "missing option '--dim'",
        "hint": "vecdb collection create --help tells what it takes",
    }


@pytest.mark.parametrize(
    "words",
    [
        ["status", "--no-such-option"],
        ["collection", "create", "x", "--dim", "0"],
        ["collection", "create", "x", "--dim", "4", "--metric", "manhattan"],
        ["collection", "create", "x", "--dim", "4", "--field", "lang"],
        ["record", "count", "docs", "--filter", "[1]"],
        ["record", "count", "docs", "--filter", "{"],
        ["record", "count", "docs", "--filter", '{"year": NaN}'],
        ["record", "delete", "docs"],
        ["search", "docs"],
        ["search", "docs", "--vector", "-", "--id", "3"],
        ["search", "docs", "--vector", "no-such-file.npy"],
        ["export", "docs", "-O", "docs.xml"],
        ["export", "docs", "-O", "-", "--format", "npy"],
        ["import", "no-such-file.npy", "-c", "docs"],
        ["completion", "tcsh"],
    ],
    ids=" ".join,
)
def test_wrong_argument_ends_with_status_2_and_one_line(run, words):
    result = run(*words)
    assert (result.status, result.out) == (2, "")
    error, hint = result.err.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("hint: vecdb ")


def test_serve_fails_as_every_command_does(run, tmp_path):
    result = run("serve", tmp_path / "db", "--listen", "0.0.0.0:0")
    assert result.status == 2
    assert result.err.startswith("error: 0.0.0.0:0 can be reached from other machines")
    assert "\nhint: Add --api-key-file" in result.err


def test_colour_is_for_terminals_that_want_it(monkeypatch, capsys):
    failure = failure_of(errors.NotFound("none"))
    show(failure, as_json=False, color=True)
    assert capsys.readouterr().err == "\x1b[31m\x1b[1merror:\x1b[0m none\n"
    show(failure, as_json=False, color=False)
    assert capsys.readouterr().err == "error: none\n"


def pipe(words: list[str], stdout: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(VECDB), *words], stdout=stdout, stderr=subprocess.PIPE, text=True, check=False
    )


def test_closed_pipe_ends_a_command_quietly():
    reading, writing = os.pipe()
    os.close(reading)
    try:
        result = pipe(["version"], writing)
    finally:
        os.close(writing)
    assert (result.returncode, result.stderr) == (1, "")


def test_full_disk_under_stdout_is_told():
    with open("/dev/full", "wb") as full:
        result = pipe(["version"], full.fileno())
    assert (result.returncode, result.stderr) == (1, "error: No space left on device\n")
