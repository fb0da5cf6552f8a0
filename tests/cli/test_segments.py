"""Sealing, compaction, stats and scans on the command line, on a directory and on a server."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest


@pytest.fixture
def angles(place):
    """``place`` with the collection "angles": 40 records under cosine."""
    made = place.database.create_collection("angles", dim=4)
    turns = np.linspace(0, np.pi / 2, 40)
    vectors = np.stack([np.cos(turns), np.sin(turns), 0 * turns, 0 * turns], axis=1)
    made.upsert(list(range(40)), vectors.astype(np.float32))
    return place


def described(run, place, name):
    return json.loads(run("collection", "describe", name, "-o", "json", *place.options).out)


def test_codes_and_pages_are_chosen_at_creation(run, place):
    words = ("--dim", 4, "--code-bits", 8, "--page-bytes", 4096, *place.options)
    assert run("collection", "create", "docs", *words).status == 0
    facts = described(run, place, "docs")
    assert (facts["code_bits"], facts["page_bytes"]) == (8, 4096)
    for words in (("--code-bits", 3), ("--page-bytes", 100)):
        assert run("collection", "create", "x", "--dim", 4, *words, *place.options).status == 2


def test_seal_and_compact_tell_what_they_did(run, docs):
    facts = described(run, docs, "docs")
    assert (facts["segments"], facts["tail"], facts["sealing"]) == (0, 10, "")
    result = run("collection", "seal", "docs", *docs.options)
    assert (result.status, result.out) == (0, "")
    assert result.err == "sealed 10 records of docs, which has 1 segment now\n"
    docs.database.collection("docs").delete([1])
    result = run("collection", "compact", "docs", "-o", "json", *docs.options)
    assert json.loads(result.out) == {"name": "docs", "records": 9, "segments": 1}
    facts = described(run, docs, "docs")
    assert (facts["records"], facts["segments"], facts["tail"]) == (9, 1, 0)


def test_described_table_tells_segments_and_tail(run, docs):
    run("collection", "seal", "docs", *docs.options)
    lines = run("collection", "describe", "docs", *docs.options).out.splitlines()
    assert [line.split()[:3] for line in lines[-8:]] == [
        ["code", "bits", "4"],
        ["page", "bytes", "-"],
        ["memory", "budget", "-"],
        ["level", "all"],
        ["level", "reason", "no"],
        ["segments", "1"],
        ["tail", "0"],
        ["sealing", "-"],
    ]


def test_stats_are_sections_or_json(run, docs):
    run("collection", "seal", "docs", *docs.options)
    found = json.loads(run("collection", "stats", "docs", "-o", "json", *docs.options).out)
    assert (found["count"], found["vector_bytes"]) == (10, 160)
    table = run("collection", "stats", "docs", *docs.options).out
    assert "{" not in table
    singles, *sections = table.rstrip("\n").split("\n\n")
    facts = dict(re.split("  +", line) for line in singles.splitlines())
    assert (facts["count"], facts["vector bytes"], facts["tail"]) == ("10", "160 B", "0")
    by_name = {text.split("\n")[0]: text.split("\n")[1:] for text in sections}
    memory = dict(line.strip().rsplit("  ", 1) for line in by_name["memory bytes"])
    assert {name.strip() for name in memory} == {*found["memory_bytes"], "in all"}
    (segment,) = found["segments"]
    assert [line.split() for line in by_name["segments"]] == [
        ["uuid", "slots", "sequence"],
        [segment["uuid"], "10", str(segment["sequence"])],
    ]


@pytest.mark.parametrize("command", ["seal", "compact", "stats"])
def test_unknown_collection_is_not_found(run, place, command):
    place.database.collections()
    result = run("collection", command, "none", *place.options)
    assert result.status == 5
    assert "hint: `vecdb collection list` tells what there is" in result.err


def test_scan_is_asked_for_with_its_options(run, docs):
    run("collection", "seal", "docs", *docs.options)
    for words in (
        ("--effort", "bound"),
        ("--effort", 64),
        ("--effort", "64.0", "--estimator", "hamming"),
    ):
        result = run(
            *("search", "docs", "--id", 3, "-k", 10, "--mode", "scan", "-o", "jsonl"),
            *(*words, *docs.options),
        )
        assert [json.loads(line)["id"] for line in result.out.splitlines()][:3] == [3, 2, 4]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--mode", "scan", "--effort", "all"), "expected a number, or bound; got 'all'"),
        (("--mode", "scan", "--effort", 0), "effort must be above 0 and at most 64"),
        (("--mode", "exact", "--effort", 1), "effort"),
        (("--estimator", "cosine"), "'cosine' is not one of"),
        (("--relevance",), "relevance"),  # "docs" is l2
    ],
)
def test_options_that_make_no_sense_are_a_mistake(run, docs, words, said):
    result = run("search", "docs", "--id", 3, *words, *docs.options)
    assert (result.status, result.out) == (2, "")
    assert said in result.err


def test_relevance_is_a_column_with_its_label(run, angles):
    result = run("search", "angles", "--id", 0, "-k", 2, "--relevance", *angles.options)
    assert (result.status, result.err) == (0, "")
    heading, best, other = (line.split() for line in result.out.splitlines())
    assert heading == ["id", "score", "relevance", "label", "payload"]
    assert best == ["0", "1.0000", "1.0000", "Close", "Match", "-"]
    assert other[:2] == ["1", "0.9992"]
    lines = run(
        *("search", "angles", "--id", 0, "-k", 1, "--relevance", "-o", "jsonl", *angles.options)
    ).out
    row = json.loads(lines)
    assert (row["relevance"], row["label"]) == (1.0, "Close Match")


def test_surprise_that_is_not_known_is_left_out(run, angles):
    words = ("search", "angles", "--id", 0, "-k", 1, "--surprise", "-o")
    assert "surprise_bits" not in json.loads(run(*words, "jsonl", *angles.options).out)
    assert run(*words, "csv", *angles.options).out.splitlines()[0] == (
        "query,id,score,distance,surprise_bits,payload"
    )
