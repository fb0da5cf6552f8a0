"""The values of one declared field, of many records at one commit.

They come from the columns of segments; of records that no column tells of (those of the tail, those
whose payload was changed after it was written, segments without the column) from their payloads, of
which a column is made. So whoever asks looks at columns alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..deadline import Deadline
from ..errors import InvalidArgument
from ..filters import Compare, declared_hint
from ..filters.values import to_comparable
from ..storage.columns import MISSING, Column, decode_column, encode_column
from .column_masks import match_columns
from .fields import stored_value
from .filtering import FilterCache
from .sealed import Sealed
from .snapshot import Snapshot
from .store import View

Origins = NDArray[np.int64]
Scalar = str | int | float | bool

SCALAR_KINDS = ("keyword", "int", "float", "bool", "datetime")
"""Types whose values are counted, grouped by and put in order."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(hours=23, minutes=59)


@dataclass(frozen=True, slots=True)
class Part:
    """Some records, int64[n] each: their places in the snapshot, and their slots of ``column``."""

    places: NDArray[np.int64]
    slots: NDArray[np.int64]
    column: Column

    def flat(self) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """(rows, values): row r has the value v; ascending by row, then value, none twice."""
        ends = self.column.ends
        stops = ends[self.slots].astype(np.int64)
        before = np.where(self.slots > 0, ends[self.slots - 1], np.uint32(0))
        sizes = stops - before.astype(np.int64)
        total = int(sizes.sum())
        rows = np.repeat(np.arange(len(sizes)), sizes)
        firsts = stops - np.cumsum(sizes)  # of each row's values, less the number of those before
        values = self.column.values[np.arange(total) + np.repeat(firsts, sizes)]
        if len(sizes) and int(sizes.max()) > 1:
            order = np.lexsort((values, rows))
            rows, values = rows[order], values[order]
            new = np.ones(total, np.bool_)
            new[1:] = (rows[1:] != rows[:-1]) | (values[1:] != values[:-1])
            rows, values = rows[new], values[new]
        return rows, values

    def scalars(self, values: NDArray[Any]) -> list[Scalar]:
        """Values of the column as filters compare them; words for the numbers of words."""
        if self.column.kind == "keyword":
            words = self.column.words
            return [words[number] for number in values.tolist()]
        if self.column.kind == "bool":
            return [bool(one) for one in values.tolist()]
        found: list[Scalar] = values.tolist()
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldValues:
    """One declared field at one commit: ``view`` has a snapshot."""

    filters: FilterCache
    view: View
    field: str
    deadline: Deadline

    @property
    def kind(self) -> str:
        return self.view.row.schema.fields[self.field]

    @property
    def snapshot(self) -> Snapshot:
        if self.view.snapshot is None:
            raise AssertionError("values are read with the snapshot")
        return self.view.snapshot

    def parts(self, origins: Origins | None) -> Iterator[Part]:
        """All records of ``origins`` (ascending, each of a live record; None: all), each once."""
        snapshot = self.snapshot
        patches = self.filters.patches_of(self.view.transaction, self.view.row)
        sealed_patches = patches.origins[: np.searchsorted(patches.origins, snapshot.tail.first)]
        changed: list[Origins] = []
        for sealed, base, some in snapshot.chosen(origins):
            self.deadline.check("reading fields")
            slots = (some or sealed.every).slots
            patched = sealed.segment.slots_of(sealed_patches.astype(np.uint64))
            if len(patched):
                again = np.intersect1d(slots, patched, assume_unique=True)
                slots = np.setdiff1d(slots, again, assume_unique=True)
                changed.append(sealed.segment.origins_of(again).astype(np.int64))
            if len(slots):
                yield Part(base + slots, *self._of_segment(sealed, slots))
        tail = snapshot.tail
        unsealed = tail.live_slots() if origins is None else origins
        unsealed = unsealed[np.searchsorted(unsealed, tail.first) :]
        rest = np.concatenate([*changed, unsealed])
        if len(rest):
            places = snapshot.places_of(rest)
            column = self._column([one.get(self.field, MISSING) for one in self._known(rest)])
            yield Part(places, np.arange(len(rest)), column)

    def having(self, origins: Origins, wanted: Iterable[Scalar]) -> dict[Scalar, Origins]:
        """Of ``origins`` those that have each of the values, ascending."""
        found: dict[Scalar, list[NDArray[np.int64]]] = {value: [] for value in wanted}
        for part in self.parts(origins):
            columns = {self.field: part.column}
            for value, places in found.items():
                test = Compare(self.field, "eq", (value,))
                bits = match_columns(test, columns, len(part.column.state))
                places.append(part.places[bits[part.slots]])
        origins_of = self.snapshot.origins_of
        return {
            value: np.sort(origins_of(np.concatenate(places)).astype(np.int64))
            for value, places in found.items()
        }

    def _of_segment(
        self, sealed: Sealed, slots: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], Column]:
        """Where the values of these slots lie: slots of a column."""
        try:
            column = sealed.segment.columns.of(self.view.row.schema.fields)[self.field]
        except KeyError:
            column = None
        if column is not None and column.kind == self.kind:
            return slots, column
        fields = self.filters.fields_of(self.view.transaction, self.view.row, self.deadline)
        found = fields.of(sealed.segment.ids.take(slots))
        return np.arange(len(slots)), self._column([one.get(self.field, MISSING) for one in found])

    def _known(self, origins: Origins) -> list[Mapping[str, Any]]:
        """The declared fields of records that are asked for again and again."""
        patches = self.filters.patches_of(self.view.transaction, self.view.row)
        sequences = np.zeros(len(origins), np.int64)
        if len(patches):
            at = np.minimum(np.searchsorted(patches.origins, origins), len(patches) - 1)
            sequences = np.where(patches.origins[at] == origins, patches.sequences[at], 0)
        fields = self.filters.fields_of(self.view.transaction, self.view.row, self.deadline)
        snapshot = self.snapshot
        found: list[Mapping[str, Any]] = []
        for _, some in fields.of_known(
            origins, sequences, lambda wanted: snapshot.ids_of(snapshot.places_of(wanted))
        ):
            found += some
        return found

    def _column(self, values: list[Any]) -> Column:
        kind = self.kind
        if to_comparable(kind) is not None:
            values = [stored_value(value, kind) for value in values]
        arrays = encode_column(kind, values)
        return decode_column(kind, arrays)


