"""Opening with care; one writer, many readers, nothing half done."""

from __future__ import annotations

import os
import uuid

import lmdb
import pytest

from vecdb.errors import (
    DataCorruption,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    StorageError,
    Unavailable,
    UnsupportedFormat,
)
from vecdb.storage import format
from vecdb.storage.checksum import pack, seal
from vecdb.storage.environment import Environment
from vecdb.storage.files import DirectoryLock

FORKED = """
import os, sys
from pathlib import Path
from vecdb.errors import VecDBError
from vecdb.storage.environment import Environment
from vecdb.storage.writer import Writer

class Group:
    sequence = 0
    def __init__(self, transaction): self.transaction = transaction
    def finish(self): pass
    def publish(self): pass

def put(target):
    target.transaction.put("records", b"k", b"v")

environment = Environment(Path(sys.argv[1]), read_only=False)
writer = Writer(environment, Group, lambda: None)
writer.submit(put, 1).result()

def read():
    with environment.read() as transaction:
        return transaction.get("records", b"k")

if os.fork() == 0:
    for call in (read, lambda: environment.write(print), lambda: writer.submit(put, 1),
                 environment.sizes):
        try:
            print("child", call(), flush=True)
        except VecDBError as error:
            print("child", type(error).__name__, error.reason, flush=True)
    writer.close()
    environment.close()
    os._exit(0)
os.wait()
print("parent", read(), flush=True)
writer.submit(put, 1).result()
writer.close()
environment.close()
"""
FORKED_INSIDE = """
import os, sys
from pathlib import Path
from vecdb.storage.environment import Environment

environment = Environment(Path(sys.argv[1]), read_only=False)
environment.write(lambda transaction: transaction.put("records", b"k", b"old"))
with environment.read() as reading:
    if os.fork() == 0:
        raise SystemExit  # leaves the block in the child
    os.wait()
    for number in range(20):
        environment.write(lambda transaction: transaction.put("records", b"k", b"%d" % number))
    print(reading.get("records", b"k"), flush=True)
"""
CLOSED_BEFORE_ITS_CHILD = """
import os, sys
from pathlib import Path
from vecdb.storage.environment import Environment

environment = Environment(Path(sys.argv[1]), read_only=False)
if os.fork() == 0:
    sys.stdin.read()
    os._exit(0)
environment.close()
print("closed", flush=True)
sys.stdin.read()
os.wait()
"""


def put_one(transaction):
    transaction.put("records", b"k", b"v")


def raw(directory, change):
    """Change the LMDB tables themselves: ``change(transaction, table)``."""
    environment = lmdb.open(str(directory), max_dbs=len(format.TABLES))
    with environment.begin(write=True) as transaction:
        change(transaction, lambda name: environment.open_db(name, txn=transaction, create=False))
    environment.close()


def new_database(directory):
    Environment(directory, read_only=False).close()
    return directory / "data.mdb"


# ------------------------------------------------------------------------------------- opening


def test_new_database_has_an_id_that_stays(directory):
    ids = []
    for read_only in (False, False, True):
        environment = Environment(directory, read_only=read_only)
        ids.append(environment.database_id)
        environment.close()
    assert isinstance(ids[0], uuid.UUID)
    assert len(set(ids)) == 1


def test_files_are_the_owners_only(directory, environment):
    modes = {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}
    names = ("data.mdb", "lock.mdb", "vecdb.lock", "witness", "reserve")
    assert modes == dict.fromkeys(names, 0o600)


def test_new_database_is_made_by_one_commit(environment):
    with environment.read() as transaction:
        assert transaction.number == 1
        assert {transaction.entries(table) for table in format.TABLES[1:]} == {0}


def test_map_of_less_than_a_few_pages_is_refused(directory):
    with pytest.raises(InvalidArgument) as caught:
        Environment(directory, read_only=False, map_bytes=65_535)
    assert caught.value.field == "map_bytes"


def test_database_is_made_in_the_smallest_map(open_environment):
    open_environment(map_bytes=65_536).write(put_one)


