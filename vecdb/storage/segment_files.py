"""The folder of a segment: written under another name, synced, renamed, and never changed.

::

    segments/<uuid>/segment.json    what it is; the sums of the other files
                    segment-<checksum>.json   the same, when it has got more columns
                    vectors.pages   vectors in slot order
                    codes           mean, scan plane, factors, refine planes
                    graph           neighbours of each slot, where there are many slots
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
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .array_file import MappedArrays, read_arrays
from .checksum import crc32c
from .columns import Column, column_fault, decode_column, mapped_column
from .files import StoredFile, damaged_part
from .format import ID_INT, LAYOUT_VECTORS
from .page_geometry import PageGeometry, geometry
from .pages import read_page_links, read_pages, verify_pages
from .segment_ids import SegmentIds, decode_ids, texts_fault
from .segment_info import SEGMENT_FILE, SegmentInfo
from .stored_pages import StoredPages

SEGMENTS = "segments"
PAGES_FILE, CODES_FILE, TREE_FILE, IDS_FILE = "vectors.pages", "codes", "tree", "ids"
GRAPH_FILE = "graph"
COLUMNS = "columns"
NEW = ".new"
_OURS = re.compile(r"[0-9a-f]{32}(\.new)?")
_LATER_INFO = re.compile(r"segment-[0-9a-f]{8}\.json")

Shapes = dict[str, tuple[str, tuple[int, ...] | None]]


def segment_folder(root: Path, segment: uuid.UUID) -> Path:
    """Where the files of a segment of the database ``root`` are."""
    return root / SEGMENTS / segment.hex


def info_file(checksum: int) -> str:
    """What a later ``segment.json`` is called, from its checksum."""
    return f"segment-{checksum:08x}.json"


def is_info_file(name: str) -> bool:
    """Whether a file is called like a later ``segment.json``."""
    return _LATER_INFO.fullmatch(name) is not None


def column_file(index: int) -> str:
    return f"{COLUMNS}/{index}"


def files_of(info: SegmentInfo) -> set[str]:
    """What files the segment has beside ``segment.json``."""
    columns = {column_file(index) for index in range(len(info.columns))}
    graph = set() if info.graph is None else {GRAPH_FILE}
    return {PAGES_FILE, CODES_FILE, TREE_FILE, IDS_FILE} | graph | columns


# ------------------------------------------------------------------------------------- reading


def read_info(root: Path, segment: uuid.UUID, expected_checksum: int) -> SegmentInfo:
    """``segment.json``, whose checksum the manifest keeps."""
    path = segment_folder(root, segment) / info_file(expected_checksum)
    if not path.exists():
        path = path.with_name(SEGMENT_FILE)
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
    if info.layout == LAYOUT_VECTORS:
        return PageGeometry(info.dim, info.dtype, info.page_bytes, info.per_page)
    words = info.quantizer.padded // 64
    return geometry(info.dim, info.dtype, info.page_bytes, info.layout, words)


def read_vectors(root: Path, info: SegmentInfo) -> NDArray[Any]:
    """[count, dim], read-only."""
    path = segment_folder(root, info.uuid) / PAGES_FILE
    return read_pages(path, page_geometry(info), info.uuid, info.count, info.files[PAGES_FILE])


def verify_vectors(root: Path, info: SegmentInfo) -> None:
    """Read all pages, and keep none."""
    path = segment_folder(root, info.uuid) / PAGES_FILE
    verify_pages(path, page_geometry(info), info.uuid, info.count, info.files[PAGES_FILE])


def open_pages(root: Path, info: SegmentInfo) -> StoredPages:
    """The pages, to be read and verified one by one."""
    path = segment_folder(root, info.uuid) / PAGES_FILE
    return StoredPages(path, page_geometry(info), info.uuid, info.files[PAGES_FILE], info.count)


def read_neighbours(root: Path, info: SegmentInfo) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
    """What the pages name as neighbours, and these neighbours' codes; ``pages.read_page_links``."""
    path = segment_folder(root, info.uuid) / PAGES_FILE
    return read_page_links(path, page_geometry(info), info.uuid, info.count)


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
    arrays = _read(root, info, CODES_FILE, _code_shapes(info))
    return Codes(arrays["codes"], arrays["fac"], arrays.get("refine"), arrays["mean"])


def map_codes(root: Path, info: SegmentInfo) -> tuple[Codes, MappedArrays]:
    """As ``read_codes``, of arrays that stay on the disk."""
    mapped = _map(root, info, CODES_FILE, _code_shapes(info))
    arrays = mapped.arrays
    mean = np.array(arrays["mean"])  # small, and kept by encoders
    return Codes(arrays["codes"], arrays["fac"], arrays.get("refine"), mean), mapped


