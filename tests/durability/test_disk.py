"""A disk that is full, or fails: writes are refused, reads go on, nothing acknowledged is lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from vecdb.errors import LimitExceeded
from vecdb.storage.catalogue import get_counters, put_counters
from vecdb.storage.environment import DiskFull, Environment
from vecdb.storage.files import make_directory
from vecdb.storage.reserve import RESERVE_BYTES
from vecdb.storage.witness import read_witness
from vecdb.storage.writer import Writer
from vecdb.testing.faults import (
    run_with_failures,
    tiny_disk,
    why_no_failing_calls,
    why_no_tiny_disk,
)

SCRIPT = Path(__file__).with_name("failing_disk.py")
MIB = 1024 * 1024
VALUE = b"v" * 3_000


class Group:
    def __init__(self, transaction):
        self.transaction = transaction
        self.sequence = get_counters(transaction)[0]

    def put(self, number, value=VALUE):
        self.sequence += 1
        for part in range(5):
            self.transaction.put("records", b"%06d-%d" % (number, part), value)

    def finish(self):
        put_counters(self.transaction, self.sequence, 1)

    def publish(self):
        pass


@pytest.fixture
def disk(tmp_path):
    reason = why_no_tiny_disk()
    if reason:
        pytest.skip(reason)
    with tiny_disk(tmp_path / "disk", RESERVE_BYTES + MIB) as made:
        make_directory(made.path / "db")
        yield made


@pytest.fixture
def open_store(disk):
    """An environment and its writer on the tiny disk; closed after the test."""
    opened = []

    def start(map_bytes=None):
        environment = Environment(disk.path / "db", read_only=False, map_bytes=map_bytes)
        opened.append((environment, Writer(environment, Group, lambda: None)))
        return opened[-1]

    yield start
    for environment, writer in opened:
        writer.close()
        environment.close()


def put(writer, number):
    writer.submit(lambda group: group.put(number), len(VALUE)).result()


def fill(writer, first=0):
    """Write until the disk is full: the numbers that were acknowledged.

    A write that is refused once may find room the second time (``Environment._turn_over``).
    """
    number, refused = first, 0
    while refused < 2:
        try:
            put(writer, number)
            number, refused = number + 1, 0
        except DiskFull as error:
            refused += 1
            refusal = error
    assert isinstance(refusal, LimitExceeded)
    assert (refusal.reason, refusal.maybe_applied) == ("DISK_FULL", False)
    assert refusal.retry_after > 0
    assert "no space left" in refusal.message
    return list(range(first, number))


def numbers(environment):
    """The writes that are stored; each is whole."""
    with environment.read() as transaction:
        values = dict(transaction.scan("records"))
    found = sorted({int(key[:6]) for key in values})
    assert sorted(values) == [b"%06d-%d" % (n, part) for n in found for part in range(5)]
    assert set(values.values()) <= {VALUE}
    return found


# ------------------------------------------------------------------------------------ full disk


def test_full_disk_refuses_writes_and_reads_go_on(open_store):
    environment, writer = open_store()
    done = fill(writer)
    assert len(done) > 10
    for number in (2_000, 2_001):
        with pytest.raises(DiskFull):
            put(writer, number)
        assert numbers(environment) == done
    assert environment.failed is None


@pytest.mark.parametrize("map_bytes", [None, 65_536])
def test_writes_resume_when_the_disk_has_grown(disk, open_store, map_bytes):
    environment, writer = open_store(map_bytes)
    done = fill(writer)
    disk.resize(RESERVE_BYTES + 3 * MIB)
    for number in range(3_000, 3_040):
        put(writer, number)
        done.append(number)
    assert numbers(environment) == done


def test_writes_resume_when_something_else_is_removed(disk, open_store):
    environment, writer = open_store()
    put(writer, 0)
    disk.fill()
    done = [0, *fill(writer, first=1)]
    disk.free()
    put(writer, 4_000)
    assert numbers(environment) == [*done, 4_000]


def test_deletes_work_on_a_full_disk_and_make_room(open_store):
    environment, writer = open_store()
    done = fill(writer)
    for number in done[:10]:
        writer.submit(
            lambda group, n=number: group.transaction.delete_prefix("records", b"%06d" % n, 10), 1
        ).result()
    assert numbers(environment) == done[10:]
    put(writer, 5_000)
    assert numbers(environment) == [*done[10:], 5_000]


def test_small_writes_of_a_group_do_not_fail_with_the_large_one(open_store):
    environment, writer = open_store()
    entered, leave = threading.Event(), threading.Event()

    def hold(group):
        entered.set()
        leave.wait()

    writer.submit(hold, 1)
    entered.wait()
    small = [writer.submit(lambda group, n=n: group.put(n), 1) for n in range(2)]
    large = writer.submit(lambda group: group.put(9, bytes(MIB)), 1)
    small.append(writer.submit(lambda group: group.put(2), 1))
    leave.set()
    with pytest.raises(DiskFull):
        large.result()
    for future in small:
        future.result()
    assert numbers(environment) == [0, 1, 2]


def test_full_disk_is_opened_and_read_by_many(disk, open_store):
    environment, writer = open_store()
    done = fill(writer)
    writer.close()
    environment.close()
    disk.fill()
    environment, writer = open_store()
    assert numbers(environment) == done
    inside = threading.Barrier(200)
    found = []

    def read():
        with environment.read() as transaction:
            inside.wait()  # 200 transactions at once: each needs a place in LMDB's table
            found.append(transaction.entries("records"))

    readers = [threading.Thread(target=read) for _ in range(200)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert found == [5 * len(done)] * 200
    with pytest.raises(DiskFull):
        put(writer, 6_000)


def test_database_is_made_where_there_is_room_and_else_not_at_all(disk):
    """With 4 KiB more each time: no room for a file, for part of the tables, for all."""
    outcomes = []
    for pages in range(50):
        directory = disk.path / f"db{pages}"
        directory.mkdir()
        disk.fill(leave_bytes=4_096 * pages)
        try:
            environment = Environment(directory, read_only=False)
        except DiskFull:
            outcomes.append("full")
        else:
            outcomes.append("made")
            environment.close()
        disk.free()
        environment = Environment(directory, read_only=False)
        assert numbers(environment) == []
        environment.close()
        shutil.rmtree(directory)
    made = outcomes.index("made")
    assert outcomes == ["full"] * made + ["made"] * (50 - made)
    assert made > 17  # the table of readers alone has 17 pages


def test_acknowledged_writes_are_there_after_a_full_disk_and_reopening(disk, open_store):
    environment, writer = open_store()
    done = fill(writer)
    with environment.read() as transaction:
        assert read_witness(disk.path / "db").transaction == transaction.number
    writer.close()
    environment.close()
    environment, _ = open_store()
    assert numbers(environment) == done


# --------------------------------------------------------------------------------- failing disk


@pytest.fixture
def run(tmp_path):
    """Run ``failing_disk``; what it saw, and what is stored afterwards."""
    reason = why_no_failing_calls()
    if reason:
        pytest.skip(reason)

    def fail(point, error, nth=1):
        directory = tmp_path / f"{point.replace('/', '-')}-{error}-{nth}"
        directory.mkdir()
        result = run_with_failures(SCRIPT, [str(directory), point, str(error), str(nth)])
        assert result.returncode == 0, result.stderr
        seen = json.loads(result.stdout)
        environment = Environment(directory, read_only=False)
        with environment.read() as transaction:
            sequence = get_counters(transaction)[0]
            values = {value for _, value in transaction.scan("records")}
        environment.write(lambda transaction: transaction.put("records", b"more", b"v"))
        environment.close()
        assert values == {b"%d" % sequence * 100}  # one commit, whole
        return seen, sequence

    return fail


def done_of(seen):
    return [one["done"] is True for one in seen["commits"]]


@pytest.mark.slow
@pytest.mark.parametrize("point", ["posix/io/sync/fdatasync", "posix/io/rw/writev"])
@pytest.mark.parametrize("nth", [1, 3])
def test_store_stops_at_the_first_sync_that_fails(run, point, nth):
    seen, sequence = run(point, errno.EIO, nth)
    acknowledged = 2 + nth  # three, then each commit makes one such call
    assert done_of(seen) == [True] * acknowledged + [False] * (9 - acknowledged)
    assert sequence == acknowledged
    assert seen["calls"] == nth  # nothing was tried again
    assert seen["read"] == {"stored": [acknowledged]}
    refusals = seen["commits"][acknowledged:]
    assert {one["reason"] for one in refusals} == {"STORE_FAILED"}
    assert not any(one["maybe_applied"] for one in refusals)
    assert "Input/output error" in seen["failed"]


@pytest.mark.slow
def test_write_without_room_stops_nothing(run):
    seen, sequence = run("posix/io/rw/writev", errno.ENOSPC)
    assert done_of(seen) == [True] * 3 + [False] + [True] * 5
    assert seen["commits"][3] == {
        "done": "DiskFull",
        "reason": "DISK_FULL",
        "maybe_applied": False,
    }
    assert sequence == 9
    assert seen["read"] == {"stored": [9]}
    assert seen["failed"] is None


@pytest.mark.slow
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_every_write_to_the_disk_may_fail_and_nothing_acknowledged_is_lost(run, error):
    """The i-th pwrite of the commits: LMDB's pages, its meta page, or our witness."""
    stopped = set()
    for nth in range(1, 5):
        seen, sequence = run("posix/io/rw/pwrite", error, nth)
        done = done_of(seen)
        last = max(number for number, fine in enumerate(done, 1) if fine)
        maybe = {
            number for number, one in enumerate(seen["commits"], 1) if one.get("maybe_applied")
        }
        assert sequence == last or sequence in maybe
        if maybe:  # the meta page: LMDB ends, and only opening again helps
            assert maybe == {last + 1}
            assert not any(done[last:])
            assert seen["read"]["reason"] == "STORE_FAILED"
            stopped.add(nth)
        else:
            assert seen["read"] == {"stored": [last]}
    assert stopped


def test_reasons_to_skip_are_told(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    assert "root" in why_no_tiny_disk()
    monkeypatch.setenv("PATH", "")
    assert "fiu-utils" in why_no_failing_calls()
