"""The checker reads sealed segments too: files, trees, codes, and whose records they hold."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from uuid import uuid4

import numpy as np
import pytest

import vecdb
from vecdb import check_segments
from vecdb.check import check_directory
from vecdb.storage import segment_files
from vecdb.storage.catalogue import get_state, put_state
from vecdb.storage.environment import Environment
from vecdb.storage.manifest import (
    get_tombs,
    put_background,
    put_segment,
    put_tombs,
    scan_segments,
)
from vecdb.testing.faults import flip_bit
from vecdb.testing.forgery import change_tables, forge_segment

NUMBER = 1
FILES = ["segment.json", "vectors.pages", "codes", "tree", "ids", "columns/0"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Two segments with dead slots, known from tombs and from operations; a tail; text ids."""
    directory = tmp_path_factory.mktemp("sound")
    rng = np.random.default_rng(1)

    def rows(count):
        return rng.standard_normal((count, 24)).astype(np.float32)

    with vecdb.open(directory, threads=1) as db:
        docs = db.create_collection("docs", dim=24)
        docs.upsert(np.arange(900), rows(900))
        docs.seal()
        docs.delete(np.arange(10))
        docs.upsert(np.arange(800, 1_400), rows(600))
        docs.seal()
        docs.delete([20, 1_000])
        docs.upsert([21, 5_000], rows(2))
        texts = db.create_collection("texts", dim=3, metric="l2", fields={"n": "int"})
        texts.upsert(["a", "ä", "c"], rows(3)[:, :3], [{"n": 1}, {"n": [2, 3]}, None])
        texts.seal()
    return directory


@pytest.fixture
def database(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "db")


@pytest.fixture
def segments(database):
    """Rows of the segments of ``docs``, the oldest first."""
    return read(database, lambda transaction: scan_segments(transaction, NUMBER))


def problems(directory, **options) -> list[str]:
    return [f"{one.where}: {one.what}" for one in check_directory(directory, **options).problems]


def read(directory, look):
    environment = Environment(directory, read_only=True)
    try:
        with environment.read() as transaction:
            return look(transaction)
    finally:
        environment.close()


def set_state(directory, **values) -> None:
    def apply(transaction):
        put_state(transaction, NUMBER, replace(get_state(transaction, NUMBER), **values))

    change_tables(directory, apply)


