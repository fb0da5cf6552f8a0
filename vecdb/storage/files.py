"""The seam to the file system: synced writes, checked reads, the directory's lock."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataCorruption, NotFound, StorageError, Unavailable
from .meta_pages import Meta, read_meta

DATA_FILE = "data.mdb"
LOCK_FILE = "vecdb.lock"
WITNESS_FILE = "witness"
LMDB_LOCK_FILE = "lock.mdb"
_LMDB_LOCK_BYTES = 68 * 1024  # LMDB's table of ``lmdb_errors.MAX_READERS`` readers
WRITE_BYTES = 4 * 1024 * 1024
READ_BYTES = 16 * 1024 * 1024
_HOLDER_BYTES = 16  # the writer's process id in the lock file, padded


def make_directory(path: Path) -> None:
    """Create the database directory, for its owner only, and sync what holds it."""
    if path.is_dir():
        return
    if path.exists():
        raise StorageError(
            f"expected a directory at {path}, found a file", hint="Name another directory"
        )
    if not path.parent.exists():
        make_directory(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_directory(path.parent)


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
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(handle, left) :]
        os.fsync(handle)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    os.replace(scratch, path)
    sync_directory(path.parent)


class NewFile:
    """A file that did not exist, written once from start to end, in large aligned pieces.

    ``finish`` syncs it; leaving the ``with`` without it keeps whatever was written.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._handle = os.open(path, flags, 0o600)
        self._waiting = bytearray()
        self._written = 0

    def __enter__(self) -> NewFile:
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    @property
    def size(self) -> int:
        """Bytes appended so far."""
        return self._written + len(self._waiting)

    def append(self, data: NDArray[Any] | bytes) -> None:
        """Add the bytes of ``data``, which is C-contiguous."""
        if len(data) == 0:
            return
        left = (data.data if isinstance(data, np.ndarray) else memoryview(data)).cast("B")
        while left:
            room = WRITE_BYTES - len(self._waiting)
            self._waiting += left[:room]
            left = left[room:]
            if len(self._waiting) == WRITE_BYTES:
                self._flush()

    def write_at(self, offset: int, data: bytes) -> None:
        """Overwrite what was appended there."""
        self._flush()
        _write_all(self._handle, memoryview(data), offset)

    def finish(self) -> int:
        """Sync and close; the file's size."""
        self._flush()
        os.fsync(self._handle)
        self.__exit__()
        return self._written

    def _flush(self) -> None:
        with memoryview(self._waiting) as waiting:
            _write_all(self._handle, waiting, self._written)
        self._written += len(self._waiting)
        self._waiting.clear()


def _write_all(handle: int, left: memoryview, offset: int) -> None:
    while left:
        written = os.pwrite(handle, left, offset)
        left = left[written:]
        offset += written


def aligned_bytes(size: int) -> NDArray[np.uint8]:
    """Memory that begins at a multiple of 4,096, not set to anything."""
    memory = np.empty(size + 4096, np.uint8)
    start = -memory.ctypes.data % 4096
    return memory[start : start + size]


