"""What a command says: data on stdout in the form asked for, everything else on stderr."""

from __future__ import annotations

import csv
import functools
import io
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, TypeVar

import click

from .invocation import OUTPUT_VARIABLE

FORMATS = ("table", "json", "jsonl", "csv")
WIDTH = 120
"""Of a table that is not shown on a terminal."""
COLUMN_MIN = 20

Row = Mapping[str, Any]
Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; other formats take ``key`` for its name.

    ``kind``: how values are shown. The last column of kind "json" is clipped to fit the line.
    """

    key: str
    title: str = ""
    kind: Literal["text", "count", "bytes", "score", "json"] = "text"

    @property
    def heading(self) -> str:
        return self.title or self.key

    @property
    def is_number(self) -> bool:
        return self.kind in ("count", "bytes", "score")


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


def table(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """Lines for people: aligned, clipped to the terminal, safe to print."""
    from tabulate import tabulate

    cells = [[shown_as(column.kind, row.get(column.key)) for column in columns] for row in rows]
    if columns[-1].kind == "json":
        _clip_last(cells, columns)
    text = tabulate(
        cells,
        headers=[column.heading for column in columns],
        tablefmt="plain",
        disable_numparse=True,
        colalign=["right" if column.is_number else "left" for column in columns],
    )
    heading, _, body = text.partition("\n")
    lines = [click.style(heading.rstrip(), dim=True), *map(str.rstrip, body.split("\n"))]
    return "\n".join(lines)


def shown_as(kind: str, value: Any) -> str:
    """A value as a table shows it."""
    if value is None or value == "":
        return "-"
    if kind == "json":
        return clean(to_json(value))
    if kind == "count":
        return f"{value:,}"
    if kind == "bytes":
        return size_text(value)
    if kind == "score":
        fits = value == 0 or 0.001 <= abs(value) < 1e6
        return f"{value:.4f}" if fits else f"{value:.4g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return clean(", ".join(f"{name}={item}" for name, item in value.items())) or "-"
    if isinstance(value, list | tuple):
        return clean(", ".join(map(str, value))) or "-"
    return clean(str(value))


def size_text(size: float) -> str:
    """Bytes in the unit that reads best, powers of ten."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def plural(count: int, noun: str) -> str:
    """``3 records``, ``1 record``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def seconds_text(seconds: float) -> str:
    """A duration as people say it."""
    if seconds < 99.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def clean(text: str) -> str:
    """Text that cannot move the cursor, break a line or ring: stored data may hold anything."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def _clip_last(cells: list[list[str]], columns: Sequence[Column]) -> None:
    gaps = 2 * (len(columns) - 1)
    taken = sum(
        max(len(column.heading), *(len(line[at]) for line in cells))
        for at, column in enumerate(columns[:-1])
    )
    room = max(COLUMN_MIN, shutil.get_terminal_size((WIDTH, 24)).columns - taken - gaps)
    for line in cells:
        if len(line[-1]) > room:
            line[-1] = line[-1][: room - 3] + "..."


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