@pytest.mark.parametrize("read_only", [True, False])
def test_file_without_a_commit_is_damage_and_not_filled(directory, read_only):
    lmdb.open(str(directory)).close()
    before = (directory / "data.mdb").read_bytes()
    with pytest.raises(DataCorruption, match="commits 0 and 0"):
        Environment(directory, read_only=read_only)
    assert (directory / "data.mdb").read_bytes() == before


def test_database_is_under_another_name_until_it_is_whole(directory, monkeypatch):
    def refuse(old, new):
        assert (directory / "data.mdb.new").exists()
        with pytest.raises(NotFound):
            Environment(directory, read_only=True)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(StorageError, match="Input/output"):
        Environment(directory, read_only=False)
    monkeypatch.undo()
    assert not list(directory.glob("data.mdb*"))
    (directory / "data.mdb.new").write_bytes(b"left by a process that was killed")
    Environment(directory, read_only=False).close()
    assert [path.name for path in directory.glob("data.mdb*")] == ["data.mdb"]


def test_directory_that_is_not_there_cannot_be_opened(tmp_path):
    with pytest.raises(StorageError, match="cannot open") as caught:
        Environment(tmp_path / "missing", read_only=False)
    assert caught.value.reason == "CANNOT_OPEN"


def test_second_environment_in_the_same_process_is_refused(directory, environment):
    for read_only in (True, False):
        with pytest.raises(Unavailable) as caught:
            Environment(directory, read_only=read_only)
        assert caught.value.reason == "LOCKED"
    environment.write(put_one)


def test_newer_format_is_refused_and_left_as_it_is(directory):
    environment = Environment(directory, read_only=False)
    header = pack(format.FORMAT, magic=format.MAGIC, version=format.VERSION + 1)
    environment.write(lambda transaction: transaction.put("database", format.FORMAT_KEY, header))
    environment.close()
    raw(directory, lambda transaction, table: transaction.drop(table(b"key_times")))
    before = (directory / "data.mdb").read_bytes()
    for read_only in (True, False, False):
        with pytest.raises(UnsupportedFormat, match=f"version {format.VERSION + 1}") as caught:
            Environment(directory, read_only=read_only)
        assert (caught.value.found, caught.value.supported) == (format.VERSION + 1, format.VERSION)
    assert (directory / "data.mdb").read_bytes() == before


def test_refused_opening_leaves_nothing_open(directory, monkeypatch):
    new_database(directory)
    monkeypatch.setattr(format, "VERSION", 0)
    with pytest.raises(UnsupportedFormat) as caught:  # holds the frames of the failed opening
        Environment(directory, read_only=False)
    monkeypatch.undo()
    DirectoryLock(directory).release()
    Environment(directory, read_only=True).close()
    assert caught.value.found == format.VERSION


@pytest.mark.parametrize("table", format.TABLES)
@pytest.mark.parametrize("read_only", [True, False])
def test_lost_table_is_damage_and_not_made_anew(directory, table, read_only):
    data = new_database(directory)
    raw(directory, lambda transaction, find: transaction.drop(find(table.encode())))
    (directory / "witness").unlink()
    before = data.read_bytes()
    with pytest.raises(DataCorruption, match="table is missing"):
        Environment(directory, read_only=read_only)
    assert data.read_bytes() == before


@pytest.mark.parametrize("key", [format.FORMAT_KEY, format.COUNTERS_KEY])
@pytest.mark.parametrize("read_only", [True, False])
def test_lost_format_and_counters_are_damage_and_not_made_anew(directory, key, read_only):
    data = new_database(directory)
    raw(directory, lambda transaction, find: transaction.delete(key, db=find(b"database")))
    (directory / "witness").unlink()
    before = data.read_bytes()
    with pytest.raises(DataCorruption, match="missing"):
        Environment(directory, read_only=read_only)
    assert data.read_bytes() == before


