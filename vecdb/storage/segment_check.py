"""Everything that the files of a segment hold, verified: for ``vecdb check``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import StorageError
from .manifest import SegmentRow
from .segment_files import (
    COLUMNS,
    files_of,
    is_info_file,
    read_codes,
    read_column,
    read_ids,
    read_info,
    read_tree,
    read_vectors,
    segment_folder,
)
from .segment_ids import SegmentInts
from .segment_info import SEGMENT_FILE, SegmentInfo

LANES = 8


def verify_segment(root: Path, row: SegmentRow) -> Iterator[str]:
    """What is wrong with the files of a segment that the manifest names; nothing if all is well.

    Reads every file whole. What the codes and the tree mean is for others to verify.
    """
    try:
        info = read_info(root, row.uuid, row.json_checksum)
    except StorageError as error:
        yield error.message
        return
    for name in ("count", "sequence", "first_origin", "last_origin"):
        if getattr(info, name) != getattr(row, name):
            yield f"segment {info.uuid}: the manifest has another {name} than its {SEGMENT_FILE}"
    for part in (_page_faults, _code_faults, _id_faults, _tree_faults, _unknown_files):
        try:
            yield from part(root, info)
        except StorageError as error:
            yield error.message
    for index in range(len(info.columns)):
        try:
            read_column(root, info, index)
        except StorageError as error:
            yield error.message


def _page_faults(root: Path, info: SegmentInfo) -> Iterator[str]:
    read_vectors(root, info)
    return iter(())


def _code_faults(root: Path, info: SegmentInfo) -> Iterator[str]:
    codes = read_codes(root, info)
    lanes = info.count - (info.blocks - 1) * LANES
    if codes.codes[-1, :, lanes:].any() or codes.fac[-1, :, lanes:].any():
        yield f"segment {info.uuid}: codes of lanes behind the last slot are not zero"


def _id_faults(root: Path, info: SegmentInfo) -> Iterator[str]:
    ids, origins = read_ids(root, info)
    values: Any = ids.values if isinstance(ids, SegmentInts) else ids.take(np.arange(info.count))
    if len(set(values.tolist() if isinstance(values, np.ndarray) else values)) != info.count:
        yield f"segment {info.uuid}: two slots have the same id"
    yield from _origin_faults(info, origins)


def _origin_faults(info: SegmentInfo, origins: NDArray[np.uint64]) -> Iterator[str]:
    if len(np.unique(origins)) != info.count:
        yield f"segment {info.uuid}: two slots have the same origin"
    if (int(origins.min()), int(origins.max())) != (info.first_origin, info.last_origin):
        yield f"segment {info.uuid}: its origins do not begin and end as the manifest says"


def _tree_faults(root: Path, info: SegmentInfo) -> Iterator[str]:
    read_tree(root, info)
    return iter(())


def _unknown_files(root: Path, info: SegmentInfo) -> Iterator[str]:
    folder = segment_folder(root, info.uuid)
    known = files_of(info) | {SEGMENT_FILE}
    columns = f"{COLUMNS}/"
    for at, _, names in os.walk(folder):
        for name in sorted(names):
            path = (Path(at) / name).relative_to(folder).as_posix()
            # What adding a column leaves: earlier names, and files when it was cut short.
            added = is_info_file(path) or path.startswith(columns)
            if path not in known and not added:
                yield f"segment {info.uuid}: file {path} does not belong to it"
