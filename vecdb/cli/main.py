"""``vecdb``: the table of commands, and what every one of them ends in."""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Sequence

import click

from . import failures
from .invocation import Invocation
from .lazy import LazyGroup

COMMANDS = {
    "serve": "plugin:vecdb-server",
    "demo": "plugin:vecdb-server",
    "status": "status:status",
    "collection": "collection:collection",
    "record": "record:record",
    "import": "importing:import_",
    "export": "exporting:export",
    "search": "search:search",
    "tenant": "tenant:tenant",
    "key": "key:key",
    "check": "check:check",
    "completion": "completion:completion",
    "version": "version:version",
}
"""Command -> where it is in this package, or the distribution that brings it."""


@click.group(
    name="vecdb",
    cls=LazyGroup,
    commands_at=COMMANDS,
    plugins=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(
    None, "-V", "--version", package_name="vecdb-engine", message="vecdb %(version)s"
)
def root() -> None:
    """Vector database: collections of vectors with payloads, in a directory or behind a server.

    Commands that touch a database take --dir DIR (opened here) or --at HOST:PORT (a server);
    with neither, the server at 127.0.0.1:7700.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status. Ends by SystemExit where click does."""
    invocation = Invocation(tuple(sys.argv[1:] if arguments is None else arguments))
    plain = invocation.plain or bool(os.environ.get("NO_COLOR"))
    color = False if plain else None
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name in any script must not end a command
            stream.reconfigure(errors="backslashreplace")
    with warnings.catch_warnings():
        warnings.showwarning = failures.show_warning
        try:
            status = root.main(
                list(invocation.arguments),
                prog_name="vecdb",
                standalone_mode=False,
                obj=invocation,
                color=color,
            )
        except Exception as error:
            failure = failures.failure_of(error)
            if failure is None:
                raise  # a bug of ours: the traceback is what helps
            failures.show(failure, as_json=invocation.wants_json, color=color)
            return failure.status
    # Help and `ctx.exit` return a status, commands nothing.
    return status if isinstance(status, int) else 0
