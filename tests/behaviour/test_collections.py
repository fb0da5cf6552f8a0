"""Collections and aliases: made, listed, described, deleted, given another name."""

from __future__ import annotations

import numpy as np
import pytest

ONE = np.array([[1, 2, 3, 4]], np.float32)
FIELDS = {"lang": "keyword", "ok": "bool", "year": "int", "price": "float", "at": "datetime"}


def test_new_collection_is_described_as_it_was_made(api):
    docs = api.create("docs", dim=384, metric="dot", dtype="float16", fields=FIELDS)
    info = docs.describe()
    assert (info.name, info.dim, info.metric, info.dtype) == ("docs", 384, "dot", "float16")
    assert info.fields == FIELDS
    assert (info.id_kind, info.count, info.sequence, info.aliases) == (None, 0, 0, ())


def test_left_out_settings_are_cosine_and_float32_without_fields(api):
    info = api.db.create_collection("docs", dim=3).describe()
    assert (info.metric, info.dtype, info.fields) == ("cosine", "float32", {})


def test_collections_are_listed_by_name(api):
    for name in ("b", "a", "Z", "c.d-e_f"):
        api.create(name)
    assert [info.name for info in api.db.collections()] == ["Z", "a", "b", "c.d-e_f"]


def test_empty_database_has_no_collections(api):
    assert api.db.collections() == []
    assert api.db.aliases() == {}


def test_describe_counts_records_and_tells_their_kind_of_ids(api):
    docs = api.create()
    first = docs.upsert([1], ONE)
    assert docs.describe().id_kind == "int"
    assert docs.describe().sequence == first.sequence
    last = docs.upsert([2, 3], np.tile(ONE, (2, 1)))
    assert (docs.describe().count, docs.describe().sequence) == (3, last.sequence)


@pytest.mark.parametrize("name", ["a" * 128, "0", "-", "_", "a.b", "A-Z_09."])
def test_name_may_be_what_the_rule_allows(api, name):
    assert api.create(name).describe().name == name
    api.db.alias("other", name)
    assert api.db.collection("other").describe().name == name


@pytest.mark.parametrize("name", ["a/b", "../etc", ".hidden", "", "a" * 129, "é", "a b", "a\n", 5])
def test_name_outside_the_rule_is_refused(api, name):
    with api.refuses("InvalidArgument", "name", "BAD_NAME"):
        api.create(name)
    api.create("docs")
    with api.refuses("InvalidArgument", "alias", "BAD_NAME"):
        api.db.alias(name, "docs")
    assert [info.name for info in api.db.collections()] == ["docs"]


def test_name_is_taken_by_a_collection_or_an_alias(api):
    docs = api.create("docs")
    docs.upsert([1], ONE)
    api.db.alias("current", "docs")
    for name in ("docs", "current"):
        with api.refuses("AlreadyExists", "name"):
            api.create(name)
    with api.refuses("AlreadyExists", "alias"):
        api.db.alias("docs", "docs")
    assert docs.count() == 1


def test_deleted_collection_is_gone_with_its_records_and_aliases(api):
    docs = api.create("docs")
    docs.upsert([1], ONE, [{"a": 1}])
    api.db.alias("current", "docs")
    api.db.delete_collection("docs")
    assert api.db.collections() == []
    assert api.db.aliases() == {}
    for name in ("docs", "current"):
        gone = api.db.collection(name)
        for call in (gone.describe, gone.count, gone.scroll):
            with api.refuses("NotFound", "name", "NO_COLLECTION"):
                call()
        with api.refuses("NotFound", "name", "NO_COLLECTION"):
            gone.upsert([1], ONE)


def test_collection_made_again_under_a_name_is_empty(api):
    docs = api.create("docs", dim=4)
    docs.upsert([1, 2], np.tile(ONE, (2, 1)), [{"a": 1}, {"a": 2}])
    assert len(docs.search(ONE[0])) == 2
    api.db.delete_collection("docs")
    api.create("docs", dim=2, metric="dot")
    assert docs.count() == 0  # an old handle means the name
    assert len(docs.search(np.ones(2, np.float32))) == 0
    docs.upsert(["text"], np.ones((1, 2), np.float32))
    assert docs.search(np.ones(2, np.float32)).ids == ["text"]


def test_unknown_names_are_not_found(api):
    for name in ("nothing", "a/b", "a" * 600, "é"):
        with api.refuses("NotFound", "name", "NO_COLLECTION"):
            api.db.delete_collection(name)
        with api.refuses("NotFound", "name", "NO_COLLECTION"):
            api.db.collection(name).describe()
        with api.refuses("NotFound", "alias"):
            api.db.delete_alias(name)
        with api.refuses("NotFound", "collection", "NO_COLLECTION"):
            api.db.alias("alias", name)


@pytest.mark.parametrize("name", ["", 5, None, b"docs", "\ud800"])
def test_what_is_no_text_is_no_name_to_look_for(api, name):
    for call in (
        lambda: api.db.collection(name).describe(),
        lambda: api.db.collection(name).search(ONE[0]),
        lambda: api.db.delete_collection(name),
    ):
        with api.refuses("InvalidArgument", "name"):
            call()
    with api.refuses("InvalidArgument", "collection"):
        api.db.alias("alias", name)
    with api.refuses("InvalidArgument", "alias"):
        api.db.delete_alias(name)


