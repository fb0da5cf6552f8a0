"""Room on the disk that is kept for deletes: LMDB needs new pages to delete, too.

LMDB never changes a page that a reader may see, so a delete on a full disk finds no page to write
to, although it would free some. ``Reserve`` is a file that takes the room while there is some and
gives it up for a delete that finds none. What the delete took stays in ``data.mdb``, which never
becomes smaller, so the reserve that is made again is smaller by as much: pages that are free inside
``data.mdb`` then count for what is missing.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

RESERVE_FILE = "reserve"
RESERVE_BYTES = 1024 * 1024
LEAST_BYTES = 128 * 1024
"""Kept even from deletes, for commits of a few pages: all that is free inside ``data.mdb`` may have
been freed by the last commit, and cannot be used before another one."""
_STEP_BYTES = 16 * 1024


def extent_of(opened: Any) -> tuple[int, int]:
    """Bytes of a page of an LMDB environment, and of all pages up to the newest commit's last."""
    page_bytes = int(opened.stat()["psize"])
    return page_bytes, page_bytes * (int(opened.info()["last_pgno"]) + 1)


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
            for step in (RESERVE_BYTES - self.held, _STEP_BYTES):
                with suppress(OSError):  # no room for another step: what it has is what it holds
                    while not self.is_whole:
                        os.posix_fallocate(handle, self.held, step)
                        self.held += step
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
        with suppress(OSError):  # somebody has removed it: there is room all the same
            os.truncate(self._path, size)
        self.held = size
        return True
