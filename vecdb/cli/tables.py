"""Rows as a table for people: aligned, clipped to the terminal, safe to print."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import click

from .text import clean, clip, size_text, to_json, width_of

WIDTH = 120
"""Of a table that is not shown on a terminal."""
COLUMN_MIN = 20
GAP = "  "

Row = Mapping[str, Any]


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


def table(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """A line of headings, then a line a row."""
    cells = [[shown_as(column.kind, row.get(column.key)) for column in columns] for row in rows]
    headings = [column.heading for column in columns]
    widths = [max(width_of(line[at]) for line in (headings, *cells)) for at in range(len(columns))]
    if columns[-1].kind == "json":
        taken = sum(widths[:-1]) + len(GAP) * (len(columns) - 1)
        terminal = shutil.get_terminal_size((WIDTH, 24)).columns
        widths[-1] = min(widths[-1], max(COLUMN_MIN, terminal - taken))
    first, *others = [_line(line, columns, widths) for line in (headings, *cells)]
    return "\n".join([click.style(first, dim=True), *others])


def _line(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> str:
    parts = []
    for text, column, width in zip(cells, columns, widths, strict=True):
        text = clip(text, width)
        space = " " * (width - width_of(text))
        parts.append(space + text if column.is_number else text + space)
    return GAP.join(parts).rstrip()


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
