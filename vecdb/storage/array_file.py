"""A file of named arrays, written once: a head with their checksums, then each on its own pages.

Head, sections and zeros up to a multiple of 4,096 bytes; then the arrays in the sections' order,
each from the next multiple of 4,096 on, with zeros between. FORMAT.md has the tables.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import UnsupportedFormat
from .checksum import crc32c, crc32c_of
from .files import READ_BYTES, NewFile, StoredFile, aligned_bytes, damaged_part
from .format import (
    ALIGNMENT,
    ARRAYS,
    ARRAYS_MAGIC,
    DTYPE_CODES,
    SECTION,
    SEGMENT_VERSION,
)

_DTYPES = {code: np.dtype(text) for text, code in DTYPE_CODES.items()}
_AXES = 3
_NAME_BYTES = SECTION["name"].itemsize


class FileSum(NamedTuple):
    """What identifies the contents of a whole file.

    ``crc32c`` is over the checksums in it, which are over everything else: of a file of arrays that
    of its head, of ``vectors.pages`` that of the list of the pages' checksums.
    """

    bytes: int
    crc32c: int


@dataclass(frozen=True, slots=True)
class Chunks:
    """An array that comes in parts, cut along its first axis."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    parts: Iterable[NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Section:
    """Where an array lies in the file, and its checksum."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    bytes: int
    checksum: int


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any] | Chunks]) -> FileSum:
    """Write the arrays to a file that does not exist yet, and sync it."""
    head_bytes = _head_bytes(len(arrays))
    sections = []
    with NewFile(path) as file:
        file.append(bytes(head_bytes))
        for name, array in arrays.items():
            sections.append(_append_array(file, name, array))
            file.append(bytes(-file.size % ALIGNMENT))
        head, checksum = _pack_head(sections, head_bytes)
        file.write_at(0, head)
        return FileSum(file.finish(), checksum)


def read_arrays(
    path: Path, expected: FileSum | None = None, names: Iterable[str] | None = None
) -> dict[str, NDArray[Any]]:
    """The arrays of the file, or those of ``names`` alone; verified, aligned to 4,096, read-only.

    Raises ``DataCorruption`` unless the file is what was written.
    """
    with StoredFile(path) as file:
        sections = _read_head(file, expected)
        wanted = set(sections) if names is None else set(names)
        if missing := sorted(wanted - set(sections)):
            raise damaged_part(path, 0, f"it has no array {missing[0]!r}")
        return {
            name: _read_section(file, section)
            for name, section in sections.items()
            if name in wanted
        }


class MappedArrays:
    """Arrays of a file that stay on the disk, read-only; verified once, when they are mapped."""

    def __init__(self, path: Path, expected: FileSum | None = None) -> None:
        """Raises as ``read_arrays`` does."""
        with StoredFile(path) as file:
            sections = _read_head(file, expected).values()
            for section in sections:
                _verify_section(file, section)
            self._map = file.map()
        memory = np.frombuffer(self._map, np.uint8)
        self.arrays: dict[str, NDArray[Any]] = {
            section.name: memory[section.offset : section.offset + section.bytes]
            .view(section.dtype)
            .reshape(section.shape)
            for section in sections
        }

    def release(self) -> None:
        """Let go of the memory that reading has brought in; the arrays stay good."""
        self._map.madvise(mmap.MADV_DONTNEED)


def read_sections(path: Path, expected: FileSum | None = None) -> list[Section]:
    """What arrays the file has, without reading them."""
    with StoredFile(path) as file:
        return list(_read_head(file, expected).values())


# ---------------------------------------------------------------------------------- writing


def _append_array(file: NewFile, name: str, array: NDArray[Any] | Chunks) -> Section:
    dtype, shape = array.dtype, tuple(array.shape)
    if dtype.str not in DTYPE_CODES or not 1 <= len(shape) <= _AXES:
        raise AssertionError(f"array {name!r}: {dtype} of shape {shape} has no place in the format")
    if not 1 <= len(name) <= _NAME_BYTES or not name.isascii():
        raise AssertionError(f"array name {name!r} has no place in the format")
    offset = file.size
    rows = 0
    checksum = 0
    for part in array.parts if isinstance(array, Chunks) else (array,):
        if part.dtype != dtype or part.shape[1:] != shape[1:]:
            raise AssertionError(f"array {name!r}: a part of {part.dtype}, shape {part.shape}")
        plain = np.ascontiguousarray(part).reshape(-1).view(np.uint8)
        file.append(plain)
        checksum = crc32c_of(plain, checksum)
        rows += len(part)
    if rows != shape[0]:
        raise AssertionError(f"array {name!r}: {rows} rows came, {shape[0]} were declared")
    return Section(name, dtype, shape, offset, file.size - offset, checksum)


def _head_bytes(sections: int) -> int:
    used = ARRAYS.itemsize + sections * SECTION.itemsize
    return used + -used % ALIGNMENT


def _pack_head(sections: list[Section], head_bytes: int) -> tuple[bytes, int]:
    memory = np.zeros(head_bytes, np.uint8)
    table = np.ndarray(len(sections), SECTION, memory, ARRAYS.itemsize)
    for row, section in zip(table, sections, strict=True):
        row["name"] = np.void(section.name.encode().ljust(_NAME_BYTES, b"\0"))
        row["offset"], row["bytes"] = section.offset, section.bytes
        row["checksum"] = section.checksum
        row["dtype"], row["axes"] = DTYPE_CODES[section.dtype.str], len(section.shape)
        for axis, length in enumerate(section.shape):
            row[f"shape_{axis}"] = length
    head = np.ndarray(1, ARRAYS, memory)
    head["magic"], head["version"] = ARRAYS_MAGIC, SEGMENT_VERSION
    head["sections"], head["head_bytes"] = len(sections), head_bytes
    checksum = crc32c(memory[8:].tobytes())
    head["checksum"] = checksum
    return memory.tobytes(), checksum


# ---------------------------------------------------------------------------------- reading


def _read_head(file: StoredFile, expected: FileSum | None) -> dict[str, Section]:
    """Name -> section; the head, the zeros between sections and the file's size are verified."""
    if expected is not None:
        file.expect_size(expected.bytes)
    memory = aligned_bytes(ALIGNMENT)
    file.read_into(memory, 0)
    head = np.ndarray(1, ARRAYS, memory)[0]
    if int(head["magic"]) != ARRAYS_MAGIC:
        raise damaged_part(file.path, 0, "it does not begin as a file of arrays does")
    count, head_bytes = int(head["sections"]), int(head["head_bytes"])
    if head_bytes != _head_bytes(count):
        raise damaged_part(file.path, 0, f"its head has {head_bytes} bytes for {count} sections")
    if head_bytes > ALIGNMENT:
        memory = aligned_bytes(head_bytes)
        file.read_into(memory, 0)
        head = np.ndarray(1, ARRAYS, memory)[0]
    checksum = crc32c_of(memory[8:])
    if int(head["checksum"]) != checksum:
        raise damaged_part(file.path, 0, "the checksum of its head does not match")
    if expected is not None and checksum != expected.crc32c:
        raise damaged_part(
            file.path,
            0,
            "it is not the file that was written: its checksum "
            f"is {checksum:#010x}, expected {expected.crc32c:#010x}",
        )
    if head["reserved"].tobytes().strip(b"\0"):
        raise damaged_part(file.path, 0, "reserved bytes of its head are not zero")
    if int(head["version"]) != SEGMENT_VERSION:
        raise unknown_version(file.path, int(head["version"]))
    table = np.ndarray(count, SECTION, memory, ARRAYS.itemsize)
    sections = [_section(file.path, row) for row in table]
    _check_layout(file, head_bytes, sections)
    return {section.name: section for section in sections}


