"""The columns of a segment: mapped and verified when a filter first asks for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..errors import DataCorruption
from ..storage import segment_files
from ..storage.array_file import MappedArrays
from ..storage.columns import VALUE_DTYPES, Column
from ..storage.segment_info import SegmentInfo


class SegmentColumns:
    """Columns of the types that masks are made of. Safe for any thread.

    A segment that a compaction has taken may have no files any more: what had not been asked for
    until then is not in the mapping. ``DataCorruption`` names a file that is damaged.
    """

    def __init__(self, root: Path, info: SegmentInfo) -> None:
        self._root = root
        self._info = info
        self._places = {
            (one.name, one.kind): place
            for place, one in enumerate(info.columns)
            if one.kind in VALUE_DTYPES
        }
        self._lock = threading.Lock()
        self._mapped: dict[int, tuple[Column, MappedArrays]] = {}  # Guarded by self._lock.

    def extended(self, info: SegmentInfo) -> SegmentColumns:
        """These and the columns that the segment has got since."""
        more = SegmentColumns(self._root, info)
        with self._lock:
            more._mapped.update(self._mapped)
        return more

    def of(self, fields: Mapping[str, str]) -> TypedColumns:
        """Those of the declared ``fields``: a field may have been declared anew as another type."""
        return TypedColumns(self, fields)

    def get(self, name: str, kind: str) -> Column:
        """Raises ``KeyError`` where there is none."""
        place = self._places[name, kind]
        with self._lock:
            found = self._mapped.get(place)
            if found is None:
                found = self._mapped[place] = self._map(place)
        return found[0]

    def _map(self, place: int) -> tuple[Column, MappedArrays]:
        folder = segment_files.segment_folder(self._root, self._info.uuid)
        try:
            return segment_files.map_column(self._root, self._info, place)
        except DataCorruption:
            if not folder.is_dir():
                raise KeyError(self._info.columns[place].name) from None
            raise

    def release(self) -> None:
        """Let go of the memory that reading has brought in."""
        with self._lock:
            mapped = [one for _, one in self._mapped.values()]
        for one in mapped:
            one.release()


class TypedColumns(Mapping[str, Column]):
    """By name, the columns of declared fields, mapped when they are asked for."""

    def __init__(self, columns: SegmentColumns, fields: Mapping[str, str]) -> None:
        self._columns = columns
        self._fields = fields

    def __getitem__(self, name: str) -> Column:
        return self._columns.get(name, self._fields[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)
