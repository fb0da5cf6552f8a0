"""A second opinion on the newest commit.

LMDB falls back to its older meta page when the newer one is damaged, and so loses the last commit
without a word. After each synced commit we note its number in a small file, unsynced: the note may
lag behind LMDB after a crash, it can never lead. A note that leads tells of a lost commit.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..errors import DataCorruption
from .checksum import crc32c, pack
from .files import WITNESS_FILE
from .format import MAGIC, WITNESS


class Witness:
    """The open file; written by the writer thread only."""

    def __init__(self, directory: Path) -> None:
        self._handle = os.open(
            directory / WITNESS_FILE, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600
        )

    def note(self, sequence: int, transaction: int) -> None:
        """Call after the commit has been synced."""
        body = pack(WITNESS, magic=MAGIC, sequence=sequence, transaction=transaction)[:-4]
        os.pwrite(self._handle, body + crc32c(body).to_bytes(4, "little"), 0)

    def close(self) -> None:
        os.close(self._handle)


def read_witness(directory: Path) -> tuple[int, int] | None:
    """(sequence, transaction) of the note; read it before the database, which moves on.

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
    return int(note["sequence"]), int(note["transaction"])


def check_witness(
    directory: Path, note: tuple[int, int] | None, sequence: int, transaction: int
) -> None:
    """Raise ``DataCorruption`` if the note tells of a newer commit than the database has."""
    if note is None or (note[0] <= sequence and note[1] <= transaction):
        return
    raise DataCorruption(
        f"commit {note[1]} (sequence {note[0]}) was acknowledged, but data.mdb ends at commit "
        f"{transaction} (sequence {sequence}): a meta page is damaged, or an older data.mdb was "
        "put in its place",
        path=str(directory / WITNESS_FILE),
        hint="Restore the database from a backup; if you put back data.mdb alone on purpose, "
        "remove the file 'witness'",
    )
