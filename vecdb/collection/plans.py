"""What a seal or a compaction takes in, read at one commit and built into a new segment."""

from __future__ import annotations

import shutil
from bisect import bisect_right
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import LimitExceeded
from ..results import SealResult
from ..storage.catalogue import CollectionRow
from ..storage.format import LAYOUT_VECTORS
from ..storage.lmdb_errors import disk_full
from ..storage.operations import scan_operations
from ..storage.patches import scan_patches
from ..storage.segment_info import SegmentInfo
from .building import Build, build_bytes, disk_bytes
from .fields import read_fields
from .levels import add_sizes, choose_level, layout_at, sizes_of, sizes_to_be
from .residence import Residence
from .sealed import Sealed
from .sealing import Swap, make_background, tail_rows
from .snapshot import Snapshot
from .writes import collection_gone

if TYPE_CHECKING:
    from .store import Store, View

DEAD_SHARE = 0.2
"""A segment with more dead slots is written anew."""

PATCHED_SHARE = 0.05
"""The same for records whose payload is not what columns say: filters test them one by one."""

SPARE_BYTES = 2 * 1024 * 1024
SPARE_BYTES_AUTOMATIC = 256 * 1024 * 1024
"""Room that is left to writes while a segment is built: asked for, or by itself."""

Choose = Callable[[tuple[Sealed, ...]], tuple[Sealed, ...]]
Show = Callable[[float], None]
Check = Callable[[], None]


def plan_seal(
    store: Store,
    row: CollectionRow,
    threads: int,
    show: Show,
    check: Check,
    spare_bytes: int = SPARE_BYTES,
) -> Swap | SealResult:
    """A segment of the tail's records, as many as the memory for builds allows, oldest first.

    The result where there is nothing to do. ``DiskFull`` where the disk has no room for it and for
    ``spare_bytes`` that others may need meanwhile.
    """
    with store.view(row.name, with_snapshot=True) as view:
        snapshot = _snapshot_of(view, row)
        row = view.row  # its fields may have changed since
        operations = scan_operations(view.transaction, row.number, row.schema)
        slots, boundary, through = tail_rows(
            operations, snapshot, view.state, _rows_max(store, row)
        )
        if not len(slots):
            if snapshot.tail.live:
                raise _too_small(store, row)
            return SealResult(records=0, segments=len(snapshot.segments))
        places = snapshot.tail_base + slots
        others = [one.segment.info for one in snapshot.segments]
        layout = _layout(view.row, others, places, snapshot)
        _check_room(store, disk_bytes(row.schema, len(slots), layout) + spare_bytes)
        residence = residence_of(store, view)
        columns = read_fields(view.transaction, row, snapshot.ids_of(places))
    state = view.state
    background = make_background(snapshot, row.number)  # while there is most room
    build = _builder(store, view.row, threads, show, check)
    written = build(
        snapshot=snapshot,
        places=places,
        sequence=through,
        columns=columns,
        layout=layout,
    ).run()
    del columns, places, slots  # memory: reading it back takes the most
    return Swap(
        row=row,
        seen=state,
        snapshot=snapshot,
        boundary=boundary,
        through=through,
        taken=(),
        segment=store.segments.load_built(view.row, written, others, residence),
        background=background,
    )


def plan_compaction(
    store: Store,
    row: CollectionRow,
    choose: Choose,
    threads: int,
    show: Show,
    check: Check,
    spare_bytes: int = SPARE_BYTES,
) -> Swap | SealResult:
    """One segment of the live records of those that ``choose`` takes.

    The smallest where the memory for builds does not hold them all; room as for ``plan_seal``.
    """
    with store.view(row.name, with_snapshot=True) as view:
        snapshot = _snapshot_of(view, row)
        row = view.row  # its fields may have changed since
        wanted = choose(snapshot.segments) or _much_patched(view, snapshot)
        taken = _that_fit(wanted, _rows_max(store, row))
        if not taken:
            return SealResult(records=0, segments=len(snapshot.segments))
        places = np.concatenate(snapshot.live_places(taken))
        residence = residence_of(store, view)
        others = [one.segment.info for one in snapshot.segments if one not in taken]
        layout = _layout(view.row, others, places, snapshot)
        _check_room(store, disk_bytes(row.schema, len(places), layout) + spare_bytes)
        columns = read_fields(view.transaction, row, snapshot.ids_of(places))
    background = make_background(snapshot, row.number)
    built = None
    if len(places):
        build = _builder(store, view.row, threads, show, check)
        written = build(
            snapshot=snapshot,
            places=places,
            sequence=max(one.segment.row.sequence for one in taken),
            columns=columns,
            layout=layout,
        ).run()
        built = store.segments.load_built(view.row, written, others, residence)
    return Swap(
        row=row,
        seen=view.state,
        snapshot=snapshot,
        boundary=None,
        through=0,
        taken=taken,
        segment=built,
        background=background,
    )


