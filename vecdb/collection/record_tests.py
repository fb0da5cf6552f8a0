"""Testing records by their payloads, and remembering the declared fields of those no column has."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..deadline import Deadline
from ..storage.catalogue import CollectionRow
from ..storage.records import Ids, id_keys
from ..storage.transaction import Transaction
from .payload import decode_payload

KNOWN_BYTES = 48 * 1024 * 1024
"""About how much memory declared fields of unsealed and changed records may take."""
_PART_RECORDS = 1_024
_RECORD_BYTES, _TEXT_FACTOR = 400, 4  # as objects, from the length of the payload's text

Test = Callable[[Any], bool]
Bits = NDArray[np.bool_]
Fields = Mapping[str, Any]
_Key = tuple[int, tuple[str, ...], int, int]  # number, names of fields, origin, sequence


class KnownFields:
    """Declared fields by origin and the sequence of the last change, 0: none. For any thread.

    Both together say what the payload is, whichever commit is read.
    """

    def __init__(self, most_bytes: int = KNOWN_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        # Guarded by self._lock; oldest first.
        self._known: OrderedDict[_Key, tuple[Fields, int]] = OrderedDict()
        self._bytes = 0

    def get(self, keys: Sequence[_Key]) -> list[Fields | None]:
        with self._lock:
            found = [self._known.get(key) for key in keys]
        return [None if one is None else one[0] for one in found]

    def put(self, key: _Key, fields: Fields, text_bytes: int) -> None:
        size = _RECORD_BYTES + _TEXT_FACTOR * text_bytes
        with self._lock:
            if key in self._known:
                return
            self._known[key] = fields, size
            self._bytes += size
            while self._bytes > self._most_bytes:
                _, (_, gone) = self._known.popitem(last=False)
                self._bytes -= gone


@dataclass(frozen=True, slots=True)
class RecordFields:
    """Reads the declared fields of records of one transaction."""

    transaction: Transaction
    row: CollectionRow
    deadline: Deadline
    known: KnownFields

    def of(self, ids: Ids) -> list[Fields]:
        """The declared fields that each of these stored records has."""
        found: list[Fields] = []
        for start in range(0, len(ids), _PART_RECORDS):
            found += map(self._fields_of, self.texts(ids[start : start + _PART_RECORDS]))
        return found

    def of_known(
        self,
        origins: NDArray[np.int64],
        sequences: NDArray[np.int64],
        ids_of: Callable[[NDArray[np.int64]], Ids],
    ) -> Iterator[tuple[slice, list[Fields]]]:
        """As ``of``, of records that are asked for again, part by part.

        - ``sequences``: 0 or of their patch
        - ``ids_of``: the ids of some of ``origins``
        """
        head = self.row.number, tuple(self.row.schema.fields)
        for start in range(0, len(origins), _PART_RECORDS):
            self.deadline.check("filtering records")
            part = slice(start, start + _PART_RECORDS)
            pairs = zip(origins[part].tolist(), sequences[part].tolist(), strict=True)
            keys = [(*head, *pair) for pair in pairs]
            fields = self.known.get(keys)
            absent = [place for place, one in enumerate(fields) if one is None]
            if absent:
                texts = self.texts(ids_of(origins[part][absent]))
                for place, text in zip(absent, texts, strict=True):
                    fields[place] = self._fields_of(text)
                    self.known.put(keys[place], fields[place] or {}, len(text))
            yield part, [one or {} for one in fields]

    def texts(self, ids: Ids) -> list[bytes]:
        """The payload of each as it is stored; b"" where there is none."""
        self.deadline.check("filtering records")
        keys = id_keys(self.row.number, ids)
        texts = self.transaction.get_many("payloads", keys)
        return [texts.get(key, b"") for key in keys]

    def _fields_of(self, text: bytes) -> Fields:
        payload = decode_payload(text) or {}
        return {name: payload[name] for name in self.row.schema.fields if name in payload}


@dataclass(frozen=True, slots=True)
class RecordTests:
    """Tests records of one transaction."""

    fields: RecordFields
    test: Test

    @property
    def deadline(self) -> Deadline:
        return self.fields.deadline

    def of(self, ids: Ids) -> Bits:
        """bool[n]: whether each of these stored records matches."""
        found = np.zeros(len(ids), np.bool_)
        for start in range(0, len(ids), _PART_RECORDS):
            texts = self.fields.texts(ids[start : start + _PART_RECORDS])
            for place, text in enumerate(texts, start):
                found[place] = self.test(decode_payload(text))
        return found

    def of_known(
        self,
        origins: NDArray[np.int64],
        sequences: NDArray[np.int64],
        ids_of: Callable[[NDArray[np.int64]], Ids],
    ) -> Bits:
        """As ``of``, of records that are asked for again; see ``RecordFields.of_known``."""
        found = np.zeros(len(origins), np.bool_)
        for part, fields in self.fields.of_known(origins, sequences, ids_of):
            found[part] = [self.test(one) for one in fields]
        return found
