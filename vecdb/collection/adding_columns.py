"""Giving the segments that are there the columns of a field that was declared later.

Until a segment has the column, filters test its records by payload: the answers are the same. The
values are read at one commit. A payload that is changed later has a patch, and a slot whose record
is gone matches nothing, so the column is right for every commit that can see it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..results import SealResult
from ..storage import segment_files
from ..storage.added_columns import add_column, remove_leftovers
from ..storage.catalogue import CollectionRow, delete_columns_due, find_collection
from ..storage.manifest import SegmentRow, put_segment, scan_segments
from ..storage.segment_info import ColumnInfo, SegmentInfo
from .fields import for_column, read_field
from .group import Group
from .segment import Segment
from .snapshot import Snapshot

if TYPE_CHECKING:
    from .store import Store

_PART_SLOTS = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """A column that a segment does not have; ``place`` of ``among`` segments."""

    row: CollectionRow
    segment: SegmentRow
    info: SegmentInfo
    column: ColumnInfo
    place: int
    among: int


def missing_columns(info: SegmentInfo, fields: Mapping[str, str]) -> list[ColumnInfo]:
    """By name, those of declared fields that the segment does not have."""
    wanted = [ColumnInfo(name=name, kind=kind) for name, kind in sorted(fields.items())]
    return [one for one in wanted if one not in info.columns]


def add_columns(
    store: Store, row: CollectionRow, show: Callable[[float], None], check: Callable[[], None]
) -> SealResult:
    """Add what segments of the collection lack, one column after the other.

    By the thread that alone writes segments. ``show`` and ``check`` as in a build.
    """
    count = 0
    while True:
        lack = _next_lack(store, row)
        if isinstance(lack, Lack):
            _add(store, lack, show, check)
            count += 1
        elif lack is None or store.submit(lack, 0).result():
            return SealResult(records=0, segments=count)


def _next_lack(store: Store, row: CollectionRow) -> Lack | Callable[[Group], bool] | None:
    """The first column that is missing; the write that notes that none is; None: all is gone."""
    with store.view(row.name) as view:
        if view.row.number != row.number:
            return None
        segments = scan_segments(view.transaction, row.number)
        for place, segment in enumerate(segments):
            info = store.segments.info(segment)
            if info is None:
                raise AssertionError("segments are removed by this thread alone")
            lacking = missing_columns(info, view.row.schema.fields)
            if lacking:
                return Lack(
                    row=view.row,
                    segment=segment,
                    info=info,
                    column=lacking[0],
                    place=place,
                    among=len(segments),
                )
            remove_leftovers(store.directory, info, segment.json_checksum)
        return partial(_note_complete, row=view.row, manifest=view.state.manifest)


def _note_complete(group: Group, *, row: CollectionRow, manifest: int) -> bool:
    """Whether what was seen still holds; then nothing is due any more."""
    state = group.state(row.number)
    stored = find_collection(group.transaction, row.name)
    if state is None or stored is None:
        return True
    if state.manifest != manifest or stored.schema.fields != row.schema.fields:
        return False
    delete_columns_due(group.transaction, row.number)
    return True


def _add(
    store: Store, lack: Lack, show: Callable[[float], None], check: Callable[[], None]
) -> None:
    ids, _ = segment_files.read_ids(store.directory, lack.info)
    values: list[Any] = []
    for start in range(0, lack.info.count, _PART_SLOTS):
        check()
        show((lack.place + start / lack.info.count) / lack.among)
        # A view for each part: a long one would keep writes from growing the file. A change in
        # between has a patch, whatever it is that is read here.
        slots = np.arange(start, min(lack.info.count, start + _PART_SLOTS))
        with store.environment.read() as transaction:
            some = ids.take(slots)
            values += read_field(transaction, lack.row.number, some, lack.column)
    remove_leftovers(store.directory, lack.info, lack.segment.json_checksum)
    fitting = for_column(lack.column.kind, values)
    info, checksum = add_column(store.directory, lack.info, lack.column, fitting)
    added = Added(
        row=lack.row,
        before=lack.segment,
        now=replace(lack.segment, json_checksum=checksum),
        info=info,
        keep=store.segments.keep,
    )
    store.submit(added.commit, 0).result()


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """A segment with one more column, to take the place of itself without it."""

    row: CollectionRow
    before: SegmentRow
    now: SegmentRow
    info: SegmentInfo
    keep: Callable[[list[Segment]], None]

    def commit(self, group: Group) -> None:
        """Name it in the manifest, in the writer's transaction."""
        number = self.row.number
        state = group.state(number)
        if state is None or self.before not in scan_segments(group.transaction, number):
            return  # dropped meanwhile
        put_segment(group.transaction, number, self.now)
        group.change(self.row, state, replace(state, manifest=state.manifest + 1))
        group.swap(number, self.change)

    def change(self, newest: Snapshot) -> Snapshot:
        """The snapshot of the same commit, in which the segment has the column."""
        segments = []
        for one in newest.segments:
            if one.segment.uuid == self.now.uuid:
                segment = one.segment.with_columns(self.now, self.info)
                self.keep([segment])
                one = replace(one, segment=segment)
            segments.append(one)
        return replace(newest, segments=tuple(segments))
