"""Files opened for reading in order, gzip unpacked on the way."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import BinaryIO, cast

from .refusal import reading

GZIP_MAGIC = b"\x1f\x8b"
_STEP = 1024 * 1024


def first_bytes(path: Path, size: int) -> bytes:
    """As they are on disk."""
    with reading(path), path.open("rb") as file:
        return file.read(size)


def is_gzip(path: Path) -> bool:
    return first_bytes(path, 2) == GZIP_MAGIC


def open_stream(path: Path) -> BinaryIO:
    """Unpacked where the file is gzip, whatever its name."""
    if is_gzip(path):
        return cast(BinaryIO, gzip.open(path, "rb"))
    return path.open("rb")


def unpacked_size(path: Path, expected: int) -> int:
    """Bytes of a gzip file once unpacked; counted only as far as ``expected + 1`` or a cut.

    The last four bytes tell the size, modulo 2^32 and of the last member only: they are believed
    where they agree with ``expected``, else the file is unpacked to count.
    """
    with reading(path):
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4))
            if int.from_bytes(file.read(4), "little") == expected % 2**32:
                return expected
        found = 0
        with gzip.open(path, "rb") as stream:
            while found <= expected:
                try:
                    part = stream.read1(min(_STEP, expected + 1 - found))
                except EOFError:
                    if found == expected:
                        raise  # only the end mark is missing: a size would not tell
                    break
                if not part:
                    break
                found += len(part)
        return found
