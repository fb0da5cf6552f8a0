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
FILTERS = {
    "lang is en": ({"lang": "en"}, lambda p: p.get("lang") == "en"),
    "lang is not en": ({"not": {"lang": "en"}}, lambda p: p.get("lang") != "en"),
    "year from 3": ({"year": {"gte": 3}}, lambda p: p.get("year", -1) >= 3),
    "has a year": ({"year": {"exists": True}}, lambda p: p.get("year") is not None),
    "either": (
        {"or": [{"lang": "de"}, {"year": {"lt": 2}}]},
        lambda p: p.get("lang") == "de" or p.get("year", 9) < 2,
    ),
}

id_sets = st.sets(st.integers(0, 30), min_size=1, max_size=12).map(sorted)
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
        self.create()

    def open(self) -> None:
        # A map of the smallest size, so that it grows on the way.
        self.db = vecdb.open(self.directory, clock=self.clock, threads=2, map_bytes=65_536)

    def create(self) -> None:
        self.model = Model(**self.options)
        fields = {"lang": "keyword", "year": "int"}
        self.docs = self.db.create_collection("docs", **self.options, fields=fields)
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
            return
        again = self.docs.upsert(*batch, idempotency_key=key)
        assert again.replayed
        assert (again.count, again.sequence) == (first.count, first.sequence)
        with pytest.raises(InvalidArgument, match="another request"):
            self.docs.upsert(batch[0], 2 * batch[1], batch[2], idempotency_key=key)

    @rule(numbers=id_sets, seed=seeds, kind=st.sampled_from(["if_absent", "if_present"]))
    def upsert_on_condition(self, numbers: list[int], seed: int, kind: str) -> None:
        batch = self.batch(numbers, seed)
        stored = [id in self.model.records for id in batch[0]]
        holds = not any(stored) if kind == "if_absent" else all(stored)
        if holds:
            result = self.docs.upsert(*batch, condition={kind: True})
            self.model.upsert(*batch, sequence=result.sequence)
        else:
            with pytest.raises(PreconditionFailed):
                self.docs.upsert(*batch, condition={kind: True})

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
        with pytest.raises(NotFound):
            self.docs.count()
        self.create()

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
        self.docs = self.db.collection("docs")

    @rule()
    def churn_until_cleaned(self) -> None:
        """Overwrite one record until the dead rows outnumber the living and are taken out."""
        for seed in range(40):
            batch = self.batch([0], seed)
            result = self.docs.upsert(*batch)
            self.model.upsert(*batch, sequence=result.sequence)

    # -------------------------------------------------------------------------------- always

    @rule(seed=seeds, k=st.integers(1, 40), name=st.none() | filters)
    def search(self, seed: int, k: int, name: str | None) -> None:
        query = np.random.default_rng(seed).integers(1, 4, DIM).astype(np.float32)
        filter, predicate = (None, None) if name is None else FILTERS[name]
        self.model.check_search(self.docs, query, k, filter=filter, predicate=predicate)
        assert self.docs.count(filter) == len(self.model.matching(predicate))

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        if hasattr(self, "docs"):
            self.model.check(self.docs)

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
    examples = int(os.environ.get("VECDB_MODEL_EXAMPLES", "40"))
    run_state_machine_as_test(
        CollectionMachine,
        settings=settings(max_examples=examples, stateful_step_count=30, deadline=None),
    )
