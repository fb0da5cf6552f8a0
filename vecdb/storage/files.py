"""The seam to the file system: synced writes, the directory's lock, checks before mapping."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from ..errors import DataCorruption, NotFound, StorageError, Unavailable

DATA_FILE = "data.mdb"
LOCK_FILE = "vecdb.lock"
WITNESS_FILE = "witness"

# LMDB's meta page, data version 1 on a 64-bit machine: page header, then MDB_meta.
_LMDB_MAGIC = 0xBEEFC0DE
_META = struct.Struct("<IIQQ")  # magic, version, address, map size
_META_AT = 16
_PAGE_SIZE_AT = _META_AT + _META.size  # MDB_db of the free list begins with the page size
_LAST_PAGE_AT = _META_AT + _META.size + 2 * 48  # after two MDB_db
_TAIL = struct.Struct("<QQ")  # last page, transaction


def make_directory(path: Path) -> None:
    """Create the database directory, for its owner only, and sync its parent."""
    if not path.exists():
        path.mkdir(parents=True, mode=0o700)
        sync_directory(path.parent)
    if not path.is_dir():
        raise StorageError(
            f"expected a directory at {path}, found a file", hint="Name another directory"
        )


def sync_directory(path: Path) -> None:
    """Make created and renamed entries of ``path`` survive a power loss."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_file(path: Path, data: bytes) -> None:
    """Replace ``path``: temporary name, write, sync, rename, sync the folder."""
    scratch = path.with_name(path.name + ".new")
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, data)
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(scratch, path)
    sync_directory(path.parent)


class DirectoryLock:
    """Held by the one process that writes; the kernel drops it when that process ends."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / LOCK_FILE
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._handle, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._handle)
            raise Unavailable(
                f"the database {directory} is open for writing in process {holder}",
                reason="LOCKED",
                hint="Stop that process, or open with read_only=True",
            ) from None
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._handle)


def check_data_file(directory: Path) -> tuple[int, int] | None:
    """(last page, transaction) of ``data.mdb``, read without mapping it; None if there is none.

    A file shorter than its meta page says would kill the process with SIGBUS when it is read.
    """
    path = directory / DATA_FILE
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return None
    if size == 0:
        return None
    with path.open("rb") as file:
        first = file.read(4096)
        page_bytes = _page_bytes(path, first)
        file.seek(page_bytes)
        second = file.read(4096)
    metas = [_meta(path, page, at) for page, at in ((first, 0), (second, page_bytes))]
    last_page, transaction = max(metas, key=lambda meta: meta[1])
    expected = (last_page + 1) * page_bytes
    if size < expected:
        raise DataCorruption(
            f"{DATA_FILE} is cut short: {last_page + 1} pages of {page_bytes} bytes make "
            f"{expected} bytes, the file has {size}",
            path=str(path),
            offset=size,
            hint="Restore the database from a backup",
        )
    return last_page, transaction


def require_database(directory: Path) -> None:
    """Raise ``NotFound`` unless ``directory`` holds a database."""
    if not (directory / DATA_FILE).is_file():
        raise NotFound(
            f"there is no database at {directory}: {DATA_FILE} is not there",
            field="path",
            hint="Check the path, or open it for writing to create one",
        )


def _page_bytes(path: Path, first: bytes) -> int:
    if len(first) < _LAST_PAGE_AT + _TAIL.size:
        raise _bad_meta(path, 0, f"the file has only {len(first)} bytes")
    (page_bytes,) = struct.unpack_from("<I", first, _PAGE_SIZE_AT)
    if page_bytes not in (4096, 8192, 16384, 32768, 65536):
        raise _bad_meta(path, 0, f"a page size of {page_bytes}")
    return int(page_bytes)


def _meta(path: Path, page: bytes, at: int) -> tuple[int, int]:
    if len(page) < _LAST_PAGE_AT + _TAIL.size:
        raise _bad_meta(path, at, "the file ends inside it")
    magic, version, _address, _map = _META.unpack_from(page, _META_AT)
    if magic != _LMDB_MAGIC or version != 1:
        raise _bad_meta(path, at, f"magic {magic:#x}, version {version}")
    last_page, transaction = _TAIL.unpack_from(page, _LAST_PAGE_AT)
    return int(last_page), int(transaction)


def _bad_meta(path: Path, at: int, found: str) -> DataCorruption:
    return DataCorruption(
        f"a meta page of {DATA_FILE} is damaged: {found}",
        path=str(path),
        offset=at,
        hint="Restore the database from a backup",
    )
