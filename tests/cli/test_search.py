"""``vecdb search``, on a directory and on a server."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

QUERY = [2.9, 1.0, 0.0, 0.0]


@pytest.fixture
def search(run, docs):
    """Searches "docs"."""

    def invoke(*words: object, stdin: bytes = b""):
        return run("search", "docs", *words, *docs.options, stdin=stdin)

    return invoke


def npy(matrix: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, matrix)
    return stream.getvalue()


def ids(result) -> list[list[int]]:
    assert result.status == 0, result.err
    return [[match["id"] for match in query["matches"]] for query in json.loads(result.out)]


def test_matches_are_a_table_best_first(search):
    result = search("--vector", "-", "-k", 2, stdin=json.dumps(QUERY).encode())
    assert (result.status, result.err) == (0, "")
    assert result.out == (
        "id    score  payload\n"
        '3   -0.1000  {"lang": "de", "year": 2003}\n'
        '2   -0.9000  {"lang": "en", "year": 2002}\n'
    )


def test_json_tells_all_of_a_match(search):
    result = search("--vector", "-", "-k", 1, "-o", "json", stdin=b"[3, 1, 0, 0]")
    assert json.loads(result.out) == [
        {
            "query": 0,
            "matches": [
                {"id": 3, "score": 0.0, "distance": 0.0, "payload": {"lang": "de", "year": 2003}}
            ],
        }
    ]


def test_lines_and_csv_have_a_match_each(search):
    words = ("--vector", "-", "-k", 2, "--no-payload", "-o")
    rows = search(*words, "jsonl", stdin=b"[3, 1, 0, 0]").out.splitlines()
    assert json.loads(rows[0]) == {"query": 0, "id": 3, "score": 0.0, "distance": 0.0}
    assert search(*words, "csv", stdin=b"[3, 1, 0, 0]").out.splitlines()[:2] == [
        "query,id,score,distance,payload",
        "0,3,0.0,0.0,",
    ]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8", "int64"])
def test_vectors_come_from_an_npy_file(search, tmp_path, dtype):
    path = tmp_path / "queries.npy"
    path.write_bytes(npy(np.array([[3, 1, 0, 0], [8, 1, 0, 0]], dtype)))
    assert ids(search("--vector", path, "-k", 1, "-o", "json")) == [[3], [8]]


def test_npy_and_json_come_from_stdin(search):
    for stdin in (npy(np.array([5, 1, 0, 0], np.float32)), b"[[5, 1, 0, 0]]\n"):
        assert ids(search("--vector", "-", "-k", 1, "-o", "json", stdin=stdin)) == [[5]]


def test_several_queries_are_numbered_in_the_table(search):
    result = search("--vector", "-", "-k", 1, stdin=b"[[5, 1, 0, 0], [6, 1, 0, 0]]")
    assert [line.split()[:2] for line in result.out.splitlines()] == [
        ["query", "id"],
        ["0", "5"],
        ["1", "6"],
    ]


def test_many_queries_are_answered_in_order_over_several_calls(search, monkeypatch):
    monkeypatch.setattr("vecdb.cli.search.BATCH", 2)
    queries = [[float(i), 1.0, 0.0, 0.0] for i in (4, 0, 9, 2, 7)]
    found = ids(search("--vector", "-", "-k", 1, "-o", "json", stdin=json.dumps(queries).encode()))
    assert found == [[4], [0], [9], [2], [7]]


def test_filter_min_score_and_mode_are_passed_on(search):
    words = ["--vector", "-", "-o", "json", "--mode", "exact"]
    stdin = b"[3, 1, 0, 0]"
    assert ids(search(*words, "--filter", '{"lang": "en"}', "-k", 3, stdin=stdin)) == [[2, 4, 0]]
    assert ids(search(*words, "--min-score", "-1.5", stdin=stdin)) == [[3, 2, 4]]


def test_no_match_is_said_and_no_failure(search):
    result = search("--vector", "-", "--min-score", 1, stdin=b"[3, 1, 0, 0]")
    assert (result.status, result.out, result.err) == (0, "", "no record matches\n")


def test_search_by_a_record_finds_its_neighbours(search):
    assert ids(search("--id", 3, "-k", 3, "-o", "json")) == [[3, 2, 4]]
    result = search("--id", 99)
    assert (result.status, result.err) == (5, "error: there is no record 99 to search by\n")


def test_vectors_are_shown_when_asked_for(search):
    result = search("--id", 3, "-k", 1, "--with-vector", "-o", "jsonl")
    assert json.loads(result.out)["vector"] == [3.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("stdin", "said"),
    [
        (b"", "expected a vector, found nothing"),
        (b"3 1 0 0", "a JSON list of numbers"),
        (b'{"vector": [3, 1, 0, 0]}', "a JSON list of numbers"),
        (b"5", "a JSON list of numbers"),
        (b"[]", "expected one vector or a list of them"),
        (b"[[3, 1, 0, 0], [3, 1]]", "of one length"),
        (b'["3", "a"]', "a JSON list of numbers"),
        (b"[[[1]]]", "expected one vector or a list of them"),
        (b"\x93NUMPY\x01\x00", "not a readable npy array"),
        (npy(np.array(["a"])), "expected numbers"),
    ],
)
def test_what_is_no_vector_is_a_mistake(search, stdin, said):
    result = search("--vector", "-", stdin=stdin)
    assert (result.status, result.out) == (2, "")
    assert said in result.err


@pytest.mark.parametrize("stdin", [b"[1, 2, 3]", b"[1, 2, 3, NaN]", b"[1, 2, 3, 1e999]"])
def test_vector_that_does_not_fit_the_collection_is_a_mistake(search, stdin):
    assert search("--vector", "-", stdin=stdin).status == 2


def test_wrong_dimension_points_to_the_collection(search):
    result = search("--vector", "-", stdin=b"[1, 2, 3]")
    assert "hint: `vecdb collection describe` tells how many dimensions it has" in result.err


def test_unknown_collection_is_not_found(run, docs):
    result = run("search", "dogs", "--vector", "-", *docs.options, stdin=b"[3, 1, 0, 0]")
    assert result.status == 5


def test_offset_gives_the_next_page(search):
    whole = search("--vector", "-", "-k", 4, "-o", "json", stdin=b"[3, 1, 0, 0]")
    page = search("--vector", "-", "-k", 2, "--offset", 2, "-o", "json", stdin=b"[3, 1, 0, 0]")
    assert ids(page) == [ids(whole)[0][2:]]
    assert len(ids(page)[0]) == 2


def test_diverse_matches_begin_with_the_best(search):
    words = ("--vector", "-", "-o", "json", "-k")
    best = ids(search(*words, 1, stdin=b"[3, 1, 0, 0]"))[0][0]
    (found,) = ids(search(*words, 2, "--diversity", 1.0, stdin=b"[3, 1, 0, 0]"))
    assert found[0] == best
    assert len(found) == 2


def test_choice_that_makes_no_sense_is_refused(search):
    for words in (("--offset", 1, "--diversity", 0.5), ("--offset", 1, "--explain")):
        result = search("--vector", "-", *words, stdin=b"[3, 1, 0, 0]")
        assert (result.status, result.out) == (2, "")
        assert "offset" in result.err


def test_groups_are_rows_with_their_value(search):
    words = ("--vector", "-", "-k", 2, "--group-by", "lang", "--group-size", 2)
    result = search(*words, "--no-payload", stdin=b"[3, 1, 0, 0]")
    assert result.err == ""
    lines = [line.split() for line in result.out.splitlines()]
    assert lines[0] == ["group", "id", "score", "payload"]
    assert [line[:2] for line in lines[1:]] == [["de", "3"], ["de", "1"], ["en", "2"], ["en", "4"]]


def test_groups_in_json(search):
    words = ("--vector", "-", "-k", 2, "--group-by", "lang", "-o", "json")
    (found,) = json.loads(search(*words, stdin=b"[3, 1, 0, 0]").out)
    assert [(one["value"], len(one["matches"])) for one in found["groups"]] == [
        ("de", 1),
        ("en", 1),
    ]


def test_group_size_without_a_field_is_a_mistake(search):
    result = search("--vector", "-", "--group-size", 2, stdin=b"[3, 1, 0, 0]")
    assert (result.status, result.out) == (2, "")
