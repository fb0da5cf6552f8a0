"""Pages in memory, as many as a number of bytes holds: those asked for again and again stay.

After CLOCK (``kernels/page_frames``). A frame that a search holds, or that is being read into, is
never given to another page. The lock is not held while pages are read: two searches that miss the
same page at the same time read it twice, and the second copy goes when its search ends. To wait for
the other's read would save one read in such a rare case, and make a search depend on another's
disk, errors and deadline.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import DataCorruption, Unavailable
from ..kernels import page_frames as frames_of
from .page_reader import PageFile, PageReader

_FRAME_BYTES = 48  # at most: key 16, pins 4, used 1, address 8, and 3 to 4 places in the table of 4
_TABLE_LEAST = 8
_EVERY = -1

Indices = NDArray[np.int64]
_NO_PAGES = np.empty(0, np.int64)


class PageSource(Protocol):
    """A file whose pages may be cached, and how to tell whether one is right."""

    @property
    def file(self) -> PageFile: ...
    @property
    def page_bytes(self) -> int: ...

    def check(self, addresses: Indices, pages: Indices) -> None:
        """Raise ``DataCorruption`` at the first address that does not hold its page."""


Wanted = Sequence[tuple[PageSource, Indices]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageCounts:
    """What one ``hold`` took: ``cache_hits`` pages were there, ``pages_read`` were not.

    ``read_calls``: requests to the disk; more than pages where some had to be read again.
    """

    pages_read: int
    bytes_read: int
    read_calls: int
    cache_hits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Pages that stay where they are while the context lasts.

    ``addresses``: of each entry of what was wanted, int64[pages].
    """

    addresses: list[Indices]
    counts: PageCounts


class _Asked:
    """The pages of one ``hold``, of all sources in one row."""

    def __init__(self, wanted: Wanted, page_bytes: int) -> None:
        for source, _ in wanted:
            if source.page_bytes != page_bytes:
                raise AssertionError(f"{source.page_bytes} bytes a page, frames of {page_bytes}")
        lengths = [len(pages) for _, pages in wanted]
        self.wanted = wanted
        self.bounds = np.cumsum([0, *lengths])
        self.pages = np.concatenate([_NO_PAGES, *(pages for _, pages in wanted)])
        self.entries = np.repeat(np.arange(len(wanted), dtype=np.int32), lengths)
        numbers = np.array([source.file.number for source, _ in wanted], np.int64)
        self.files = numbers[self.entries]
        self.frames = np.full(len(self.pages), -1, np.int64)
        self.missing = np.zeros(len(self.pages), np.uint8)
        self.addresses = np.empty(len(self.pages), np.int64)
        self.counted = False  # as a holder

    def find_room(self, page_bytes: int) -> mmap.mmap | None:
        """Memory for pages that found no frame."""
        homeless = np.flatnonzero(self.frames < 0)
        if not len(homeless):
            return None
        memory, base = _take_memory(len(homeless) * page_bytes)
        self.addresses[homeless] = base + np.arange(len(homeless)) * page_bytes
        return memory

    def read(self, reader: PageReader, page_bytes: int) -> PageCounts:
        """Read what is missing in one batch, then verify it, source by source."""
        missing = np.flatnonzero(self.missing)
        calls = len(missing)
        if calls:
            files = [source.file for source, _ in self.wanted]
            entries, pages = self.entries[missing], self.pages[missing]
            addresses = self.addresses[missing]
            reader.read_batch(files, entries, pages * page_bytes, page_bytes, addresses)
            edges = np.searchsorted(missing, self.bounds).tolist()
            for (source, _), low, high in zip(self.wanted, edges, edges[1:], strict=False):
                if low == high:
                    continue
                part = addresses[low:high], pages[low:high]
                try:
                    source.check(*part)
                except DataCorruption:  # perhaps only on its way to us
                    again, offsets = np.zeros(high - low, np.int32), part[1] * page_bytes
                    reader.read_batch([source.file], again, offsets, page_bytes, part[0])
                    calls += high - low
                    source.check(*part)
        return PageCounts(
            pages_read=len(missing),
            bytes_read=len(missing) * page_bytes,
            read_calls=calls,
            cache_hits=len(self.pages) - len(missing),
        )