# ----------------------------------------------------------------------------------- aliases


def test_alias_stands_for_its_collection_in_every_call(api):
    docs = api.create("docs", fields={"lang": "keyword"})
    api.db.alias("current", "docs")
    current = api.db.collection("current")
    current.upsert([1, 2], np.stack([ONE[0], -ONE[0]]), [{"lang": "en"}, None])
    assert docs.count() == current.count() == 2
    assert current.describe().name == "docs"
    assert current.describe().aliases == ("current",)
    assert current.stats() == docs.stats()
    assert current.search(ONE[0], 1).ids.tolist() == [1]
    assert current.scroll({"lang": "en"}).ids.tolist() == [1]
    current.set_payload([2], {"lang": "de"})
    current.delete([1])
    assert docs.get([1, 2]).payloads == [{"lang": "de"}]
    report = current.upload(ONE, ids=[7], progress=False)
    assert (report.ok, docs.count()) == (1, 2)


def test_alias_of_an_alias_names_the_collection(api):
    api.create("docs")
    api.db.alias("a", "docs")
    api.db.alias("b", "a")
    api.db.delete_alias("a")
    assert api.db.collection("b").describe().name == "docs"
    assert api.db.aliases() == {"b": "docs"}


def test_alias_moves_to_another_collection(api):
    old, new = api.create("old"), api.create("new", dim=2)
    old.upsert([1], ONE)
    api.db.alias("current", "old")
    api.db.alias("current", "new")
    assert api.db.aliases() == {"current": "new"}
    assert api.db.collection("current").describe().dim == 2
    api.db.collection("current").upsert(["x"], np.ones((1, 2), np.float32))
    assert (old.count(), new.count()) == (1, 1)


def test_aliases_are_listed_by_alias_and_beside_their_collection(api):
    api.create("docs")
    api.create("other")
    for alias, name in (("z", "docs"), ("a", "docs"), ("m", "other")):
        api.db.alias(alias, name)
    assert api.db.aliases() == {"a": "docs", "m": "other", "z": "docs"}
    assert list(api.db.aliases()) == ["a", "m", "z"]
    assert [info.aliases for info in api.db.collections()] == [("a", "z"), ("m",)]


def test_alias_is_refused_where_a_collection_is_deleted(api):
    docs = api.create("docs")
    docs.upsert([1], ONE)
    api.db.alias("current", "docs")
    with api.refuses("InvalidArgument", "name") as caught:
        api.db.delete_collection("current")
    assert "'docs'" in str(caught.value)
    assert docs.count() == 1


def test_removed_alias_leaves_the_collection(api):
    docs = api.create("docs")
    api.db.alias("current", "docs")
    api.db.delete_alias("current")
    assert docs.count() == 0
    for name in ("current", "docs"):
        with api.refuses("NotFound", "alias"):
            api.db.delete_alias(name)


# ------------------------------------------------------------------------------------ schema


@pytest.mark.parametrize("dim", [0, -1, 16_385, 2**40, True, 4.0, "4", None])
def test_dim_outside_its_bounds_is_refused(api, dim):
    with api.refuses("InvalidArgument", "dim"):
        api.create(dim=dim)


def test_dim_may_be_as_large_as_its_bound(api):
    docs = api.create(dim=16_384, dtype="uint8")
    vector = np.arange(16_384).astype(np.uint8)
    docs.upsert([1], vector[None])
    assert (docs.get([1], with_vector=True).vectors == vector).all()


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ({"metric": "euclid"}, "metric"),
        ({"metric": None}, "metric"),
        ({"dtype": "float64"}, "dtype"),
        ({"fields": ["lang"]}, "fields"),
        ({"fields": {"lang": "string"}}, "fields['lang']"),
        ({"fields": {"": "int"}}, "fields"),
        ({"fields": {"and": "int"}}, "fields['and']"),
        ({"fields": {"é" * 65: "int"}}, "fields"),
        ({"fields": {5: "int"}}, "fields"),
    ],
)
def test_schema_that_makes_no_sense_is_refused(api, schema, field):
    with api.refuses("InvalidArgument", field):
        api.create(**schema)
    assert api.db.collections() == []


def test_number_of_declared_fields_has_a_limit(api):
    fields = {f"f{number}": "int" for number in range(257)}
    with api.refuses("LimitExceeded", "fields") as caught:
        api.create(fields=fields)
    assert (caught.value.limit, caught.value.actual) == (256, 257)
    fields.popitem()
    assert len(api.create(fields=fields).describe().fields) == 256


def test_stats_tell_of_each_collection_by_its_name(api):
    docs = api.create("docs")
    docs.upsert([1, 2], np.tile(ONE, (2, 1)))
    docs.upsert([2], ONE)
    found = api.db.stats()
    assert found["collections"]["docs"]["count"] == docs.stats()["count"] == 2
    assert docs.stats()["dead_rows"] == 1
    assert docs.stats()["vector_bytes"] == 2 * 4 * 4
    assert found["sequence"] == docs.describe().sequence
