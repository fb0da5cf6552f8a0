"""Memory budgets and explanations on the command line, on a directory and on a server."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from vecdb.cli.collection import budget_text

MIB = 1024 * 1024
EXPLAIN = ("--id", 3, "-k", 2, "--explain")


def described(run, place):
    return json.loads(run("collection", "describe", "docs", "-o", "json", *place.options).out)


@pytest.mark.parametrize(
    ("words", "size"),
    [
        ("5000000", 5_000_000),
        ("2GiB", 2 * 2**30),
        ("1.5 gib", 3 * 2**29),
        ("512MiB", 2**29),
        ("2048KiB", 2**21),
        ("1TiB", 2**40),
        ("2GB", 2 * 10**9),
        ("7mb", 7 * 10**6),
        ("5000KB", 5 * 10**6),
        ("2000000B", 2 * 10**6),
    ],
)
def test_budget_is_given_in_units_of_either_kind(run, local, words, size):
    made = run("collection", "create", "docs", "--dim", 4, "--memory-budget", words, *local.options)
    assert (made.status, made.out) == (0, "")
    assert described(run, local)["memory_budget"] == size


@pytest.mark.parametrize("words", ["", "much", "-5", "2G", "1.5", "1e9", "2 GiB more", "٣MiB"])
def test_what_is_no_size_is_a_mistake(run, docs, words):
    result = run("collection", "budget", "docs", *docs.options, "--", words)
    assert result.status == 2
    assert "expected a number of bytes, such as 1000000, 512MiB, 2GiB or 2GB, or none" in result.err
    made = run("collection", "create", "x", "--dim", 4, f"--memory-budget={words}", *docs.options)
    assert made.status == 2
    assert "2GiB or 2GB; got" in made.err


def test_budget_below_the_least_is_a_mistake(run, docs):
    result = run("collection", "budget", "docs", "1KiB", *docs.options)
    assert (result.status, result.out) == (2, "")
    assert "memory_budget must be at least 1048576 bytes; got 1024" in result.err
    assert described(run, docs)["memory_budget"] is None


def test_budget_is_set_shown_and_lifted(run, docs):
    run("collection", "seal", "docs", *docs.options)
    result = run("collection", "budget", "docs", "64MiB", "-o", "json", *docs.options)
    assert (result.status, result.err) == (0, "")
    found = json.loads(result.out)
    assert (found["name"], found["memory_budget"]) == ("docs", 64 * MIB)
    assert described(run, docs)["memory_budget"] == 64 * MIB
    shown = run("collection", "describe", "docs", *docs.options).out
    assert "memory budget  67.1 MB\n" in shown
    lifted = run("collection", "budget", "docs", "none", *docs.options)
    assert (lifted.status, lifted.out) == (0, "")
    assert lifted.err.startswith("docs has no memory budget")
    assert described(run, docs)["memory_budget"] is None


def test_level_and_why_are_told(run, docs):
    run("collection", "seal", "docs", *docs.options)
    result = run("collection", "budget", "docs", "64MiB", *docs.options)
    assert result.err.startswith(
        "docs keeps to 67.1 MB, at level all: the budget of 67108864 bytes holds everything"
    )


def test_level_that_cannot_be_told_is_said_to_be():
    info = SimpleNamespace(name="docs", memory_budget=MIB, level="", level_reason="")
    assert budget_text(info) == (
        "docs keeps to 1.0 MB; a segment cannot be read (vecdb check tells more)"
    )


def test_budget_of_an_unknown_collection_is_not_found(run, place):
    place.database.collections()
    assert run("collection", "budget", "none", "2GiB", *place.options).status == 5


# --------------------------------------------------------------------------------------- search


def test_explanation_is_behind_the_matches(run, docs):
    run("collection", "seal", "docs", *docs.options)
    result = run("search", "docs", *EXPLAIN, "--mode", "scan", *docs.options)
    assert (result.status, result.err) == (0, "")
    matches, facts = result.out.rstrip("\n").split("\n\n")
    assert matches == "id    score\n3    0.0000\n2   -1.0000"
    names = [line.split("  ")[0] for line in facts.splitlines()]
    assert names[:5] == ["mode", "matching", "segments", "tail", "level"]
    assert names[-3:] == ["vectors scored", "nodes visited", "costs"]
    values = dict(line.split("  ", 1) for line in facts.splitlines())
    assert (values["mode"].strip(), values["matching"].strip()) == ("scan", "10")
    assert values["io engine"].strip() == "-"


def test_explanation_is_in_the_json_of_its_query(run, docs):
    result = run("search", "docs", *EXPLAIN, "-o", "json", *docs.options)
    (found,) = json.loads(result.out)
    assert [match["id"] for match in found["matches"]] == [3, 2]
    explanation = found["explanation"]
    assert (explanation["mode"], explanation["matching"]) == ("exact", 10)
    assert (explanation["degraded"], explanation["io_engine"]) == (False, None)
    assert "matches" not in explanation


def test_graph_is_a_mode(run, docs):
    run("collection", "seal", "docs", *docs.options)
    result = run(
        "search", "docs", "--id", 3, "-k", 3, "--mode", "graph", "-o", "json", *docs.options
    )
    (found,) = json.loads(result.out)
    assert [match["id"] for match in found["matches"]] == [3, 2, 4]


def test_explanation_of_nothing_found_is_told_all_the_same(run, docs):
    result = run("search", "docs", *EXPLAIN, "--min-score", 1, *docs.options)
    assert (result.status, result.err) == (0, "no record matches\n")
    assert "matching        10\n" in result.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--with-vector",), "--explain shows ids and scores"),
        (("--surprise",), "--explain shows ids and scores"),
        (("-o", "csv"), "--explain takes -o table or -o json"),
        (("--mode", "graph", "--effort", "bound"), "effort='bound' means nothing to mode='graph'"),
        (("--mode", "graph", "--estimator", "hamming"), "estimator='hamming' means nothing to"),
    ],
)
def test_explanation_that_makes_no_sense_is_a_mistake(run, docs, words, said):
    result = run("search", "docs", *EXPLAIN, *words, *docs.options)
    assert (result.status, result.out) == (2, "")
    assert said in result.err


def test_one_search_is_explained_at_a_time(run, docs):
    words = ("search", "docs", "--vector", "-", "--explain", *docs.options)
    result = run(*words, stdin=b"[[5, 1, 0, 0], [6, 1, 0, 0]]")
    assert (result.status, result.out) == (2, "")
    assert "--explain takes one vector; got 2" in result.err
