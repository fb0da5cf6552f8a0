"""What reads pages: io_uring, threads, or a memory map. ``page_reader`` chooses and finishes.

Time and processor time of a batch as multiples of io_uring's, past the page cache, on two busy
cores, for 8 and for 32 pages of 4 KiB:

- threads: 1.5 to 1.9 and 2.2 to 3.1; 1.4 to 1.6 and 3.2
- one thread, page after page: 2.1 and 1.7; 3.1 and 3.4
- a ``ThreadPoolExecutor`` of 8: 1.8 and 3.1; 1.5 and 3.2, so the threads have a queue of their own
"""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ..kernels.page_read import copy_each, read_by_ring, read_each

if TYPE_CHECKING:
    from .page_reader import PageFile

RING_ENTRIES = 64
THREADS = 8
_PIECES_EACH = 2  # a thread is not woken for less
_SETUP = 425  # io_uring_setup
_PARAMS_BYTES = 120
_SINGLE_MMAP = 1
_SQES_OFFSET = 0x10000000

Indices = NDArray[np.int64]


class Engine(Protocol):
    """Reads pieces; results are bytes read, negative where that failed. Safe for any thread.

    When ``read`` returns or raises, nothing is under way any more.
    """

    name: str

    def read(
        self,
        files: Sequence[PageFile],
        file_of: NDArray[np.int32],
        offsets: Indices,
        nbytes: int,
        addresses: Indices,
    ) -> Indices: ...

    def close(self) -> None:
        """Give back what it holds, as soon as reads that are under way have ended."""


