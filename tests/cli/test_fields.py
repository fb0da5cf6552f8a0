"""Declared fields on the command line, on a directory and on a server."""

from __future__ import annotations

import json

import pytest


def fields_of(run, place):
    shown = run("collection", "describe", "docs", "-o", "json", *place.options)
    return json.loads(shown.out)["fields"]


def test_field_is_added_used_and_dropped(run, docs):
    before = fields_of(run, docs)
    added = run("collection", "add-field", "docs", "extra=int", *docs.options)
    assert (added.status, added.out) == (0, "")
    assert added.err.startswith("docs has the field extra (int)")
    assert fields_of(run, docs) == {**before, "extra": "int"}
    counted = run(
        "record", "count", "docs", "--filter", '{"extra": {"exists": false}}', *docs.options
    )
    assert counted.status == 0
    dropped = run("collection", "drop-field", "docs", "extra", "-o", "json", *docs.options)
    assert json.loads(dropped.out) == {"name": "docs", "fields": before}
    again = run("collection", "drop-field", "docs", "extra", *docs.options)
    assert again.status != 0
    assert "there is no declared field 'extra'" in again.err


@pytest.mark.parametrize("word", ["extra", "extra=shape", "=int", "and=int"])
def test_what_is_no_field_is_a_mistake(run, docs, word):
    result = run("collection", "add-field", "docs", word, *docs.options)
    assert (result.status, result.out) == (2, "")


def test_record_that_does_not_fit_is_told(run, docs):
    run("collection", "drop-field", "docs", "lang", *docs.options)
    result = run("collection", "add-field", "docs", "lang=int", *docs.options)
    assert result.status not in (0, 2)
    assert "does not fit the type int" in result.err
    assert "lang" not in fields_of(run, docs)
