"""The LMDB environment: opened with care, read by many, written by one thread, growing by itself.

LMDB's map may only be resized while this process has no transaction: ``_Gate`` lets transactions
in together and a resize alone.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

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
from . import files, format
from .checksum import pack, unpack
from .transaction import Transaction
from .witness import Witness, check_witness, read_witness

T = TypeVar("T")

MAP_BYTES = 4 * 1024**3
"""Address space reserved at first; the file is only as large as its data."""
_MAX_READERS = 1024


class DiskFull(LimitExceeded):
    """Nothing of the transaction was applied; reads go on, and writes when there is room."""


class Environment:
    """The tables of one database directory.

    Thread-safe for reading. ``write`` is for one thread at a time (``writer.Writer``'s).
    """

    def __init__(self, directory: Path, *, read_only: bool, map_bytes: int | None = None) -> None:
        if map_bytes is not None and map_bytes < 65_536:
            raise InvalidArgument(
                f"map_bytes must be at least 65536; got {map_bytes}", field="map_bytes"
            )
        self.directory = directory
        self.read_only = read_only
        self._pid = os.getpid()
        self._gate = _Gate()
        self._failed: str | None = None  # set once, by the writing thread
        self._closed = False  # Guarded by self._gate, exclusively.
        self._lock = None if read_only else files.DirectoryLock(directory)
        try:
            note = read_witness(directory)
            files.check_data_file(directory)
            self._lmdb = self._open(map_bytes or MAP_BYTES)
            self._tables = self._open_tables()
            self.database_id = self._check_format()
            with self.read() as transaction:
                self._check_against(note, transaction)
        except BaseException:
            if self._lock is not None:
                self._lock.release()
            raise
        self._witness = None if read_only else Witness(directory)

    def _open(self, map_bytes: int) -> Any:
        data = self.directory / files.DATA_FILE
        existing = data.stat().st_size if data.exists() else 0
        with _translated(self.directory):
            environment = lmdb.open(
                str(self.directory),
                map_size=max(map_bytes, 2 * existing),
                max_dbs=len(format.TABLES),
                max_readers=_MAX_READERS,
                max_spare_txns=32,
                readonly=self.read_only,
                create=not self.read_only,
                mode=0o600,
            )
            environment.reader_check()
        return environment

    def _open_tables(self) -> dict[str, Any]:
        create = not self.read_only
        with _translated(self.directory):
            return {
                name: self._lmdb.open_db(name.encode(), create=create) for name in format.TABLES
            }

    def _check_format(self) -> uuid.UUID:
        """Check the stored format version, or store ours in a new database; the database's id."""
        with self.read() as transaction:
            value = transaction.get("database", format.FORMAT_KEY)
        if value is None:
            if self.read_only:
                raise DataCorruption(
                    "the database has no format version", path=str(self.directory / files.DATA_FILE)
                )
            return self._create()
        header = unpack("database", format.FORMAT_KEY, value, format.FORMAT)
        if int(header["magic"]) != format.MAGIC or int(header["version"]) > format.VERSION:
            found = int(header["version"])
            raise UnsupportedFormat(
                f"the database has format version {found}, this program reads up to "
                f"{format.VERSION}",
                found=found,
                supported=format.VERSION,
                hint="Open it with the version of vecdb that wrote it, or a newer one",
            )
        return uuid.UUID(bytes=header["database_id"].tobytes())

    def _create(self) -> uuid.UUID:
        identity = uuid.uuid4()

        def first(transaction: Transaction) -> None:
            header = pack(
                format.FORMAT,
                magic=format.MAGIC,
                version=format.VERSION,
                database_id=identity.bytes,
                created_us=int(os.stat(self.directory).st_mtime * 1e6),
            )
            transaction.put("database", format.FORMAT_KEY, header)
            counters = pack(format.COUNTERS, next_collection=1)
            transaction.put("database", format.COUNTERS_KEY, counters)

        self.write(first)
        files.sync_directory(self.directory)
        return identity

    def _check_against(self, note: tuple[int, int] | None, transaction: Transaction) -> None:
        value = transaction.get("database", format.COUNTERS_KEY)
        if value is None:
            raise DataCorruption(
                "the database has no counters", path=str(self.directory / files.DATA_FILE)
            )
        counters = unpack("database", format.COUNTERS_KEY, value, format.COUNTERS)
        check_witness(self.directory, note, int(counters["sequence"]), transaction.number)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A transaction that sees one commit; keep it short, it holds back the reuse of space."""
        self._check_usable()
        with self._gate.together(), _translated(self.directory):
            self._check_usable()
            try:
                transaction = self._lmdb.begin()
            except lmdb.MapResizedError:
                transaction = None
            if transaction is not None:
                with transaction:
                    yield Transaction(transaction, self._tables)
                return
        # The writing process has grown the map: take its size over, alone, then begin again.
        with self._gate.alone():
            self._lmdb.set_mapsize(0)
        with self.read() as again:
            yield again

    def write(self, apply: Callable[[Transaction], T]) -> T:
        """Run ``apply`` in one transaction, synced on return; nothing applied if it raises.

        ``apply`` may run again from the start, in a new transaction, if the map has to grow.

        Raises ``DiskFull`` or ``StorageError`` (the disk failed: no write is taken any more), and
        whatever ``apply`` raises.
        """
        while True:
            self._check_usable()
            if self._failed is not None:
                raise StorageError(
                    f"writing stopped after the disk failed: {self._failed}",
                    reason="STORE_FAILED",
                    hint="Mend the disk, then open the database again",
                )
            try:
                with self._gate.together():
                    return self._write_once(apply)
            except lmdb.MapFullError:
                self._grow()

    def _write_once(self, apply: Callable[[Transaction], T]) -> T:
        try:
            with self._lmdb.begin(write=True) as transaction:
                answer = apply(Transaction(transaction, self._tables))
        except (VecDBError, lmdb.MapFullError):
            raise
        except lmdb.DiskError as error:
            raise DiskFull(
                f"no space left on the disk of {self.directory}; nothing of this write was applied",
                reason="DISK_FULL",
                retry_after=1.0,
                hint="Free space; deletes and reads go on meanwhile",
            ) from error
        except lmdb.Error as error:
            # After a failed sync the kernel may have dropped what it could not write, and LMDB
            # would go on as if nothing had happened: take no write any more.
            self._failed = str(error)
            raise StorageError(
                f"the disk refused a write: {error}; nothing of it was applied",
                reason="STORE_FAILED",
                hint="Writing has stopped. Mend the disk, then open the database again",
            ) from error
        return answer

    def note_commit(self, sequence: int) -> None:
        """Leave the witness of the commit that ``write`` has just synced."""
        if self._witness is not None:
            self._witness.note(sequence, int(self._lmdb.info()["last_txnid"]))

    def _grow(self) -> None:
        with self._gate.alone():
            self._lmdb.set_mapsize(2 * int(self._lmdb.info()["map_size"]))

    @property
    def failed(self) -> str | None:
        """Why no write is taken any more; None while all is well."""
        return self._failed

    def sizes(self) -> dict[str, int]:
        """Bytes of the file and of the map, and open readers of all processes."""
        info = self._lmdb.info()
        return {
            "data_bytes": (self.directory / files.DATA_FILE).stat().st_size,
            "map_bytes": int(info["map_size"]),
            "readers": int(info["num_readers"]),
        }

    def _check_usable(self) -> None:
        if os.getpid() != self._pid:
            raise Unavailable(
                "the database was opened before this process was forked",
                reason="FORKED",
                hint="Open it again in this process",
            )
        if self._closed:
            raise Unavailable("the database is closed", reason="CLOSED", hint="Open it again")

    def close(self) -> None:
        """Wait for the transactions of other threads, then close; twice is harmless."""
        if os.getpid() != self._pid:
            return
        with self._gate.alone():
            if self._closed:
                return
            self._closed = True
            self._lmdb.close()
            if self._witness is not None:
                self._witness.close()
            if self._lock is not None:
                self._lock.release()


class _Gate:
    """Many together, or one alone; those who come while one waits to be alone wait behind it."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside = 0  # Guarded by self._condition; -1: one is alone.
        self._waiting = 0  # Guarded by self._condition.

    @contextmanager
    def together(self) -> Iterator[None]:
        with self._condition:
            while self._inside < 0 or self._waiting:
                self._condition.wait()
            self._inside += 1
        try:
            yield
        finally:
            with self._condition:
                self._inside -= 1
                if self._inside == 0:
                    self._condition.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._condition:
            self._waiting += 1
            while self._inside != 0:
                self._condition.wait()
            self._waiting -= 1
            self._inside = -1
        try:
            yield
        finally:
            with self._condition:
                self._inside = 0
                self._condition.notify_all()


@contextmanager
def _translated(directory: Path) -> Iterator[None]:
    """LMDB's own errors while opening or reading, as ours."""
    try:
        yield
    except (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.InvalidError) as error:
        raise DataCorruption(
            f"{files.DATA_FILE} is damaged: {error}",
            path=str(directory / files.DATA_FILE),
            hint="Run `vecdb check` on the directory and restore it from a backup",
        ) from error
    except lmdb.VersionMismatchError as error:
        raise UnsupportedFormat(
            f"{files.DATA_FILE} was written by another LMDB: {error}"
        ) from error
    except lmdb.ReadersFullError as error:
        raise LimitExceeded(
            f"more than {_MAX_READERS} readers have the database open",
            limit=_MAX_READERS,
            retry_after=1.0,
        ) from error
    except lmdb.NotFoundError as error:
        raise DataCorruption(
            f"a table is missing from {files.DATA_FILE}: {error}",
            path=str(directory / files.DATA_FILE),
        ) from error
    except lmdb.Error as error:
        raise StorageError(f"cannot read {directory}: {error}", reason="LMDB") from error
