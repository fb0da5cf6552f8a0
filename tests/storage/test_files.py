"""The lock of a directory, files written whole, and what is refused before it is mapped."""

from __future__ import annotations

import os
import signal
import struct

import pytest

from vecdb.errors import DataCorruption, NotFound, StorageError, Unavailable
from vecdb.storage import files
from vecdb.storage.environment import Environment
from vecdb.storage.files import DirectoryLock, check_data_file, make_directory
from vecdb.testing.faults import PAGE_BYTES, truncate, zero_page

HOLDER = """
import sys
from pathlib import Path
from vecdb.storage.files import DirectoryLock
lock = DirectoryLock(Path(sys.argv[1]))
print("held", flush=True)
for _ in sys.stdin:
    lock.release()
    print("released", flush=True)
"""
FORKER = """
import os, sys
from pathlib import Path
from vecdb.storage.files import DirectoryLock
lock = DirectoryLock(Path(sys.argv[1]))
ready, tell = os.pipe()
if os.fork() == 0:
    os.write(tell, b"x")
    for _ in sys.stdin:
        pass
    os._exit(0)
os.read(ready, 1)
print("forked", flush=True)
os._exit(0)
"""
META_AT, PAGE_SIZE_AT, LAST_PAGE_AT, TRANSACTION_AT = 16, 40, 136, 144


@pytest.fixture
def data(directory, open_environment):
    """``data.mdb`` after a few commits."""
    environment = open_environment()
    for number in range(3):
        value = bytes([number]) * 9_000
        environment.write(lambda transaction, value=value: transaction.put("records", b"k", value))
    environment.close()
    return directory / "data.mdb"


def overwrite(path, offset, data):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def newer_page(path):
    """Offset of the meta page of the last commit."""
    meta = check_data_file(path.parent)
    return (meta.transaction & 1) * meta.page_bytes


def error_of(path) -> DataCorruption:
    """The same from the check and from opening, which changes nothing."""
    before = path.read_bytes()
    with pytest.raises(DataCorruption) as caught:
        check_data_file(path.parent)
    for read_only in (True, False):
        with pytest.raises(DataCorruption):
            Environment(path.parent, read_only=read_only)
    assert path.read_bytes() == before
    return caught.value


# --------------------------------------------------------------------------------------- locks


def test_second_writer_is_refused_with_the_pid_of_the_first(directory, start_child):
    child = start_child(HOLDER, directory)
    assert child.answer() == "held"
    with pytest.raises(Unavailable, match=f"process {child.process.pid}") as caught:
        DirectoryLock(directory)
    assert caught.value.reason == "LOCKED"
    assert child.ask("release") == "released"
    DirectoryLock(directory).release()


def test_second_writer_in_the_same_process_is_refused(directory):
    lock = DirectoryLock(directory)
    with pytest.raises(Unavailable, match=f"process {os.getpid()}"):
        DirectoryLock(directory)
    lock.release()


def test_lock_dies_with_its_process(directory, start_child):
    child = start_child(HOLDER, directory)
    assert child.answer() == "held"
    os.kill(child.process.pid, signal.SIGKILL)
    child.process.wait()
    DirectoryLock(directory).release()


def test_forked_child_does_not_hold_the_lock_of_its_dead_parent(directory, start_child):
    child = start_child(FORKER, directory)
    assert child.answer() == "forked"
    child.process.wait()  # the grandchild still reads our end of the pipe
    DirectoryLock(directory).release()


def test_released_lock_is_free_although_a_child_still_has_its_handle(directory):
    """A child of ``subprocess`` has it until it runs its program."""
    lock = DirectoryLock(directory)
    childs = os.dup(lock._handle)
    lock.release()
    DirectoryLock(directory).release()
    os.close(childs)


def test_lock_that_is_released_twice_leaves_other_files_alone(directory, tmp_path):
    lock = DirectoryLock(directory)
    lock.release()
    with (tmp_path / "other").open("w") as other:  # may get the number of the handle
        lock.release()
        other.write("still open")
    assert (tmp_path / "other").read_text() == "still open"


# --------------------------------------------------------------------------------------- files


def test_directory_is_made_with_its_parents_for_the_owner_only(tmp_path):
    path = tmp_path / "a" / "b" / "c"
    make_directory(path)
    make_directory(path)
    assert path.is_dir()
    assert path.stat().st_mode & 0o777 == 0o700


def test_file_where_a_directory_should_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="found a file"):
        make_directory(tmp_path / "file")


