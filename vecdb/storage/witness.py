"""A second opinion on the newest commit.

LMDB falls back to its older meta page when the newer one is damaged, and so loses the last commit
without a word. After each synced commit we note its number and a checksum of its meta page in a
small file, unsynced: the note may lag behind LMDB after a crash, it can never lead. A note that
leads tells of a lost commit.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import DataCorruption
from .checksum import crc32c, pack
from .files import DATA_FILE, WITNESS_FILE
from .format import MAGIC, WITNESS
from .meta_pages import Meta, page_checksum


class Note(NamedTuple):
    """``meta_checksum`` is that of the meta page which the commit wrote."""

    sequence: int
    transaction: int
    meta_checksum: int


class Witness:
    """The open file; written by the writer thread only."""

    def __init__(self, directory: Path, page_bytes: int) -> None:
        self._page_bytes = page_bytes
        self._data = os.open(directory / DATA_FILE, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._handle = os.open(
                directory / WITNESS_FILE, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except BaseException:
            os.close(self._data)
            raise

    def note(self, sequence: int, transaction: int) -> None:
        """Call after the commit has been synced. Where the disk has no room the note lags."""
        try:
            checksum = page_checksum(self._data, self._page_bytes, transaction)
            if checksum is not None:
                data = pack_note(Note(sequence, transaction, checksum))
                os.pwrite(self._handle, data, 0)
        except OSError:
            return  # the commit itself is safe; its writer must not hear that it failed

    def close(self) -> None:
        os.close(self._handle)
        os.close(self._data)


def pack_note(note: Note) -> bytes:
    """The file's 32 bytes."""
    body = pack(WITNESS, magic=MAGIC, **note._asdict())[:-4]
    return body + crc32c(body).to_bytes(4, "little")


def read_witness(directory: Path) -> Note | None:
    """The note; read it before the database, which moves on.

    None where there is none or it is torn: it is written without a sync, so it may be.
    """
    try:
        data = (directory / WITNESS_FILE).read_bytes()
    except FileNotFoundError:
        return None
    if len(data) != WITNESS.itemsize:
        return None
    note = np.frombuffer(data, WITNESS)[0]
    if int(note["magic"]) != MAGIC or int(note["checksum"]) != crc32c(data[:-4]):
        return None
    return Note(int(note["sequence"]), int(note["transaction"]), int(note["meta_checksum"]))


def check_meta_page(directory: Path, note: Note | None, meta: Meta | None) -> None:
    """Raise ``DataCorruption`` if the noted commit's meta page has changed since."""
    if note is None or meta is None or note.transaction != meta.transaction:
        return
    if note.meta_checksum != meta.checksum:
        raise DataCorruption(
            f"the meta page of commit {meta.transaction} in {DATA_FILE} is damaged: its checksum "
            f"is {meta.checksum:#010x}, {note.meta_checksum:#010x} was noted",
            path=str(directory / DATA_FILE),
            offset=(meta.transaction & 1) * meta.page_bytes,
            hint="Restore the database from a backup",
        )


def check_witness(directory: Path, note: Note | None, sequence: int, transaction: int) -> None:
    """Raise ``DataCorruption`` if the note tells of a newer commit than the database has."""
    if note is None or (note.sequence <= sequence and note.transaction <= transaction):
        return
    raise DataCorruption(
        f"commit {note.transaction} (sequence {note.sequence}) was acknowledged, but {DATA_FILE} "
        f"ends at commit {transaction} (sequence {sequence}): a meta page is damaged, or an older "
        f"{DATA_FILE} was put in its place",
        path=str(directory / WITNESS_FILE),
        hint=f"Restore the database from a backup; if you put back {DATA_FILE} alone on purpose, "
        f"remove the file {WITNESS_FILE!r}",
    )
