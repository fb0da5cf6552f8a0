"""Batches of pieces of files: every engine, on disk and in memory, and what can go wrong."""

from __future__ import annotations

import errno
import logging
import os
import threading
import uuid
from pathlib import Path

import numpy as np
import pytest

from vecdb.errors import DataCorruption, InvalidArgument, StorageError
from vecdb.storage import page_engines, page_reader
from vecdb.storage.files import aligned_bytes
from vecdb.storage.page_engines import Ring, RingEngine, ThreadsEngine
from vecdb.storage.page_reader import ENGINES, PageFile, PageReader, open_reader

PAGE = 4096
PAGES = 300
MEMORY = Path("/dev/shm")
PLACES = ["disk", pytest.param("memory", marks=pytest.mark.skipif(not MEMORY.is_dir(), reason=""))]


def why_no_ring():
    try:
        Ring().close()
    except OSError as error:
        return f"no io_uring here: {error}"
    return None


NO_RING = why_no_ring()
ENGINE_NAMES = [
    pytest.param(name, marks=pytest.mark.skipif(bool(NO_RING), reason=NO_RING or ""))
    if name == "io_uring"
    else name
    for name in ENGINES
]


@pytest.fixture(scope="module")
def content():
    return np.random.default_rng(4).integers(0, 256, (PAGES, PAGE), np.uint8)


@pytest.fixture
def path(tmp_path, content):
    path = tmp_path / "vectors.pages"
    path.write_bytes(content.tobytes())
    return path


@pytest.fixture
def in_place(path, request):
    """The file on the disk, or in memory."""
    if request.param == "disk":
        yield path
        return
    copy = MEMORY / f"vecdb-{uuid.uuid4()}.pages"
    copy.write_bytes(path.read_bytes())
    yield copy
    copy.unlink()


def read(reader, file, pages, nbytes=PAGE):
    """The pages' bytes: [pages, nbytes]."""
    pages = np.asarray(pages, np.int64)
    memory = aligned_bytes(max(1, len(pages)) * nbytes)
    memory[:] = 0xA5
    addresses = memory.ctypes.data + np.arange(len(pages)) * nbytes
    reader.read_batch([file], np.zeros(len(pages), np.int32), pages * nbytes, nbytes, addresses)
    return memory[: len(pages) * nbytes].reshape(-1, nbytes)


def owner(reader):
    """The process whose rings or threads read."""
    engine = reader._engine
    if isinstance(engine, RingEngine):
        return engine._idle[-1].pid
    return engine._team.pid if isinstance(engine, ThreadsEngine) else None


# ---------------------------------------------------------------------------------- all is well


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("in_place", PLACES, indirect=True)
@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_every_engine_reads_what_stands_there(engine, in_place, direct, content):
    file = PageFile(in_place, content.nbytes, direct=direct)
    reader = open_reader(engine, file)
    assert reader.name == engine
    rng = np.random.default_rng(1)
    for count in (0, 1, 2, 9, 200):  # 200: more than a ring takes at once
        pages = rng.integers(0, PAGES, count)
        assert (read(reader, file, pages) == content[pages]).all()
    large = content.reshape(-1, 3 * PAGE)
    assert (read(reader, file, [99, 0], 3 * PAGE) == large[[99, 0]]).all()
    reader.close()
    reader.close()
    file.close()


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_one_batch_reads_from_several_files(engine, path, content):
    other = path.with_name("other")
    other.write_bytes(content[::-1].tobytes())
    files = [PageFile(path, content.nbytes), PageFile(other, content.nbytes)]
    memory = aligned_bytes(3 * PAGE)
    addresses = memory.ctypes.data + np.arange(3) * PAGE
    offsets = np.array([5, 5, 7]) * PAGE
    reader = open_reader(engine)
    reader.read_batch(files, np.array([0, 1, 0], np.int32), offsets, PAGE, addresses)
    wanted = content[[5, PAGES - 6, 7]]
    assert (memory.reshape(3, PAGE) == wanted).all()
    reader.close()


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_many_threads_read_at_once(engine, path, content):
    file = PageFile(path, content.nbytes)
    reader = open_reader(engine, file)
    right = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(20):
            pages = rng.integers(0, PAGES, 17)
            right.append(bool((read(reader, file, pages) == content[pages]).all()))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reader.close()
    assert right == [True] * 80


