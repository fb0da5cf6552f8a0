"""Values of a declared field, of all slots of a segment: ``columns/<n>``.

Slot s has the values ``ends[s - 1]`` to ``ends[s]``; ``state`` tells a missing field, null, a value
and a list (perhaps empty) apart. Keywords are numbers of words, which are sorted and stored once.
A text is its words, also numbers: text t has the values ``text_ends[t - 1]`` to ``text_ends[t]``,
and ``ends`` counts texts.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast, overload

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
    "uuid": np.dtype("<u8"),
    "geo": np.dtype("<f8"),
    "text": np.dtype("<u4"),
}
PAIRS: Final = ("uuid", "geo")
"""Types of two numbers a value: the high and the low half; latitude and longitude."""
WORDS: Final = ("keyword", "text")
"""Types whose values are numbers of words."""


@dataclass(frozen=True, slots=True)
class Column:
    """``state`` uint8[n], ``ends`` uint32[n], ``values`` [v] or [v, 2]: see above.

    ``words``: of keywords and texts; ``text_ends`` uint64[texts], of texts alone.
    """

    kind: str
    state: NDArray[np.uint8]
    ends: NDArray[np.uint32]
    values: NDArray[Any]
    words: Sequence[str] = ()
    text_ends: NDArray[np.uint64] | None = None


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

    Values are as filters compare them: a datetime is microseconds since 1970 in UTC, a uuid 16
    bytes, a point (latitude, longitude), a text the list of its words; several texts are a tuple.
    """
    if kind == "text":
        return _encode_texts(values)
    state: list[int] = []
    ends: list[int] = []
    flat: list[Any] = []
    for value in values:
        if value is MISSING or value is None:
            state.append(STATE_MISSING if value is MISSING else STATE_NULL)
        elif isinstance(value, list):
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
    if kind == "uuid":
        halves = np.frombuffer(b"".join(flat), ">u8").reshape(-1, 2)
        return arrays | {"values": halves.astype(VALUE_DTYPES[kind])}
    if kind == "geo":
        return arrays | {"values": np.array(flat, VALUE_DTYPES[kind]).reshape(-1, 2)}
    if kind != "keyword":
        return arrays | {"values": np.array(flat, VALUE_DTYPES[kind])}
    words = sorted(set(flat))
    number = {word: place for place, word in enumerate(words)}
    arrays["values"] = np.array([number[word] for word in flat], VALUE_DTYPES[kind])
    arrays["word_ends"], arrays["word_text"] = pack_texts(words)
    return arrays


def _encode_texts(values: Iterable[object]) -> dict[str, NDArray[Any]]:
    """Words are numbered as they come, then anew in their order: no list of all is ever made."""
    numbers: dict[str, int] = {}
    state, ends, text_ends, flat = array("B"), array("I"), array("Q"), array("I")
    for value in values:
        texts: Iterable[Iterable[str]] = ()
        if value is MISSING or value is None:
            state.append(STATE_MISSING if value is MISSING else STATE_NULL)
        elif isinstance(value, tuple):
            state.append(STATE_LIST)
            texts = value
        else:
            state.append(STATE_VALUE)
            texts = (cast(list[str], value),)
        for words in texts:
            flat.extend([numbers.setdefault(word, len(numbers)) for word in words])
            text_ends.append(len(flat))
        ends.append(len(text_ends))
    words = sorted(numbers)
    rank = np.empty(len(words), "<u4")
    rank[[numbers[word] for word in words]] = np.arange(len(words), dtype="<u4")
    word_ends, word_text = pack_texts(words)
    return {
        "state": np.array(state, np.uint8),
        "ends": np.array(ends, "<u4"),
        "values": rank[np.array(flat, "<u4")],
        "text_ends": np.array(text_ends, "<u8"),
        "word_ends": word_ends,
        "word_text": word_text,
    }


def decode_column(kind: str, arrays: dict[str, NDArray[Any]]) -> Column:
    """The column of a file's arrays, which ``column_fault`` has found right."""
    words: tuple[str, ...] = ()
    if kind in WORDS:
        text = arrays["word_text"].tobytes()
        ends = arrays["word_ends"].tolist()
        words = tuple(text[a:b].decode() for a, b in zip([0, *ends], ends, strict=False))
    return _column(kind, arrays, words)


def mapped_column(kind: str, arrays: dict[str, NDArray[Any]]) -> Column:
    """As ``decode_column``, nothing copied."""
    words = StoredWords(arrays["word_ends"], arrays["word_text"]) if kind in WORDS else ()
    return _column(kind, arrays, words)


def _column(kind: str, arrays: dict[str, NDArray[Any]], words: Sequence[str]) -> Column:
    state, ends, values = arrays["state"], arrays["ends"], arrays["values"]
    return Column(kind, state, ends, values, words, arrays.get("text_ends"))


def column_fault(kind: str, count: int, arrays: dict[str, NDArray[Any]]) -> str | None:
    """What is wrong with a file's arrays, for ``count`` slots; None if nothing is."""
    names = {"state": "|u1", "ends": "<u4", "values": VALUE_DTYPES[kind].str}
    if kind in WORDS:
        names |= {"word_ends": "<u8", "word_text": "|u1"}
    if kind == "text":
        names["text_ends"] = "<u8"
    if {name: array.dtype.str for name, array in arrays.items()} != names:
        return f"its arrays are not those of a column of type {kind}"
    state, ends, values = arrays["state"], arrays["ends"], arrays["values"]
    right = values.shape == ((len(values), 2) if kind in PAIRS else (len(values),))
    if state.shape != (count,) or ends.shape != (count,) or not right:
        return f"its arrays have other shapes than {count} slots give"
    listed = len(values)
    if kind == "text":
        text_ends = arrays["text_ends"]
        listed = len(text_ends)
        last = int(text_ends[-1]) if listed else 0
        if text_ends.ndim != 1 or last != len(values) or np.any(text_ends[1:] < text_ends[:-1]):
            return "the ends of its texts are not in order"
    sizes = np.diff(ends.astype(np.int64), prepend=0)
    single = state == STATE_VALUE
    several = state == STATE_LIST
    if (
        np.any(state > STATE_LIST)
        or np.any(sizes[single] != 1)
        or np.any(sizes[several] < 0)
        or np.any(sizes[~(single | several)] != 0)
        or int(ends[-1] if count else 0) != listed
    ):
        return "its states and ends contradict each other"
    if kind in WORDS:
        if len(values) and int(values.max()) >= len(arrays["word_ends"]):
            return "a value names a word that is not there"
        return texts_fault(arrays["word_ends"], arrays["word_text"])
    return None
