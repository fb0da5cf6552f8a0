"""Segments in memory: shared, verified when loaded, and gone for readers all at once."""

from __future__ import annotations

import gc
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import vecdb
from vecdb.collection.live import LiveSnapshot
from vecdb.collection.residence import Residence
from vecdb.collection.segments import Segments
from vecdb.errors import DataCorruption
from vecdb.storage import segment_files
from vecdb.storage.manifest import get_tombs, scan_segments
from vecdb.storage.page_reader import open_reader
from vecdb.testing.faults import flip_bit
from vecdb.testing.model import Model

FOLLOWING = Path(__file__).parent.parent / "behaviour" / "following.py"


@pytest.fixture
def sealed(docs, rng):
    """Two segments, of ids 0-99 and 100-149, and their rows."""
    for start, count in ((0, 100), (100, 50)):
        vectors = rng.standard_normal((count, 4)).astype(np.float32)
        docs.upsert(np.arange(start, start + count), vectors)
        docs.seal()
    with docs._store.view("docs") as view:
        return scan_segments(view.transaction, view.row.number)


@pytest.fixture
def row(docs):
    return docs._store.row("docs")


def load(segments, row, segment_row):
    """The segment with all of it in memory; None: its folder is gone."""
    info = segments.info(segment_row)
    if info is None:
        return None
    return segments.load(row, segment_row, info, "all", Residence(open_reader))


def folder_of(docs, segment):
    return segment_files.segment_folder(docs._store.directory, segment.uuid)


def test_segment_is_loaded_once_and_given_back(docs, row, sealed):
    segments = Segments(docs._store.directory)
    first = load(segments, row, sealed[0])
    assert load(segments, row, sealed[0]) is first
    assert len(segments._loaded) == 1
    del first
    gc.collect()
    assert len(segments._loaded) == 0


def test_segment_knows_its_slots_by_origin(docs, row, sealed):
    segment = load(Segments(docs._store.directory), row, sealed[1])
    assert sorted(segment.origins_of().tolist()) == list(range(100, 150))
    asked = np.array([149, 99, 100, 150, 120], np.uint64)
    found = segment.slot_of_each(asked)
    assert (found >= 0).tolist() == [True, False, True, False, True]
    assert segment.origins_of(found[[0, 2, 4]]).tolist() == [149, 100, 120]
    assert segment.slots_of(asked).tolist() == sorted(found[[0, 2, 4]])
    assert segment.ids.take(found[[0, 2]]).tolist() == [149, 100]
    assert segment.slots_of(np.empty(0, np.uint64)).tolist() == []


def test_folder_that_is_gone_is_told_from_one_that_is_damaged(docs, row, sealed, monkeypatch):
    segments = Segments(docs._store.directory)
    flip_bit(folder_of(docs, sealed[0]) / "tree", 5_000, 2)
    assert load(segments, row, sealed[0]) is not None  # searches do not read the tree
    flip_bit(folder_of(docs, sealed[1]) / "ids", 4_100, 2)
    with pytest.raises(DataCorruption) as caught:
        load(segments, row, sealed[1])
    assert caught.value.path == str(folder_of(docs, sealed[1]) / "ids")
    read_ids = segment_files.read_ids

    def remove_first(root, info):
        segment_files.remove_segment(root, info.uuid)
        return read_ids(root, info)

    monkeypatch.setattr(segment_files, "read_ids", remove_first)
    assert load(segments, row, sealed[1]) is None
    assert load(segments, row, sealed[1]) is None


def test_files_are_gone_all_at_once(docs, sealed, monkeypatch):
    """A reader that finds some of them missing would take it for damage."""
    rmtree, seen = shutil.rmtree, []

    def look(path, **options):
        seen.append(folder_of(docs, sealed[0]).exists())
        rmtree(path, **options)

    monkeypatch.setattr(shutil, "rmtree", look)
    segment_files.remove_segment(docs._store.directory, sealed[0].uuid)
    assert seen[0] is False
    assert not list(folder_of(docs, sealed[0]).parent.glob(f"{sealed[0].uuid.hex}*"))


