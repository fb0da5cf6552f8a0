"""The map grows by itself, whoever reads meanwhile."""

from __future__ import annotations

import threading

import pytest

from vecdb.errors import Unavailable
from vecdb.storage.environment import Environment
from vecdb.storage.gate import Gate

SMALL = 65_536
VALUE_BYTES = 20_000
READER = """
import sys
from pathlib import Path
from vecdb.storage.environment import Environment

environment = Environment(Path(sys.argv[1]), read_only=True, map_bytes=65_536)
before = environment.sizes()["map_bytes"]
for _ in sys.stdin:
    with environment.read() as transaction:
        values = dict(transaction.scan("records"))
    whole = all(value == key[:1] * 20_000 for key, value in values.items())
    grown = environment.sizes()["map_bytes"] > before
    print(len(values), whole, grown, flush=True)
"""
WRITER = """
import sys
from pathlib import Path
from vecdb.storage.environment import Environment

environment = Environment(Path(sys.argv[1]), read_only=False, map_bytes=65_536)
for line in sys.stdin:
    key = line.strip().encode()
    environment.write(lambda transaction: transaction.put("records", key, key[:1] * 20_000))
    print("written", flush=True)
"""
WITHOUT_MEMORY = """
import resource, sys
from pathlib import Path
from vecdb.errors import LimitExceeded
from vecdb.storage.environment import Environment

environment = Environment(Path(sys.argv[1]), read_only=False, map_bytes=4 * 1024 * 1024)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2 * 1024 * 1024, resource.RLIM_INFINITY))
written = 0
try:
    while True:
        environment.write(
            lambda transaction: transaction.put("records", b"%d" % written, bytes(500_000))
        )
        written += 1
except LimitExceeded as error:
    print(error.reason)
with environment.read() as transaction:
    print(transaction.entries("records") == written > 0)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
environment.write(lambda transaction: transaction.put("records", b"more", bytes(500_000)))
print(environment.sizes()["map_bytes"])
"""


def put(environment, key):
    value = key[:1] * VALUE_BYTES
    environment.write(lambda transaction: transaction.put("records", key, value))


def keys(count):
    return [b"%03d" % number for number in range(count)]


def test_map_grows_as_often_as_one_write_needs(open_environment, values_of):
    environment = open_environment(map_bytes=SMALL)
    runs = []

    def write(transaction):
        runs.append(transaction.number)
        for key in keys(50):
            transaction.put("records", key, key[:1] * VALUE_BYTES)

    environment.write(write)
    assert len(runs) > 2
    assert len(set(runs)) == 1  # each run begins from the same commit
    assert len(values_of(environment, "records")) == 50
    assert environment.sizes()["map_bytes"] >= 50 * VALUE_BYTES


def test_grown_database_is_opened_with_room_to_grow(open_environment, values_of):
    environment = open_environment(map_bytes=SMALL)
    for key in keys(30):
        put(environment, key)
    environment.close()
    environment = open_environment(map_bytes=SMALL)
    assert environment.sizes()["map_bytes"] >= 2 * environment.sizes()["data_bytes"]
    assert list(values_of(environment, "records")) == keys(30)


def test_map_grows_while_other_threads_read(open_environment):
    environment = open_environment(map_bytes=SMALL)
    stop = threading.Event()
    faults = []

    def read():
        while not stop.is_set():
            with environment.read() as transaction:
                count = transaction.entries("records")
                last = transaction.get("records", b"%03d" % (count - 1)) if count else None
                found = sum(1 for _ in transaction.scan("records"))
            if found != count or last != (b"0" * VALUE_BYTES if count else None):
                faults.append((count, found))
            rounds.release()

    rounds = threading.Semaphore(0)
    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for key in keys(40):
        put(environment, key)
        rounds.acquire()  # at least one read for each write
    stop.set()
    for reader in readers:
        reader.join()
    assert faults == []
    assert environment.sizes()["map_bytes"] > 8 * SMALL


