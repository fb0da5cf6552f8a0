"""What a command says: data on stdout in the form asked for, everything else on stderr."""

from __future__ import annotations

import csv
import functools
import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

import click

from .invocation import OUTPUT_VARIABLE
from .tables import Column, Row, shown_as, table
from .text import to_json

FORMATS = ("table", "json", "jsonl", "csv")

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """Where a command writes. ``format``: one of ``FORMATS``; ``quiet``: no notes, no progress."""

    format: str = "table"
    quiet: bool = False

    def rows(self, rows: Iterable[Row], columns: Sequence[Column], *, empty: str = "") -> None:
        """A list of like things. Only a table is held in memory; ``empty`` stands for no row."""
        if self.format == "table":
            found = list(rows)
            if found:
                click.echo(table(found, columns))
            elif empty:
                self.note(empty)
        elif self.format == "json":
            _write_array(rows)
        elif self.format == "jsonl":
            for row in rows:
                _write(to_json(row) + "\n")
        else:
            _write_csv(rows, [column.key for column in columns])
        sys.stdout.flush()

    def facts(self, facts: Row, kinds: Mapping[str, str] | None = None) -> None:
        """One thing. ``kinds``: name -> how a table shows it, as in ``Column``."""
        if self.format == "table":
            kinds = kinds or {}
            shown = {
                name.replace("_", " "): shown_as(kinds.get(name, "text"), value)
                for name, value in facts.items()
            }
            width = max(map(len, shown), default=0)
            for name, text in shown.items():
                click.echo(f"{name:<{width}}  {text}".rstrip())
        elif self.format == "json":
            click.echo(json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False))
        elif self.format == "jsonl":
            click.echo(to_json(facts))
        else:
            _write_csv([facts], list(facts))
            sys.stdout.flush()

    def value(self, name: str, value: int) -> None:
        """One number, bare in a table so that a script may take it as it is."""
        if self.format == "table":
            click.echo(value)
        else:
            self.facts({name: value})

    def done(self, text: str, result: Row) -> None:
        """What a write did: a sentence for people, the result itself for programs."""
        if self.format == "table":
            self.note(text)
        else:
            self.facts(result)

    def note(self, text: str) -> None:
        """For people only."""
        if self.format == "table" and not self.quiet:
            click.echo(text, err=True)

    def warn(self, text: str) -> None:
        """What must be seen in any case."""
        click.echo(f"{click.style('warning:', fg='yellow')} {text}", err=True)


def with_console(function: Command) -> Command:
    """Give a command ``-o``, ``-q`` and ``--no-color``, and the argument ``console``."""

    @click.option(
        "-o",
        "--output",
        "output_format",
        metavar="FORMAT",
        type=click.Choice(FORMATS),
        default="table",
        envvar=OUTPUT_VARIABLE,
        help=f"{', '.join(FORMATS)}: of the data on stdout, and of errors.",
    )
    @click.option("-q", "--quiet", is_flag=True, help="No notes, no progress.")
    @click.option(
        "--no-color",
        is_flag=True,
        expose_value=False,
        help="No colour; NO_COLOR does the same.",
    )
    @functools.wraps(function)
    def run(*args: Any, output_format: str, quiet: bool, **values: Any) -> Any:
        return function(*args, console=Console(format=output_format, quiet=quiet), **values)

    return run  # type: ignore[return-value]  # click gives what the signature lacks


def _write(text: str) -> None:
    """Without a flush, unlike ``click.echo``: there may be many."""
    sys.stdout.write(text)


def _write_array(rows: Iterable[Row]) -> None:
    """A JSON list with a row a line."""
    found = iter(rows)
    first = next(found, None)
    if first is None:
        _write("[]\n")
        return
    before = "["
    for row in chain([first], found):
        _write(f"{before}\n  {to_json(row)}")
        before = ","
    _write("\n]\n")


def _write_csv(rows: Iterable[Row], keys: Sequence[str]) -> None:
    """Objects and lists as JSON text; None is empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(keys)
    for row in rows:
        values = [row.get(key) for key in keys]
        writer.writerow(
            [to_json(value) if isinstance(value, Mapping | list) else value for value in values]
        )
        _write(buffer.getvalue())
        buffer.seek(0)
        buffer.truncate()
    _write(buffer.getvalue())
