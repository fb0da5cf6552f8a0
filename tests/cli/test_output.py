"""Data on stdout in four forms, and everything else on stderr."""

from __future__ import annotations

import csv
import io
import json

import pytest

from vecdb.cli.output import Console
from vecdb.cli.tables import Column, table
from vecdb.cli.text import clean, plural, seconds_text, size_text

COLUMNS = (
    Column("id"),
    Column("bytes", "size", "bytes"),
    Column("score", kind="score"),
    Column("payload", kind="json"),
)
ROWS = [
    {"id": 1, "bytes": 1_500_000, "score": 0.75, "payload": {"a": "é", "b": [1, 2]}},
    {"id": 20_000, "bytes": 12, "score": -12.5, "payload": None},
]


def test_table_is_aligned_and_written_for_people(capsys):
    Console().rows(ROWS, COLUMNS)
    assert capsys.readouterr().out == (
        "id       size     score  payload\n"
        '1      1.5 MB    0.7500  {"a": "é", "b": [1, 2]}\n'
        "20000    12 B  -12.5000  -\n"
    )


def test_json_is_one_list_with_a_row_a_line(capsys):
    Console(format="json").rows(iter(ROWS), COLUMNS)
    out = capsys.readouterr().out
    assert json.loads(out) == ROWS
    assert len(out.splitlines()) == 4


def test_json_of_no_rows_is_an_empty_list(capsys):
    Console(format="json").rows([], COLUMNS, empty="nothing")
    assert capsys.readouterr() == ("[]\n", "")


def test_jsonl_is_an_object_a_line(capsys):
    Console(format="jsonl").rows(iter(ROWS), COLUMNS)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == ROWS


def test_csv_has_a_header_and_json_where_a_value_is_nested(capsys):
    Console(format="csv").rows(iter(ROWS), COLUMNS)
    read = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert read[0] == {
        "id": "1",
        "bytes": "1500000",
        "score": "0.75",
        "payload": '{"a": "é", "b": [1, 2]}',
    }
    assert read[1]["payload"] == ""


def test_empty_table_says_so_on_stderr(capsys):
    Console().rows([], COLUMNS, empty="no record")
    assert capsys.readouterr() == ("", "no record\n")


def test_facts_are_names_and_values(capsys):
    facts = {"ready": True, "data_bytes": 4096, "fields": {"lang": "keyword"}, "ids": None}
    Console().facts(facts, {"data_bytes": "bytes"})
    assert capsys.readouterr().out == (
        "ready       yes\ndata bytes  4.1 kB\nfields      lang=keyword\nids         -\n"
    )
    Console(format="json").facts(facts)
    assert json.loads(capsys.readouterr().out) == facts


def test_number_stands_alone_in_a_table(capsys):
    Console().value("count", 12_000)
    assert capsys.readouterr().out == "12000\n"
    Console(format="json").value("count", 12_000)
    assert json.loads(capsys.readouterr().out) == {"count": 12_000}


def test_what_a_write_did_is_a_note_or_data(capsys):
    Console().done("deleted 3 records", {"deleted": 3})
    assert capsys.readouterr() == ("", "deleted 3 records\n")
    Console(quiet=True).done("deleted 3 records", {"deleted": 3})
    assert capsys.readouterr() == ("", "")
    Console(format="jsonl", quiet=True).done("deleted 3 records", {"deleted": 3})
    assert capsys.readouterr() == ('{"deleted": 3}\n', "")


def test_warning_is_seen_although_quiet(capsys):
    Console(quiet=True, format="json").warn("look")
    assert capsys.readouterr().err == "warning: look\n"


def test_last_column_is_clipped_to_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    rows = [{"id": 1, "payload": {"text": "x" * 200}}]
    lines = table(rows, (Column("id"), Column("payload", kind="json"))).splitlines()
    assert max(map(len, lines)) == 40
    assert lines[1].endswith("x...")


@pytest.mark.parametrize(
    "text", ["a\nb", "\x1b[31mred", "bell\a", "\x9b31m", "\u202eback", "\ud800"]
)
def test_stored_text_cannot_move_the_cursor(text):
    assert clean(text).isprintable()
    assert clean("Grüße 你好") == "Grüße 你好"


def test_id_with_a_line_break_stays_on_its_line():
    assert len(table([{"id": "a\nb"}], (Column("id"),)).splitlines()) == 2


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (999_999, "1.0 MB"),
        (12_345_678, "12.3 MB"),
        (5e12, "5.0 TB"),
    ],
)
def test_sizes_read_well(size, text):
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (99.6, "1 min 40 s"), (7_260, "2 h 1 min")],
)
def test_durations_read_well(seconds, text):
    assert seconds_text(seconds) == text


def test_one_record_is_not_records():
    assert (plural(1, "record"), plural(0, "record"), plural(1_000, "record")) == (
        "1 record",
        "0 records",
        "1,000 records",
    )
