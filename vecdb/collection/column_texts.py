"""Columns of texts: their words are compared whole, one comparison of all for each word asked."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from ..storage.columns import Column
from .masks import any_in_groups

Bits = NDArray[np.bool_]


def match_texts(column: Column, operator: str, words: Sequence[str]) -> Bits:
    """bool by text: whether it has what the filter wants."""
    ends = column.text_ends
    if ends is None:
        raise AssertionError("a column of texts has their ends")
    if operator == "prefix":
        (start,) = words
        return any_in_groups(ends, _with_prefix(column, start))
    numbers = [_number_of(column, word) for word in words]
    if operator == "match_any":
        there = [one for one in numbers if one is not None]
        hits = [np.equal(column.values, np.uint32(one)) for one in there]
        none = np.zeros(len(column.values), np.bool_)
        return any_in_groups(ends, reduce(np.logical_or, hits, none))
    found = [one for one in numbers if one is not None]
    if len(found) < len(numbers):
        return np.zeros(len(ends), np.bool_)
    if operator == "phrase":
        return _with_phrase(column.values, ends, found)
    each = (any_in_groups(ends, np.equal(column.values, np.uint32(one))) for one in found)
    return reduce(np.logical_and, each)


def _number_of(column: Column, word: str) -> int | None:
    place = bisect_left(column.words, word)
    return place if place < len(column.words) and column.words[place] == word else None


def _with_prefix(column: Column, start: str) -> Bits:
    words, size = column.words, len(start)
    low = bisect_left(words, start)
    high = bisect_right(words, start, lo=low, key=lambda word: word[:size])
    hits: Bits = column.values >= np.uint32(low)
    hits &= column.values < np.uint32(high)
    return hits


def _with_phrase(values: NDArray[np.uint32], ends: NDArray[np.uint64], numbers: list[int]) -> Bits:
    """bool by text: whether the words are in it side by side."""
    size = len(numbers)
    firsts = np.flatnonzero(values[: max(0, len(values) - size + 1)] == np.uint32(numbers[0]))
    for offset, number in enumerate(numbers[1:], 1):
        firsts = firsts[values[firsts + offset] == np.uint32(number)]
    texts = np.searchsorted(ends, firsts.astype(np.uint64), side="right")
    whole = firsts + size <= ends[texts].astype(np.int64)  # none goes on in the next text
    found = np.zeros(len(ends), np.bool_)
    found[texts[whole]] = True
    return found