def test_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "file"
    files.write_file(path, b"old")
    files.write_file(path, b"x" * 3_000_000)
    assert path.read_bytes() == b"x" * 3_000_000
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.write_file(path, b"old")

    def refuse(handle):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="Input/output"):
        files.write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_database_that_is_not_there_is_not_found(directory):
    with pytest.raises(NotFound) as caught:
        files.require_database(directory)
    assert caught.value.field == "path"
    with pytest.raises(NotFound):
        Environment(directory, read_only=True)
    assert not (directory / "data.mdb").exists()


def test_lock_table_has_its_room_on_the_disk(directory, environment):
    state = (directory / "lock.mdb").stat()
    assert state.st_blocks * 512 >= state.st_size >= 1_024 * 64


def test_lock_table_of_an_open_database_is_not_opened_again(directory, environment, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("to close it would drop LMDB's locks")

    monkeypatch.setattr(os, "open", refuse)
    files.reserve_lock_table(directory)


# ------------------------------------------------------------------------------------ data.mdb


def test_no_file_has_no_meta_page(directory):
    assert check_data_file(directory) is None


def test_newer_meta_page_is_read(data):
    meta = check_data_file(data.parent)
    assert meta.transaction == 4  # the tables, then three writes
    assert meta.page_bytes == PAGE_BYTES
    assert data.stat().st_size >= (meta.last_page + 1) * PAGE_BYTES


def test_short_file_is_refused_with_the_arithmetic(data):
    pages = check_data_file(data.parent).last_page + 1
    size = pages * PAGE_BYTES
    truncate(data, size - 1)
    error = error_of(data)
    assert f"{pages} pages of {PAGE_BYTES} bytes make {size} bytes" in error.message
    assert f"the file has {size - 1}" in error.message
    assert (error.path, error.offset) == (str(data), size - 1)


@pytest.mark.parametrize("size", [0, 1, 151, 4_095, 4_096, 4_247, 8_191, 8_192])
def test_file_that_ends_near_its_meta_pages_is_refused(data, size):
    truncate(data, size)
    assert error_of(data).path == str(data)


@pytest.mark.parametrize("page", [0, 1])
def test_zeroed_meta_page_is_refused(data, page):
    zero_page(data, page)
    assert "meta page" in error_of(data).message


@pytest.mark.parametrize("page", [0, 1])
@pytest.mark.parametrize("at", [META_AT, META_AT + 4])
def test_meta_page_of_another_kind_is_refused(data, page, at):
    overwrite(data, page * PAGE_BYTES + at, b"\x07")
    assert error_of(data).offset == page * PAGE_BYTES


@pytest.mark.parametrize("page_bytes", [0, 1, 512, 5_000, 2**31])
def test_page_size_that_lmdb_does_not_know_is_refused(data, page_bytes):
    overwrite(data, PAGE_SIZE_AT, struct.pack("<I", page_bytes))
    assert f"a page size of {page_bytes}" in error_of(data).message


def test_page_size_that_is_not_the_files_is_refused(data):
    overwrite(data, PAGE_SIZE_AT, struct.pack("<I", 8_192))
    assert error_of(data).offset == 8_192


def test_last_page_beyond_the_file_is_refused(data):
    overwrite(data, newer_page(data) + LAST_PAGE_AT, struct.pack("<Q", 2**40))
    assert str((2**40 + 1) * PAGE_BYTES) in error_of(data).message


@pytest.mark.parametrize("commits", [(4, 2), (6, 3), (3, 4), (4, 4), (3, 3), (0, 4), (5, 4)])
def test_meta_pages_of_commits_that_do_not_follow_each_other_are_refused(data, commits):
    for page, commit in enumerate(commits):
        overwrite(data, page * PAGE_BYTES + TRANSACTION_AT, struct.pack("<Q", commit))
    assert f"commits {commits[0]} and {commits[1]}" in error_of(data).message


def test_size_is_taken_after_the_meta_page(data, monkeypatch):
    """A writer makes the file longer, then writes the meta page: never the other way round."""
    small = check_data_file(data.parent)
    before = data.read_bytes()
    environment = Environment(data.parent, read_only=False)
    environment.write(lambda transaction: transaction.put("records", b"big", bytes(100_000)))
    environment.close()
    after = data.read_bytes()
    assert len(after) > len(before)
    data.write_bytes(before)
    read_meta = files.read_meta

    def commit_and_read(path, handle):
        overwrite(path, 0, after)
        return read_meta(path, handle)

    monkeypatch.setattr(files, "read_meta", commit_and_read)
    assert check_data_file(data.parent).last_page > small.last_page
