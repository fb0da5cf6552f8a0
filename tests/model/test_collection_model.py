"""A collection, whatever is done to it, is the model: a dict of records and the oracle over it."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import vecdb
from vecdb.check import check_directory
from vecdb.collection import cleaning
from vecdb.errors import InvalidArgument, NotFound, PreconditionFailed
from vecdb.testing.clock import ManualClock
from vecdb.testing.model import Model

DAY_SECONDS = 24 * 3600.0
DIM = 5
LANGS = ("de", "en", None)
FIELDS = {"lang": "keyword", "year": "int"}
FILTERS = {
    "lang is en": ({"lang": "en"}, lambda p: p.get("lang") == "en"),
    "lang is not en": ({"not": {"lang": "en"}}, lambda p: p.get("lang") != "en"),
    "year from 3": ({"year": {"gte": 3}}, lambda p: p.get("year", -1) >= 3),
    "everything": ({}, lambda p: True),
    "has a year": ({"year": {"exists": True}}, lambda p: p.get("year") is not None),
    "either": (
        {"or": [{"lang": "de"}, {"year": {"lt": 2}}]},
        lambda p: p.get("lang") == "de" or p.get("year", 9) < 2,
    ),
}

id_sets = st.sets(st.integers(0, 20), min_size=1, max_size=12).map(sorted)
seeds = st.integers(0, 2**32 - 1)
filters = st.sampled_from(sorted(FILTERS))


class CollectionMachine(RuleBasedStateMachine):
    """Every rule does the same to the database and to the model."""

    @initialize(
        metric=st.sampled_from(["cosine", "dot", "l2"]),
        dtype=st.sampled_from(["float32", "float16", "uint8"]),
        text=st.booleans(),
    )
    def begin(self, metric: str, dtype: str, text: bool) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="vecdb-model-"))
        self.clock = ManualClock(1_000_000.0)
        self.text = text
        self.options: dict[str, Any] = {"dim": DIM, "metric": metric, "dtype": dtype}
        self.last: tuple[Any, ...] | None = None  # the newest write with a key, as it was called
        self.keys = 0
        self.open()
        self.db.create_collection("other", dim=1)
        self.aliases = {"aside": "other"}
        self.db.alias("aside", "other")
        self.create()

    def open(self) -> None:
        # A map of the smallest size, so that it grows on the way.
        self.db = vecdb.open(self.directory, clock=self.clock, threads=2, map_bytes=65_536)

    def create(self) -> None:
        self.model = Model(**self.options)
        self.db.create_collection("docs", **self.options, fields=FIELDS)
        self.db.alias("current", "docs")
        self.aliases["current"] = "docs"
        self.docs = self.db.collection("current")
        self.last = None

    def ids(self, numbers: list[int]) -> list[Any]:
        return [f"record {n:02d}" for n in numbers] if self.text else list(numbers)

    def batch(self, numbers: list[int], seed: int) -> tuple[list[Any], Any, list[Any]]:
        rng = np.random.default_rng(seed)
        vectors = rng.integers(1, 4, (len(numbers), DIM)).astype(np.float32)  # many ties
        payloads: list[Any] = []
        for _ in numbers:
            lang, year = LANGS[rng.integers(3)], int(rng.integers(-1, 6))
            payload = {"lang": lang, "free": [year]} | ({"year": year} if year >= 0 else {})
            payloads.append(payload if rng.integers(4) else None)
        return self.ids(numbers), vectors, payloads

    # ------------------------------------------------------------------------------- writes

    @rule(numbers=id_sets, seed=seeds, keyed=st.booleans())
    def upsert(self, numbers: list[int], seed: int, keyed: bool) -> None:
        batch = self.batch(numbers, seed)
        key = self.next_key() if keyed else None
        result = self.docs.upsert(*batch, idempotency_key=key)
        assert (result.count, result.replayed) == (len(numbers), False)
        self.model.upsert(*batch, sequence=result.sequence)
        if keyed:
            self.last = (key, batch, result, self.clock())

    @precondition(lambda self: self.last is not None)
    @rule()
    def repeat_with_the_key(self) -> None:
        assert self.last is not None
        key, batch, first, when = self.last
        if self.clock() - when > DAY_SECONDS:
            return self.repeat_with_a_key_that_is_forgotten(key, batch)
        again = self.docs.upsert(*batch, idempotency_key=key)
        assert again.replayed
        assert (again.count, again.sequence) == (first.count, first.sequence)
        with pytest.raises(InvalidArgument, match="another request"):
            self.docs.upsert(batch[0], 2 * batch[1], batch[2], idempotency_key=key)
        return None

    def repeat_with_a_key_that_is_forgotten(self, key: bytes, batch: tuple[Any, ...]) -> None:
        self.docs.delete(self.ids([99]), idempotency_key=self.next_key())  # old keys go with it
        again = self.docs.upsert(*batch, idempotency_key=key)
        assert not again.replayed
        self.model.upsert(*batch, sequence=again.sequence)
        self.last = (key, batch, again, self.clock())

    @rule(numbers=id_sets, seed=seeds, kind=st.sampled_from(["if_absent", "if_present"]))
    def upsert_if_stored_or_not(self, numbers: list[int], seed: int, kind: str) -> None:
        batch = self.batch(numbers, seed)
        stored = [id in self.model.records for id in batch[0]]
        self.upsert_if({kind: True}, batch, not any(stored) if kind == "if_absent" else all(stored))

    @precondition(lambda self: len(self.model) > 0)
    @rule(data=st.data(), seed=seeds, newest=st.booleans())
    def upsert_if_sequence(self, data: Any, seed: int, newest: bool) -> None:
        """Of records that one write wrote, under that write's sequence or another."""
        one = self.model.records[data.draw(st.sampled_from(self.model.matching()))]
        ids = [
            id for id in self.model.matching() if self.model.records[id].sequence == one.sequence
        ]
        batch = (ids, *self.batch(list(range(len(ids))), seed)[1:])
        sequence = one.sequence if newest else one.sequence + 1
        self.upsert_if({"if_sequence": sequence}, batch, newest)

    @rule(numbers=id_sets, seed=seeds, name=filters)
    def upsert_if_the_filter_matches(self, numbers: list[int], seed: int, name: str) -> None:
        batch = self.batch(numbers, seed)
        filter, predicate = FILTERS[name]
        self.upsert_if(
            {"filter": filter}, batch, set(batch[0]) <= set(self.model.matching(predicate))
        )

    def upsert_if(self, condition: dict[str, Any], batch: tuple[Any, ...], holds: bool) -> None:
        if holds:
            result = self.docs.upsert(*batch, condition=condition)
            self.model.upsert(*batch, sequence=result.sequence)
        else:
            with pytest.raises(PreconditionFailed):
                self.docs.upsert(*batch, condition=condition)

    @rule(numbers=id_sets, year=st.integers(0, 5), replace=st.booleans())
    def set_payload(self, numbers: list[int], year: int, replace: bool) -> None:
        ids = self.ids(numbers)
        if not all(id in self.model.records for id in ids):
            if self.model.id_kind is not None:
                with pytest.raises(NotFound):
                    self.docs.set_payload(ids, {"year": year}, replace=replace)
            return
        result = self.docs.set_payload(ids, {"year": year}, replace=replace)
        self.model.set_payload(ids, {"year": year}, merge=not replace, sequence=result.sequence)

    @rule(numbers=id_sets)
    def delete(self, numbers: list[int]) -> None:
        ids = self.ids(numbers)
        assert self.docs.delete(ids).count == self.model.delete(ids)

    @rule(name=filters)
    def delete_matching(self, name: str) -> None:
        filter, predicate = FILTERS[name]
        ids = self.model.matching(predicate)
        assert self.docs.delete(filter=filter).count == len(ids)
        self.model.delete(ids)

    @rule()
    def delete_the_collection(self) -> None:
        self.db.delete_collection("docs")
        self.aliases = {alias: name for alias, name in self.aliases.items() if name != "docs"}
        assert self.db.aliases() == self.aliases
        with pytest.raises(NotFound):
            self.docs.count()
        self.create()

    @rule(alias=st.sampled_from(["aside", "second"]), name=st.sampled_from(["docs", "other"]))
    def move_an_alias(self, alias: str, name: str) -> None:
        self.db.alias(alias, name)
        self.aliases[alias] = name
        assert self.db.collection(alias).describe().name == name

    @rule(alias=st.sampled_from(["aside", "second"]))
    def remove_an_alias(self, alias: str) -> None:
        if alias in self.aliases:
            self.db.delete_alias(alias)
            del self.aliases[alias]
        else:
            with pytest.raises(NotFound):
                self.db.delete_alias(alias)

    @rule(numbers=id_sets)
    def refused_batch_changes_nothing(self, numbers: list[int]) -> None:
        ids, vectors, payloads = self.batch(numbers, 0)
        vectors[-1] = np.nan
        with pytest.raises(InvalidArgument):
            self.docs.upsert(ids, vectors, payloads)

    # -------------------------------------------------------------------- time, restart, chores

    @rule(hours=st.sampled_from([1, 23, 25]))
    def time_passes(self, hours: int) -> None:
        self.clock.advance(hours * 3600.0)

    @rule()
    def reopen(self) -> None:
        self.db.close()
        report = check_directory(self.directory)
        assert report.ok, report.problems
        self.open()
        self.docs = self.db.collection("current")

    @rule(steps=st.integers(1, 3), parts=st.sampled_from([1, 2, 512]))
    def clean(self, steps: int, parts: int) -> None:
        """Take out the oldest operations, however few rows are dead."""
        store = self.db._store
        row = store.row("docs")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                cleaning, "needs_cleaning", lambda s: cleaning.dead_rows(s) > 0 or s.buried > 0
            )
            patch.setattr(cleaning, "_STEP_PARTS", parts)
            bury = store.segments.bury
            for _ in range(steps):
                store.submit(lambda group: cleaning.clean_step(group, row, bury), 1).result()

    @rule()
    def seal(self) -> None:
        waiting = self.docs.describe().tail
        assert self.docs.seal().records == waiting
        assert self.docs.describe().tail == 0

    @rule()
    def compact(self) -> None:
        self.docs.compact()
        assert self.docs.describe().segments <= 1
        sealed = sum(one["slots"] for one in self.docs.stats()["segments"])
        assert sealed + self.docs.describe().tail == len(self.model)

    # -------------------------------------------------------------------------------- always

    @rule(seed=seeds, k=st.integers(1, 40), name=st.none() | filters)
    def search(self, seed: int, k: int, name: str | None) -> None:
        query = np.random.default_rng(seed).integers(1, 4, DIM).astype(np.float32)
        filter, predicate = (None, None) if name is None else FILTERS[name]
        self.model.check_search(self.docs, query, k, filter=filter, predicate=predicate)
        batch = self.docs.search_batch(
            np.stack([query, query + 1]), k, filter=filter, with_vector=True
        )
        for one, found in zip((query, query + 1), batch, strict=True):
            self.model.check_matches(found, one, k, predicate=predicate)

    @rule(seed=seeds, k=st.integers(1, 40), name=st.none() | filters)
    def scan(self, seed: int, k: int, name: str | None) -> None:
        """As many matches as there are, each with its true score."""
        query = np.random.default_rng(seed).integers(1, 4, DIM).astype(np.float32)
        filter, predicate = (None, None) if name is None else FILTERS[name]
        found = self.docs.search(query, k, mode="scan", filter=filter)
        allowed = set(self.model.matching(predicate))
        assert len(found) == min(k, len(allowed))
        assert set(found.ids if self.text else found.ids.tolist()) <= allowed
        everything = self.docs.search(query, len(allowed) or 1, mode="exact", filter=filter)
        scores = dict(zip(list(everything.ids), everything.scores, strict=True))
        assert [scores[id] for id in found.ids] == list(found.scores)

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        if not hasattr(self, "docs"):
            return
        self.model.check(self.docs)
        self.model.check_search(self.docs, np.arange(1, DIM + 1, dtype=np.float32), 50)
        for filter, predicate in FILTERS.values():
            assert self.docs.count(filter) == len(self.model.matching(predicate))
        assert self.db.aliases() == self.aliases

    def next_key(self) -> bytes:
        self.keys += 1
        return b"key %d" % self.keys

    def teardown(self) -> None:
        if hasattr(self, "db"):
            self.db.close()
            shutil.rmtree(self.directory)


@pytest.mark.slow
def test_collection_is_the_model(monkeypatch):
    monkeypatch.setattr(cleaning, "DEAD_ROWS", 16)  # so that a few writes call for cleaning
    examples = int(os.environ.get("VECDB_MODEL_EXAMPLES", "100"))
    run_state_machine_as_test(
        CollectionMachine,
        settings=settings(max_examples=examples, stateful_step_count=30, deadline=None),
    )
