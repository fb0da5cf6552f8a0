"""The words of a text, for comparison.

Text is brought to NFKC and case-folded, so that full-width letters, ligatures, and upper and lower
case are alike. A word is a run of letters, digits, underscores and the marks that belong to them.
Chinese and Japanese are written without spaces: there each character is a word by itself, and
a phrase finds what stands together.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

_ALONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
"""Kana and ideographs; those for compatibility are others after NFKC."""
_ASCII = re.compile(r"\w+", re.ASCII)


def words_of(text: str) -> list[str]:
    """Its words in order, repeats included."""
    if text.isascii():
        return _ASCII.findall(text.lower())
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _pattern().findall(unicodedata.normalize("NFKC", folded))


def has_phrase(wanted: Sequence[str], words: Sequence[str]) -> bool:
    """Whether ``words`` has those ``wanted`` one right after the other."""
    first, size = wanted[0], len(wanted)
    return any(
        word == first and tuple(words[place : place + size]) == tuple(wanted)
        for place, word in enumerate(words)
    )


@lru_cache(maxsize=1)
def _pattern() -> re.Pattern[str]:
    # To Python's \w marks are no part of a word, which would break those of many scripts.
    marks = "".join(f"{chr(low)}-{chr(high)}" for low, high in _marks())
    return re.compile(rf"[{_ALONE}]|(?:[^\W{_ALONE}]|[{marks}])+")


def _marks() -> list[tuple[int, int]]:
    """First and last of each run of combining characters."""
    runs: list[tuple[int, int]] = []
    for code in range(0x300, sys.maxunicode + 1):
        if unicodedata.category(chr(code))[0] != "M":
            continue
        if runs and runs[-1][1] == code - 1:
            runs[-1] = runs[-1][0], code
        else:
            runs.append((code, code))
    return runs
