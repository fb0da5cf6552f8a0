"""A database that version 1 wrote, before there were segments, opens and loses nothing.

``database_v1/data.mdb`` is a real one: records r0 to r9 of ``docs`` but r3, and two of ``small``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import lmdb
import numpy as np
import pytest

import vecdb
from vecdb.check import check_directory
from vecdb.errors import DataCorruption, UnsupportedFormat
from vecdb.storage import format
from vecdb.storage.catalogue import State, scan_states
from vecdb.storage.checksum import unpack
from vecdb.storage.environment import Environment

STORED = Path(__file__).with_name("database_v1")


@pytest.fixture
def directory(tmp_path):
    return Path(shutil.copytree(STORED, tmp_path / "db"))


def version_of(environment):
    with environment.read() as transaction:
        value = transaction.get("database", format.FORMAT_KEY)
    return int(unpack("database", format.FORMAT_KEY, value, format.FORMAT)["version"])


def test_opening_for_writing_brings_it_to_the_new_version(directory):
    for _ in range(2):
        environment = Environment(directory, read_only=False)
        assert version_of(environment) == format.VERSION
        with environment.read() as transaction:
            states = {row.name: state for row, state in scan_states(transaction)}
            assert [transaction.entries(table) for table in ("segments", "tombs")] == [0, 0]
        environment.close()
    assert states == {
        "docs": State(sequence=2, next_slot=10, count=9, id_kind=format.ID_STR),
        "small": State(sequence=3, next_slot=2, count=2, id_kind=format.ID_INT),
    }


def test_reading_it_without_writing_is_refused_and_changes_nothing(directory):
    before = (directory / "data.mdb").read_bytes()
    with pytest.raises(UnsupportedFormat, match="for writing once") as caught:
        Environment(directory, read_only=True)
    assert (caught.value.found, caught.value.supported) == (1, format.VERSION)
    assert (directory / "data.mdb").read_bytes() == before
    Environment(directory, read_only=False).close()
    Environment(directory, read_only=True).close()


def test_table_that_is_lost_from_a_new_database_is_not_made_again(directory):
    Environment(directory, read_only=False).close()
    with (
        lmdb.open(str(directory), max_dbs=len(format.TABLES)) as raw,
        raw.begin(write=True) as transaction,
    ):
        transaction.drop(raw.open_db(b"tombs", transaction))
    with pytest.raises(DataCorruption, match="table is missing"):
        Environment(directory, read_only=False)


def test_its_records_are_found_and_more_can_be_written(directory):
    with vecdb.open(directory) as db:
        docs = db.collection("docs")
        assert docs.count() == 9
        assert docs.count(filter={"lang": "en"}) == 4
        found = docs.search(np.array([13, 14, 15, 16], np.float32), k=3, mode="exact")
        assert set(found.ids) == {"r2", "r4", "r5"}
        docs.upsert(ids=["new"], vectors=np.ones((1, 4), np.float32))
        assert docs.count() == 10
        assert db.collection("small").count() == 2
    assert check_directory(directory).ok
