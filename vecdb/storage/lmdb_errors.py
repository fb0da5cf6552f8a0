"""LMDB's errors, as ours."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from ..errors import (
    DataCorruption,
    InvalidArgument,
    LimitExceeded,
    StorageError,
    Unavailable,
    UnsupportedFormat,
    VecDBError,
)
from .files import DATA_FILE

MAX_READERS = 1024

DAMAGE = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.IncompatibleError,
    lmdb.CursorFullError,
    lmdb.PageFullError,
    lmdb.ProblemError,
    lmdb.BadTxnError,  # what a transaction answers after any of the others
)
"""What LMDB raises where a page is not what it should be."""


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NO_ROOM_BYTES = 64 * 1024


class DiskFull(LimitExceeded):
    """Nothing of the transaction was applied; reads go on, and writes when there is room."""


def has_no_room(error: BaseException, directory: Path) -> bool:
    """Whether the disk, or the user's share of it, is full (an error of LMDB or the system).

    A write that is cut short where the disk's room ends LMDB reports as an I/O error. It leaves no
    room behind it; an I/O error with room left is a failing disk.
    """
    code = getattr(error, "code", getattr(error, "errno", None))
    if code == errno.EIO:
        room = os.statvfs(directory)
        return room.f_bavail * room.f_frsize < _NO_ROOM_BYTES
    return code in _NO_ROOM


def disk_full(directory: Path) -> DiskFull:
    return DiskFull(
        f"no space left on the disk of {directory}; nothing of this was applied",
        reason="DISK_FULL",
        retry_after=1.0,
        hint="Free space; deletes and reads go on meanwhile",
    )


def cannot_open(directory: Path, error: OSError) -> VecDBError:
    if has_no_room(error, directory):
        return disk_full(directory)
    return StorageError(
        f"cannot open {directory}: {error}",
        reason="CANNOT_OPEN",
        hint="Check that the directory exists and belongs to the user who runs this",
    )


def damaged_file(directory: Path, found: object) -> DataCorruption:
    return DataCorruption(
        f"{DATA_FILE} is damaged: {found}",
        path=str(directory / DATA_FILE),
        hint="Run `vecdb check` on the directory and restore the database from a backup",
    )


def too_large(error: Exception) -> VecDBError:
    """The error for a key or a transaction that LMDB does not take."""
    if isinstance(error, lmdb.TxnFullError):
        return LimitExceeded(f"the write touches too many pages: {error}", hint="Split the batch")
    return InvalidArgument(f"a key is empty or too long to be stored: {error}", reason="BAD_KEY")


@contextmanager
def translated(directory: Path) -> Iterator[None]:
    """Raise ours for what LMDB raises while opening or reading."""
    try:
        yield
    except DAMAGE as error:
        raise damaged_file(directory, error) from error
    except lmdb.VersionMismatchError as error:
        raise UnsupportedFormat(f"{DATA_FILE} was written by another LMDB: {error}") from error
    except lmdb.ReadersFullError as error:
        raise LimitExceeded(
            f"more than {MAX_READERS} readers have the database open",
            limit=MAX_READERS,
            retry_after=1.0,
        ) from error
    except lmdb.NotFoundError as error:
        raise damaged_file(directory, f"a table is missing: {error}") from error
    except lmdb.PanicError as error:
        raise StorageError(
            f"the disk failed while {directory} was written: {error}",
            reason="STORE_FAILED",
            hint="Mend the disk, then open the database again",
        ) from error
    except lmdb.Error as error:
        if has_no_room(error, directory):
            raise disk_full(directory) from error
        if "already open in this process" in str(error):
            raise Unavailable(
                f"this process, or the one it was forked from, has {directory} open already",
                reason="LOCKED",
                hint="Share what was opened first, it is safe for any thread. A child of a fork "
                "cannot open what its parent had open: start it by 'spawn'",
            ) from error
        raise StorageError(f"LMDB failed on {directory}: {error}", reason="LMDB") from error
