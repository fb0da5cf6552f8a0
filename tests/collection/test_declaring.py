"""Fields that change between the check of a call and its turn."""

from __future__ import annotations

import numpy as np
import pytest

import vecdb
from vecdb.collection import declaring
from vecdb.errors import InvalidArgument, PreconditionFailed
from vecdb.storage.catalogue import columns_due

ONE = np.ones((1, 4), np.float32)


@pytest.fixture
def docs(tmp_path):
    with vecdb.open(tmp_path / "db") as db:
        made = db.create_collection("docs", dim=4, metric="l2", fields={"lang": "keyword"})
        made.upsert([1, 2], np.ones((2, 4), np.float32), [{"lang": "en", "year": 1}, None])
        yield made


@pytest.fixture
def between(docs, monkeypatch):
    """Has ``act`` done after the next call has been checked, before the writer sees it."""

    def prepare(act):
        real = docs._store.submit

        def submit(run, size_bytes):
            monkeypatch.setattr(docs._store, "submit", real)
            act()
            return real(run, size_bytes)

        monkeypatch.setattr(docs._store, "submit", submit)

    return prepare


def test_batch_checked_before_a_field_was_declared_is_checked_again(docs, between):
    between(lambda: docs.add_field("year", "int"))
    with pytest.raises(InvalidArgument) as caught:
        docs.upsert([2, 3], np.ones((2, 4), np.float32), [{"year": 2}, {"year": "new"}])
    assert caught.value.field == "payloads[1].year"
    assert docs.count() == 2
    docs.drop_field("year")
    between(lambda: docs.add_field("year", "int"))
    docs.upsert([3], ONE, [{"year": 2}], idempotency_key=b"k")
    assert docs.count({"year": 2}) == 1


def test_payload_checked_before_a_field_was_declared_is_checked_again(docs, between):
    between(lambda: docs.add_field("year", "int"))
    with pytest.raises(InvalidArgument) as caught:
        docs.set_payload([1], {"year": "new"})
    assert caught.value.field == "payload.year"
    assert docs.get([1]).payloads[0]["year"] == 1


def test_filter_on_a_field_that_was_dropped_meanwhile_writes_nothing(docs, between):
    between(lambda: docs.drop_field("lang"))
    with pytest.raises(PreconditionFailed) as caught:
        docs.delete(filter={"lang": "en"})
    assert (caught.value.reason, caught.value.field) == ("FIELDS_CHANGED", "lang")
    docs.add_field("lang", "keyword")
    between(lambda: docs.drop_field("lang"))
    with pytest.raises(PreconditionFailed) as caught:
        docs.upsert([1], ONE, condition={"filter": {"lang": "en"}})
    assert caught.value.reason == "FIELDS_CHANGED"
    assert docs.count() == 2


def test_write_that_does_not_care_is_not_refused(docs, between):
    between(lambda: docs.add_field("year", "int"))
    docs.delete([2])
    between(lambda: docs.drop_field("year"))
    docs.upsert([3], ONE, [{"lang": "de"}])
    assert docs.count({"lang": "de"}) == 1


@pytest.mark.parametrize("change", ["upsert", "set_payload", "seal"])
def test_record_that_comes_while_others_are_checked_is_checked_too(docs, monkeypatch, change):
    """After all have been looked at, and before the field is declared."""
    real = declaring._Declaration.check_all

    def check_all(self, store):
        seen = real(self, store)
        if change == "set_payload":
            docs.set_payload([2], {"year": "new"})
        else:
            docs.upsert([3], ONE, [{"year": "new"}])
        if change == "seal":
            docs.seal()
        return seen

    monkeypatch.setattr(declaring._Declaration, "check_all", check_all)
    with pytest.raises(PreconditionFailed) as caught:
        docs.add_field("year", "int")
    assert caught.value.reason == "UNFIT_RECORD"
    assert f"record {2 if change == 'set_payload' else 3}" in caught.value.message
    assert dict(docs.describe().fields) == {"lang": "keyword"}


def test_declaration_that_is_overtaken_again_and_again_comes_through(docs, monkeypatch):
    real, tries = declaring._submit, []

    def submit(store, run, deadline):
        tries.append(run)
        docs.set_payload([2], {"year": len(tries)})
        real(store, run, deadline)

    monkeypatch.setattr(declaring, "_submit", submit)
    docs.add_field("year", "int")
    assert len(tries) == declaring._TRIES
    assert docs.count({"year": {"gte": 1}}) == 2


def test_segment_sealed_while_a_field_is_declared_gets_its_column(docs, monkeypatch):
    real = docs._store.segments.load_built

    def load_built(*arguments):
        monkeypatch.setattr(docs._store.segments, "load_built", real)
        docs.add_field("year", "int")
        return real(*arguments)

    monkeypatch.setattr(docs._store.segments, "load_built", load_built)
    docs.seal()
    docs.add_field("year", "int", wait=True)
    row = docs._store.row("docs")
    with docs._store.view("docs", with_snapshot=True) as view:
        assert not columns_due(view.transaction, row.number)
        (sealed,) = view.snapshot.segments
        assert sealed.segment.columns.get("year", "int").values.tolist() == [1]


def test_filter_on_an_added_field_reads_no_payloads_once_it_has_columns(docs, monkeypatch):
    docs.seal()
    docs.search(ONE[0], 1)
    docs.add_field("year", "int", wait=True)

    def fail(*_):
        raise AssertionError("a payload was read")

    monkeypatch.setattr("vecdb.collection.record_tests.RecordTests._texts", fail)
    found = docs.search(ONE[0], 5, filter={"year": {"gte": 0}, "lang": "en"}, with_payload=False)
    assert found.ids.tolist() == [1]
