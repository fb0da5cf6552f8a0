"""``vecdb record``, on a directory and on a server."""

from __future__ import annotations

import json

import pytest

EN = '{"lang": "en"}'


def lines(result) -> list[dict]:
    assert result.status == 0, result.err
    return [json.loads(line) for line in result.out.splitlines()]


def test_get_shows_records_in_the_order_asked(run, docs):
    result = run("record", "get", "docs", 7, 2, *docs.options)
    assert result.out == (
        'id  payload\n7   {"lang": "de", "year": 2007}\n2   {"lang": "en", "year": 2002}\n'
    )
    rows = lines(run("record", "get", "docs", 7, 2, "--with-vector", "-o", "jsonl", *docs.options))
    assert rows[0] == {
        "id": 7,
        "payload": {"lang": "de", "year": 2007},
        "vector": [7.0, 1.0, 0.0, 0.0],
    }


def test_get_of_a_missing_record_shows_the_others_and_fails(run, docs):
    result = run("record", "get", "docs", 7, 99, "-o", "jsonl", *docs.options)
    assert [json.loads(line)["id"] for line in result.out.splitlines()] == [7]
    assert result.status == 5
    assert json.loads(result.err)["error"]["message"] == "not stored: 99 (1 of 2 asked for)"


def test_ids_are_of_the_kind_of_the_collection(run, place):
    made = place.database.create_collection("texts", dim=1)
    made.upsert(["7", "a b"], [[1.0], [2.0]])
    rows = lines(run("record", "get", "texts", "7", "a b", "-o", "jsonl", *place.options))
    assert [row["id"] for row in rows] == ["7", "a b"]


def test_word_is_no_id_where_ids_are_numbers(run, docs):
    result = run("record", "get", "docs", "seven", *docs.options)
    assert result.status == 2
    assert "the ids of this collection are whole numbers; got 'seven'" in result.err


def test_negative_id_follows_two_dashes(run, docs):
    docs.database.collection("docs").upsert([-3], [[0.0, 1.0, 0.0, 0.0]])
    rows = lines(run("record", "get", *docs.options, "-o", "jsonl", "--", "docs", -3))
    assert rows == [{"id": -3, "payload": None}]


def test_count_prints_a_bare_number(run, docs):
    assert run("record", "count", "docs", *docs.options).out == "10\n"
    assert run("record", "count", "docs", "--filter", EN, *docs.options).out == "5\n"
    counted = run("record", "count", "docs", "-o", "json", *docs.options)
    assert json.loads(counted.out) == {"count": 10}


def test_filter_on_an_undeclared_field_is_a_mistake(run, docs):
    result = run("record", "count", "docs", "--filter", '{"size": 3}', *docs.options)
    assert result.status == 2
    assert "hint: Declared are: lang, year" in result.err


def test_scroll_shows_a_page_and_where_the_next_begins(run, docs):
    result = run("record", "scroll", "docs", "--limit", 3, *docs.options)
    assert [line.split()[0] for line in result.out.splitlines()] == ["id", "0", "1", "2"]
    assert result.err == "there are more: --after 2\n"
    rows = lines(run("record", "scroll", "docs", "--after", 7, "-o", "jsonl", *docs.options))
    assert [row["id"] for row in rows] == [8, 9]


def test_scroll_goes_through_pages_as_far_as_asked(run, docs, monkeypatch):
    monkeypatch.setattr("vecdb.cli.record.PAGE", 3)
    result = run("record", "scroll", "docs", "--limit", 8, "-o", "jsonl", *docs.options)
    assert [row["id"] for row in lines(result)] == list(range(8))
    assert run("record", "scroll", "docs", "--limit", 10, *docs.options).err == ""


def test_scroll_of_a_filter_shows_what_matches(run, docs):
    words = ["record", "scroll", "docs", "--filter", '{"year": {"gte": 2008}}', "-o", "json"]
    assert [row["id"] for row in json.loads(run(*words, *docs.options).out)] == [8, 9]


def test_dry_run_counts_and_deletes_nothing(run, docs):
    words = ["record", "delete", "docs", "--dry-run", *docs.options]
    assert run(*words, "--filter", EN).out == "5\n"
    assert json.loads(run(*words, "1", "2", "99", "-o", "json").out) == {"would_delete": 2}
    assert docs.database.collection("docs").count() == 10


