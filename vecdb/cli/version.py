"""``vecdb version``."""

from __future__ import annotations

import platform

import click

from .options import Command
from .output import Console, with_console

DISTRIBUTIONS = ("vecdb-engine", "vecdb-server", "vecdb-client")


@click.command(cls=Command)
@with_console
def version(console: Console) -> None:
    """Show which versions are installed."""
    from importlib import metadata

    found: dict[str, str | None] = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    found["python"] = platform.python_version()
    if console.format == "table":
        found = {name: value or "not installed" for name, value in found.items()}
    console.facts(found)