def test_growing_waits_for_a_reader_of_another_thread(open_environment):
    environment = open_environment(map_bytes=SMALL)
    order = []

    def grow():
        environment.write(lambda transaction: transaction.put("records", b"big", bytes(10 * SMALL)))
        order.append("grown")

    with environment.read() as transaction:
        put(environment, b"0")  # fits, so it does not wait
        growing = threading.Thread(target=grow)
        growing.start()
        while not environment._gate._wanted:
            pass
        assert transaction.entries("records") == 0
        order.append("read")
    growing.join()
    assert order == ["read", "grown"]


def test_reading_process_follows_the_growth_of_the_writing_one(directory, start_child):
    environment = Environment(directory, read_only=False, map_bytes=SMALL)
    put(environment, b"000")
    reader = start_child(READER, directory)
    assert reader.ask("read") == "1 True False"
    for key in keys(100):
        put(environment, key)
    assert reader.ask("read") == "100 True True"
    environment.write(lambda transaction: transaction.delete("records", b"050"))
    assert reader.ask("read") == "99 True True"
    environment.close()
    assert reader.ask("read") == "99 True True"


def test_threads_of_a_reading_process_follow_together(directory, open_environment, start_child):
    writer = start_child(WRITER, directory)
    assert writer.ask("000") == "written"
    environment = open_environment(read_only=True, map_bytes=SMALL)
    faults = []

    def read(count):
        with environment.read() as transaction:
            if len(dict(transaction.scan("records"))) != count:
                faults.append(count)

    for count, key in enumerate(keys(30)[1:], 2):
        assert writer.ask(key.decode()) == "written"
        readers = [threading.Thread(target=read, args=(count,)) for _ in range(4)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
    assert faults == []
    assert environment.sizes()["map_bytes"] > 4 * SMALL


def test_map_that_may_not_grow_refuses_the_write_and_nothing_else(directory, start_child):
    lines = start_child(WITHOUT_MEMORY, directory).end()
    assert lines == ["ADDRESS_SPACE", "True", str(8 * 1024 * 1024)]


# ---------------------------------------------------------------------------------------- gate


def test_one_who_waits_to_be_alone_goes_before_those_who_come_later():
    gate = Gate()
    order = []

    def alone():
        with gate.alone():
            order.append("alone")

    def together():
        with gate.together():
            order.append("together")

    with gate.together():
        first = threading.Thread(target=alone)
        first.start()
        while not gate._wanted:
            pass
        second = threading.Thread(target=together)
        second.start()
        assert order == []
    first.join()
    second.join()
    assert order == ["alone", "together"]


def test_many_are_together_at_once():
    gate = Gate()
    barrier = threading.Barrier(4)

    def together():
        with gate.together():
            barrier.wait()  # passes only if all four are inside

    threads = [threading.Thread(target=together) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not barrier.broken


def test_gate_is_free_after_an_error_inside():
    gate = Gate()
    for enter in (gate.together, gate.alone):
        with pytest.raises(KeyError), enter():
            raise KeyError
    with gate.alone():
        pass


def test_interrupted_wait_lets_the_others_in(monkeypatch):
    gate = Gate()
    with gate.together():
        with monkeypatch.context() as patched:

            def interrupt():
                raise KeyboardInterrupt

            patched.setattr(gate._condition, "wait", interrupt)
            with pytest.raises(KeyboardInterrupt), gate.alone():
                pass
        with gate.together():
            pass


def test_closing_waits_for_readers_and_stops_those_who_come_later(open_environment):
    environment = open_environment()
    refused = []

    def late():
        try:
            with environment.read():
                pass
        except Unavailable as error:
            refused.append(error.reason)

    with environment.read() as transaction:
        closing = threading.Thread(target=environment.close)
        closing.start()
        while not environment._gate._wanted:
            pass
        reader = threading.Thread(target=late)
        reader.start()
        assert transaction.entries("records") == 0
    closing.join()
    reader.join()
    assert refused == ["CLOSED"]
