"""Databases at the level of tables, and other processes that open them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vecdb.storage.environment import Environment
from vecdb.storage.files import make_directory


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
