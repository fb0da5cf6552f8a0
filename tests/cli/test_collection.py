"""``vecdb collection``, on a directory and on a server."""

from __future__ import annotations

import json

FIELDS = {"lang": "keyword", "year": "int"}


def test_collection_is_created_as_told(run, place):
    result = run(
        *("collection", "create", "docs", "--dim", 4, "--metric", "l2", "--dtype", "uint8"),
        *("--field", "year=int", "--field", "lang=keyword", "-o", "json", *place.options),
    )
    assert (result.status, result.err) == (0, "")
    info = place.database.collection("docs").describe()
    assert (info.dim, info.metric, info.dtype) == (4, "l2", "uint8")
    assert dict(info.fields) == FIELDS
    assert json.loads(result.out) == {
        "name": "docs",
        "dim": 4,
        "metric": "l2",
        "dtype": "uint8",
        "records": 0,
        "fields": FIELDS,
        "ids": None,
        "aliases": [],
        "sequence": info.sequence,
        "code_bits": 4,
        "page_bytes": None,
        "memory_budget": None,
        "level": info.level,
        "level_reason": info.level_reason,
        "segments": 0,
        "tail": 0,
        "sealing": "",
    }


def test_creation_is_told_to_people_on_stderr(run, place):
    result = run("collection", "create", "docs", "--dim", 4, *place.options)
    assert result.out == ""
    assert result.err == "created docs: 4 dimensions, cosine, float32\n"
    assert run("collection", "create", "more", "--dim", 4, "--quiet", *place.options).err == ""


def test_taken_name_is_a_conflict(run, docs):
    result = run("collection", "create", "docs", "--dim", 4, *docs.options)
    assert result.status == 6
    assert result.err.startswith("error: there is a collection or alias 'docs' already")


def test_bad_name_is_a_mistake(run, place):
    assert run("collection", "create", "a/b", "--dim", 4, *place.options).status == 2


def test_list_shows_every_collection(run, docs):
    docs.database.create_collection("other", dim=768)
    docs.database.alias("now", "docs")
    result = run("collection", "list", *docs.options)
    assert result.out == (
        "name   dim  metric  dtype    records  fields                  aliases\n"
        "docs     4  l2      float32       10  lang=keyword, year=int  now\n"
        "other  768  cosine  float32        0  -                       -\n"
    )
    rows = json.loads(run("collection", "list", "-o", "json", *docs.options).out)
    assert [row["name"] for row in rows] == ["docs", "other"]
    assert [row["records"] for row in rows] == [10, 0]


def test_empty_database_lists_nothing(run, place):
    place.database.collections()
    result = run("collection", "list", *place.options)
    assert (result.status, result.out) == (0, "")
    assert result.err == f"no collection at {place.options[1]}\n"
    assert json.loads(run("collection", "list", "-o", "json", *place.options).out) == []


def test_describe_tells_of_one_by_name_or_alias(run, docs):
    docs.database.alias("now", "docs")
    for name in ("docs", "now"):
        facts = json.loads(run("collection", "describe", name, "-o", "json", *docs.options).out)
        assert (facts["name"], facts["ids"], facts["records"]) == ("docs", "int", 10)


def test_unknown_collection_is_not_found(run, place):
    place.database.collections()
    for words in (["describe", "none"], ["delete", "none", "--yes"], ["alias", "now", "none"]):
        result = run("collection", *words, *place.options)
        assert result.status == 5
        assert "hint: `vecdb collection list` tells what there is" in result.err


def test_deletion_waits_for_the_name(run, docs):
    for typed, status in ((b"", 2), (b"dogs\n", 1)):
        result = run("collection", "delete", "docs", *docs.options, stdin=typed)
        assert result.status == status
        assert "This deletes the collection docs at " in result.err
        assert "and its 10 records.\nType docs to confirm: " in result.err
        assert "nothing was changed" in result.err
    assert docs.database.collection("docs").describe().count == 10
    result = run("collection", "delete", "docs", *docs.options, stdin=b"docs\n")
    assert result.status == 0
    assert result.err.endswith("deleted docs and its 10 records\n")
    assert docs.database.collections() == []


def test_yes_deletes_without_asking(run, docs):
    result = run("collection", "delete", "docs", "--yes", "-o", "json", *docs.options)
    assert (result.status, result.err) == (0, "")
    assert json.loads(result.out) == {"deleted": "docs", "records": 10}
    assert docs.database.collections() == []


def test_alias_is_not_deleted_in_place_of_its_collection(run, docs):
    docs.database.alias("now", "docs")
    assert run("collection", "delete", "now", "--yes", *docs.options).status == 2
    assert docs.database.collection("docs").describe().count == 10


def test_alias_is_set_listed_and_removed(run, docs):
    assert run("collection", "alias", "now", "docs", *docs.options).err == "now now means docs\n"
    listed = run("collection", "alias", "-o", "csv", *docs.options)
    assert listed.out == "alias,collection\nnow,docs\n"
    assert run("collection", "alias", "now", "--remove", *docs.options).status == 0
    assert docs.database.aliases() == {}
    assert run("collection", "alias", "now", "--remove", *docs.options).status == 5


def test_half_an_alias_is_a_mistake(run):
    assert run("collection", "alias", "now").status == 2
    assert run("collection", "alias", "--remove").status == 2
    assert run("collection", "alias", "now", "docs", "--remove").status == 2