def test_buried_rows_are_marked_in_the_segment_that_holds_them(docs, row, sealed):
    store = docs._store
    origins = np.array([3, 140, 99, 700], np.uint64)
    store.submit(lambda group: store.segments.bury(group.transaction, row, origins), 1).result()
    with store.view("docs") as view:
        for one, dead in ((sealed[0], [3, 99]), (sealed[1], [140])):
            bits = get_tombs(view.transaction, row.number, one.uuid, -(-one.count // 8))
            slots = np.flatnonzero(np.unpackbits(bits, bitorder="little"))
            segment = load(store.segments, row, one)
            assert sorted(segment.origins_of(slots).tolist()) == dead


def test_lost_folder_is_damage_at_the_second_look_of_the_same_thread(docs, row, sealed):
    """Another thread may still look through a transaction as old as that of the first look."""
    live = LiveSnapshot(row, Segments(docs._store.directory / "elsewhere"), Residence(open_reader))

    def look():
        with docs._store.view("docs") as view:
            return live.at(view.transaction, row, view.state)

    assert look() is None
    others = []
    thread = threading.Thread(target=lambda: others.append(look()))
    thread.start()
    thread.join()
    assert others == [None]
    with pytest.raises(DataCorruption) as caught:
        look()
    assert caught.value.path == f"segments/{sealed[0].uuid.hex}"


def test_what_a_stop_has_left_is_removed_at_open(tmp_path, db, docs, sealed):
    folder = folder_of(docs, sealed[0])
    db.close()
    for name in ("a" * 32, f"{'b' * 32}.new"):
        shutil.copytree(folder, folder.with_name(name))
    (folder.parent / "notes").touch()  # none of ours
    with vecdb.open(tmp_path / "db", read_only=True) as reader:
        assert reader.collection("docs").count() == 150
        assert len(list(folder.parent.iterdir())) == 5
    with vecdb.open(tmp_path / "db", threads=1) as again:
        kept = {*(one.uuid.hex for one in sealed), "notes"}
        assert {path.name for path in folder.parent.iterdir()} == kept
        assert len(again.collection("docs").search(np.ones(4), 200)) == 150


def test_search_in_a_database_that_lost_a_folder_is_damage(tmp_path, db, docs, sealed):
    folder = folder_of(docs, sealed[1])
    db.close()
    shutil.rmtree(folder)
    with vecdb.open(tmp_path / "db", threads=1) as again:
        docs = again.collection("docs")
        with pytest.raises(DataCorruption) as caught:
            docs.search(np.ones(4))
        assert sealed[1].uuid.hex in str(caught.value)
        assert docs.count() == 150


# -------------------------------------------------------------------------------- a second process


@pytest.fixture
def follower(tmp_path, db):
    process = subprocess.Popen(
        [sys.executable, str(FOLLOWING), str(tmp_path / "db")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def ask(query):
        arguments = {"name": "docs", "query": query.tolist(), "filter": None}
        process.stdin.write(json.dumps({"call": "describe", "arguments": arguments}) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield ask
    process.stdin.close()
    assert process.wait(60) == 0
    process.stdout.close()


@pytest.mark.slow
@pytest.mark.parametrize("texts", [False, True], ids=["int", "str"])
def test_follower_sees_seals_and_compactions(db, docs, rng, follower, texts):
    model = Model(dim=4, metric="l2")

    def write(numbers):
        ids = [f"é{number}" for number in numbers] if texts else list(numbers)
        vectors = rng.standard_normal((len(ids), 4)).astype(np.float32)
        model.upsert(ids, vectors, sequence=docs.upsert(ids, vectors).sequence)

    def remove(numbers):
        ids = [f"é{number}" for number in numbers] if texts else list(numbers)
        docs.delete(ids)
        model.delete(ids)

    def compare():
        query = rng.standard_normal(4).astype(np.float32)
        ids, scores, _ = model.search(query, 10_000)
        found = follower(query)
        assert found["ids"] == list(map(str, ids))
        assert found["scores"] == scores.tobytes().hex()
        assert found["count"] == [len(model)] * 3
        vectors = np.array([model.records[id].vector for id in ids], np.float32)
        assert found["vectors"] == vectors.tobytes().hex()

    write(range(200))
    compare()
    docs.seal()
    compare()
    write(range(150, 250))
    remove([1, 160, 249])
    compare()
    docs.seal()  # behind by two commits
    docs.compact()
    compare()
    remove(range(20))
    for turn in range(5):
        write(range(turn, 300, 7))
        docs.seal()
        if turn % 2:
            docs.compact()
        remove([turn])
        compare()
    write([5])
    compare()