def _much_patched(view: View, snapshot: Snapshot) -> tuple[Sealed, ...]:
    """A segment that is worth writing anew for its columns alone."""
    origins = scan_patches(view.transaction, view.row.number).origins.astype(np.uint64)
    for sealed in snapshot.segments:
        if len(sealed.segment.slots_of(origins)) > PATCHED_SHARE * len(sealed):
            return (sealed,)
    return ()


def _builder(
    store: Store, row: CollectionRow, threads: int, show: Show, check: Check
) -> Callable[..., Build]:
    """``Build`` by the means of the store; what it is built of is to follow."""
    return partial(
        Build,
        root=store.directory,
        open_reader=store.page_reader,
        row=row,
        pool=store.pool,
        threads=threads,
        progress=show,
        check=check,
    )


def _layout(
    row: CollectionRow, others: list[SegmentInfo], places: NDArray[np.int64], snapshot: Snapshot
) -> int:
    """The layout for the level that will be right when the segment is there."""
    if row.schema.memory_budget is None:
        return LAYOUT_VECTORS
    some = snapshot.ids_of(places)
    ids_bytes = (
        sum(8 + len(one.encode()) for one in some) if isinstance(some, list) else some.nbytes
    )
    to_be = sizes_to_be(row.schema, len(places), ids_bytes)
    sizes = add_sizes([*(sizes_of(one) for one in others), to_be])
    level = choose_level(row.schema.memory_budget, sizes).level
    return layout_at(row.schema, level, len(places))


def residence_of(store: Store, view: View) -> Residence:
    live = store.live_of(view.row)
    if live is None:
        raise AssertionError("a snapshot was taken")
    return live.residence


def _snapshot_of(view: View, row: CollectionRow) -> Snapshot:
    if view.row.number != row.number:  # the name has been given to another collection
        raise collection_gone(row.name)
    if view.snapshot is None:
        raise AssertionError("a build asks for the snapshot")
    return view.snapshot


def _check_room(store: Store, needed_bytes: int) -> None:
    """Raise ``DiskFull`` before a build takes the room that writes, or deletes, will need."""
    if shutil.disk_usage(store.directory).free < needed_bytes:
        raise disk_full(store.directory)


def _rows_max(store: Store, row: CollectionRow) -> int:
    """How many rows a build may take in; ``build_bytes`` rises with them."""
    rows = range(store.build_memory)  # each takes more than a byte
    return max(0, bisect_right(rows, store.build_memory, key=partial(build_bytes, row.schema)) - 1)


def _that_fit(taken: tuple[Sealed, ...], rows_max: int) -> tuple[Sealed, ...]:
    """The smallest of ``taken`` that fit together; none where that would change little."""
    if sum(sealed.live for sealed in taken) <= rows_max:
        return taken
    kept: list[Sealed] = []
    rows = 0
    for sealed in sorted(taken, key=lambda one: (one.live, one.segment.uuid.bytes)):
        rows += sealed.live
        if rows > rows_max:
            break
        kept.append(sealed)
    dead = any(len(one) - one.live > DEAD_SHARE * len(one) for one in kept)
    return tuple(kept) if len(kept) > 1 or dead else ()


def _too_small(store: Store, row: CollectionRow) -> LimitExceeded:
    return LimitExceeded(
        f"the oldest batch of {row.name!r} does not fit the memory for builds, "
        f"{store.build_memory} bytes",
        reason="BUILD_MEMORY",
        limit=store.build_memory,
        hint="Allow more by build_memory= of vecdb.open",
    )