@pytest.mark.skipif(bool(NO_RING), reason=NO_RING or "")
def test_threads_that_end_leave_no_rings_and_close_leaves_none(path, content):
    file = PageFile(path, content.nbytes)
    before = len(os.listdir("/proc/self/fd"))
    reader = open_reader("io_uring", file)
    read(reader, file, [0])
    opened = len(os.listdir("/proc/self/fd"))
    assert opened > before
    for _ in range(10):
        thread = threading.Thread(target=read, args=(reader, file, [1]))
        thread.start()
        thread.join()
    assert len(os.listdir("/proc/self/fd")) == opened
    reader.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_forked_child_reads_and_leaves_the_parent_alone(engine, path, content):
    file = PageFile(path, content.nbytes)
    reader = open_reader(engine, file)
    assert (read(reader, file, range(20)) == content[:20]).all()
    child = os.fork()
    if child == 0:
        right = False
        try:
            right = all((read(reader, file, range(40)) == content[:40]).all() for _ in range(3))
            right &= owner(reader) in (None, os.getpid())
            reader.close()
        finally:
            os._exit(0 if right else 1)
    for _ in range(3):
        assert (read(reader, file, range(50, 90)) == content[50:90]).all()
    assert os.waitpid(child, 0)[1] == 0
    assert owner(reader) in (None, os.getpid())
    assert (read(reader, file, range(20)) == content[:20]).all()
    reader.close()


def test_batch_ends_when_every_thread_that_helps_has_ended(path, content, monkeypatch):
    helping, late, main = threading.Event(), threading.Event(), threading.get_ident()
    read_each = page_engines.read_each

    def slow(*arguments):
        if threading.get_ident() == main:
            helping.wait()
        else:
            helping.set()
            late.wait(0.03)
        read_each(*arguments)

    monkeypatch.setattr(page_engines, "read_each", slow)
    file, engine = PageFile(path, content.nbytes), ThreadsEngine()
    memory = aligned_bytes(9 * PAGE)
    addresses = memory.ctypes.data + np.arange(9) * PAGE
    offsets = np.arange(9) * PAGE
    results = engine.read([file], np.zeros(9, np.int32), offsets, PAGE, addresses)
    assert results.tolist() == [PAGE] * 9
    engine.close()


def test_reader_that_was_closed_still_reads(path, content):
    file = PageFile(path, content.nbytes)
    for make in (RingEngine, ThreadsEngine):
        if make is RingEngine and NO_RING:
            continue
        reader = PageReader(make())
        reader.close()
        assert (read(reader, file, range(30)) == content[:30]).all()


# ------------------------------------------------------------------------------- cut, not there


@pytest.mark.parametrize("cut", [1, PAGE])
@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_file_cut_short_while_open_is_damage(engine, direct, cut, path, content):
    file = PageFile(path, content.nbytes, direct=direct)
    reader = open_reader(engine, file)
    read(reader, file, [PAGES - 1])
    os.truncate(path, content.nbytes - cut)
    with pytest.raises(DataCorruption, match="it ends there") as caught:
        read(reader, file, [0, PAGES - 1, 1])
    assert caught.value.offset == content.nbytes - cut
    assert (read(reader, file, [PAGES - 2]) == content[PAGES - 2]).all()
    reader.close()


def test_file_of_another_size_or_none_is_damage(path, content):
    with pytest.raises(DataCorruption, match=f"it has {content.nbytes} bytes, expected 4096"):
        PageFile(path, PAGE)
    with pytest.raises(DataCorruption, match="it is missing") as caught:
        PageFile(path.with_name("gone"), PAGE)
    assert caught.value.reason == "MISSING_FILE"


# ------------------------------------------------------------------------------- refused, failing


def refuse(number):
    def make():
        raise OSError(number, os.strerror(number))

    return make


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS])
def test_where_io_uring_is_refused_threads_read_and_the_log_says_why(
    number, path, content, monkeypatch, caplog
):
    monkeypatch.setitem(ENGINES, "io_uring", lambda: RingEngine(refuse(number)))
    file = PageFile(path, content.nbytes)
    with caplog.at_level(logging.INFO, "vecdb"):
        reader = open_reader("auto", file)
    assert reader.name == "threads"
    assert f"by threads, not by io_uring: [Errno {number}] {os.strerror(number)}" in caplog.text
    assert (read(reader, file, [3, 1]) == content[[3, 1]]).all()
    reader.close()
    with pytest.raises(StorageError, match=f"by io_uring: .*{os.strerror(number)}"):
        open_reader("io_uring", file)


