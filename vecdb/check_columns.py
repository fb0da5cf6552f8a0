"""The checker's part for columns: a filter reads them in place of payloads, so both must agree.

But for records whose payload was changed later: those have a patch.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .collection.fields import for_column, read_fields
from .storage import segment_files
from .storage.catalogue import CollectionRow, State
from .storage.columns import (
    VALUE_DTYPES,
    Column,
    decode_column,
    encode_column,
)
from .storage.patches import scan_patches
from .storage.records import Ids
from .storage.segment_info import SegmentInfo
from .storage.transaction import Transaction

_PART_ROWS = 8_192


def column_faults(
    root: Path,
    info: SegmentInfo,
    transaction: Transaction,
    row: CollectionRow,
    slots: NDArray[np.int64],
    ids: Ids,
) -> Iterator[str]:
    """Columns of a segment that tell of ``slots``, with these ids, something else than payloads.

    ``slots``: ascending, live and without a patch.
    """
    names = sorted(row.schema.fields)
    columns = [
        (place, one)
        for place, one in enumerate(info.columns)
        if one.kind in VALUE_DTYPES and row.schema.fields.get(one.name) == one.kind
    ]
    stored = {one.name: segment_files.read_column(root, info, place) for place, one in columns}
    wrong: set[str] = set()
    for start in range(0, len(slots), _PART_ROWS):
        part = slots[start : start + _PART_ROWS]
        fields = dict(
            zip(names, read_fields(transaction, row, ids[start : start + len(part)]), strict=True)
        )
        for name in sorted(set(stored) - wrong):
            kind = stored[name].kind
            made = decode_column(kind, encode_column(kind, for_column(kind, fields[name])))
            told = zip(
                part.tolist(),
                _values_at(stored[name], part),
                _values_at(made, np.arange(len(part))),
                strict=True,
            )
            bad = [slot for slot, found, expected in told if found != expected]
            if bad:
                wrong.add(name)
                yield f"column {name}: slot {bad[0]} is not what its record's payload says"


def _values_at(column: Column, slots: NDArray[np.int64]) -> Iterator[tuple[int, list[Any]]]:
    """(state, values) of each of ``slots``."""
    ends = column.ends[slots].tolist()
    starts = np.where(slots > 0, column.ends[slots - 1], 0).tolist()
    for state, start, end in zip(column.state[slots].tolist(), starts, ends, strict=True):
        if column.text_ends is None:
            yield state, _told(column, start, end)
            continue
        cuts = column.text_ends[start:end].tolist()
        first = int(column.text_ends[start - 1]) if start else 0
        bounds = zip([first, *cuts], cuts, strict=False)
        yield state, [_told(column, low, high) for low, high in bounds]


def _told(column: Column, start: int, end: int) -> list[Any]:
    values = column.values[start:end].tolist()
    return [column.words[one] for one in values] if column.words else values


def patch_faults(
    transaction: Transaction, row: CollectionRow, state: State, slots: NDArray[np.uint64]
) -> Iterator[str]:
    """Patches that belong to no record; ``slots``: of all records, in any order."""
    patches = scan_patches(transaction, row.number)
    stray = np.setdiff1d(patches.origins.astype(np.uint64), slots)
    if len(stray):
        yield f"{len(stray)} patches belong to no record, the first to slot {stray[0]}"
    if len(patches) and int(patches.sequences.max()) > state.sequence:
        yield "a patch is newer than its collection"
