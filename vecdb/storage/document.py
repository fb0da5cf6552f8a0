"""The tables of FORMAT.md, made from ``format``: ``python -m vecdb.storage.document`` writes them.

Offsets and types come from the dtypes; what a field means is its comment in ``format``'s source,
and where the value lies is the docstring below the dtype.
"""

from __future__ import annotations

import ast
import inspect
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from . import format

FORMAT_MD = Path(__file__).with_name("FORMAT.md")
_BLOCK = re.compile(
    r"(<!-- table (\w+): made by vecdb\.storage\.document -->\n).*?(<!-- end -->)", re.DOTALL
)
_FIELD = re.compile(r'\("(\w+)", "[^"]+"\),(?:  # (.*))?')


def fill_tables(text: str) -> str:
    """``text`` with the table of each dtype that it has a place for written anew."""
    return _BLOCK.sub(lambda found: f"{found[1]}{_section(found[2])}{found[3]}", text)


def tables_named(text: str) -> list[str]:
    """The dtypes that ``text`` has a place for, in its order."""
    return [found[2] for found in _BLOCK.finditer(text)]


def _section(name: str) -> str:
    dtype = format.DTYPES[name]
    comments = _comments(name)
    lines = [
        _docstrings()[name].replace("``", "`"),
        "",
        f"| offset | type | bytes | `{name}` | |",
        "|---:|---|---:|---|---|",
    ]
    fields: Any = dtype.fields
    for field in dtype.names or ():
        part, offset = fields[field][:2]
        meaning = comments[field] or ("zero" if field == "reserved" else "")
        row = f"| {offset} | {_type_name(part)} | {part.itemsize} | {field} | {meaning} |"
        lines.append(row.replace("|  |", "| |"))
    return "\n".join([*lines, f"| {dtype.itemsize} | | | | end |", ""])


def _type_name(part: np.dtype[Any]) -> str:
    kinds = {"u": "unsigned", "i": "signed", "V": "bytes", "f": "float"}
    return kinds[part.kind]


def _docstrings() -> dict[str, str]:
    """The string below each assignment of ``format``."""
    body = ast.parse(inspect.getsource(format)).body
    found = {}
    for node, below in pairwise(body):
        if isinstance(node, ast.Assign) and isinstance(below, ast.Expr):
            found[ast.unparse(node.targets[0])] = str(ast.literal_eval(below.value))
    return found


def _comments(name: str) -> dict[str, str]:
    """The comment of each field of the dtype."""
    source = inspect.getsource(format)
    start = source.index(f"\n{name} = np.dtype(")
    block = source[start : source.index("\n)\n", start)]
    return {field: comment or "" for field, comment in _FIELD.findall(block)}


if __name__ == "__main__":
    FORMAT_MD.write_text(fill_tables(FORMAT_MD.read_text(encoding="utf-8")), encoding="utf-8")
