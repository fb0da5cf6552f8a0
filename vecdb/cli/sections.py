"""Facts that hold facts, for people: single ones first, then a section for each of the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from .tables import Column, Row, shown_as, table

INDENT = "  "


def show_sections(facts: Row) -> None:
    """A section has a heading, and lines of names and values, or a table where it is of rows."""
    sections = {name: value for name, value in facts.items() if _is_nested(value)}
    singles = {name: value for name, value in facts.items() if name not in sections}
    for line in _lines(singles):
        click.echo(line)
    for name, value in sections.items():
        click.echo("\n" + click.style(_title(name), bold=True))
        lines = _lines(value, name) if isinstance(value, Mapping) else _table(value)
        for line in lines:
            click.echo(INDENT + line)


def _is_nested(value: Any) -> bool:
    rows = isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)
    return isinstance(value, Mapping) or rows


def _lines(facts: Row, section: str = "") -> Iterator[str]:
    shown = {
        _title(name): shown_as(_kind_of(f"{section} {name}", value), value)
        for name, value in _flattened(facts)
    }
    width = max(map(len, shown), default=0)
    return (f"{name:<{width}}  {text}" for name, text in shown.items())


def _flattened(facts: Row, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Name and value of what is no mapping: those in a mapping have its name before their own."""
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{name} ")
        else:
            yield prefix + name, value


def _table(rows: list[Row]) -> list[str]:
    columns = [Column(name, _title(name), _kind_of(name, value)) for name, value in rows[0].items()]
    return table(rows, columns).splitlines()


def _title(name: str) -> str:
    return name.replace("_", " ")


def _kind_of(name: str, value: Any) -> Any:
    """How a number is shown, by its name and that of its section."""
    if isinstance(value, bool) or not isinstance(value, int):
        return "text"
    return "bytes" if "bytes" in name or "budget" in name else "count"
