"""A group that imports a command when it is used, and knows those of other packages."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from ..errors import PreconditionFailed
from .options import Group

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "vecdb.commands"
"""Entry points of this group are commands."""
PLUGIN = "plugin:"


class LazyGroup(Group):
    """``commands_at``: command -> "module:name" in this package, or "plugin:distribution".

    ``plugins``: commands that installed packages register are offered too.
    """

    def __init__(
        self, *args: Any, commands_at: Mapping[str, str], plugins: bool = False, **settings: Any
    ) -> None:
        super().__init__(*args, **settings)
        self._commands_at = dict(commands_at)
        self._plugins = plugins
        self._loaded: dict[str, click.Command] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table, then what packages bring beside it."""
        more = sorted(set(entry_points()) - set(self._commands_at)) if self._plugins else []
        return [*self._commands_at, *more]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._loaded:
            found = self._load(cmd_name)
            if found is None:
                return None
            self._loaded[cmd_name] = found
        return self._loaded[cmd_name]

    def _load(self, name: str) -> click.Command | None:
        place = self._commands_at.get(name, PLUGIN)
        if not place.startswith(PLUGIN):
            module, _, attribute = place.partition(":")
            found: click.Command = getattr(
                importlib.import_module(f"{__package__}.{module}"), attribute
            )
            return found
        if not self._plugins:
            return None
        entry = entry_points().get(name)
        if entry is not None:
            return load_plugin(name, entry)
        distribution = place.removeprefix(PLUGIN)
        return absent(name, distribution) if distribution else None


def entry_points() -> dict[str, EntryPoint]:
    """Command -> its entry point, of all installed packages."""
    from importlib import metadata

    return {entry.name: entry for entry in metadata.entry_points(group=GROUP)}


def load_plugin(name: str, entry: EntryPoint) -> click.Command:
    """The command of another package; one that cannot be imported says so when it is run."""
    try:
        found: click.Command = entry.load()
    except ImportError as error:
        package = entry.dist.name if entry.dist is not None else entry.value
        return broken(name, package, str(error))
    return found


def absent(name: str, distribution: str) -> click.Command:
    """Stands for a command whose package is not installed."""
    return _refusing(
        name,
        f"Not installed: pip install {distribution}",
        PreconditionFailed(
            f"`vecdb {name}` needs the package {distribution}, which is not installed",
            reason="MISSING_PACKAGE",
            hint=f"pip install {distribution}",
        ),
    )


def broken(name: str, distribution: str, why: str) -> click.Command:
    """Stands for a command whose package is installed but cannot be imported."""
    return _refusing(
        name,
        f"Cannot be loaded: pip install --force-reinstall {distribution}",
        PreconditionFailed(
            f"`vecdb {name}` cannot be loaded: {why}",
            reason="BROKEN_PACKAGE",
            hint=f"pip install --force-reinstall {distribution}",
        ),
    )


def _refusing(name: str, text: str, error: PreconditionFailed) -> click.Command:
    def refuse() -> None:
        raise error

    return click.Command(
        name,
        callback=refuse,
        help=text,
        params=[click.Argument(["arguments"], nargs=-1, expose_value=False)],
        context_settings={"ignore_unknown_options": True},
    )
