"""Giving back the space of vectors that no record holds any more.

Operations are a log: overwritten and deleted vectors stay in it. Where more of its rows are dead
than live, the oldest operations are taken out in small steps and what lives in them is written
again at the end (as a log-structured file system cleans its oldest segment; Rosenblum and
Ousterhout 1992, section 3.4). Each step is a transaction of its own between other writes, and to
readers it is an ordinary write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..storage.catalogue import CollectionRow, State
from ..storage.format import OPERATION_KEY
from ..storage.operations import Operation, put_upsert, scan_operations
from ..storage.patches import drop_patches
from ..storage.records import Ids, get_records, id_keys, pack_record
from ..storage.transaction import Transaction
from .access import move_accesses
from .group import Group

DEAD_ROWS = 4_096
"""Fewer dead rows than this are left alone."""
BURIED_ROWS = 65_536
"""More retired rows of segments than this are not left to the operations to tell."""
_STEP_BYTES = 8 * 1024 * 1024
_STEP_PARTS = 512
_TIGHT_STEP_BYTES = 256 * 1024


Bury = Callable[[Transaction, CollectionRow, NDArray[np.uint64]], None]
"""Stores that these slots, where they lie in segments, hold no record any more."""


def dead_rows(state: State) -> int:
    """Rows of the stored operations that hold no record."""
    return state.next_slot - state.first_slot - (state.count - state.sealed)


def needs_cleaning(state: State) -> bool:
    return (
        dead_rows(state) > max(state.count - state.sealed, DEAD_ROWS) or state.buried > BURIED_ROWS
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Survivors:
    """Rows to be written again; ``sequences``: of each record's last write."""

    keys: list[bytes]
    ids: Ids
    vectors: NDArray[Any]
    slots: NDArray[np.uint64]
    sequences: list[int]


def clean_step(group: Group, row: CollectionRow, bury: Bury) -> None:
    """Take out some of the oldest operations of a collection; nothing if it is gone."""
    state = group.state(row.number)
    if state is None or not needs_cleaning(state):
        return
    taken = list(_oldest(group, row))
    if not taken:
        if dead_rows(state):
            raise AssertionError("there are dead rows, but no operations that hold them")
        group.change(row, state, replace(state, buried=0))
        return
    retired = np.concatenate([one.retired for one in taken])
    retired = retired[retired < state.first_slot]
    bury(group.transaction, row, retired)
    for one in taken:
        key = OPERATION_KEY.pack(row.number, one.sequence, one.part)
        group.transaction.delete("operations", key)
    with_rows = [one for one in taken if len(one.vectors)]
    now = replace(state, trimmed=taken[-1].sequence, buried=max(0, state.buried - len(retired)))
    if with_rows:
        now = replace(now, first_slot=with_rows[-1].first_slot + len(with_rows[-1].vectors))
    survivors = _survivors(group, row, with_rows)
    operation = None
    if survivors is not None:
        operation = _write_again(group, row, survivors, now.next_slot)
        now = replace(now, next_slot=now.next_slot + len(survivors.keys))
    sequence = group.next_sequence() if operation is None else operation.sequence
    group.change(row, state, replace(now, sequence=sequence), operation)
    group.transaction.adds = False  # what was written again takes the place of what was taken out


def _oldest(group: Group, row: CollectionRow) -> Iterator[Operation]:
    step_bytes = _TIGHT_STEP_BYTES if group.transaction.tight else _STEP_BYTES
    size_bytes = 0
    for count, one in enumerate(scan_operations(group.transaction, row.number, row.schema)):
        if count == _STEP_PARTS or size_bytes >= step_bytes:
            return
        size_bytes += one.vectors.nbytes
        yield one


def _survivors(group: Group, row: CollectionRow, taken: list[Operation]) -> _Survivors | None:
    """The rows of ``taken`` that still hold their record; None where none does."""
    keys: list[bytes] = []
    ids: list[Any] = []
    vectors: list[NDArray[Any]] = []
    slots: list[int] = []
    sequences: list[int] = []
    for one in taken:
        own_keys = id_keys(row.number, one.ids)
        stored = get_records(group.transaction, own_keys)
        for place, key in enumerate(own_keys):
            slot, sequence = stored.get(key, (-1, 0))
            if slot == one.first_slot + place:
                keys.append(key)
                ids.append(one.ids[place])
                vectors.append(one.vectors[place])
                slots.append(slot)
                sequences.append(sequence)
    if not keys:
        return None
    is_text = isinstance(taken[0].ids, list)
    return _Survivors(
        keys=keys,
        ids=ids if is_text else np.array(ids, np.int64),
        vectors=np.stack(vectors),
        slots=np.array(slots, np.uint64),
        sequences=sequences,
    )


def _write_again(
    group: Group, row: CollectionRow, survivors: _Survivors, first_slot: int
) -> Operation:
    operation = put_upsert(
        group.transaction,
        row.number,
        group.next_sequence(),
        first_slot=first_slot,
        ids=survivors.ids,
        vectors=survivors.vectors,
        retired=survivors.slots,
    )
    drop_patches(group.transaction, row.number, survivors.slots)
    moved = enumerate(zip(survivors.keys, survivors.sequences, strict=True), first_slot)
    group.transaction.put_many(
        "records", [(key, pack_record(slot, last)) for slot, (key, last) in moved]
    )
    move_accesses(
        group,
        row,
        survivors.keys,
        survivors.slots.tolist(),
        first_slot,
        operation.sequence,
    )
    return operation
