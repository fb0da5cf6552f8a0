"""SIGKILL at any moment: what was acknowledged is whole, all else is whole or absent.

``VECDB_KILLS=2000`` runs that many rounds, without the limit of two minutes. The crash loop itself
is ``crasher.py`` beside this file, a process of its own: it forks, so it must have no threads.
"""

from __future__ import annotations

import importlib
import os
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import vecdb

FOLDER = Path(__file__).resolve().parent
KILLS = 100
SECONDS = 120.0
POINTS = 18


@pytest.mark.slow
def test_no_kill_loses_a_batch_that_was_acknowledged(crash, capsys):
    asked = int(os.environ.get("VECDB_KILLS", KILLS))
    seconds = SECONDS if asked <= KILLS else float("inf")
    with capsys.disabled():
        print()
        figures = crash("crasher.py", "--kills", asked, "--seconds", seconds, rounds=asked)
    assert 0 < figures["kills"] <= asked
    assert figures["acknowledged"] > 0
    assert figures["builds_cut"] > 0
    assert figures["whole"] + figures["absent"] > 0


@pytest.mark.slow
def test_kill_around_each_commit_and_each_step_of_other_work_loses_nothing(crash):
    figures = crash("crasher.py", "--points", rounds=KILLS)
    assert figures["kills"] == 2 * POINTS


# --------------------------------------------------------------------- the audit can fail


@pytest.fixture
def crashed(tmp_path, monkeypatch):
    """A database of one writer with one batch of five records, its oracle, and the audit."""
    monkeypatch.syspath_prepend(str(FOLDER))
    audit, oracle_file, workload = map(
        importlib.import_module, ("audit", "oracle_file", "workload")
    )
    shape = workload.Shape(dim=4, metric="l2", dtype="float32", id_kind="int")
    oracle = oracle_file.Oracle(tmp_path / "journal", 1)
    journal = oracle_file.Journal(tmp_path / "journal")
    ids = tuple(workload.make_id(shape, 0, number) for number in range(10))
    stored = workload.Batch(label=(0, 0, 0), kind="insert", ids=ids[:5], keyed=True)
    under_way = workload.Batch(label=(0, 0, 1), kind="mixed", ids=ids[3:], keyed=True)
    with vecdb.open(tmp_path / "db") as db:
        docs = db.create_collection(shape.name, dim=4, metric="l2", fields=workload.FIELDS)
        journal.created(shape)
        journal.intend(shape, stored)
        result = workload.send(db, shape, 1, stored)

        def acknowledge(*, count: int = 5) -> None:
            journal.done(stored, count, result.sequence)

        def begin_another() -> None:
            acknowledge()
            journal.intend(shape, under_way)

        def look() -> str:
            oracle.read()
            tally = audit.Tally()
            try:
                audit.audit(db, oracle, random.Random(1), tally)
            except audit.Wrong as wrong:
                return str(wrong)
            return str(tally)

        yield SimpleNamespace(
            acknowledge=acknowledge,
            begin_another=begin_another,
            db=db,
            docs=docs,
            look=look,
            stored=stored,
            under_way=list(under_way.ids),
            vectors=workload.vectors_of(shape, 1, under_way),
            payloads=workload.payloads_of(1, under_way),
        )
    journal.close()


def test_audit_is_content_with_what_is_right(crashed):
    crashed.acknowledge()
    assert "0 lost; of 0 not acknowledged" in crashed.look()


def test_audit_accepts_a_batch_that_was_not_acknowledged_and_is_whole(crashed):
    assert "1 not acknowledged 1 whole, 0 absent; 1 sent again, 1 " in crashed.look()


def test_audit_accepts_a_batch_that_was_not_acknowledged_and_is_absent(crashed):
    crashed.begin_another()
    assert "1 not acknowledged 0 whole, 1 absent; 2 sent again, 1 " in crashed.look()
    assert crashed.docs.count() == 10


def test_audit_finds_a_lost_record(crashed):
    crashed.acknowledge()
    crashed.docs.delete([crashed.stored.ids[2]])
    assert "is lost" in crashed.look()


def test_audit_finds_a_record_that_nobody_wrote(crashed):
    crashed.acknowledge()
    crashed.docs.upsert(crashed.under_way[-1:], crashed.vectors[-1:])
    assert "should not be there" in crashed.look()


def test_audit_finds_a_batch_that_is_there_in_part(crashed):
    crashed.begin_another()
    crashed.docs.upsert(crashed.under_way[:4], crashed.vectors[:4], crashed.payloads[:4])
    assert "is neither absent" in crashed.look()


def test_audit_finds_a_batch_that_was_written_in_pieces(crashed):
    crashed.begin_another()
    for part in (slice(0, 4), slice(4, None)):
        crashed.docs.upsert(crashed.under_way[part], crashed.vectors[part], crashed.payloads[part])
    assert "written in pieces" in crashed.look()


def test_audit_finds_a_batch_that_a_key_did_not_keep_from_being_applied_twice(crashed):
    crashed.begin_another()
    crashed.docs.upsert(crashed.under_way, crashed.vectors, crashed.payloads)
    assert "was applied: True; it is answered WriteResult" in crashed.look()


def test_audit_finds_another_vector_payload_and_sequence(crashed):
    crashed.acknowledge()
    first = crashed.stored.ids[0]
    crashed.docs.upsert([first], np.ones((1, 4), np.float32), [{"row": 77}])
    told = crashed.look()
    assert "has another vector" in told
    assert "has the payload {'row': 77}" in told
    assert "is of sequence" in told


def test_audit_finds_a_wrong_count_in_an_answer(crashed):
    crashed.acknowledge(count=4)
    assert "answered with count 4, expected 5" in crashed.look()


def test_audit_finds_a_folder_that_no_manifest_names(crashed, tmp_path):
    audit = importlib.import_module("audit")
    assert not audit.was_cut_short(tmp_path / "db")
    crashed.docs.seal()
    audit.require_no_orphans(crashed.db, tmp_path / "db")
    assert not audit.was_cut_short(tmp_path / "db")
    (tmp_path / "db" / "segments" / f"{'a' * 32}.new").mkdir()
    assert audit.was_cut_short(tmp_path / "db")
    with pytest.raises(audit.Wrong, match="folders of no segment"):
        audit.require_no_orphans(crashed.db, tmp_path / "db")


def test_line_that_was_cut_off_by_a_kill_is_no_line(crashed, tmp_path):
    with (tmp_path / "journal").open("ab") as file:
        file.write(b'\n{"done": [0, 0, 0], "cou')
    assert "1 not acknowledged 1 whole" in crashed.look()
