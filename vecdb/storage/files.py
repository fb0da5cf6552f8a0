"""The seam to the file system: synced writes, the directory's lock, checks before mapping."""

from __future__ import annotations

import fcntl
import mmap
import os
import weakref
from pathlib import Path

from ..errors import DataCorruption, NotFound, StorageError, Unavailable
from .meta_pages import Meta, read_meta

DATA_FILE = "data.mdb"
LOCK_FILE = "vecdb.lock"
WITNESS_FILE = "witness"
LMDB_LOCK_FILE = "lock.mdb"
_LMDB_LOCK_BYTES = 68 * 1024  # LMDB's table of ``lmdb_errors.MAX_READERS`` readers
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

    A file shorter than its meta page says would kill the process with SIGBUS when it is read.
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
    if size < expected:
        raise DataCorruption(
            f"{DATA_FILE} is cut short: {meta.last_page + 1} pages of {meta.page_bytes} bytes make "
            f"{expected} bytes, the file has {size}",
            path=str(path),
            offset=size,
            hint="Restore the database from a backup",
        )
    return meta


def require_database(directory: Path) -> None:
    """Raise ``NotFound`` unless ``directory`` holds a database."""
    if not (directory / DATA_FILE).is_file():
        raise NotFound(
            f"there is no database at {directory}: {DATA_FILE} is not there",
            field="path",
            hint="Check the path, or open it for writing to create one",
        )