def test_deletion_waits_for_the_name_of_the_collection(run, docs):
    words = ["record", "delete", "docs", "--filter", EN, *docs.options]
    result = run(*words, stdin=b"yes\n")
    assert result.status == 1
    assert "This deletes 5 records of docs at " in result.err
    assert docs.database.collection("docs").count() == 10
    result = run(*words, stdin=b"docs\n")
    assert result.status == 0
    assert result.err.endswith("deleted 5 records\n")
    assert docs.database.collection("docs").count(json.loads(EN)) == 0


def test_deletion_by_id_passes_over_what_is_not_stored(run, docs):
    result = run("record", "delete", "docs", 1, 99, "--yes", "-o", "json", *docs.options)
    assert json.loads(result.out) == {"deleted": 1}
    assert docs.database.collection("docs").get([1]).missing == [1]


def test_nothing_to_delete_asks_nothing(run, docs):
    result = run("record", "delete", "docs", 99, *docs.options)
    assert (result.status, result.err) == (0, "deleted 0 records\n")


def test_ids_and_filter_together_are_a_mistake(run, docs):
    assert run("record", "delete", "docs", 1, "--filter", EN, "--yes", *docs.options).status == 2
    assert docs.database.collection("docs").count() == 10


def test_payload_is_merged_or_replaced(run, docs):
    words = ["record", "set-payload", "docs", "3", *docs.options]
    assert run(*words, "--payload", '{"year": 1999}').err == "changed 1 record\n"
    assert docs.database.collection("docs").get([3]).payloads == [{"lang": "de", "year": 1999}]
    assert run(*words, "--payload", '{"year": 7}', "--replace", "-o", "json").status == 0
    assert docs.database.collection("docs").get([3]).payloads == [{"year": 7}]


def test_payload_comes_from_a_file_or_stdin(run, docs, tmp_path):
    path = tmp_path / "payload.json"
    path.write_text('{"lang": "fr"}')
    words = ["record", "set-payload", "docs", "3", "4", *docs.options, "--payload"]
    assert run(*words, f"@{path}").status == 0
    assert run(*words, "@-", stdin=b'{"year": 5}').status == 0
    found = docs.database.collection("docs").get([3, 4]).payloads
    assert found == [{"lang": "fr", "year": 5}] * 2


@pytest.mark.parametrize("payload", ["@no-such-file", "[]", "{", '{"year": "x"}'])
def test_payload_that_cannot_be_stored_changes_nothing(run, docs, payload):
    result = run("record", "set-payload", "docs", 3, "--payload", payload, *docs.options)
    assert (result.status, result.out) == (2, "")
    assert docs.database.collection("docs").get([3]).payloads == [{"lang": "de", "year": 2003}]


def test_payload_of_a_missing_record_is_not_found(run, docs):
    words = ["record", "set-payload", "docs", "3", "99", "--payload", '{"year": 1}']
    assert run(*words, *docs.options).status == 5


def test_facets_are_a_table(run, docs):
    result = run("record", "facets", "docs", "lang", *docs.options)
    assert result.out == 'value  count\n"de"       5\n"en"       5\n'
    result = run("record", "facets", "docs", "year", "--limit", 2, "-o", "json", *docs.options)
    assert json.loads(result.out) == [{"value": 2000, "count": 1}, {"value": 2001, "count": 1}]
    result = run("record", "facets", "docs", "year", "--limit", 9, *docs.options)
    assert "1 other value" in result.err


def test_facets_of_a_filter(run, docs):
    words = ("record", "facets", "docs", "lang", "--filter", '{"year": {"lt": 2003}}')
    assert run(*words, *docs.options).out == 'value  count\n"en"       2\n"de"       1\n'


def test_records_in_the_order_of_a_field(run, docs):
    words = ("record", "scroll", "docs", "--order-by", "lang", "--descending", "-o", "json")
    result = run(*words, "--limit", 7, *docs.options)
    assert [one["id"] for one in json.loads(result.out)] == [0, 2, 4, 6, 8, 1, 3]
    noted = run(*words[:-2], "--limit", 7, *docs.options).err
    after = noted.split("--after ")[1].strip()
    rest = run(*words, "--after", after, *docs.options)
    assert [one["id"] for one in json.loads(rest.out)] == [5, 7, 9]


def test_descending_without_a_field_is_a_mistake(run, docs):
    assert run("record", "scroll", "docs", "--descending", *docs.options).status == 2
