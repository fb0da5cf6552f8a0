"""LMDB's two meta pages, read without mapping the file.

Commit n writes page n & 1, so the two hold commits n - 1 and n; commit 1 makes the database. LMDB
opens the newer one and knows no checksum; the witness keeps one for it.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import NamedTuple

from ..errors import DataCorruption
from .checksum import crc32c

META_BYTES = 152
"""What LMDB uses of a meta page: the page's header, then MDB_meta (data version 1, 64 bits)."""

_MAGIC = 0xBEEFC0DE
_VERSION = 1
_HEAD = struct.Struct("<II")  # magic, version
_HEAD_AT = 16
_PAGE_BYTES_AT = 40  # the free list's MDB_db begins with the page size
_TAIL = struct.Struct("<QQ")  # last page, transaction
_TAIL_AT = 136
_TRIES = 8


class Meta(NamedTuple):
    """The newer meta page; ``checksum`` is crc32c of its ``META_BYTES``."""

    page_bytes: int
    last_page: int
    transaction: int
    checksum: int


def read_meta(path: Path, handle: int) -> Meta:
    """The newer meta page of the open file; ``DataCorruption`` if either cannot be believed.

    Another process may be writing: what looks wrong and changes is read again.
    """
    pages = _read_pages(path, handle)
    for _ in range(_TRIES):
        try:
            return _newer(path, *pages)
        except DataCorruption:
            before, pages = pages, _read_pages(path, handle)
            if pages == before:
                raise
    return _newer(path, *pages)


def page_checksum(handle: int, page_bytes: int, transaction: int) -> int | None:
    """crc32c of the meta page of that commit, to be called before the next; None: cannot tell."""
    page = os.pread(handle, META_BYTES, (transaction & 1) * page_bytes)
    return crc32c(page) if len(page) == META_BYTES else None


def _read_pages(path: Path, handle: int) -> tuple[int, bytes, bytes]:
    first = os.pread(handle, META_BYTES, 0)
    if len(first) < META_BYTES:
        raise _bad(path, 0, f"the file has only {len(first)} bytes")
    _check_head(path, 0, first)
    (page_bytes,) = struct.unpack_from("<I", first, _PAGE_BYTES_AT)
    if page_bytes not in (4096, 8192, 16384, 32768, 65536):
        raise _bad(path, 0, f"a page size of {page_bytes}")
    second = os.pread(handle, META_BYTES, page_bytes)
    if len(second) < META_BYTES:
        raise _bad(path, page_bytes, "the file ends inside it")
    return page_bytes, first, second


def _newer(path: Path, page_bytes: int, first: bytes, second: bytes) -> Meta:
    _check_head(path, page_bytes, second)
    tails = [_TAIL.unpack_from(page, _TAIL_AT) for page in (first, second)]
    commits = [commit for _, commit in tails]
    newer = commits.index(max(commits))
    if abs(commits[0] - commits[1]) != 1 or commits[newer] & 1 != newer:
        raise _bad(path, newer * page_bytes, f"they hold commits {commits[0]} and {commits[1]}")
    last_page, transaction = tails[newer]
    return Meta(page_bytes, last_page, transaction, crc32c((first, second)[newer]))


def _check_head(path: Path, at: int, page: bytes) -> None:
    magic, version = _HEAD.unpack_from(page, _HEAD_AT)
    if magic != _MAGIC:
        raise _bad(path, at, f"magic {magic:#x}, expected {_MAGIC:#x}")
    if version != _VERSION:
        raise _bad(path, at, f"LMDB's data version {version}, expected {_VERSION}")


def _bad(path: Path, at: int, found: str) -> DataCorruption:
    return DataCorruption(
        f"a meta page of {path.name} is damaged: {found}",
        path=str(path),
        offset=at,
        hint="Restore the database from a backup",
    )
