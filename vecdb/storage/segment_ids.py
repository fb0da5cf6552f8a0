"""The ids of a segment, by slot: in memory as they are in the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import format
from .records import Ids

Slots = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class SegmentInts:
    """Integer ids: ``values`` int64[n]."""

    values: NDArray[np.int64]

    kind = format.ID_INT

    def __len__(self) -> int:
        return len(self.values)

    def take(self, slots: Slots) -> Ids:
        """The ids of those slots, in their order."""
        return self.values[slots]

    @property
    def nbytes(self) -> int:
        return self.values.nbytes


@dataclass(frozen=True, slots=True)
class SegmentTexts:
    """Text ids: slot s has ``text[ends[s - 1] : ends[s]]``, UTF-8; ``ends`` is uint64[n]."""

    ends: NDArray[np.uint64]
    text: NDArray[np.uint8]

    kind = format.ID_STR

    def __len__(self) -> int:
        return len(self.ends)

    def take(self, slots: Slots) -> Ids:
        """The ids of those slots, in their order."""
        places = slots.astype(np.int64)
        stops = self.ends[places]
        starts = np.where(places > 0, self.ends[places - 1], np.uint64(0))
        text = self.text
        return [
            text[start:stop].tobytes().decode()
            for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)
        ]

    @property
    def nbytes(self) -> int:
        return self.ends.nbytes + self.text.nbytes


SegmentIds = SegmentInts | SegmentTexts


def encode_ids(ids: Ids) -> dict[str, NDArray[Any]]:
    """The arrays of file ``ids``, but for the origins."""
    if not isinstance(ids, list):
        return {"ids": np.ascontiguousarray(ids, "<i8")}
    ends, text = pack_texts(ids)
    return {"id_ends": ends, "id_text": text}


def pack_texts(texts: list[str]) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """(ends, UTF-8 bytes) of the texts, one behind the other."""
    encoded = [text.encode() for text in texts]
    ends = np.cumsum(np.fromiter(map(len, encoded), np.uint64, len(encoded)), dtype=np.uint64)
    return ends, np.frombuffer(b"".join(encoded), np.uint8)


def texts_fault(ends: NDArray[np.uint64], text: NDArray[np.uint8]) -> str | None:
    """What is wrong with packed texts; None if nothing is. Reads everything."""
    end = int(ends[-1]) if len(ends) else 0
    if end != len(text) or np.any(ends[1:] < ends[:-1]):
        return "the texts' ends are not in order"
    starts_inside = ends[:-1][ends[:-1] < len(text)]
    if np.any(text[starts_inside] & 0xC0 == 0x80):
        return "a text begins inside a character"
    try:
        text.tobytes().decode()
    except UnicodeDecodeError as error:
        return f"its text is not UTF-8 at byte {error.start}"
    return None


def decode_ids(arrays: dict[str, NDArray[Any]], kind: int) -> SegmentIds:
    if kind == format.ID_INT:
        return SegmentInts(arrays["ids"])
    return SegmentTexts(arrays["id_ends"], arrays["id_text"])
