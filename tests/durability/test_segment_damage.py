"""A damaged file of a segment: all as it was, or ``DataCorruption``; never wrong, never dead.

The copies are opened in a process of their own, ``damaged_segments.py`` beside this file.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import vecdb

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("damaged_segments.py")
COLUMN = "columns/1"
"""Of the field that a filter names: what it says is in the records too."""
KEPT = ("segment.json", "vectors.pages", "codes", "ids")
READ = (*KEPT, COLUMN)
"""What a search needs. The others are not read by any."""
FILES = (*READ, "tree", "columns/0")
KINDS = {
    "flip": 5,
    "zero": 3,
    "truncate": 2,
    "longer": 1,
    "pages": 2,
    "swap": 1,
    "remove": 1,
    "any": 2,
}
DIM = 24


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Two segments of different sizes and a tail."""
    directory = tmp_path_factory.mktemp("damage") / "base"
    rng = np.random.default_rng(3)
    with vecdb.open(directory, threads=1) as db:
        fields = {"n": "int", "lang": "keyword"}
        docs = db.create_collection("docs", dim=DIM, metric="cosine", fields=fields)
        for start, count in ((0, 500), (500, 300), (800, 20)):
            ids = np.arange(start, start + count)
            vectors = rng.standard_normal((count, DIM)).astype(np.float32)
            docs.upsert(ids, vectors, [{"n": int(id) % 90, "lang": f"l{id % 7}"} for id in ids])
            if count > 20:
                docs.seal()
        docs.delete([3, 501, 801])
    return directory


@pytest.fixture(scope="module")
def results(base, tmp_path_factory):
    """How each damage ended."""
    damages = [
        {"segment": seed % 2, "file": file, "kind": kind, "seed": seed}
        for file in FILES
        for kind, times in KINDS.items()
        for seed in range(times)
    ]
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), str(base), str(tmp_path_factory.mktemp("copies"))],
        input="".join(json.dumps(one) + "\n" for one in damages),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    ready, *lines = ended.stdout.splitlines()
    assert ready == "ready"
    told = [json.loads(line) for line in lines]
    # A process that died (a negative status is a signal) has not told of the damage it died of.
    died_of = damages[len(told)] if len(told) < len(damages) else None
    assert (ended.returncode, died_of) == (0, None), ended.stderr
    return told


def of_file(results, file):
    found = [one for one in results if one["file"].endswith(file) and one["outcome"] != "same"]
    assert len(found) >= sum(KINDS.values()) / 2
    return found


@pytest.mark.parametrize("file", READ)
def test_damage_to_what_a_search_reads_is_raised_with_file_and_offset(results, file):
    for one in of_file(results, file):
        assert one["outcome"] == "damaged", one
        if one["kind"] == "swap":  # both segments have a foreign file; either is met first
            assert one["path"].endswith(file), one
        else:
            assert one["path"] == one["file"], one
        assert one["offset"] >= -1, one
    located = Counter(one["offset"] >= 0 for one in of_file(results, file))
    assert located[True] > located[False]


@pytest.mark.parametrize("file", [name for name in FILES if name not in READ])
def test_damage_to_what_no_search_reads_changes_no_answer(results, file):
    for one in of_file(results, file):
        assert one["outcome"] == "right", one
        assert one["compact"] == "right", one  # made again from the records


@pytest.mark.parametrize("file", FILES)
def test_checker_names_the_damaged_file(results, file):
    for one in of_file(results, file):
        assert any(one["file"] in problem for problem in one["check"]), one


@pytest.mark.parametrize("file", KEPT)
def test_damaged_segment_is_not_compacted(results, file):
    for one in of_file(results, file):
        assert one["compact"] == "damaged", one


def test_compaction_makes_a_damaged_column_again(results):
    for one in of_file(results, COLUMN):
        assert one["compact"] == "right", one


def test_every_kind_of_damage_was_done(results):
    done = Counter(one["kind"] for one in results if one["outcome"] != "same")
    assert set(done) == set(KINDS)
