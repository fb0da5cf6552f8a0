"""The door to pages on the disk: batches of equal pieces of files, whole or an error."""

from __future__ import annotations

import errno
import itertools
import logging
import mmap
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidArgument, StorageError
from ..kernels.addresses import bytes_at
from .files import aligned_bytes, damaged_part
from .page_engines import Engine, Indices, MapEngine, RingEngine, ThreadsEngine

_log = logging.getLogger("vecdb")

ENGINES: dict[str, Callable[[], Engine]] = {
    "io_uring": RingEngine,
    "threads": ThreadsEngine,
    "mmap": MapEngine,
}
"""By name, the best first."""
_TRIES = 100
_PROBE_BYTES = 4096
_numbers = itertools.count()


class PageFile:
    """A file of pages that does not change, open for reading.

    Opened past the page cache of the system where the file system can do that. ``DataCorruption``
    if it is not there or has another size. Closed by whoever knows that nobody reads it any more,
    or else with the last reference to it.
    """

    def __init__(self, path: Path, expected_bytes: int, *, direct: bool = True) -> None:
        self.buffered = self.direct = -1  # descriptors
        self.path = path
        self.size = expected_bytes
        self._map: mmap.mmap | None = None  # Guarded by self._map_lock.
        self._map_lock = threading.Lock()
        self.number = next(_numbers)  # of no other file of this process, ever
        try:
            self.buffered = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise damaged_part(path, -1, "it is missing", reason="MISSING_FILE") from None
        size = os.fstat(self.buffered).st_size
        if size != expected_bytes:
            self.close()
            raise damaged_part(
                path, min(size, expected_bytes), f"it has {size} bytes, expected {expected_bytes}"
            )
        os.posix_fadvise(self.buffered, 0, 0, os.POSIX_FADV_RANDOM)
        if direct:
            try:
                self.direct = self.open_direct()
            except OSError as error:
                _log.info("%s is read by the page cache of the system: %s", path, error)

    @property
    def handle(self) -> int:
        """The descriptor to read by."""
        return self.buffered if self.direct < 0 else self.direct

    def open_direct(self) -> int:
        """A descriptor past the page cache. Some file systems refuse only when it is read."""
        handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
        try:
            os.preadv(handle, [aligned_bytes(_PROBE_BYTES).data], 0)
        except OSError:
            os.close(handle)
            raise
        return handle

    def read_into(self, target: NDArray[np.uint8], offset: int) -> int:
        """Bytes read by the page cache of the system: any number, anywhere."""
        return os.preadv(self.buffered, [target.data], offset)

    @property
    def map_address(self) -> int:
        """Where the file stands in memory; its pages come when they are touched."""
        with self._map_lock:
            if self._map is None:
                self._map = mmap.mmap(self.buffered, self.size, access=mmap.ACCESS_READ)
                self._map.madvise(mmap.MADV_RANDOM)
            return int(np.frombuffer(self._map, np.uint8).ctypes.data)

    def close(self) -> None:
        """Twice is harmless."""
        handles, self.buffered, self.direct = (self.buffered, self.direct), -1, -1
        for handle in handles:
            if handle >= 0:
                os.close(handle)

    def __del__(self) -> None:
        self.close()


class PageReader:
    """Reads batches by an engine, and finishes what it leaves. Safe for any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name = engine.name

    def read_batch(
        self,
        files: Sequence[PageFile],
        file_of: NDArray[np.int32],
        offsets: Indices,
        nbytes: int,
        addresses: Indices,
    ) -> None:
        """Fill ``nbytes`` at each address with what stands at its offset in its file.

        All numbers are multiples of 4,096. When it returns or raises nothing is under way any more.
        ``DataCorruption`` where a file ends too early, ``StorageError`` where the disk refuses.
        """
        if not len(offsets):
            return
        results = self._engine.read(files, file_of, offsets, nbytes, addresses)
        for i in np.flatnonzero(results != nbytes).tolist():
            done = max(0, int(results[i]))
            target = bytes_at(int(addresses[i]), nbytes)
            _read_rest(files[file_of[i]], int(offsets[i]), target, done)

    def close(self) -> None:
        """Give back what the engine holds. Twice is harmless."""
        self._engine.close()


def _read_rest(file: PageFile, offset: int, target: NDArray[np.uint8], done: int) -> None:
    """Go on where a read has ended: past the engine, which says neither why nor how far."""
    tries = 0
    while done < len(target):
        try:
            count = file.read_into(target[done:], offset + done)
        except OSError as error:
            tries += 1
            if error.errno in (errno.EAGAIN, errno.EINTR) and tries < _TRIES:
                continue
            raise StorageError(
                f"cannot read {file.path} at offset {offset + done}: {error}",
                reason="CANNOT_READ",
                hint="Check the disk",
            ) from error
        if count == 0:
            raise damaged_part(
                file.path, offset + done, f"it ends there, expected {file.size} bytes"
            )
        done += count


def open_reader(
    choice: str = "auto", probe: PageFile | None = None, page_bytes: int = 4096
) -> PageReader:
    """A reader by the engine of that name; auto: the first that works here.

    ``probe``: a file that the engine has to read the first page of. One that was asked for by name
    and does not work raises ``StorageError``.
    """
    if choice != "auto" and choice not in ENGINES:
        raise InvalidArgument(
            f"io_engine must be one of auto, {', '.join(ENGINES)}; got {choice[:40]!r}",
            field="io_engine",
        )
    refused = []
    for name in ENGINES if choice == "auto" else (choice,):
        try:
            engine = _try_engine(ENGINES[name], probe, page_bytes)
        except OSError as error:
            refused.append(f"{name}: {error}")
            continue
        because = f", not by {'; '.join(refused)}" if refused else ""
        cached = probe is not None and probe.direct < 0 and name != "mmap"
        how = " and the page cache of the system" if cached else ""
        _log.info("pages are read by %s%s%s", name, how, because)
        return PageReader(engine)
    raise StorageError(
        f"pages cannot be read by {'; '.join(refused)}",
        reason="CANNOT_READ",
        hint="Choose another io_engine, such as auto, or check the disk",
    )


def _try_engine(make: Callable[[], Engine], probe: PageFile | None, page_bytes: int) -> Engine:
    """The engine, if it reads a page by itself; ``OSError``."""
    engine = make()
    if probe is None or probe.size < page_bytes:
        return engine
    try:
        target = aligned_bytes(page_bytes)
        address = np.array([target.ctypes.data], np.int64)
        zero = np.zeros(1, np.int64)
        (count,) = engine.read([probe], zero.astype(np.int32), zero, page_bytes, address).tolist()
        if count != page_bytes:
            why = os.strerror(-count) if count < -1 else f"{max(0, count)} of {page_bytes} bytes"
            raise OSError(f"it cannot read {probe.path}: {why}")
        return engine
    except BaseException:
        engine.close()
        raise
