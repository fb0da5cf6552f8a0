"""``vecdb tenant``, and commands as a tenant; on a directory and on a server."""

from __future__ import annotations

import json

import numpy as np
import pytest

from .conftest import DIM


def value(result) -> object:
    assert result.status == 0, result.err
    return json.loads(result.out)


@pytest.fixture
def shared(docs):
    """``docs`` whose records 0-4 ann owns, of which bob sees 0 and 1."""
    records = docs.database.collection("docs")
    found = records.get([0, 1, 2, 3, 4], with_vector=True)
    records.upsert(found.ids, found.vectors, found.payloads, tenants="ann")
    records.grant([0, 1], "bob")
    return docs


def test_tenants_are_listed_and_described(run, shared):
    listed = run("tenant", "list", "docs", *shared.options)
    heading, *rows = [line.split() for line in listed.out.splitlines()]
    assert heading[:3] == ["name", "visible", "records"]
    assert [row[:3] for row in rows] == [["ann", "5", "5"], ["bob", "2", "0"]]
    facts = value(run("tenant", "describe", "docs", "bob", "-o", "json", *shared.options))
    assert (facts["name"], facts["visible"], facts["rate"]) == ("bob", 2, None)
    shown = run("tenant", "describe", "docs", "ann", *shared.options).out
    assert "max records  -" in shown


def test_collection_without_tenants_says_so(run, docs):
    result = run("tenant", "list", "docs", *docs.options)
    assert (result.status, result.out, result.err) == (0, "", "no tenant in docs\n")


def test_pages_of_tenants_are_all_listed(run, docs, monkeypatch):
    monkeypatch.setattr("vecdb.cli.tenant.PAGE", 2)
    docs.database.collection("docs").grant([1], ["a", "b", "c", "d", "e"])
    rows = value(run("tenant", "list", "docs", "-o", "json", *docs.options))
    assert [row["name"] for row in rows] == ["a", "b", "c", "d", "e"]


def test_unknown_tenant_is_not_found(run, docs):
    for words in (("describe", "docs", "ann"), ("delete", "docs", "ann", "--yes")):
        result = run("tenant", *words, *docs.options)
        assert (result.status, result.out) == (5, "")
        assert "hint: `vecdb tenant list` tells what there is" in result.err
    assert run("tenant", "copy", "docs", "ann", "bob", *docs.options).status == 5
    assert run("tenant", "revoke", "docs", "ann", 1, *docs.options).status == 5


def test_records_are_granted_and_revoked(run, docs):
    result = run("tenant", "grant", "docs", "ann, bob", 1, 2, 99, *docs.options)
    assert (result.status, result.err) == (0, "granted 2 records to ann, bob\n")
    again = run("tenant", "grant", "docs", "ann", 1, 3, "-o", "json", *docs.options)
    assert value(again) == {"granted": 1}
    seen = value(run("tenant", "who-sees", "docs", 1, "-o", "json", *docs.options))
    assert seen == {"id": 1, "owner": None, "tenants": ["ann", "bob"]}
    assert run("tenant", "who-sees", "docs", 99, *docs.options).status == 5
    result = run("tenant", "revoke", "docs", "bob", 1, 2, 3, *docs.options)
    assert result.err == "revoked 2 records from bob\n"
    assert run("tenant", "grant", "docs", "a b", 1, *docs.options).status == 2
    assert run("tenant", "grant", "docs", "ann", "one", *docs.options).status == 2


def test_tenant_is_copied_and_deleted(run, shared):
    result = run("tenant", "copy", "docs", "bob", "cat", *shared.options)
    assert result.err == "made cat, which sees 2 records of bob\n"
    assert run("tenant", "copy", "docs", "bob", "cat", *shared.options).status == 6
    words = ("tenant", "delete", "docs", "ann", *shared.options)
    refused = run(*words, stdin=b"docs\n")
    assert refused.status == 1
    assert "those of its 5 records that nobody else sees" in refused.err
    assert run(*words, stdin=b"ann\n").err.endswith("deleted ann, which owned 5 records\n")
    names = [row["name"] for row in value(run("tenant", "list", "docs", "-o", "json", *words[4:]))]
    assert names == ["bob", "cat"]


