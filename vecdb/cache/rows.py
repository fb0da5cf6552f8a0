"""What a cache knows of each entry in memory, in columns: enough to decide without the disk.

A row is taken by an entry when it is published and given back when the entry's deletion has been
committed: whoever still holds the number of a row that was given to another entry finds no answer
under the entry that it meant.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.wheel import HOURS, SECONDS, advance, put_in, take_out
from ..storage.cache_entries import Entry

LIVE, NEGATIVE, OWN_TTL = 1, 2, 4

COLUMNS = np.dtype(
    [
        ("entry", "<i8"),
        ("sequence", "<i8"),
        ("created", "<i8"),  # microseconds, as the three that follow
        ("expires", "<i8"),
        ("until", "<i8"),
        ("used", "<i8"),  # the last hit
        ("hits", "<u4"),
        ("considered", "<u4"),
        ("value", "<f4"),  # what a hit saves, in the unit of evictions
        ("threshold", "<f4"),
        ("size", "<u4"),
        ("partition", "<i4"),
        ("slot", "<i4"),
        ("group_place", "<i4"),  # in the rows of its category, and of its tenant
        ("tenant_place", "<i4"),
        ("flags", "u1"),
        ("guard", "V32"),
        ("digest", "V16"),
    ]
)
_LEAST = 64
_STEPS = 8_192


class RowSet:
    """Rows in no order, from which one can be drawn. Used under the index's lock."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._rows = np.empty(8, np.int32)
        self.count = 0
        self.bytes = 0

    def add(self, rows: Rows, row: int) -> None:
        if self.count == len(self._rows):
            self._rows = np.resize(self._rows, 2 * self.count)
        self._rows[self.count] = row
        getattr(rows.fields, self._place)[row] = self.count
        self.count += 1
        self.bytes += rows.fields.size.item(row)

    def remove(self, rows: Rows, row: int) -> None:
        places = getattr(rows.fields, self._place)
        place = places.item(row)
        self.count -= 1
        last = self._rows.item(self.count)
        self._rows[place] = last
        places[last] = place
        self.bytes -= rows.fields.size.item(row)

    def draw(self, chance: random.Random, most: int) -> list[int]:
        """Up to ``most`` rows; all of them where there are not more."""
        if self.count <= most:
            return [int(row) for row in self._rows[: self.count]]
        places = {chance.randrange(self.count) for _ in range(most)}
        return [int(self._rows[place]) for place in sorted(places)]

    def __iter__(self) -> Iterator[int]:
        return iter(self._rows[: self.count].tolist())


class Fields:
    """The columns one by one, as views: an access takes a fifth of one through the row."""

    __slots__ = tuple(COLUMNS.names or ())

    def __init__(self, columns: NDArray[Any]) -> None:
        for name in self.__slots__:
            setattr(self, name, columns[name])

    def __getattr__(self, name: str) -> NDArray[Any]:  # tells the type; slots come first
        raise AttributeError(name)


class Rows:
    """The columns, the free rows, and the wheel. Written under the index's lock."""

    def __init__(self, now_us: int) -> None:
        self.columns: NDArray[Any] = np.zeros(_LEAST, COLUMNS)
        self.fields = Fields(self.columns)
        self._free: list[int] = []
        self._used = 0  # rows from here on were never taken
        self._heads = np.full(SECONDS + HOURS, -1, np.int32)
        self._links = _unlinked(0, _LEAST)
        self._due = np.zeros(_LEAST, np.int64)
        self._clock = np.array([now_us // 1_000_000, 1], np.int64)
        self._out = np.empty(256, np.int32)

    def __len__(self) -> int:
        """Rows that are taken."""
        return self._used - len(self._free)

    @property
    def nbytes(self) -> int:
        return self.columns.nbytes + self._links.nbytes + self._due.nbytes

    def take(self, entry: int, stored: Entry, partition: int, slot: int) -> int:
        """A row for an entry, which gets in line for the end of its lifetime."""
        row = self._free.pop() if self._free else self._new()
        flags = LIVE | (stored.negative and NEGATIVE) | (stored.own_ttl and OWN_TTL)
        self.columns[row] = (
            *(entry, stored.sequence, stored.created_us, stored.expires_us, stored.until_us),
            *(stored.created_us, 0, 0, _value_of(stored), stored.threshold, stored.size),
            *(partition, slot, 0, 0, flags, stored.guard, stored.digest),
        )
        # Rounded up: a row is not taken from the wheel while its answer may be served.
        self._due[row] = -(-stored.until_us // 1_000_000)
        put_in(row, self._heads, self._links, self._due, self._clock)
        return row

    def kill(self, row: int) -> None:
        """No lookup finds it any more; it waits for its deletion."""
        flags = self.fields.flags
        flags[row] = flags.item(row) & ~LIVE
        take_out(row, self._heads, self._links)

    def is_live(self, row: int) -> bool:
        return bool(self.fields.flags.item(row) & LIVE)

    def give_back(self, row: int) -> None:
        self.fields.entry[row] = -1
        self._free.append(row)

    def due(self, now_us: int, most: int = 256) -> list[int]:
        """Up to ``most`` rows, at most 256, whose time is over; [] when there is none."""
        now = now_us // 1_000_000
        while self._clock[0] <= now:
            found = advance(
                now, _STEPS, self._heads, self._links, self._due, self._clock, self._out[:most]
            )
            if found:
                return [int(row) for row in self._out[:found]]
        return []

    def _new(self) -> int:
        size = len(self._due)
        if self._used == size:
            columns = np.zeros(2 * size, COLUMNS)
            columns[:size] = self.columns
            self._links = np.concatenate([self._links, _unlinked(size, 2 * size)])
            self._due = np.concatenate([self._due, np.zeros(size, np.int64)])
            self.columns = columns  # last: readers go on with the old ones until then
            self.fields = Fields(columns)
        self._used += 1
        return self._used - 1


def _unlinked(begin: int, end: int) -> NDArray[np.int32]:
    """Links of rows that are in no list."""
    return np.repeat(np.arange(begin, end, dtype=np.int32)[:, None], 2, axis=1)


def _value_of(stored: Entry) -> float:
    """What evicting weighs: seconds, plus a second for each 100 tokens and each 0.001 of money."""
    return max(1e-3, stored.seconds + stored.tokens / 100.0 + stored.money * 1_000.0)