class Faulty:
    """An engine whose answer for the first piece is another; the memory behind it is spoilt."""

    name = "faulty"

    def __init__(self, answer, engine=None):
        self.answer = answer
        self.engine = engine or ThreadsEngine()
        self.closed = False

    def read(self, files, file_of, offsets, nbytes, addresses):
        results = self.engine.read(files, file_of, offsets, nbytes, addresses)
        results[0] = self.answer
        done = max(0, self.answer)
        page_reader.bytes_at(int(addresses[0]), nbytes)[done:] = 0x5A
        return results

    def close(self):
        self.closed = True
        self.engine.close()


def test_engine_that_begins_but_cannot_read_is_passed_over(path, content, monkeypatch, caplog):
    faulty = Faulty(-errno.EINVAL)
    monkeypatch.setitem(ENGINES, "io_uring", lambda: faulty)
    file = PageFile(path, content.nbytes)
    with caplog.at_level(logging.INFO, "vecdb"):
        reader = open_reader("auto", file)
    assert reader.name == "threads"
    assert os.strerror(errno.EINVAL) in caplog.text
    assert faulty.closed
    reader.close()


def test_unknown_engine_is_refused():
    with pytest.raises(InvalidArgument, match="auto, io_uring, threads, mmap; got 'libaio'"):
        open_reader("libaio")


@pytest.mark.parametrize("engine", ENGINE_NAMES)
@pytest.mark.parametrize("where", ["open", "first read"])
def test_file_that_refuses_direct_reads_is_read_by_the_page_cache(
    where, engine, path, content, monkeypatch, caplog
):
    refused = OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    def open_unless_direct(path, flags, *rest, real=os.open):
        if flags & os.O_DIRECT:
            raise refused
        return real(path, flags, *rest)

    def never(*_):
        raise refused

    with caplog.at_level(logging.INFO, "vecdb"), monkeypatch.context() as patch:
        if where == "open":
            patch.setattr(os, "open", open_unless_direct)
        else:
            patch.setattr(os, "preadv", never)
        file = PageFile(path, content.nbytes)
    assert file.direct == -1
    assert "by the page cache of the system: [Errno 22]" in caplog.text
    reader = open_reader(engine, file)
    assert (read(reader, file, [7, 8]) == content[[7, 8]]).all()
    reader.close()


@pytest.mark.parametrize(
    "answer",
    [*range(0, PAGE, 512), 1, PAGE - 1, -1, -errno.EINTR, -errno.EAGAIN, -errno.EIO],
)
def test_what_an_engine_leaves_is_read_on(answer, path, content):
    file = PageFile(path, content.nbytes)
    reader = PageReader(Faulty(answer))
    assert (read(reader, file, [11, 12, 13]) == content[[11, 12, 13]]).all()
    reader.close()


class FaultyFile(PageFile):
    """Reads by the page cache fail with these errors first, then give 512 bytes at a time."""

    def fail(self, *numbers):
        self.errors = list(numbers)
        return self

    def read_into(self, target, offset):
        if self.errors:
            number = self.errors.pop(0)
            raise OSError(number, os.strerror(number))
        return super().read_into(target[:512], offset)


def test_reads_that_were_interrupted_are_tried_again(path, content):
    file = FaultyFile(path, content.nbytes).fail(errno.EAGAIN, errno.EINTR, errno.EAGAIN)
    reader = PageReader(Faulty(512))
    assert (read(reader, file, [0, 1]) == content[:2]).all()
    assert not file.errors
    reader.close()


@pytest.mark.parametrize("errors", [[errno.EIO], [errno.EAGAIN] * 200])
def test_reads_that_fail_name_the_file_and_the_offset(errors, path, content):
    file = FaultyFile(path, content.nbytes).fail(*errors)
    reader = PageReader(Faulty(1024))
    with pytest.raises(StorageError, match=f"at offset {3 * PAGE + 1024}: .*{errors[0]}") as caught:
        read(reader, file, [3])
    assert str(path) in str(caught.value)
    assert caught.value.reason == "CANNOT_READ"
    reader.close()


@pytest.mark.skipif(bool(NO_RING), reason=NO_RING or "")
def test_reads_go_on_when_no_ring_can_be_made_or_one_breaks(path, content):
    rings = [Ring()]

    def make():
        if not rings:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return rings.pop()

    file = PageFile(path, content.nbytes)
    engine = RingEngine(make)
    reader = PageReader(engine)
    assert (read(reader, file, range(9)) == content[:9]).all()
    (ring,) = engine._idle
    os.close(ring.handle)
    ring.handle = os.open(os.devnull, os.O_RDONLY)  # which takes no requests
    assert (read(reader, file, range(9)) == content[:9]).all()
    assert ring.handle == -1
    assert not engine._idle
    assert (read(reader, file, range(9)) == content[:9]).all()
    reader.close()