def give_back_memory() -> None:
    """Return freed memory to the system: after reading large files the allocator keeps much of it.

    Nothing happens where the C library cannot.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class StoredFile:
    """A file that is read and never changes while it is open.

    Raises ``DataCorruption`` if it is not there or ends too early.
    """

    def __init__(self, path: Path, handle: int | None = None) -> None:
        """``handle``: of the file, if it is open already; it is not closed here then."""
        self.path = path
        try:
            self._handle = (
                os.open(path, os.O_RDONLY | os.O_CLOEXEC) if handle is None else os.dup(handle)
            )
        except FileNotFoundError:
            raise damaged_part(path, -1, "it is missing", reason="MISSING_FILE") from None
        self.size = os.fstat(self._handle).st_size

    def __enter__(self) -> StoredFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)

    def read_into(self, target: NDArray[np.uint8], offset: int) -> None:
        """Fill ``target`` with the bytes from ``offset`` on."""
        left = target.data
        while left:
            try:
                count = os.preadv(self._handle, [left[:READ_BYTES]], offset)
            except OSError as error:
                raise StorageError(
                    f"cannot read {self.path} at offset {offset}: {error}",
                    reason="CANNOT_READ",
                    hint="Check the disk",
                ) from error
            if count == 0:
                raise damaged_part(self.path, self.size, f"it ends after {self.size} bytes")
            left = left[count:]
            offset += count

    def map(self) -> mmap.mmap:
        """The whole file, read-only, as memory that the system may take back at any time."""
        mapped = mmap.mmap(self._handle, self.size, access=mmap.ACCESS_READ)
        mapped.madvise(mmap.MADV_RANDOM)
        return mapped

    def expect_size(self, size: int) -> None:
        if self.size != size:
            raise damaged_part(
                self.path, min(size, self.size), f"it has {self.size} bytes, expected {size}"
            )


def damaged_part(path: Path, offset: int, what: str, *, reason: str = "") -> DataCorruption:
    """The error for a file of a segment; ``offset`` -1: the file as a whole."""
    where = f" at offset {offset}" if offset >= 0 else ""
    return DataCorruption(
        f"{path} is damaged{where}: {what}",
        path=str(path),
        offset=offset,
        reason=reason,
        hint="Run `vecdb check` on the directory and restore what it names from a backup",
    )


class DirectoryLock:
    """Held by the one process that writes; the kernel drops it when that process ends.

    A forked child does not hold it.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / LOCK_FILE
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Over what stands there: a full disk has no room for a block that was given back.
            os.pwrite(self._handle, f"{os.getpid()}\n".ljust(_HOLDER_BYTES).encode(), 0)
        except BlockingIOError:
            holder = os.pread(self._handle, _HOLDER_BYTES, 0).decode(errors="replace").strip()
            os.close(self._handle)
            raise Unavailable(
                f"the database {directory} is open for writing in process {holder or 'unknown'}",
                reason="LOCKED",
                hint="Stop that process, or open with read_only=True",
            ) from None
        except BaseException:
            os.close(self._handle)
            raise
        _held.add(self)

    def release(self) -> None:
        if self in _held:
            _held.discard(self)
            fcntl.flock(self._handle, fcntl.LOCK_UN)
            os.close(self._handle)

    def leave_to_parent(self) -> None:
        """In a forked child: a lock lives as long as any process has its handle open."""
        os.close(self._handle)


_held: weakref.WeakSet[DirectoryLock] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for lock in list(_held):
        lock.leave_to_parent()
    _held.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)


def reserve_lock_table(directory: Path) -> None:
    """Give LMDB's table of readers its room on the disk before LMDB maps it.

    In a file with holes the first reader that comes while the disk is full would be killed by
    SIGBUS. An open file is left alone: closing it would drop the locks that LMDB holds on it.
    """
    path = directory / LMDB_LOCK_FILE
    if path.exists():
        state = path.stat()
        if min(state.st_size, 512 * state.st_blocks) >= _LMDB_LOCK_BYTES:
            return
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(handle, 0, _LMDB_LOCK_BYTES)
    finally:
        os.close(handle)


def can_map(more_bytes: int) -> bool:
    """Whether this process may have that much more address space."""
    try:
        mmap.mmap(-1, more_bytes, mmap.MAP_PRIVATE, 0).close()  # neither read nor written
    except (OSError, OverflowError, ValueError):
        return False
    return True


def check_data_file(directory: Path) -> Meta | None:
    """The newer meta page of ``data.mdb``, read without mapping it; None if there is none.

    A file shorter than its meta page says would kill the process with SIGBUS when it is read. But
    LMDB does not write a page that a transaction took at the end of the file and gave back itself:
    a file may lack pages that are free.
    """
    path = directory / DATA_FILE
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        meta = read_meta(path, handle)
        size = os.fstat(handle).st_size  # after the meta page: a writer makes the file longer first
    finally:
        os.close(handle)
    expected = (meta.last_page + 1) * meta.page_bytes
    if size < expected and not _lacks_free_pages_only(path):
        raise DataCorruption(
            f"{DATA_FILE} is cut short: {meta.last_page + 1} pages of {meta.page_bytes} bytes make "
            f"{expected} bytes, the file has {size}",
            path=str(path),
            offset=size,
            hint="Restore the database from a backup",
        )
    return meta


def _lacks_free_pages_only(path: Path) -> bool:
    """Whether every page that is in use is there; reads the whole file."""
    from lmdb.verify import VerifyError, verify

    try:
        return not list(verify(str(path), subdir=False))  # type: ignore[no-untyped-call]
    except VerifyError:
        return False


def require_database(directory: Path) -> None:
    """Raise ``NotFound`` unless ``directory`` holds a database."""
    if not (directory / DATA_FILE).is_file():
        raise NotFound(
            f"there is no database at {directory}: {DATA_FILE} is not there",
            field="path",
            hint="Check the path, or open it for writing to create one",
        )
