"""The folder of a segment: written under another name, synced, renamed, and never changed.

::

    segments/<uuid>/segment.json    what it is; the sums of the other files
                    vectors.pages   vectors in slot order
                    codes           mean, scan plane, factors, refine planes
                    tree            nodes, as flat arrays
                    ids             ids and origins by slot
                    columns/<n>     values of declared fields

The manifest names a segment after its files are synced, and forgets it before they are removed. So
a folder that no manifest names is what a stop in between has left. Every reader verifies what it
reads and raises ``DataCorruption`` with file and offset.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import StorageError
from .array_file import Chunks, FileSum, read_arrays, write_arrays
from .checksum import crc32c
from .columns import Column, column_fault, decode_column, encode_column
from .files import NewFile, StoredFile, damaged_part, sync_directory
from .format import ID_INT
from .lmdb_errors import disk_full, has_no_room
from .pages import PageGeometry, PageWriter, read_pages
from .records import Ids
from .segment_ids import SegmentIds, decode_ids, encode_ids, texts_fault
from .segment_info import SEGMENT_FILE, SegmentInfo

SEGMENTS = "segments"
PAGES_FILE, CODES_FILE, TREE_FILE, IDS_FILE = "vectors.pages", "codes", "tree", "ids"
COLUMNS = "columns"
_NEW = ".new"
_OURS = re.compile(r"[0-9a-f]{32}(\.new)?")

Array = NDArray[Any] | Chunks
Shapes = dict[str, tuple[str, tuple[int, ...] | None]]


def segment_folder(root: Path, segment: uuid.UUID) -> Path:
    """Where the files of a segment of the database ``root`` are."""
    return root / SEGMENTS / segment.hex


def column_file(index: int) -> str:
    return f"{COLUMNS}/{index}"


def files_of(info: SegmentInfo) -> set[str]:
    """What files the segment has beside ``segment.json``."""
    columns = {column_file(index) for index in range(len(info.columns))}
    return {PAGES_FILE, CODES_FILE, TREE_FILE, IDS_FILE} | columns


# ------------------------------------------------------------------------------------- writing


class SegmentWriter:
    """Writes one segment of the database ``root``; used by one thread.

    Each part is written once, in any order; ``commit`` makes the folder appear, ``abort`` removes
    what was written. Leaving the ``with`` without ``commit`` aborts. A full disk is ``DiskFull``.
    """

    def __init__(self, root: Path, segment: uuid.UUID) -> None:
        self.uuid = segment
        self._root = root
        self._final = segment_folder(root, segment)
        self._scratch = self._final.with_name(self._final.name + _NEW)
        self._sums: dict[str, FileSum] = {}
        self._pages: PageWriter | None = None
        self._done = False
        with _writing(root):
            (root / SEGMENTS).mkdir(mode=0o700, exist_ok=True)
            self._scratch.mkdir(mode=0o700)

    def __enter__(self) -> SegmentWriter:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._done:
            self.abort()

    def start_pages(self, geometry: PageGeometry, count: int) -> None:
        """Begin ``vectors.pages``, of ``count`` vectors that ``append_vectors`` brings."""
        with _writing(self._root):
            path = self._scratch / PAGES_FILE
            self._pages = PageWriter(path, geometry, self.uuid, count)

    def append_vectors(self, rows: NDArray[Any]) -> None:
        """Add vectors in slot order, any number: [m, dim] of the collection's dtype."""
        with _writing(self._root):
            self._started().append(rows)

    def finish_pages(self) -> None:
        with _writing(self._root):
            self._sums[PAGES_FILE] = self._started().finish()

    def write_codes(self, codes: Array, fac: Array, refine: Array | None, mean: Array) -> None:
        """Arrays as in ``Codes``."""
        arrays = {"mean": mean, "codes": codes, "fac": fac}
        self._write(CODES_FILE, arrays if refine is None else arrays | {"refine": refine})

    def write_tree(self, arrays: Mapping[str, Array]) -> None:
        """Arrays with an entry for each node."""
        self._write(TREE_FILE, arrays)

    def write_ids(self, ids: Ids, origins: NDArray[np.uint64]) -> None:
        """``origins``: the slot that each record was given when it was written."""
        arrays = encode_ids(ids) | {"origins": np.ascontiguousarray(origins, "<u8")}
        self._write(IDS_FILE, arrays)

    def write_column(self, index: int, kind: str, values: Iterable[object]) -> None:
        """``values``: of each slot, as ``columns.encode_column`` takes them."""
        with _writing(self._root):
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
        with _writing(self._root):
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
        with _writing(self._root):
            self._sums[name] = write_arrays(self._scratch / name, arrays)


@contextmanager
def _writing(root: Path) -> Iterator[None]:
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


# ------------------------------------------------------------------------------------- reading


def read_info(root: Path, segment: uuid.UUID, expected_checksum: int) -> SegmentInfo:
    """``segment.json``, whose checksum the manifest keeps."""
    path = segment_folder(root, segment) / SEGMENT_FILE
    with StoredFile(path) as file:
        memory = np.empty(file.size, np.uint8)
        file.read_into(memory, 0)
    text = memory.tobytes()
    if crc32c(text) != expected_checksum:
        raise damaged_part(path, 0, "its checksum is not the one in the manifest")
    try:
        info = SegmentInfo.from_json(text)
    except ValueError as error:
        raise damaged_part(path, 0, str(error)) from error
    if info.uuid != segment or set(info.files) != files_of(info):
        raise damaged_part(path, 0, "it does not describe the files of this segment")
    return info


