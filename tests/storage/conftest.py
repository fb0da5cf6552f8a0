"""Databases at the level of tables, their writers, and other processes that open them."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from vecdb.storage.environment import Environment
from vecdb.storage.files import make_directory
from vecdb.storage.writer import Writer


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "db"
    make_directory(path)
    return path


@pytest.fixture
def open_environment(directory):
    """Open the database of ``directory``; closed after the test."""
    opened = []

    def open_again(*, read_only=False, map_bytes=None):
        opened.append(Environment(directory, read_only=read_only, map_bytes=map_bytes))
        return opened[-1]

    yield open_again
    for environment in opened:
        environment.close()


@pytest.fixture
def environment(open_environment):
    return open_environment()


class Child:
    """A Python program that answers each line of its input with a line."""

    def __init__(self, code, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def answer(self):
        return self.process.stdout.readline().rstrip("\n")

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.answer()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        """Let it finish; the rest of its output."""
        output, _ = self.process.communicate(timeout=60)
        return output.splitlines()


@pytest.fixture
def start_child():
    children = []

    def start(code, *arguments):
        children.append(Child(code, *arguments))
        return children[-1]

    yield start
    for child in children:
        child.kill()
        child.process.stdin.close()
        child.process.stdout.close()


@pytest.fixture
def put(environment):
    """Write values of one table, in one commit."""

    def write(table, values):
        environment.write(lambda transaction: transaction.put_many(table, values.items()))

    return write


@pytest.fixture
def values_of():
    """All values of a table."""

    def read(environment, table, prefix=b"", start=None):
        with environment.read() as transaction:
            return dict(transaction.scan(table, prefix, start))

    return read


class Group:
    """Keeps the history of one transaction; ``finish`` counts the writes of all in a counter."""

    def __init__(self, transaction, published):
        self.transaction = transaction
        self.published = published
        self.put = []

    def add(self, key, value=b"v"):
        self.transaction.put("records", key, value)
        self.put.append(key)
        return len(self.put)

    def finish(self):
        if self.put:
            self.transaction.put("payloads", b"last", b",".join(self.put))

    def publish(self):
        self.published.append(self.put)

    @property
    def sequence(self):
        return 0


class Writing:
    """A writer whose thread can be held, so that writes wait together."""

    def __init__(self, environment, *, group=Group, idle=lambda: None):
        self.groups = []
        self._leave = threading.Event()

        self.writer = Writer(environment, lambda transaction: group(transaction, self.groups), idle)

    def add(self, *keys, size_bytes=1):
        return [
            self.writer.submit(lambda group, key=key: group.add(key), size_bytes) for key in keys
        ]

    def hold(self):
        """Returns when the thread is inside a write of its own, which ends at ``leave``."""
        inside = threading.Event()

        def wait(group):
            inside.set()
            self._leave.wait()

        held = self.writer.submit(wait, 1)
        inside.wait()
        return held

    def leave(self):
        self._leave.set()

    def close(self):
        self.leave()
        self.writer.close()


@pytest.fixture
def start_writing(open_environment):
    """A ``Writing`` on an environment, a new one if none is given; closed after the test."""
    started = []

    def start(environment=None, **options):
        started.append(Writing(environment or open_environment(), **options))
        return started[-1]

    yield start
    for writing in started:
        writing.close()


@pytest.fixture
def writing(start_writing, environment):
    return start_writing(environment)


@pytest.fixture
def group_class():
    """To be derived from, where a group has to misbehave."""
    return Group