def _handles(files: Sequence[PageFile], file_of: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.array([file.handle for file in files], np.int32)[file_of]


# ------------------------------------------------------------------------------------- io_uring


class Ring:
    """One io_uring, used by one thread at a time. Raises ``OSError`` where there is none."""

    def __init__(self) -> None:
        self.handle = -1
        self.pid = os.getpid()
        self.words, self.sqes = np.empty(0, np.uint32), np.empty((0, 8), np.uint64)
        params = np.zeros(_PARAMS_BYTES // 4, np.uint32)
        libc = ctypes.CDLL(None, use_errno=True)
        self.handle = libc.syscall(_SETUP, RING_ENTRIES, ctypes.c_void_p(params.ctypes.data))
        if self.handle < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        try:
            if not params[5] & _SINGLE_MMAP:
                raise OSError("the io_uring of this system is too old")
            entries, answers = int(params[0]), int(params[1])
            sq, cq = params[10:20].astype(np.int64), params[20:30].astype(np.int64)
            size = max(int(sq[6]) + 4 * entries, int(cq[5]) + 16 * answers)
            self.words = np.frombuffer(_map(self.handle, size, 0), np.uint32)
            requests = _map(self.handle, 64 * entries, _SQES_OFFSET)
            self.sqes = np.frombuffer(requests, np.uint64).reshape(entries, 8)
        except BaseException:
            self.close()
            raise
        masks = [int(self.words[sq[2] // 4]), int(self.words[cq[2] // 4])]
        places = [sq[1] // 4, sq[6] // 4, cq[0] // 4, cq[1] // 4, cq[5] // 4]
        self.places = np.array([*places, *masks], np.int64)

    def read(
        self, handles: NDArray[np.int32], offsets: Indices, nbytes: int, addresses: Indices
    ) -> tuple[Indices, bool]:
        """Results as those of an engine, and whether the ring can be used again."""
        results = np.full(len(offsets), -1, np.int64)
        stuck = read_by_ring(
            *(self.handle, self.words, self.words, self.sqes, self.places),
            *(handles, offsets, nbytes, addresses, results),
        )
        return results, not stuck

    def close(self) -> None:
        """Twice is harmless. The maps hold the ring too: they go with the arrays."""
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1
        self.words, self.sqes = np.empty(0, np.uint32), np.empty((0, 8), np.uint64)

    def __del__(self) -> None:
        self.close()


def _map(handle: int, size: int, offset: int) -> mmap.mmap:
    flags, access = mmap.MAP_SHARED | mmap.MAP_POPULATE, mmap.PROT_READ | mmap.PROT_WRITE
    return mmap.mmap(handle, size, flags, access, offset=offset)


class RingEngine:
    """All pieces of a batch under way at once, by a ring that no other thread uses meanwhile.

    Rings wait for the next batch of any thread: there are as many as batches at the same time.
    """

    name = "io_uring"

    def __init__(self, make_ring: Callable[[], Ring] = Ring) -> None:
        self._make_ring = make_ring
        self._idle: deque[Ring] = deque()  # its methods are atomic, so it takes no lock
        self._closed = False
        self._idle.append(make_ring())  # says at once where there is none

    def read(
        self,
        files: Sequence[PageFile],
        file_of: NDArray[np.int32],
        offsets: Indices,
        nbytes: int,
        addresses: Indices,
    ) -> Indices:
        try:
            ring = self._take_ring()
        except OSError:  # out of descriptors or memory for the moment: ``PageReader`` reads all
            return np.full(len(offsets), -1, np.int64)
        results, usable = ring.read(_handles(files, file_of), offsets, nbytes, addresses)
        if usable:
            self._idle.append(ring)
            if self._closed:
                self.close()
        else:
            ring.close()
        return results

    def _take_ring(self) -> Ring:
        while True:
            try:
                ring = self._idle.pop()
            except IndexError:
                return self._make_ring()
            if ring.pid == os.getpid():
                return ring
            ring.close()  # the parent's, who still has it

    def close(self) -> None:
        self._closed = True
        while True:
            try:
                self._idle.pop().close()
            except IndexError:
                return


# -------------------------------------------------------------------------------------- threads


class _Batch:
    """Parts of a batch, which whoever comes first takes."""

    def __init__(
        self, handles: NDArray[np.int32], offsets: Indices, nbytes: int, addresses: Indices
    ) -> None:
        self.results = np.full(len(offsets), -1, np.int64)
        self.parts = parts = min(THREADS, -(-len(offsets) // _PIECES_EACH))
        self._pieces = handles, offsets, addresses
        self._nbytes = nbytes
        edges = [len(offsets) * part // parts for part in range(parts + 1)]
        self._left = deque(slice(*pair) for pair in pairwise(edges))
        self._helpers: deque[None] = deque()  # one for each that began, and each that ended
        self._finished: deque[None] = deque()
        self._news: SimpleQueue[None] = SimpleQueue()

    def help(self) -> None:
        """Read parts until none is left."""
        self._helpers.append(None)
        try:
            self.read_parts()
        finally:
            self._finished.append(None)
            self._news.put(None)

    def read_parts(self) -> None:
        handles, offsets, addresses = self._pieces
        while True:
            try:
                part = self._left.popleft()
            except IndexError:
                return
            read_each(
                *(handles[part], offsets[part], self._nbytes, addresses[part]), self.results[part]
            )

    def finish(self) -> None:
        """Begin no other part, and wait for helpers: they write to memory that the caller reuses.

        So Ctrl-C waits for them too.
        """
        interrupt: BaseException | None = None
        while True:
            try:
                self._left.clear()
                while len(self._finished) < len(self._helpers):
                    self._news.get()
                break
            except BaseException as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt


class _Team:
    """Threads that help with batches."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.calls: SimpleQueue[_Batch | None] = SimpleQueue()
        for number in range(THREADS - 1):
            name = f"vecdb-pages-{number}"
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def _work(self) -> None:
        while (batch := self.calls.get()) is not None:
            batch.help()
            del batch  # or its arrays would stay until the next one comes


class ThreadsEngine:
    """A few threads and the caller read parts of a batch, piece after piece.

    The caller waits for nobody who has not begun: without any thread it reads everything itself.
    """

    name = "threads"

    def __init__(self) -> None:
        self._team = _Team()

    def read(
        self,
        files: Sequence[PageFile],
        file_of: NDArray[np.int32],
        offsets: Indices,
        nbytes: int,
        addresses: Indices,
    ) -> Indices:
        batch = _Batch(_handles(files, file_of), offsets, nbytes, addresses)
        team = self._team
        if team.pid != os.getpid():
            team = self._team = _Team()
        for _ in range(batch.parts - 1):
            team.calls.put(batch)
        try:
            batch.read_parts()
        finally:
            batch.finish()
        return batch.results

    def close(self) -> None:
        for _ in range(THREADS - 1):
            self._team.calls.put(None)


# ------------------------------------------------------------------------------------------ map


class MapEngine:
    """Copies from memory maps: for systems that know nothing better.

    What a search reads then counts as memory of this process, which the system takes back when it
    likes, and an error of the disk, or a file cut short just now, ends the process.
    """

    name = "mmap"

    def read(
        self,
        files: Sequence[PageFile],
        file_of: NDArray[np.int32],
        offsets: Indices,
        nbytes: int,
        addresses: Indices,
    ) -> Indices:
        results = np.full(len(offsets), nbytes, np.int64)
        for number, file in enumerate(files):
            here = np.flatnonzero(file_of == number)
            size = os.fstat(file.handle).st_size  # reading behind it would end the process
            ends = offsets[here] + nbytes
            results[here[ends > size]] = 0
            whole = here[ends <= size]
            if len(whole):
                copy_each(file.map_address + offsets[whole], nbytes, addresses[whole])
        return results

    def close(self) -> None:
        """Maps belong to their files."""
