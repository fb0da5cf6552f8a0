"""Columns that a segment gets after it was written, of a field that was declared later.

The new file lies beside the others, and a new ``segment.json`` of another name beside the first:
the manifest has the checksum of one of them, so it says which is meant. Nothing that was written
is touched, and what a stop in between leaves is named by nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from .array_file import write_arrays
from .checksum import crc32c
from .columns import encode_column
from .files import NewFile, sync_directory
from .segment_files import COLUMNS, column_file, files_of, info_file, is_info_file, segment_folder
from .segment_info import ColumnInfo, SegmentInfo
from .segment_writer import writing


def add_column(
    root: Path, info: SegmentInfo, column: ColumnInfo, values: Iterable[object]
) -> tuple[SegmentInfo, int]:
    """Write one more column; ``values``: of each slot, as ``encode_column`` takes them.

    Returns what the segment is with it, and the checksum for the manifest: until that has it, the
    segment is as before. By one thread, after ``remove_leftovers``. A full disk is ``DiskFull``.
    """
    folder = segment_folder(root, info.uuid)
    name = column_file(len(info.columns))
    with writing(root):
        (folder / COLUMNS).mkdir(mode=0o700, exist_ok=True)
        sums = write_arrays(folder / name, encode_column(column.kind, values))
        sync_directory(folder / COLUMNS)
        now = replace(info, columns=(*info.columns, column), files={**info.files, name: sums})
        text = now.to_json()
        SegmentInfo.from_json(text)  # what could not be read again must not be written
        checksum = crc32c(text)
        with NewFile(folder / info_file(checksum)) as file:
            file.append(text)
            file.finish()
        sync_directory(folder)
    return now, checksum


def list_leftovers(root: Path, info: SegmentInfo, checksum: int) -> list[Path]:
    """Files of columns that a stop has kept from being named; ``checksum``: in the manifest.

    Earlier forms of ``segment.json`` are none of them: who reads an older commit needs them.
    """
    folder = segment_folder(root, info.uuid)
    known = files_of(info)
    found = []
    with suppress(FileNotFoundError):
        for name in sorted(os.listdir(folder / COLUMNS)):
            if f"{COLUMNS}/{name}" not in known:
                found.append(folder / COLUMNS / name)
    for name in sorted(os.listdir(folder)):
        if is_info_file(name) and name != info_file(checksum):
            with suppress(ValueError):
                told = SegmentInfo.from_json((folder / name).read_bytes())
                if len(told.columns) <= len(info.columns):
                    continue
            found.append(folder / name)
    return found


def remove_leftovers(root: Path, info: SegmentInfo, checksum: int) -> None:
    """For the thread that alone writes to segments of the collection."""
    with writing(root):
        for path in list_leftovers(root, info, checksum):
            path.unlink()
