"""Values of a declared field, of all slots of a segment: ``columns/<n>``.

Slot s has the values ``ends[s - 1]`` to ``ends[s]``; ``state`` tells a missing field, null, a value
and a list (perhaps empty) apart. Keywords are numbers of words, which are sorted and stored once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, overload

import numpy as np
from numpy.typing import NDArray

from .segment_ids import pack_texts, texts_fault

MISSING: Final = object()
"""Stands for the value of a record that does not have the field."""
STATE_MISSING, STATE_NULL, STATE_VALUE, STATE_LIST = 0, 1, 2, 3
"""Part of the disk format: never renumber."""
VALUE_DTYPES: dict[str, np.dtype[Any]] = {
    "keyword": np.dtype("<u4"),
    "bool": np.dtype("u1"),
    "int": np.dtype("<i8"),
    "float": np.dtype("<f8"),
    "datetime": np.dtype("<i8"),
}


@dataclass(frozen=True, slots=True)
class Column:
    """``state`` uint8[n], ``ends`` uint32[n], ``values``: see above; ``words``: of a keyword."""

    kind: str
    state: NDArray[np.uint8]
    ends: NDArray[np.uint32]
    values: NDArray[Any]
    words: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class StoredWords(Sequence[str]):
    """Words that stay where they are mapped, made to text one by one."""

    ends: NDArray[np.uint64]
    text: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...

    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(place)
        start = int(self.ends[place - 1]) if place else 0
        return self.text[start : int(self.ends[place])].tobytes().decode()


def encode_column(kind: str, values: Iterable[object]) -> dict[str, NDArray[Any]]:
    """The file's arrays from each slot's value: ``MISSING``, None, a value or a list of values.

    Values are as filters compare them: a datetime is microseconds since 1970 in UTC.
    """
    state: list[int] = []
    ends: list[int] = []
    flat: list[Any] = []
    for value in values:
        if value is MISSING or value is None:
            state.append(STATE_MISSING if value is MISSING else STATE_NULL)
        elif isinstance(value, list | tuple):
            state.append(STATE_LIST)
            flat.extend(value)
        else:
            state.append(STATE_VALUE)
            flat.append(value)
        ends.append(len(flat))
    arrays: dict[str, NDArray[Any]] = {
        "state": np.array(state, np.uint8),
        "ends": np.array(ends, "<u4"),
    }
    if kind != "keyword":
        return arrays | {"values": np.array(flat, VALUE_DTYPES[kind])}
    words = sorted(set(flat))
    number = {word: place for place, word in enumerate(words)}
    arrays["values"] = np.array([number[word] for word in flat], VALUE_DTYPES[kind])
    arrays["word_ends"], arrays["word_text"] = pack_texts(words)
    return arrays


def decode_column(kind: str, arrays: dict[str, NDArray[Any]]) -> Column:
    """The column of a file's arrays, which ``column_fault`` has found right."""
    words: tuple[str, ...] = ()
    if kind == "keyword":
        text = arrays["word_text"].tobytes()
        ends = arrays["word_ends"].tolist()
        words = tuple(text[a:b].decode() for a, b in zip([0, *ends], ends, strict=False))
    return Column(kind, arrays["state"], arrays["ends"], arrays["values"], words)


def mapped_column(kind: str, arrays: dict[str, NDArray[Any]]) -> Column:
    """As ``decode_column``, nothing copied."""
    words = StoredWords(arrays["word_ends"], arrays["word_text"]) if kind == "keyword" else ()
    return Column(kind, arrays["state"], arrays["ends"], arrays["values"], words)


def column_fault(kind: str, count: int, arrays: dict[str, NDArray[Any]]) -> str | None:
    """What is wrong with a file's arrays, for ``count`` slots; None if nothing is."""
    names = {"state": "|u1", "ends": "<u4", "values": VALUE_DTYPES[kind].str}
    if kind == "keyword":
        names |= {"word_ends": "<u8", "word_text": "|u1"}
    if {name: array.dtype.str for name, array in arrays.items()} != names:
        return f"its arrays are not those of a column of type {kind}"
    state, ends, values = arrays["state"], arrays["ends"], arrays["values"]
    if state.shape != (count,) or ends.shape != (count,) or values.ndim != 1:
        return f"its arrays have other shapes than {count} slots give"
    sizes = np.diff(ends.astype(np.int64), prepend=0)
    single = state == STATE_VALUE
    several = state == STATE_LIST
    if (
        np.any(state > STATE_LIST)
        or np.any(sizes[single] != 1)
        or np.any(sizes[several] < 0)
        or np.any(sizes[~(single | several)] != 0)
        or int(ends[-1] if count else 0) != len(values)
    ):
        return "its states and ends contradict each other"
    if kind == "keyword":
        if len(values) and int(values.max()) >= len(arrays["word_ends"]):
            return "a value names a word that is not there"
        return texts_fault(arrays["word_ends"], arrays["word_text"])
    return None