def read_graph(root: Path, info: SegmentInfo) -> NDArray[np.uint32]:
    """[count, degree]: neighbours of each slot; of a segment that has a graph."""
    return _read(root, info, GRAPH_FILE, _graph_shapes(info))["links"]


def map_graph(root: Path, info: SegmentInfo) -> tuple[NDArray[np.uint32], MappedArrays]:
    """As ``read_graph``, of an array that stays on the disk."""
    mapped = _map(root, info, GRAPH_FILE, _graph_shapes(info))
    return mapped.arrays["links"], mapped


def _graph_shapes(info: SegmentInfo) -> Shapes:
    if info.graph is None:
        raise AssertionError(f"segment {info.uuid} has no graph")
    return {"links": ("<u4", (info.count, info.graph.degree))}


def _code_shapes(info: SegmentInfo) -> Shapes:
    words, bits = info.quantizer.padded // 64, info.quantizer.bits
    shapes: Shapes = {
        "codes": ("<u8", (info.blocks, words, 8)),
        "fac": ("<f4", (info.blocks, 2, 8)),
        "mean": ("<f4", (info.dim,)),
    }
    if bits > 1:
        shapes["refine"] = ("<u8", (info.count, (bits - 1) * words + 1))
    return shapes


def read_tree(root: Path, info: SegmentInfo) -> dict[str, NDArray[Any]]:
    """The arrays that ``write_tree`` was given, each with an entry for each node."""
    arrays = _read(root, info, TREE_FILE)
    _check_nodes(root, info, arrays)
    return arrays


def map_tree(root: Path, info: SegmentInfo) -> MappedArrays:
    """As ``read_tree``, of arrays that stay on the disk."""
    mapped = MappedArrays(segment_folder(root, info.uuid) / TREE_FILE, info.files[TREE_FILE])
    _check_nodes(root, info, mapped.arrays)
    return mapped


def _check_nodes(root: Path, info: SegmentInfo, arrays: Mapping[str, NDArray[Any]]) -> None:
    for name, array in arrays.items():
        if len(array) != info.tree.nodes:
            path = segment_folder(root, info.uuid) / TREE_FILE
            raise damaged_part(path, 0, f"array {name!r} is not of {info.tree.nodes} nodes")


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


def map_column(root: Path, info: SegmentInfo, index: int) -> tuple[Column, MappedArrays]:
    """As ``read_column``, of arrays that stay on the disk."""
    kind = info.columns[index].kind
    path = segment_folder(root, info.uuid) / column_file(index)
    mapped = MappedArrays(path, info.files[column_file(index)])
    if fault := column_fault(kind, info.count, mapped.arrays):
        raise damaged_part(path, 0, fault)
    return mapped_column(kind, mapped.arrays), mapped


def _read(
    root: Path, info: SegmentInfo, name: str, shapes: Shapes | None = None
) -> dict[str, NDArray[Any]]:
    """The arrays of a file; with ``shapes`` exactly those, of such types and shapes (None: any)."""
    path = segment_folder(root, info.uuid) / name
    arrays = read_arrays(path, info.files[name])
    if shapes is not None:
        _check_shapes(path, arrays, shapes)
    return arrays


def _map(root: Path, info: SegmentInfo, name: str, shapes: Shapes) -> MappedArrays:
    path = segment_folder(root, info.uuid) / name
    mapped = MappedArrays(path, info.files[name])
    _check_shapes(path, mapped.arrays, shapes)
    return mapped


def _check_shapes(path: Path, arrays: Mapping[str, NDArray[Any]], shapes: Shapes) -> None:
    """Raise ``DataCorruption`` unless there are exactly those arrays."""
    if set(arrays) != set(shapes):
        raise damaged_part(path, 0, f"it has the arrays {sorted(arrays)}")
    for part, (dtype, shape) in shapes.items():
        array = arrays[part]
        if array.dtype.str != dtype or shape not in (None, array.shape):
            raise damaged_part(path, 0, f"array {part!r} is {array.dtype}, shape {array.shape}")


# ------------------------------------------------------------------------------------ removing


def remove_segment(root: Path, segment: uuid.UUID) -> None:
    """Remove the files of a segment that no manifest names any more; twice is harmless.

    To readers of other processes all of them are gone at once.
    """
    folder = segment_folder(root, segment)
    gone = folder.with_name(folder.name + NEW)
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
        if name.endswith(NEW):
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