def check_field(name: object, fields: Mapping[str, str], argument: str) -> str:
    """The name of a declared field; ``InvalidArgument`` at ``argument`` if it is none."""
    if not isinstance(name, str):
        raise InvalidArgument(
            f"{argument} must be the name of a declared field; got {type(name).__name__}",
            field=argument,
        )
    if name in fields:
        if fields[name] not in SCALAR_KINDS:
            raise InvalidArgument(
                f"{argument} must be a field of type {', '.join(SCALAR_KINDS)}; {name!r} is of "
                f"type {fields[name]}",
                field=argument,
                reason="WRONG_FIELD_TYPE",
            )
        return str(name)
    raise InvalidArgument(
        f"{argument} must be the name of a declared field, and {name[:40]!r} is none",
        field=argument,
        reason="UNINDEXED_FIELD",
        hint=declared_hint(fields),
    )


def shown_value(kind: str, value: Scalar) -> Scalar:
    """A value as payloads and filters have it: a datetime as ISO 8601 text in UTC."""
    if kind == "float":
        return value + 0.0 if isinstance(value, float) else value  # -0.0 equals 0.0
    if kind != "datetime":
        return value
    after = timedelta(microseconds=int(value))
    try:
        return (_EPOCH + after).isoformat().replace("+00:00", "Z")
    except OverflowError:  # in UTC it is before the year 1 or after 9999: in a zone it is not
        zone = timezone(_DAY if after < timedelta() else -_DAY)
        return (_EPOCH.astimezone(zone) + after).isoformat()