def page_geometry(info: SegmentInfo) -> PageGeometry:
    return PageGeometry(info.dim, info.dtype, info.page_bytes, info.per_page)


def read_vectors(root: Path, info: SegmentInfo) -> NDArray[Any]:
    """[count, dim], read-only."""
    path = segment_folder(root, info.uuid) / PAGES_FILE
    return read_pages(path, page_geometry(info), info.uuid, info.count, info.files[PAGES_FILE])


@dataclass(frozen=True, slots=True)
class Codes:
    """The codes of n slots in blocks of eight, of W words and B bits.

    - ``codes`` u64[blocks, W, 8]: lane l of block b is slot 8b + l
    - ``fac`` f32[blocks, 2, 8]: add, mul
    - ``refine`` u64[n, (B-1)*W + 1]; None if B is 1
    - ``mean`` f32[dim]: what the vectors were centred on
    """

    codes: NDArray[np.uint64]
    fac: NDArray[np.float32]
    refine: NDArray[np.uint64] | None
    mean: NDArray[np.float32]


def read_codes(root: Path, info: SegmentInfo) -> Codes:
    words, bits = info.quantizer.padded // 64, info.quantizer.bits
    shapes: Shapes = {
        "codes": ("<u8", (info.blocks, words, 8)),
        "fac": ("<f4", (info.blocks, 2, 8)),
        "mean": ("<f4", (info.dim,)),
    }
    if bits > 1:
        shapes["refine"] = ("<u8", (info.count, (bits - 1) * words + 1))
    arrays = _read(root, info, CODES_FILE, shapes)
    return Codes(arrays["codes"], arrays["fac"], arrays.get("refine"), arrays["mean"])


def read_tree(root: Path, info: SegmentInfo) -> dict[str, NDArray[Any]]:
    """The arrays that ``write_tree`` was given, each with an entry for each node."""
    arrays = _read(root, info, TREE_FILE)
    for name, array in arrays.items():
        if len(array) != info.tree.nodes:
            path = segment_folder(root, info.uuid) / TREE_FILE
            raise damaged_part(path, 0, f"array {name!r} is not of {info.tree.nodes} nodes")
    return arrays


def read_ids(root: Path, info: SegmentInfo) -> tuple[SegmentIds, NDArray[np.uint64]]:
    """(ids, origins) by slot."""
    shapes: Shapes = {"origins": ("<u8", (info.count,))}
    if info.id_kind == ID_INT:
        shapes["ids"] = ("<i8", (info.count,))
    else:
        shapes |= {"id_ends": ("<u8", (info.count,)), "id_text": ("|u1", None)}
    arrays = _read(root, info, IDS_FILE, shapes)
    if info.id_kind != ID_INT and (fault := texts_fault(arrays["id_ends"], arrays["id_text"])):
        raise damaged_part(segment_folder(root, info.uuid) / IDS_FILE, 0, fault)
    return decode_ids(arrays, info.id_kind), arrays["origins"]


def read_column(root: Path, info: SegmentInfo, index: int) -> Column:
    kind = info.columns[index].kind
    arrays = _read(root, info, column_file(index))
    if fault := column_fault(kind, info.count, arrays):
        raise damaged_part(segment_folder(root, info.uuid) / column_file(index), 0, fault)
    return decode_column(kind, arrays)


def _read(
    root: Path, info: SegmentInfo, name: str, shapes: Shapes | None = None
) -> dict[str, NDArray[Any]]:
    """The arrays of a file; with ``shapes`` exactly those, of such types and shapes (None: any)."""
    path = segment_folder(root, info.uuid) / name
    arrays = read_arrays(path, info.files[name])
    if shapes is None:
        return arrays
    if set(arrays) != set(shapes):
        raise damaged_part(path, 0, f"it has the arrays {sorted(arrays)}")
    for part, (dtype, shape) in shapes.items():
        array = arrays[part]
        if array.dtype.str != dtype or shape not in (None, array.shape):
            raise damaged_part(path, 0, f"array {part!r} is {array.dtype}, shape {array.shape}")
    return arrays


# ------------------------------------------------------------------------------------ removing


def remove_segment(root: Path, segment: uuid.UUID) -> None:
    """Remove the files of a segment that no manifest names any more; twice is harmless.

    To readers of other processes all of them are gone at once.
    """
    folder = segment_folder(root, segment)
    gone = folder.with_name(folder.name + _NEW)
    with suppress(OSError):
        os.rename(folder, gone)
    for left in (gone, folder):
        shutil.rmtree(left, ignore_errors=True)


def sweep(root: Path, keep: set[uuid.UUID]) -> list[str]:
    """Remove what seals and compactions that were cut short have left; the names removed.

    For the process that writes, at open: ``keep`` are the segments that manifests name. What has
    another kind of name stays.
    """
    orphans = list_orphans(root, keep)
    for name in orphans:
        if name.endswith(_NEW):
            shutil.rmtree(root / SEGMENTS / name, ignore_errors=True)
        else:
            remove_segment(root, uuid.UUID(hex=name))
    return orphans


def list_orphans(root: Path, keep: set[uuid.UUID]) -> list[str]:
    """Folders of segments, finished or not, that are not among ``keep``."""
    folder = root / SEGMENTS
    if not folder.is_dir():
        return []
    wanted = {segment.hex for segment in keep}
    return [
        name for name in sorted(os.listdir(folder)) if _OURS.fullmatch(name) and name not in wanted
    ]
