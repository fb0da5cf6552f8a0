"""Writing the folder of a segment: under another name, synced, then renamed."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import StorageError
from .array_file import Chunks, FileSum, write_arrays
from .checksum import crc32c
from .columns import encode_column
from .files import NewFile, sync_directory
from .lmdb_errors import disk_full, has_no_room
from .page_geometry import PageGeometry
from .pages import PageWriter
from .records import Ids
from .segment_files import (
    CODES_FILE,
    COLUMNS,
    GRAPH_FILE,
    IDS_FILE,
    NEW,
    PAGES_FILE,
    SEGMENTS,
    TREE_FILE,
    column_file,
    files_of,
    segment_folder,
)
from .segment_ids import encode_ids
from .segment_info import SEGMENT_FILE, SegmentInfo
from .stored_pages import StoredPages

Array = NDArray[Any] | Chunks


class SegmentWriter:
    """Writes one segment of the database ``root``; used by one thread.

    Each part is written once, in any order; ``commit`` makes the folder appear, ``abort`` removes
    what was written. Leaving the ``with`` without ``commit`` aborts. A full disk is ``DiskFull``.
    """

    def __init__(self, root: Path, segment: uuid.UUID) -> None:
        self.uuid = segment
        self._root = root
        self._final = segment_folder(root, segment)
        self._scratch = self._final.with_name(self._final.name + NEW)
        self._sums: dict[str, FileSum] = {}
        self._pages: PageWriter | None = None
        self._done = False
        with writing(root):
            (root / SEGMENTS).mkdir(mode=0o700, exist_ok=True)
            self._scratch.mkdir(mode=0o700)

    def __enter__(self) -> SegmentWriter:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._done:
            self.abort()

    def start_pages(
        self,
        geometry: PageGeometry,
        count: int,
        neighbours: NDArray[np.uint32] | None = None,
        codes: NDArray[np.uint64] | None = None,
        fac: NDArray[np.float32] | None = None,
    ) -> None:
        """Begin ``vectors.pages``, of ``count`` vectors that ``append_vectors`` brings.

        ``neighbours``: u32[pages, geometry.neighbours], for layouts that have them; ``codes`` and
        ``fac``: of all slots, for pages that carry those of their neighbours.
        """
        with writing(self._root):
            path = self._scratch / PAGES_FILE
            self._pages = PageWriter(path, geometry, self.uuid, count, neighbours, codes, fac)

    def append_vectors(self, rows: NDArray[Any]) -> None:
        """Add vectors in slot order, any number: [m, dim] of the collection's dtype."""
        with writing(self._root):
            self._started().append(rows)

    def finish_pages(self) -> None:
        with writing(self._root):
            self._sums[PAGES_FILE] = self._started().finish()

    def open_pages(self, geometry: PageGeometry, count: int) -> StoredPages:
        """The pages, after ``finish_pages``, to be read."""
        path = self._scratch / PAGES_FILE
        return StoredPages(path, geometry, self.uuid, self._sums[PAGES_FILE], count)

    def write_codes(self, codes: Array, fac: Array, refine: Array | None, mean: Array) -> None:
        """Arrays as in ``Codes``."""
        arrays = {"mean": mean, "codes": codes, "fac": fac}
        self._write(CODES_FILE, arrays if refine is None else arrays | {"refine": refine})

    def write_graph(self, links: NDArray[np.uint32]) -> None:
        """``links``: u32[n, degree], as in ``index.graph_build``."""
        self._write(GRAPH_FILE, {"links": links})

    def write_tree(self, arrays: Mapping[str, Array]) -> None:
        """Arrays with an entry for each node."""
        self._write(TREE_FILE, arrays)

    def write_ids(self, ids: Ids, origins: NDArray[np.uint64]) -> None:
        """``origins``: the slot that each record was given when it was written."""
        arrays = encode_ids(ids) | {"origins": np.ascontiguousarray(origins, "<u8")}
        self._write(IDS_FILE, arrays)

    def write_column(self, index: int, kind: str, values: Iterable[object]) -> None:
        """``values``: of each slot, as ``columns.encode_column`` takes them."""
        with writing(self._root):
            (self._scratch / COLUMNS).mkdir(mode=0o700, exist_ok=True)
        self._write(column_file(index), encode_column(kind, values))

    def commit(self, info: SegmentInfo) -> tuple[SegmentInfo, int]:
        """Sync everything and rename the folder.

        Returns ``info`` with the sums of the files, and the checksum of ``segment.json``, which the
        manifest keeps.
        """
        info = replace(info, files=dict(self._sums))
        if info.uuid != self.uuid or set(info.files) != files_of(info):
            raise AssertionError(f"segment {self.uuid} has the files {sorted(self._sums)}")
        text = info.to_json()
        SegmentInfo.from_json(text)  # what could not be read again must not be written
        with writing(self._root):
            with NewFile(self._scratch / SEGMENT_FILE) as file:
                file.append(text)
                file.finish()
            if info.columns:
                sync_directory(self._scratch / COLUMNS)
            sync_directory(self._scratch)
            os.rename(self._scratch, self._final)
            sync_directory(self._final.parent)
            sync_directory(self._root)
        self._done = True
        return info, crc32c(text)

    def abort(self) -> None:
        """Remove what was written, after ``commit`` too."""
        self._done = True
        if self._pages is not None:
            self._pages.close()
        for folder in (self._scratch, self._final):
            shutil.rmtree(folder, ignore_errors=True)

    def _started(self) -> PageWriter:
        if self._pages is None:
            raise AssertionError("start_pages comes first")
        return self._pages

    def _write(self, name: str, arrays: Mapping[str, Array]) -> None:
        with writing(self._root):
            self._sums[name] = write_arrays(self._scratch / name, arrays)


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Raise ours for what the system raises."""
    try:
        yield
    except OSError as error:
        if has_no_room(error, root):
            raise disk_full(root) from error
        raise StorageError(
            f"a segment could not be written: {error}",
            reason="SEGMENT_FAILED",
            hint="Check the disk; the records are where they were",
        ) from error
