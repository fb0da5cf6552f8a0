"""What ``vecdb`` starts with: little, and every command."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata

import click
import pytest

from vecdb import schema
from vecdb.cli import lazy, options, search
from vecdb.cli.main import COMMANDS, root
from vecdb_client import codec

HEAVY = ("numpy", "numba", "llvmlite", "lmdb", "grpc", "tabulate", "tqdm", "pyarrow")
SHOW_LOADED = """
import sys
from vecdb.cli.main import main
status = main(sys.argv[2:])
assert status == 0, status
print("loaded:", *(name for name in sys.argv[1].split(",") if name in sys.modules))
"""


def commands(group: click.Group, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The words of every command, groups too."""
    context = click.Context(group)
    found = []
    for name in group.list_commands(context):
        words = (*before, name)
        found.append(words)
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            found += commands(command, words)
    return found


@pytest.mark.parametrize(
    "arguments", [["--help"], ["version"], ["collection", "--help"], ["import", "--help"]]
)
def test_help_and_version_load_nothing_heavy(arguments):
    """Else they could not start in 0.3 s."""
    result = subprocess.run(
        [sys.executable, "-c", SHOW_LOADED, ",".join(HEAVY), *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.splitlines()[-1] == "loaded:"


def test_help_names_every_command_in_the_order_of_work(run):
    result = run("--help")
    assert result.status == 0
    listed = re.findall(r"^  ([a-z]+)  ", result.out.split("Commands:")[1], re.MULTILINE)
    assert listed == [
        *("serve", "demo", "status", "collection", "record", "import", "export", "search"),
        *("tenant", "key", "check", "completion", "version"),
    ]


@pytest.mark.parametrize("words", commands(root), ids=" ".join)
def test_every_command_has_help(run, words):
    result = run(*words, "--help")
    assert result.status == 0
    assert result.out.startswith(f"Usage: vecdb {' '.join(words)}")
    assert result.err == ""


def test_every_command_tells_what_it_does_in_one_line(run):
    """A first sentence that does not fit the list of commands is cut by click."""
    for words in [(), ("collection",), ("record",), ("tenant",), ("key",)]:
        listed = run(*words, "--help").out.split("Commands:")[1]
        cut = [line for line in listed.splitlines() if line.endswith("...")]
        assert [line.split()[0] for line in cut] == ([] if words else ["serve", "demo"])


def test_group_alone_shows_its_help_as_a_mistake(run):
    for words in ([], ["collection"], ["record"]):
        result = run(*words)
        assert (result.status, result.out) == (2, "")
        assert "Commands:" in result.err


def test_choices_are_those_of_the_engine():
    """They are written twice, because the engine's schema and the wire load numpy."""
    assert schema.METRICS == options.METRICS
    assert tuple(schema.DTYPES) == options.DTYPES
    assert schema.FIELD_TYPES == options.FIELD_TYPES
    assert tuple(codec.MODE.numbers) == search.MODES
    assert tuple(codec.ESTIMATOR.numbers) == search.ESTIMATORS


def test_command_of_a_package_that_is_not_installed_says_what_to_install(run, monkeypatch):
    monkeypatch.setattr(lazy, "entry_points", dict)
    monkeypatch.setattr(root, "_loaded", {})
    listed = run("--help").out
    assert re.search(r"serve +Not installed: pip install vecdb-server", listed)
    assert re.search(r"demo +Not installed: pip install vecdb-server", listed)
    for name in ("serve", "demo"):
        result = run(name, "somewhere", "--listen", "x")
        assert result.status == 6
        assert result.err == (
            f"error: `vecdb {name}` needs the package vecdb-server, which is not installed\n"
            "hint: pip install vecdb-server\n"
        )


def test_command_that_cannot_be_imported_says_why_and_spoils_no_other(run, monkeypatch):
    entry = metadata.EntryPoint("extra", "vecdb_no_such_module:command", lazy.GROUP)
    monkeypatch.setattr(lazy, "entry_points", lambda: {"extra": entry})
    monkeypatch.setattr(root, "_loaded", {})
    assert re.search(r"extra +Cannot be loaded", run("--help").out)
    result = run("extra")
    assert result.status == 6
    assert "No module named 'vecdb_no_such_module'" in result.err


def test_command_that_a_package_brings_is_offered_after_ours(run, monkeypatch):
    entry = metadata.EntryPoint("extra", "vecdb.cli.version:version", lazy.GROUP)
    monkeypatch.setattr(lazy, "entry_points", lambda: {"extra": entry})
    monkeypatch.setattr(root, "_loaded", {})
    listed = root.list_commands(click.Context(root))
    assert listed == [*COMMANDS, "extra"]
    assert "vecdb-engine" in run("extra").out


def test_unknown_command_is_a_mistake_in_usage(run):
    result = run("serf")
    assert result.status == 2
    assert result.err.startswith("error: no such command 'serf'")
    assert run("record", "nothing").status == 2


def test_version_names_the_three_distributions(run):
    result = run("version", "-o", "json")
    found = json.loads(result.out)
    assert found.pop("python") == ".".join(map(str, sys.version_info[:3]))
    names = ("vecdb-engine", "vecdb-server", "vecdb-client")
    assert found == {name: metadata.version(name) for name in names}
    assert run("--version").out == f"vecdb {metadata.version('vecdb-engine')}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_of_the_shell(run, shell):
    result = run("completion", shell)
    assert result.status == 0
    assert f"_VECDB_COMPLETE={shell}_complete" in result.out


def test_completion_knows_commands_and_options(run, monkeypatch):
    monkeypatch.setenv("_VECDB_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "vecdb collection cr")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert run().out == "plain,create\n"
    monkeypatch.setenv("COMP_WORDS", "vecdb search --min")
    assert run().out == "plain,--min-score\n"