def test_damaged_value_is_not_returned(directory, open_environment):
    environment = open_environment()
    environment.write(put_one)
    environment.close()
    stored = bytearray(seal("records", b"k", b"v"))
    stored[0] ^= 1
    raw(directory, lambda transaction, find: transaction.put(b"k", stored, db=find(b"records")))
    environment = open_environment()
    with environment.read() as transaction:
        for read in (
            lambda: transaction.get("records", b"k"),
            lambda: transaction.get_many("records", [b"k"]),
            lambda: list(transaction.scan("records")),
        ):
            with pytest.raises(DataCorruption, match="table 'records'"):
                read()
    with pytest.raises(DataCorruption):
        environment.write(lambda transaction: transaction.get("records", b"k"))
    environment.write(put_one)  # the store itself goes on
    assert environment.failed is None


# ------------------------------------------------------------------------- reading and writing


def test_written_values_are_there_after_reopening(open_environment, values_of):
    environment = open_environment()
    environment.write(put_one)
    environment.close()
    assert values_of(open_environment(read_only=True), "records") == {b"k": b"v"}


def test_answer_of_the_write_is_returned(environment):
    assert environment.write(lambda transaction: transaction.number) == 2


def test_nothing_is_applied_if_the_write_raises(environment, values_of):
    def fail(transaction):
        put_one(transaction)
        raise error

    for error in (KeyError("a bug"), InvalidArgument("a refusal")):
        with pytest.raises(type(error)):
            environment.write(fail)
    assert values_of(environment, "records") == {}
    assert environment.failed is None


def test_reader_sees_one_commit(environment):
    with environment.read() as before:
        environment.write(put_one)
        with environment.read() as after:
            assert before.get("records", b"k") is None
            assert after.get("records", b"k") == b"v"
            assert after.number == before.number + 1


def test_reader_that_raises_leaves_the_map_free(open_environment):
    environment = open_environment(map_bytes=65_536)
    with pytest.raises(KeyError), environment.read():
        raise KeyError
    environment.write(lambda transaction: transaction.put("records", b"k", bytes(200_000)))


def test_reader_may_not_write(directory, open_environment):
    new_database(directory)
    environment = open_environment(read_only=True)
    with pytest.raises(PreconditionFailed) as caught:
        environment.write(put_one)
    assert caught.value.reason == "READ_ONLY"
    assert environment.failed is None
    with environment.read() as transaction:
        assert transaction.entries("records") == 0


@pytest.mark.parametrize("key", [b"", b"k" * 512])
def test_key_that_does_not_fit_is_refused_and_stops_nothing(environment, key):
    with pytest.raises(InvalidArgument) as caught:
        environment.write(lambda transaction: transaction.put("records", key, b"v"))
    assert caught.value.reason == "BAD_KEY"
    environment.write(put_one)
    assert environment.failed is None


def test_sizes_tell_file_map_and_readers(directory, environment):
    sizes = environment.sizes()
    assert sizes["data_bytes"] == (directory / "data.mdb").stat().st_size
    assert sizes["map_bytes"] == 4 * 1024**3
    assert sizes["readers"] >= 1


# ------------------------------------------------------------------------------ closed, forked


def test_closing_twice_is_harmless_and_nothing_works_afterwards(directory, environment):
    environment.close()
    environment.close()
    for call in (
        lambda: environment.read().__enter__(),
        lambda: environment.write(put_one),
        environment.sizes,
    ):
        with pytest.raises(Unavailable) as caught:
            call()
        assert caught.value.reason == "CLOSED"
    environment.note_commit(5)  # of a commit that was synced just before
    DirectoryLock(directory).release()


def test_forked_child_is_refused_and_harms_nothing(directory, start_child):
    lines = start_child(FORKED, directory).end()
    assert lines == ["child Unavailable FORKED"] * 4 + ["parent b'v'"]


def test_child_forked_inside_a_read_leaves_its_parents_transaction_alone(directory, start_child):
    assert start_child(FORKED_INSIDE, directory).end() == ["b'old'"]


def test_lock_is_free_once_the_parent_has_closed(directory, start_child):
    child = start_child(CLOSED_BEFORE_ITS_CHILD, directory)
    assert child.answer() == "closed"  # and the grandchild lives on
    Environment(directory, read_only=False).close()