def unknown_version(
    path: Path | str, found: int, supported: int = SEGMENT_VERSION
) -> UnsupportedFormat:
    return UnsupportedFormat(
        f"{path} has format version {found}, this program reads {supported}",
        found=found,
        supported=supported,
        hint="Open the database with the version of vecdb that wrote it, or a newer one",
    )


def _section(path: Path, row: Any) -> Section:
    code, axes = int(row["dtype"]), int(row["axes"])
    if code not in _DTYPES or not 1 <= axes <= _AXES or row["reserved"].tobytes() != b"\0\0":
        raise damaged_part(path, 0, "the table of its arrays is impossible")
    return Section(
        name=row["name"].tobytes().rstrip(b"\0").decode("ascii", "replace"),
        dtype=_DTYPES[code],
        shape=tuple(int(row[f"shape_{axis}"]) for axis in range(axes)),
        offset=int(row["offset"]),
        bytes=int(row["bytes"]),
        checksum=int(row["checksum"]),
    )


def _check_layout(file: StoredFile, head_bytes: int, sections: list[Section]) -> None:
    end = head_bytes
    for section in sections:
        size = section.dtype.itemsize * prod(section.shape)
        if section.offset != end or section.bytes != size:
            raise damaged_part(file.path, 0, f"the place of array {section.name!r} is impossible")
        end += size
        end += -end % ALIGNMENT
    if len({section.name for section in sections}) != len(sections):
        raise damaged_part(file.path, 0, "two of its arrays have the same name")
    file.expect_size(end)


def _read_section(file: StoredFile, section: Section) -> NDArray[Any]:
    memory = aligned_bytes(section.bytes)
    _verify_section(file, section, memory)
    array = memory.view(section.dtype).reshape(section.shape)
    array.flags.writeable = False
    return array


def _verify_section(
    file: StoredFile, section: Section, memory: NDArray[np.uint8] | None = None
) -> None:
    """Read an array, to ``memory`` if it is given, and raise ``DataCorruption`` if it is bad."""
    scratch = aligned_bytes(min(section.bytes, READ_BYTES)) if memory is None else None
    checksum = 0
    for start in range(0, section.bytes, READ_BYTES):  # verified while it is in the cache
        size = min(READ_BYTES, section.bytes - start)
        if memory is not None:
            part = memory[start : start + size]
        elif scratch is not None:
            part = scratch[:size]
        file.read_into(part, section.offset + start)
        checksum = crc32c_of(part, checksum)
    if checksum != section.checksum:
        raise damaged_part(
            file.path, section.offset, f"the checksum of array {section.name!r} does not match"
        )
    end = section.offset + section.bytes
    padding = np.empty(-end % ALIGNMENT, np.uint8)
    file.read_into(padding, end)
    if padding.any():
        raise damaged_part(file.path, end, f"bytes behind array {section.name!r} are not zero")
