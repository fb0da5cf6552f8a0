"""Values as people read them."""

from __future__ import annotations

import json
import unicodedata
from typing import Any


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


def width_of(text: str) -> int:
    """Columns of a terminal that ``text`` takes."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


def clip(text: str, width: int) -> str:
    """``text``, or its beginning and dots where it is wider than ``width`` columns."""
    if width_of(text) <= width:
        return text
    text = text[:width]
    while width_of(text) > width - 3:
        text = text[:-1]
    return text + "..."
