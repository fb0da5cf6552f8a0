"""Room on the disk that is kept for deletes: LMDB needs new pages to delete, too.

LMDB never changes a page that a reader may see, so a delete on a full disk finds no page to write
to, although it would free some. ``Reserve`` is a file that takes the room while there is some and
gives it up for the delete. What the delete made of it stays in ``data.mdb``, which never becomes
smaller, so that the next reserve is smaller by as much: then the pages that are free inside
``data.mdb`` make up for what is missing.
"""

from __future__ import annotations

import os
from pathlib import Path

RESERVE_FILE = "reserve"
RESERVE_BYTES = 1024 * 1024
LEAST_BYTES = 128 * 1024
"""Less than this on the disk is not enough, however much is free inside ``data.mdb``: pages freed by
the last commit may not be used by the next."""
_STEP_BYTES = 16 * 1024


class Reserve:
    """The file ``reserve`` of one database directory; for the one thread that writes.

    ``held``: bytes of it that have their blocks on the disk.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / RESERVE_FILE
        self.held = 0

    @property
    def is_whole(self) -> bool:
        return self.held == RESERVE_BYTES

    def fill(self) -> None:
        """Take what the disk has room for, up to the whole."""
        if self.is_whole:
            return
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return  # no room even for an empty file
        try:
            found = os.fstat(handle)
            there = min(found.st_size, 512 * found.st_blocks, RESERVE_BYTES)
            self.held = there - there % _STEP_BYTES
            while not self.is_whole:
                os.posix_fallocate(handle, self.held, _STEP_BYTES)
                self.held += _STEP_BYTES
        except OSError:
            pass  # what it has is what it holds
        finally:
            os.close(handle)

    def suffices(self, free_bytes: int) -> bool:
        """Whether deletes will find room, with that much free inside ``data.mdb``."""
        return self.held >= LEAST_BYTES and self.held + free_bytes >= RESERVE_BYTES

    def give_up(self) -> bool:
        """Give the disk its room back, but for the least; False if there is none to give."""
        return self._shrink(LEAST_BYTES)

    def lend(self) -> None:
        """Give back all of it, for a commit of a few pages; ``fill`` it at once afterwards."""
        self._shrink(0)

    def _shrink(self, size: int) -> bool:
        if self.held <= size:
            return False
        os.truncate(self._path, size)
        self.held = size
        return True
