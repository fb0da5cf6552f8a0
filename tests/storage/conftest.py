"""Databases at the level of tables, their writers, other processes that open them; segments."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid

import numpy as np
import pytest

from vecdb.storage.columns import MISSING
from vecdb.storage.environment import Environment
from vecdb.storage.files import make_directory
from vecdb.storage.manifest import SegmentRow
from vecdb.storage.page_geometry import geometry
from vecdb.storage.segment_check import verify_segment
from vecdb.storage.segment_files import (
    read_codes,
    read_column,
    read_ids,
    read_info,
    read_tree,
    read_vectors,
    segment_folder,
)
from vecdb.storage.segment_info import ColumnInfo, QuantizerInfo, SegmentInfo, TreeInfo
from vecdb.storage.segment_writer import SegmentWriter
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


DIM, WORDS, COUNT = 100, 2, 45
BLOCKS = 6
SHAPE = geometry(DIM, "float32")
LANGS = ["de", None, MISSING, ["en", "fr"], []] * 9
YEARS = [2000, None, MISSING, [1, 2], []] * 9


class Written:
    """A segment of 45 vectors, what was put into it, and how to read it."""

    def __init__(self, root, segment, *, bits=4, texts=True, seed=1):
        rng = np.random.default_rng(seed)
        self.root, self.uuid = root, segment
        self.vectors = rng.standard_normal((COUNT, DIM), np.float32)
        self.codes = rng.integers(0, 2**64, (BLOCKS, WORDS, 8), np.uint64)
        self.fac = rng.standard_normal((BLOCKS, 2, 8), np.float32)
        self.codes[-1, :, COUNT % 8 :] = 0
        self.fac[-1, :, COUNT % 8 :] = 0
        row = (bits - 1) * WORDS + 1
        self.refine = rng.integers(0, 2**64, (COUNT, row), np.uint64) if bits > 1 else None
        self.tree = {"centroids": rng.standard_normal((3, DIM), np.float32)}
        self.tree["lo"] = np.array([0, 0, 20], np.uint32)
        self.origins = rng.permutation(COUNT).astype(np.uint64) + 100
        self.ids = [f"é{origin}" for origin in self.origins] if texts else self.origins.astype("i8")
        self.info = SegmentInfo(
            uuid=segment,
            count=COUNT,
            dim=DIM,
            metric="l2",
            dtype="float32",
            id_kind=2 if texts else 1,
            page_bytes=SHAPE.page_bytes,
            per_page=SHAPE.per_page,
            quantizer=QuantizerInfo(
                version=1, rotation="fht3", seed=7, padded=128, block=128, bits=bits, kappa=0.62
            ),
            tree=TreeInfo(leaf=128, branching=32, seed=7, nodes=3),
            columns=(
                ColumnInfo(name="lang", kind="keyword"),
                ColumnInfo(name="year", kind="int"),
            ),
            sequence=9,
            first_origin=100,
            last_origin=100 + COUNT - 1,
        )

    def fill(self, writer):
        writer.start_pages(SHAPE, COUNT)
        for part in np.array_split(self.vectors, 4):
            writer.append_vectors(part)
        writer.finish_pages()
        writer.write_codes(self.codes, self.fac, self.refine, self.vectors.mean(axis=0))
        writer.write_tree(self.tree)
        writer.write_ids(self.ids, self.origins)
        for index, column in enumerate(self.info.columns):
            writer.write_column(index, column.kind, LANGS if column.name == "lang" else YEARS)

    def write(self):
        with SegmentWriter(self.root, self.uuid) as writer:
            self.fill(writer)
            self.info, self.checksum = writer.commit(self.info)
        return self

    @property
    def row(self):
        return SegmentRow(
            uuid=self.uuid,
            count=COUNT,
            json_checksum=self.checksum,
            sequence=9,
            first_origin=100,
            last_origin=100 + COUNT - 1,
        )

    @property
    def folder(self):
        return segment_folder(self.root, self.uuid)

    def read_all(self):
        info = read_info(self.root, self.uuid, self.checksum)
        for read in (read_codes, read_tree, read_ids, read_vectors):
            read(self.root, info)
        for index in range(len(info.columns)):
            read_column(self.root, info, index)

    def faults(self):
        return list(verify_segment(self.root, self.row))


@pytest.fixture
def new_segment(tmp_path):
    """A segment of the database in ``tmp_path / "db"``, not written yet."""
    root = tmp_path / "db"
    root.mkdir(exist_ok=True)
    return lambda number=1, **options: Written(root, uuid.UUID(int=number), **options)


@pytest.fixture
def written(new_segment):
    return new_segment().write()
