"""The witness tells of a lost commit, and never of one that was not lost."""

from __future__ import annotations

import os

import numpy as np
import pytest

from vecdb.errors import DataCorruption
from vecdb.storage import catalogue
from vecdb.storage.environment import Environment
from vecdb.storage.files import check_data_file
from vecdb.storage.format import WITNESS
from vecdb.storage.witness import (
    Note,
    Witness,
    check_meta_page,
    check_witness,
    pack_note,
    read_witness,
)
from vecdb.testing.faults import PAGE_BYTES, flip_bit

NOTE = Note(sequence=7, transaction=9, meta_checksum=5)


@pytest.fixture
def commit(directory):
    """One more commit of the database, in a process that then ends cleanly."""

    def write(sequence=None):
        environment = Environment(directory, read_only=False)

        def apply(transaction):
            transaction.put("records", b"k", os.urandom(8))
            if sequence is not None:
                catalogue.put_counters(transaction, sequence, 1)

        environment.write(apply)
        environment.note_commit(catalogue_sequence(environment))
        environment.close()

    return write


def catalogue_sequence(environment):
    with environment.read() as transaction:
        return catalogue.get_counters(transaction)[0]


def opens(directory, *, read_only=False):
    try:
        Environment(directory, read_only=read_only).close()
    except DataCorruption:
        return False
    return True


# ---------------------------------------------------------------------------------- the file


def test_note_comes_back(directory):
    (directory / "witness").write_bytes(pack_note(NOTE))
    assert read_witness(directory) == NOTE


def test_note_is_its_dtype():
    row = np.frombuffer(pack_note(NOTE), WITNESS)[0]
    assert len(pack_note(NOTE)) == WITNESS.itemsize == 32
    assert [int(row[name]) for name in Note._fields] == list(NOTE)


def test_missing_note_is_none(directory):
    assert read_witness(directory) is None


@pytest.mark.parametrize("size", [0, 1, 16, 31, 33])
def test_torn_note_is_none(directory, size):
    (directory / "witness").write_bytes((pack_note(NOTE) + b"\0")[:size])
    assert read_witness(directory) is None


def test_flip_in_any_byte_of_the_note_makes_it_none(directory):
    path = directory / "witness"
    for offset in range(WITNESS.itemsize):
        path.write_bytes(pack_note(NOTE))
        flip_bit(path, offset, offset % 8)
        assert read_witness(directory) is None


def test_newer_note_takes_the_place_of_the_older(directory, environment):
    witness = Witness(directory, PAGE_BYTES)
    witness.note(3, 1)
    witness.note(4, 1)
    witness.close()
    assert read_witness(directory)[:2] == (4, 1)
    assert (directory / "witness").stat().st_size == WITNESS.itemsize


def test_note_that_finds_no_room_fails_nobody(directory, environment, monkeypatch):
    def refuse(*arguments):
        raise OSError(28, "No space left on device")

    before = read_witness(directory)
    monkeypatch.setattr(os, "pwrite", refuse)
    environment.note_commit(10)
    assert read_witness(directory) == before


# -------------------------------------------------------------------------------- what it tells


@pytest.mark.parametrize("ahead", [Note(8, 9, 0), Note(7, 10, 0), Note(2**63, 2**63, 0)])
def test_note_ahead_of_the_data_is_corruption(directory, ahead):
    with pytest.raises(DataCorruption, match="was acknowledged") as caught:
        check_witness(directory, ahead, 7, 9)
    assert caught.value.path == str(directory / "witness")
    assert "remove the file 'witness'" in caught.value.hint


@pytest.mark.parametrize("note", [None, NOTE, Note(6, 9, 0), Note(7, 8, 0), Note(0, 0, 0)])
def test_note_that_lags_says_nothing(directory, note):
    check_witness(directory, note, 7, 9)


def test_meta_page_of_the_noted_commit_must_be_as_noted(directory, environment):
    meta = check_data_file(directory)
    note = Note(0, meta.transaction, meta.checksum)
    check_meta_page(directory, note, meta)
    with pytest.raises(DataCorruption, match=f"meta page of commit {meta.transaction}") as caught:
        check_meta_page(directory, note._replace(meta_checksum=meta.checksum ^ 1), meta)
    assert caught.value.offset == (meta.transaction & 1) * PAGE_BYTES


def test_meta_page_of_another_commit_is_not_compared(directory, environment):
    meta = check_data_file(directory)
    check_meta_page(directory, Note(0, meta.transaction - 1, 0), meta)
    check_meta_page(directory, None, meta)
    check_meta_page(directory, Note(0, 0, 0), None)


# ------------------------------------------------------------------------------------- opening


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("sequence", [None, 5])
def test_lost_commit_is_noticed_at_open(directory, commit, read_only, sequence):
    commit(4)
    before = (directory / "data.mdb").read_bytes()
    commit(sequence)
    assert opens(directory, read_only=read_only)
    (directory / "data.mdb").write_bytes(before)
    assert not opens(directory, read_only=read_only)
    (directory / "witness").unlink()  # as the hint says
    assert opens(directory, read_only=read_only)


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("size", [None, 0])
def test_lost_database_is_not_made_anew(directory, commit, read_only, size):
    commit(4)
    data = directory / "data.mdb"
    data.unlink()
    if size is not None:
        data.touch()
    assert not opens(directory, read_only=read_only)
    assert data.exists() == (size is not None)
    assert size is None or data.stat().st_size == size


def test_lagging_note_is_brought_up_at_open(directory, commit):
    commit(4)
    old = (directory / "witness").read_bytes()
    commit(5)
    (directory / "witness").write_bytes(old)
    assert read_witness(directory).sequence == 4
    assert opens(directory, read_only=True)
    assert read_witness(directory).sequence == 4  # a reader writes nothing
    assert opens(directory)
    meta = check_data_file(directory)
    assert read_witness(directory) == Note(5, meta.transaction, meta.checksum)


def test_every_commit_is_noted_with_its_meta_page(directory, commit):
    for sequence in (None, 1, None, 2):
        commit(sequence)
        meta = check_data_file(directory)
        assert read_witness(directory)[1:] == (meta.transaction, meta.checksum)


def test_reader_beside_a_writer_sees_no_lost_commit(directory, start_child):
    """The note is read first: what the writer commits meanwhile is newer."""
    code = """
import sys
from pathlib import Path
from vecdb.storage.environment import Environment
from vecdb.storage.catalogue import put_counters
environment = Environment(Path(sys.argv[1]), read_only=False)
for sequence in range(1, 100_000):
    environment.write(lambda transaction: put_counters(transaction, sequence, 1))
    environment.note_commit(sequence)
    if sequence == 1:
        print("begun", flush=True)
"""
    child = start_child(code, directory)
    assert child.answer() == "begun"
    seen = set()
    while len(seen) < 30:
        environment = Environment(directory, read_only=True)
        seen.add(catalogue_sequence(environment))
        environment.close()