def test_quota_changes_what_was_named(run, docs):
    words = ("tenant", "quota", "docs", "ann", *docs.options)
    result = run(*words, "--max-records", 5, "--max-bytes", "1KiB")
    assert result.err == "ann is bound to max records 5, max bytes 1024\n"
    assert value(run(*words, "--rate", 2.5, "--max-bytes", "none", "-o", "json")) == {
        "name": "ann",
        "max_records": 5,
        "max_bytes": None,
        "rate": 2.5,
    }
    lifted = run(*words, "--rate", "none", "--max-records", "none")
    assert lifted.err == "ann is bound to nothing\n"
    for wrong in ((), ("--rate", "x"), ("--rate", 0), ("--max-records", 1.5), ("--rate", "nan")):
        assert run(*words, *wrong).status == 2


# -------------------------------------------------------------------------------- as a tenant


def test_reads_as_a_tenant_show_what_it_sees(run, shared):
    bob = ("--tenant", "bob", *shared.options)
    assert run("record", "count", "docs", *bob).out == "2\n"
    rows = value(run("record", "scroll", "docs", "-o", "json", *bob))
    assert [row["id"] for row in rows] == [0, 1]
    result = run("record", "get", "docs", 1, 2, "-o", "json", *bob)
    assert ([row["id"] for row in json.loads(result.out)], result.status) == ([1], 5)
    (found,) = value(run("search", "docs", "--id", 1, "-o", "json", *bob))
    assert [match["id"] for match in found["matches"]] == [1, 0]
    assert run("search", "docs", "--id", 2, *bob).status == 5
    (told,) = value(run("search", "docs", "--id", 1, "--explain", "-o", "json", *bob))
    assert told["explanation"]["matching"] == 2
    counts = value(run("record", "facets", "docs", "year", "-o", "json", *bob))
    assert counts == [{"value": 2000, "count": 1}, {"value": 2001, "count": 1}]
    words = ("--id", 1, "--group-by", "year", "--no-payload", "-o", "jsonl")
    lines = run("search", "docs", *words, *bob).out.splitlines()
    assert sorted(json.loads(line)["id"] for line in lines) == [0, 1]
    assert run("record", "count", "docs", "--tenant", "nobody", *shared.options).out == "0\n"


def test_writes_as_a_tenant_change_what_it_owns(run, shared):
    ann, bob = (("--tenant", name, *shared.options) for name in ("ann", "bob"))
    result = run("record", "delete", "docs", 0, 2, "--yes", "-o", "json", *bob)
    assert value(result) == {"deleted": 0}
    words = ("record", "set-payload", "docs", 0, "--payload", '{"year": 5}')
    assert run(*words, *bob).status == 4
    assert run(*words, *ann).status == 0
    result = run("record", "delete", "docs", 0, 2, 9, "--yes", "-o", "json", *ann)
    assert value(result) == {"deleted": 2}


def test_export_as_a_tenant_has_what_it_sees(run, shared, tmp_path):
    path = tmp_path / "out.jsonl"
    words = ("export", "docs", "-O", path, "--tenant", "bob", *shared.options)
    assert run(*words).status == 0
    ids = [json.loads(line)["id"] for line in path.read_text().splitlines()]
    assert ids == [0, 1]


def test_import_says_whose_the_records_are(run, place, tmp_path):
    np.save(tmp_path / "a.npy", np.eye(DIM, dtype=np.float32))
    words = ("import", tmp_path / "a.npy", "-c", "docs", *place.options)
    for wrong in (("--tenant", "a", "--tenants", "b"), ("--tenant", "a b"), ("--tenants", "a,,b")):
        assert run(*words, *wrong).status == 2
    assert place.database.collections() == []
    assert run(*words, "--tenants", "ann, bob").status == 0
    records = place.database.collection("docs")
    assert records.who_sees(0).owner == "ann"
    assert records.who_sees(0).tenants == ("ann", "bob")
    assert run(*words, "--tenant", "bob").status == 4
    assert run(*words, "--tenant", "cat", "--first-id", 100).status == 0
    assert records.tenant("cat").records == DIM
    assert run(*words, "--tenants", "").status == 0
    assert records.who_sees(0).tenants == ()
