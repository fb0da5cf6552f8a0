"""The LMDB environment: opened with care, read by many, written by one thread, growing by itself.

LMDB's map may only be resized while this process has no transaction: ``gate.Gate`` lets
transactions in together and a resize alone.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from ..errors import (
    InvalidArgument,
    LimitExceeded,
    PreconditionFailed,
    StorageError,
    Unavailable,
    UnsupportedFormat,
    VecDBError,
)
from . import files, format
from .catalogue import get_counters, put_counters
from .checksum import unpack
from .creation import create_database
from .gate import Gate
from .lmdb_errors import (
    DAMAGE,
    MAX_READERS,
    cannot_open,
    damaged_file,
    disk_full,
    has_no_room,
    too_large,
    translated,
)
from .lmdb_errors import DiskFull as DiskFull  # what ``write`` raises
from .reading import Reading
from .reserve import Reserve, extent_of
from .structure import check_small_file
from .transaction import Transaction
from .upgrade import upgrade_database
from .witness import Note, Witness, check_meta_page, check_witness, read_witness

T = TypeVar("T")

MAP_BYTES = 4 * 1024**3
"""Address space reserved at first; the file is only as large as its data."""


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
        self._gate = Gate()
        self._failed: str | None = None  # set once, by the writing thread
        self._closed = False  # Guarded by self._gate, exclusively.
        self._lmdb: Any = None
        self._tables: dict[str, Any] = {}
        self._witness: Witness | None = None
        self._reserve = Reserve(directory)  # Used by the writing thread only, and here.
        self._adds = False  # the newest transaction stores something new; the same
        self._lock: files.DirectoryLock | None = None
        try:
            self._lock = None if read_only else files.DirectoryLock(directory)
            self._start(map_bytes or MAP_BYTES)
        except OSError as error:
            self._release()
            raise cannot_open(directory, error) from error
        except BaseException:
            self._release()
            raise

    def _start(self, map_bytes: int) -> None:
        note = read_witness(self.directory)  # before the database, which moves on
        meta = files.check_data_file(self.directory)
        check_meta_page(self.directory, note, meta)
        check_small_file(self.directory)
        if meta is None:
            check_witness(self.directory, note, 0, 0)
            if self.read_only:
                files.require_database(self.directory)
        files.reserve_lock_table(self.directory)
        if meta is None:
            create_database(self.directory)
        with translated(self.directory):
            self._open(map_bytes)
            self.database_id = self._check_format()
            self._open_tables(format.TABLES)
        with self.read() as transaction:
            sequence = self._check_against(note, transaction)
        if not self.read_only:
            self._witness = Witness(self.directory, int(self._lmdb.stat()["psize"]))
            self.note_commit(sequence)
            self._reserve.fill()

    def _open(self, map_bytes: int) -> None:
        existing = (self.directory / files.DATA_FILE).stat().st_size
        self._lmdb = lmdb.open(
            str(self.directory),
            map_size=max(map_bytes, 2 * existing),
            max_dbs=len(format.TABLES),
            max_readers=MAX_READERS,
            max_spare_txns=32,
            readonly=self.read_only,
            create=False,
            mode=0o600,
        )
        self._lmdb.reader_check()

    def _check_format(self) -> uuid.UUID:
        """The database's id; raises unless this program reads its format version.

        Nothing is made here that was there before: what is missing has been lost.
        """
        self._open_tables(("database",))
        with self.read() as transaction:
            value = transaction.get("database", format.FORMAT_KEY)
        if value is None:
            raise damaged_file(self.directory, "the format version is missing")
        header = unpack("database", format.FORMAT_KEY, value, format.FORMAT)
        found = int(header["version"])
        if int(header["magic"]) != format.MAGIC or found > format.VERSION:
            raise UnsupportedFormat(
                f"the database has format version {found}, this program reads up to "
                f"{format.VERSION}",
                found=found,
                supported=format.VERSION,
                hint="Open it with the version of vecdb that wrote it, or a newer one",
            )
        if found < format.VERSION:
            upgrade_database(self._lmdb, header, read_only=self.read_only)
        return uuid.UUID(bytes=header["database_id"].tobytes())

    def _open_tables(self, names: tuple[str, ...]) -> None:
        for name in names:
            self._tables[name] = self._lmdb.open_db(name.encode(), create=False)

    def _check_against(self, note: Note | None, transaction: Transaction) -> int:
        """The sequence of the newest write; raises if the witness knows of a newer commit."""
        value = transaction.get("database", format.COUNTERS_KEY)
        if value is None:
            raise damaged_file(self.directory, "the counters are missing")
        counters = unpack("database", format.COUNTERS_KEY, value, format.COUNTERS)
        sequence = int(counters["sequence"])
        check_witness(self.directory, note, sequence, transaction.number)
        return sequence

    def read(self) -> Reading:
        """A transaction that sees one commit, as a context.

        Keep it short: it holds back the reuse of space, and a map that has to grow waits for it.
        Do not nest it, nor wait in it for a write.
        """
        return Reading(
            self._gate,
            self.directory,
            self._tables,
            check=self.check_usable,
            begin=self._lmdb.begin,
            resize=self._take_size_over,
        )

    def _take_size_over(self) -> None:
        """The writing process has grown the map: take its size over, alone."""
        with self._gate.alone():
            self.check_usable()
            self._lmdb.set_mapsize(0)

    def write(self, apply: Callable[[Transaction], T]) -> T:
        """Run ``apply`` in one transaction, synced on return; nothing applied if it raises.

        ``apply`` may run again from the start, in a new transaction: if the map has to grow, and if
        it adds nothing and the disk is full.

        Raises ``DiskFull``, ``StorageError`` (the disk failed: no write is taken any more; its
        ``maybe_applied`` tells whether this one may be there after reopening), and whatever
        ``apply`` raises.
        """
        if self.read_only:
            raise PreconditionFailed(
                "the database is open for reading only",
                reason="READ_ONLY",
                hint="Open it without read_only=True",
            )
        while True:
            self.check_usable()
            if self._failed is not None:
                raise StorageError(
                    f"writing stopped after the disk failed: {self._failed}",
                    reason="STORE_FAILED",
                    hint="Mend the disk, then open the database again",
                )
            try:
                return self._write_once(apply, (self._turn_over, self._spend_reserve))
            except lmdb.MapFullError:
                self._grow()

    def _write_once(
        self, apply: Callable[[Transaction], T], ways_out: tuple[Callable[[bool], bool], ...]
    ) -> T:
        """One commit. ``ways_out``: what is done on a full disk, given whether the write adds
        something; True: another try."""
        try:
            return self._commit(apply)
        except (VecDBError, lmdb.MapFullError):
            raise
        except (lmdb.BadValsizeError, lmdb.TxnFullError) as error:
            raise too_large(error) from error
        except DAMAGE as error:
            raise damaged_file(self.directory, error) from error
        except lmdb.Error as error:
            adds, refusal = self._adds, self._disk_error(error)
            if isinstance(refusal, DiskFull):
                for place, make_room in enumerate(ways_out, 1):
                    if make_room(adds):
                        try:
                            return self._write_once(apply, ways_out[place:])
                        finally:
                            self._reserve.fill()  # before anybody else takes the room
            raise refusal from error

    def _commit(self, apply: Callable[[Transaction], T]) -> T:
        transaction = None
        self._adds = False
        try:
            with self._gate.together():
                self.check_usable()
                transaction = self._lmdb.begin(write=True)
                tight = not self._reserve.is_whole
                writing = Transaction(transaction, self._tables, tight=tight)
                answer = apply(writing)
                self._adds = writing.adds
                if writing.adds:
                    self._keep_reserve(writing)
                committing, transaction = transaction, None
                committing.commit()
                return answer
        finally:
            if transaction is not None:
                # Alone: abort() begins when no other thread is inside LMDB, and while two threads
                # read all the time it was seen to wait for 17 s (py-lmdb 3.0.0).
                with self._gate.alone():
                    if not self._closed:
                        transaction.abort()

    def _turn_over(self, adds: bool) -> bool:
        """Commit next to nothing: only then may the pages that the last commit freed be used.

        A write that adds something is not tried again; when it comes next it finds them.
        """

        def rewrite(transaction: Transaction) -> int:
            sequence, next_collection = get_counters(transaction)
            put_counters(transaction, sequence, next_collection)
            return sequence

        if not adds:
            self._reserve.lend()
        try:
            self.note_commit(self._write_once(rewrite, ()))
        except DiskFull:
            return False
        finally:
            self._reserve.fill()
        return not adds

    def _spend_reserve(self, adds: bool) -> bool:
        return not adds and self._reserve.give_up()

    def _keep_reserve(self, writing: Transaction) -> None:
        """Raise ``DiskFull`` if this commit might leave no room for deletes."""
        self._reserve.fill()
        if self._reserve.is_whole:
            return
        page_bytes, end = extent_of(self._lmdb)
        if not self._reserve.suffices(end - page_bytes * writing.pages()):
            raise disk_full(self.directory)

    def _disk_error(self, error: Exception) -> VecDBError:
        # A write of the meta page that failed ends the environment; only then may the commit be
        # on the disk all the same.
        ended = self._has_ended()
        if has_no_room(error, self.directory) and not ended:
            self._lmdb.reader_check()  # a reader that was killed holds pages back
            with suppress(OSError):  # what a write that failed has left behind the last page
                os.truncate(self.directory / files.DATA_FILE, extent_of(self._lmdb)[1])
            return disk_full(self.directory)
        # After a failed sync the kernel may have dropped what it could not write, and LMDB would
        # go on as if nothing had happened: take no write any more.
        self._failed = str(error)
        outcome = "it may have been applied" if ended else "nothing of it was applied"
        return StorageError(
            f"the disk refused a write: {error}; {outcome}",
            reason="STORE_FAILED",
            maybe_applied=ended,
            hint="Writing has stopped. Mend the disk, then open the database again",
        )

    def _has_ended(self) -> bool:
        try:
            self._lmdb.begin().abort()
        except lmdb.Error:
            return True
        return False

    def note_commit(self, sequence: int) -> None:
        """Leave the witness of the commit that ``write`` has just synced."""
        with self._gate.together():
            if self._witness is not None and not self._closed:
                self._witness.note(sequence, int(self._lmdb.info()["last_txnid"]))

    def _grow(self) -> None:
        with self._gate.alone(), translated(self.directory):
            self.check_usable()
            self._lmdb.reader_check()
            size = int(self._lmdb.info()["map_size"])
            if not files.can_map(size):  # LMDB gives the old map up before it asks
                raise LimitExceeded(
                    f"the database needs {2 * size} bytes of address space, and this process may "
                    "not have them; nothing of this write was applied",
                    reason="ADDRESS_SPACE",
                    limit=size,
                    actual=2 * size,
                    hint="Raise the limit of virtual memory (ulimit -v)",
                )
            self._lmdb.set_mapsize(2 * size)

    @property
    def failed(self) -> str | None:
        """Why no write is taken any more; None while all is well."""
        return self._failed

    def sizes(self) -> dict[str, int]:
        """Bytes of the file and of the map, and how many readers there have been at once.

        Not to be called inside ``read``.
        """
        with self._gate.together(), translated(self.directory):
            self.check_usable()
            info = self._lmdb.info()
            return {
                "data_bytes": (self.directory / files.DATA_FILE).stat().st_size,
                "map_bytes": int(info["map_size"]),
                "readers": int(info["num_readers"]),
            }

    def check_usable(self) -> None:
        """Raise ``Unavailable`` if it is closed, or was opened before a fork."""
        if os.getpid() != self._pid:
            raise Unavailable(
                "the database was opened before this process was forked",
                reason="FORKED",
                hint="Start the child by 'spawn', or fork first and open afterwards: a child can "
                "neither use nor open what its parent had open",
            )
        if self._closed:
            raise Unavailable("the database is closed", reason="CLOSED", hint="Open it again")

    def close(self) -> None:
        """Wait for the transactions of other threads, then close; twice is harmless."""
        if os.getpid() != self._pid:
            return
        with self._gate.alone():
            if not self._closed:
                self._release()

    def _release(self) -> None:
        self._closed = True
        if self._lmdb is not None:
            self._lmdb.close()
        if self._witness is not None:
            self._witness.close()
        if self._lock is not None:
            self._lock.release()