def mark(directory, row, slot, dead) -> None:
    """Set or clear one dead bit in the manifest."""

    def apply(transaction):
        bits = get_tombs(transaction, NUMBER, row.uuid, -(-row.count // 8))
        bit = np.uint8(1 << slot % 8)
        bits[slot // 8] = bits[slot // 8] | bit if dead else bits[slot // 8] & ~bit
        put_tombs(transaction, NUMBER, row.uuid, bits)

    change_tables(directory, apply)


def forge(directory, row, **options) -> None:
    forge_segment(directory, NUMBER, row, **options)


# ------------------------------------------------------------------------------------- all well


@pytest.mark.parametrize("deep", [False, True])
def test_sound_segments_have_no_problem_and_everything_is_counted(database, deep, monkeypatch):
    monkeypatch.setattr(check_segments, "CODED_BLOCKS", 50)
    report = check_directory(database, deep=deep)
    assert report.ok, report.problems
    counts = report.counts
    assert (counts["segments"], counts["records"], counts["sealed records"]) == (3, 1_392, 1_390)
    assert counts["codes"] == (1_503 if deep else 8 * (38 + 38) + 3)
    assert "unfinished segments" not in counts


def test_dead_slots_are_known_from_the_manifest_and_from_operations(database, segments):
    dead = read(database, lambda t: get_tombs(t, NUMBER, segments[0].uuid, 113))
    assert np.bitwise_count(dead).sum() == 110  # the others are in the operations


def test_forged_segment_without_a_change_is_sound(database, segments):
    forge(database, segments[0])
    assert problems(database, deep=True) == []


def test_folders_that_no_manifest_names_are_no_damage(database, segments):
    folder = segment_files.segment_folder(database, segments[0].uuid)
    shutil.copytree(folder, folder.with_name(uuid4().hex))
    folder.with_name(uuid4().hex + ".new").mkdir()
    report = check_directory(database)
    assert report.ok
    assert report.counts["unfinished segments"] == 2


# ---------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("name", FILES)
def test_damaged_file_is_named(database, name):
    row = read(database, lambda transaction: scan_segments(transaction, NUMBER + 1)[0])
    path = segment_files.segment_folder(database, row.uuid) / name
    flip_bit(path, path.stat().st_size // 2 // 4096 * 4096 + 9, 3)
    (found,) = problems(database)
    assert found.startswith(f"collection texts: segment {row.uuid.hex}: ")
    assert str(path) in found
    path.unlink()
    (found,) = problems(database)
    assert f"{path} is damaged: it is missing" in found


def test_lost_folder_is_told_of_and_nothing_follows_from_it(database, segments):
    shutil.rmtree(segment_files.segment_folder(database, segments[0].uuid))
    (found,) = problems(database)
    assert "segment.json is damaged: it is missing" in found


def test_file_that_does_not_belong_there_is_told_of(database, segments):
    (segment_files.segment_folder(database, segments[0].uuid) / "notes").touch()
    (found,) = problems(database)
    assert "file notes does not belong to it" in found


# --------------------------------------------------------------------------- forged contents


def exchange(name, a, b):
    """Change an array: what stands in two places, one for the other."""

    def edit(arrays):
        arrays[name][[a, b]] = arrays[name][[b, a]]

    return edit


def halve_radius(tree):
    tree["rmax"][0] /= 2


def repeat_id(arrays):
    arrays["ids"][100] = arrays["ids"][200]


def move_origin(arrays):
    arrays["origins"][int(np.argmax(arrays["origins"]))] += 1


@pytest.mark.parametrize(
    ("name", "edit", "told"),
    [
        ("tree", halve_radius, "node 0: a vector at distance"),
        ("codes", exchange("codes", 0, 1), "codes: block 0 is not what its vectors give"),
        ("codes", exchange("fac", 2, 3), "codes: block 2 is not what"),
        ("codes", exchange("refine", 8, 9), "codes: slot 8 has refine planes of another vector"),
        (
            "ids",
            exchange("ids", 100, 200),
            "2 slots hold no record and are not marked, the first is slot 100",
        ),
        ("ids", repeat_id, "two slots have the same id"),
        ("ids", move_origin, "origins do not begin and end as"),
    ],
)
def test_contents_that_do_not_fit_are_found(database, segments, name, edit, told):
    forge(database, segments[1], name=name, edit=edit)
    assert any(told in one for one in problems(database)), problems(database)


def test_swapped_vectors_are_found_by_their_codes(database, segments):
    forge(database, segments[1], name="vectors", edit=exchange("rows", 0, 500))
    found = problems(database)
    assert any("codes: block 0 is not" in one for one in found)
    assert any("node " in one for one in found)


def test_mean_of_other_vectors_is_found_when_looking_deep(database, segments):
    """With codes about it: only the vectors tell that it is not theirs."""

    def shift(arrays):
        info = segment_files.read_info(database, segments[1].uuid, segments[1].json_checksum)
        vectors = segment_files.read_vectors(database, info)
        schema = vecdb.schema.CollectionSchema(dim=24)
        arrays["mean"] += np.float32(0.01)
        encoder = check_segments.Encoder(
            check_segments.quantizer_of(schema, NUMBER), arrays["mean"]
        )
        for part in ("codes", "fac", "refine"):
            arrays[part][:] = 0
        encoder.encode(vectors, 0, arrays["codes"], arrays["fac"], arrays["refine"])

    forge(database, segments[1], name="codes", edit=shift)
    assert problems(database) == []
    (found,) = problems(database, deep=True)
    assert "codes: their mean is not that of the vectors" in found


@pytest.mark.parametrize(
    ("info", "told"),
    [
        ({"metric": "dot"}, "its metric: dot, of the collection: cosine"),
        ({"sequence": 4_000}, "another sequence than its segment.json"),
        ({"tree": "leaf"}, "more than 1"),
        ({"quantizer": "seed"}, "its quantizer: (1, 'fht3', 99,"),
    ],
)
def test_description_that_does_not_fit_is_found(database, segments, info, told):
    old = segment_files.read_info(database, segments[1].uuid, segments[1].json_checksum)
    values = {name: value for name, value in info.items() if name not in ("tree", "quantizer")}
    if "tree" in info:
        values["tree"] = replace(old.tree, leaf=1)
    if "quantizer" in info:
        values["quantizer"] = replace(old.quantizer, seed=99)
    forge(database, segments[1], info=values)
    assert any(told in one for one in problems(database)), problems(database)


# ------------------------------------------------------------------------------------- manifest


def test_live_slot_that_is_marked_dead_is_a_lost_record(database, segments):
    _, origins = ids_of(database, segments[0])
    slot = int(np.flatnonzero(origins == 500)[0])
    mark(database, segments[0], slot, dead=True)
    found = problems(database)
    assert any("1 records have no vector, the first in slot 500" in one for one in found)
    assert any("its state says 1387" in one for one in found)


def test_dead_slot_that_is_not_marked_is_found(database, segments):
    _, origins = ids_of(database, segments[0])
    slot = int(np.flatnonzero(origins == 5)[0])  # deleted before the second seal
    mark(database, segments[0], slot, dead=False)
    found = problems(database)
    assert any(
        f"1 slots hold no record and are not marked, the first is slot {slot}" in one
        for one in found
    )


def test_mark_beyond_the_last_slot_is_found(database, segments):
    assert segments[0].count % 8
    mark(database, segments[0], 8 * (segments[0].count // 8) + 7, dead=True)
    assert any("beyond its last one" in one for one in problems(database))


def test_marks_of_no_segment_are_found(database):
    change_tables(database, lambda t: put_tombs(t, NUMBER, uuid4(), np.ones(3, np.uint8)))
    assert any("none of its segments" in one for one in problems(database))


def test_segment_that_two_rows_name_holds_records_twice(database, segments):
    """A compaction that left what it took."""
    folder = segment_files.segment_folder(database, segments[0].uuid)
    keep = folder.with_name("kept")
    shutil.copytree(folder, keep)
    forge(database, segments[0])
    keep.rename(folder)

    def name_again(transaction):
        (forged,) = [one for one in scan_segments(transaction, NUMBER) if one.uuid not in known]
        put_segment(transaction, NUMBER, segments[0])
        bits = get_tombs(transaction, NUMBER, forged.uuid, -(-forged.count // 8))
        put_tombs(transaction, NUMBER, segments[0].uuid, bits)

    known = {one.uuid for one in segments}
    change_tables(database, name_again)
    found = problems(database)
    assert any("788 records lie in two segments" in one for one in found), found


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"sealed": 1_386}, "its segments hold 1387 records, and its state says 1386"),
        ({"count": 1_391}, "and its state says 1391"),
        ({"first_slot": 1_000}, "it holds slot 1499, and the operations begin at 1000"),
        ({"first_slot": 1_501}, "has slots 1500 to 1502, its collection 1501 to 1502"),
    ],
)
def test_state_that_does_not_fit_is_found(database, values, told):
    set_state(database, **values)
    assert any(told in one for one in problems(database)), problems(database)


def test_broken_background_is_found(database):
    change_tables(database, lambda transaction: put_background(transaction, NUMBER, b"short"))
    (found,) = problems(database)
    assert "background" in found


def test_rows_of_no_collection_are_found(database, segments):
    change_tables(database, lambda transaction: put_segment(transaction, 99, segments[0]))
    assert any("table segments: keys of no collection" in one for one in problems(database))


def ids_of(directory, row):
    info = segment_files.read_info(directory, row.uuid, row.json_checksum)
    return segment_files.read_ids(directory, info)


# -------------------------------------------------------------------------- beside a live writer

COMPACT = """
import sys, vecdb
with vecdb.open(sys.argv[1], threads=1) as db:
    print(db.collection("docs").compact().segments)
"""


@pytest.mark.slow
def test_segment_that_a_compaction_takes_meanwhile_is_no_damage(database, segments, monkeypatch):
    verify, seen = check_segments.verify_segment, []

    def verify_later(root, row):
        if not seen:
            ended = subprocess.run(
                [sys.executable, "-c", COMPACT, str(database)],
                capture_output=True,
                text=True,
                check=True,
            )
            assert ended.stdout == "1\n"
        seen.append(row.uuid)
        return verify(root, row)

    monkeypatch.setattr(check_segments, "verify_segment", verify_later)
    report = check_directory(database)
    assert report.ok, report.problems
    assert seen[0] == segments[0].uuid
    assert seen[1] not in {one.uuid for one in segments}
    assert (report.counts["segments"], report.counts["sealed records"]) == (2, 1_390)
