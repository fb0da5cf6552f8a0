"""``vecdb check DIR``: what it found, and the exit status of corruption."""

from __future__ import annotations

import json

import numpy as np

import vecdb
from vecdb import check_segments


def test_sound_database_has_no_problem(run, local, docs_in):
    result = run("check", local.database.path)
    assert (result.status, result.out) == (0, "")
    verified, verdict = result.err.splitlines()
    assert verified.startswith(f"{local.database.path}: verified ")
    assert "10 records" in verified
    assert verdict == "no problem found"
    report = json.loads(run("check", local.database.path, "-o", "json").out)
    assert (report["ok"], report["problems"]) == (True, [])
    assert report["counts"]["records"] == 10


def test_all_codes_are_verified_when_asked(run, local, tmp_path, monkeypatch):
    monkeypatch.setattr(check_segments, "CODED_BLOCKS", 1)
    with vecdb.open(tmp_path / "sealed", threads=1) as db:
        docs = db.create_collection("docs", dim=3)
        docs.upsert(np.arange(20), np.ones((20, 3)))
        docs.seal()
    for options, codes in (((), 8), (("--deep",), 20)):
        report = json.loads(run("check", tmp_path / "sealed", "-o", "json", *options).out)
        assert report["ok"]
        assert (report["counts"]["segments"], report["counts"]["codes"]) == (1, codes)


def test_damaged_database_ends_with_status_8_and_names_the_place(run, local, docs_in):
    path = local.database.path / "data.mdb"
    data = bytearray(path.read_bytes())
    at = data.index(b'"year":2003')
    data[at + 1] ^= 0x20
    path.write_bytes(data)
    result = run("check", local.database.path, "-o", "json")
    assert result.status == 8
    report = json.loads(result.out)
    assert not report["ok"]
    assert report["problems"]
    shown = run("check", local.database.path)
    assert shown.status == 8
    assert shown.out.splitlines()[0].split() == ["where", "what"]
    assert shown.err.splitlines()[-1] == "1 problem found"
    lines = run("check", local.database.path, "-o", "jsonl")
    assert [json.loads(line) for line in lines.out.splitlines()] == report["problems"]


def test_truncated_database_is_corruption_too(run, local, docs_in):
    path = local.database.path / "data.mdb"
    path.write_bytes(path.read_bytes()[:-4096])
    assert run("check", local.database.path).status == 8


def test_missing_database_is_not_found(run, tmp_path):
    assert run("check", tmp_path / "none").status == 5
    assert run("check", tmp_path).status == 5