class PageCache:
    """Safe for any thread. ``page_bytes``: a multiple of 4,096."""

    def __init__(self, size_bytes: int, page_bytes: int, reader: PageReader) -> None:
        self._reader = reader
        self._page_bytes = page_bytes
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        # All guarded by self._lock.
        self._closed = False
        self._holders = 0
        self._limit = 0  # frames in use; behind them stand those of a larger cache of before
        self._hand = 0
        self._memory: list[mmap.mmap] = []
        self._addresses = np.empty(0, np.int64)
        self._keys = np.empty((0, 2), np.int64)
        self._pins = np.empty(0, np.int32)
        self._used = np.empty(0, np.uint8)
        self._table = np.full(_TABLE_LEAST, -1, np.int32)
        self._set_limit(self._frames_in(size_bytes))

    @property
    def memory_bytes(self) -> int:
        """What frames may take, and what keeps track of them."""
        with self._lock:
            return self._limit * self._page_bytes + len(self._pins) * _FRAME_BYTES

    @contextmanager
    def hold(self, wanted: Wanted) -> Iterator[Held]:
        """Have pages in memory: those that are not are read, all in one batch, and verified.

        ``wanted``: sources and the numbers of their pages, each once. ``DataCorruption`` for a page
        that is not what was written, also when it is read once more; ``StorageError``.
        """
        asked = _Asked(wanted, self._page_bytes)
        try:
            self._pin(asked)
            memory = asked.find_room(self._page_bytes)
            counts = asked.read(self._reader, self._page_bytes)
            if counts.pages_read:
                self._enter(asked)
            addresses = [
                asked.addresses[low:high]
                for low, high in zip(asked.bounds, asked.bounds[1:], strict=False)
            ]
            yield Held(addresses=addresses, counts=counts)
            del memory
        finally:
            interrupt = None
            while asked.counted:
                try:
                    self._unpin(asked)
                except KeyboardInterrupt as error:  # frames would stay held, and close() wait
                    interrupt = error
            if interrupt is not None:
                raise interrupt

    def drop(self, source: PageSource) -> None:
        """Forget the pages of a source that nobody will ask for again."""
        with self._lock:
            frames_of.empty_frames(self._table, self._keys, self._used, 0, source.file.number)

    def resize(self, size_bytes: int) -> None:
        """Have room for so many bytes from now on.

        What was cached stays, but for frames that are too many. Those among them that are held go
        with the last that holds them.
        """
        with self._lock:
            self._set_limit(self._frames_in(size_bytes))

    def close(self) -> None:
        """Wait until nobody holds a page, then give the memory back. Twice is harmless."""
        with self._lock:
            self._closed = True
            self._idle.wait_for(lambda: self._holders == 0)
            self._limit = 0
            self._memory.clear()
            self._addresses = np.empty(0, np.int64)
            self._keys, self._pins = np.empty((0, 2), np.int64), np.empty(0, np.int32)
            self._used = np.empty(0, np.uint8)
            self._table = np.full(_TABLE_LEAST, -1, np.int32)

    # ------------------------------------------------------------------------------- frames

    def _pin(self, asked: _Asked) -> None:
        with self._lock:
            if self._closed:
                raise Unavailable("the database is closed", reason="CLOSED", hint="Open it again")
            self._holders += 1
            asked.counted = True
            self._hand = frames_of.pin_frames(
                *(self._table, self._keys, self._pins, self._used, self._limit, self._hand),
                *(asked.files, asked.pages, asked.frames, asked.missing),
            )
            found = asked.frames >= 0
            asked.addresses[found] = self._addresses[asked.frames[found]]

    def _enter(self, asked: _Asked) -> None:
        """Let others find what has been read and verified."""
        with self._lock:
            table, keys, limit = self._table, self._keys, self._limit
            frames_of.enter_frames(
                table, keys, limit, asked.files, asked.pages, asked.frames, asked.missing
            )

    def _unpin(self, asked: _Asked) -> None:
        with self._lock:
            asked.counted = False
            self._holders -= 1
            frames_of.unpin_frames(self._pins, asked.frames)
            if len(self._pins) > self._limit:
                self._free(np.unique(asked.frames))
            if self._closed:
                self._idle.notify_all()

    def _frames_in(self, size_bytes: int) -> int:
        return max(0, size_bytes) // (self._page_bytes + _FRAME_BYTES)

    def _set_limit(self, limit: int) -> None:
        """Under the lock."""
        more = limit - len(self._pins)
        if more > 0:
            self._add_frames(more)
        before, self._limit = self._limit, limit
        if limit < before:
            frames_of.empty_frames(self._table, self._keys, self._used, limit, _EVERY)
            self._free(np.arange(limit, before))

    def _add_frames(self, more: int) -> None:
        """Under the lock."""
        memory, base = _take_memory(more * self._page_bytes)
        self._memory.append(memory)
        addresses = base + np.arange(more) * self._page_bytes
        self._addresses = np.concatenate((self._addresses, addresses))
        self._keys = np.concatenate((self._keys, np.full((more, 2), -1, np.int64)))
        self._pins = np.concatenate((self._pins, np.zeros(more, np.int32)))
        self._used = np.concatenate((self._used, np.zeros(more, np.uint8)))
        places = max(_TABLE_LEAST, 1 << (3 * len(self._pins) // 2).bit_length())
        self._table = np.full(places, -1, np.int32)
        frames_of.fill_table(self._table, self._keys)

    def _free(self, frames: Indices) -> None:
        """Give back the memory of those that are too many and not held. Under the lock."""
        frames = frames[frames >= self._limit]
        frames = frames[self._pins[frames] == 0]
        frames_of.give_back(self._addresses[frames], self._page_bytes)


def _take_memory(size_bytes: int) -> tuple[mmap.mmap, int]:
    """Memory of this process alone, not touched yet, and its address."""
    memory = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return memory, int(np.frombuffer(memory, np.uint8).ctypes.data)
