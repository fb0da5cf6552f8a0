"""Tenants, whatever is done to them, see what the model says: a dict of owners and viewers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import vecdb
from vecdb.check import check_directory
from vecdb.collection import cleaning, granting
from vecdb.errors import AlreadyExists, NotFound, PermissionDenied

DIM = 6
IDS = 60
NAMES = ("ann", "bob", "cat", "dan", "eve")
STEPS = 100


@dataclass
class Record:
    vector: np.ndarray
    year: int | None
    owner: str | None = None
    seen_by: set[str] = field(default_factory=set)


class World:
    """Does the same to a collection and to the model."""

    def __init__(self, path: Any, seed: int) -> None:
        self.path, self.rng = path, np.random.default_rng(seed)
        self.records: dict[int, Record] = {}
        self.tenants: set[str] = set()
        self.open()
        self.db.create_collection("docs", dim=DIM, metric="l2", fields={"year": "int"})

    def open(self) -> None:
        self.db = vecdb.open(self.path, threads=1)

    @property
    def docs(self) -> Any:
        return self.db.collection("docs")

    def settle(self) -> None:
        """Until nothing of deleted tenants is left to sweep."""
        store = self.docs._store
        while True:
            store.submit(lambda group: None, 0).result()
            if not store._sweeps:
                return

    # ------------------------------------------------------------------------------- steps

    def some_ids(self, most: int = 12) -> list[int]:
        return self.rng.choice(IDS, self.rng.integers(1, most + 1), replace=False).tolist()

    def some_names(self, least: int = 0) -> list[str]:
        return self.rng.permutation(NAMES)[: self.rng.integers(least, 4)].tolist()

    def new(self, ids: list[int]) -> tuple[np.ndarray, list[dict[str, int] | None]]:
        vectors = self.rng.normal(size=(len(ids), DIM)).astype(np.float32)
        years = [int(self.rng.integers(5)) if self.rng.random() < 0.8 else None for _ in ids]
        return vectors, [None if year is None else {"year": year} for year in years]

    def write(self, ids: list[int], vectors: np.ndarray, payloads: list[Any]) -> None:
        for id, vector, payload in zip(ids, vectors, payloads, strict=True):
            old = self.records.get(id)
            one = Record(vector, None if payload is None else payload["year"])
            if old is not None:
                one.owner, one.seen_by = old.owner, old.seen_by
            self.records[id] = one

    def upsert(self) -> None:
        ids = self.some_ids()
        vectors, payloads = self.new(ids)
        lists: list[list[str]] | None = None
        tenants: Any = None
        if self.rng.random() < 0.7:
            lists = [self.some_names() for _ in ids]
            if self.rng.random() < 0.5:
                lists = [lists[0]] * len(ids)
                tenants = lists[0][0] if len(lists[0]) == 1 else lists[0]
            else:
                tenants = lists
        self.docs.upsert(ids, vectors, payloads, tenants=tenants)
        self.write(ids, vectors, payloads)
        for id, names in zip(ids, lists or [], strict=lists is not None):
            self.records[id].owner = names[0] if names else None
            self.records[id].seen_by = set(names)
            self.tenants |= set(names)

    def upsert_as(self) -> None:
        ids, name = self.some_ids(4), str(self.rng.choice(NAMES))
        vectors, payloads = self.new(ids)
        foreign = [i for i in ids if i in self.records and self.records[i].owner != name]
        if foreign:
            with pytest.raises(PermissionDenied):
                self.docs.upsert(ids, vectors, payloads, tenant=name)
            return
        self.docs.upsert(ids, vectors, payloads, tenant=name)
        fresh = [id for id in ids if id not in self.records]
        self.write(ids, vectors, payloads)
        self.tenants.add(name)
        for id in fresh:
            self.records[id].owner, self.records[id].seen_by = name, {name}

    def delete(self) -> None:
        ids, name = self.some_ids(5), None
        if self.rng.random() < 0.6:
            name = str(self.rng.choice(NAMES))
        going = [i for i in ids if i in self.records]
        if name is not None:
            going = [i for i in going if self.records[i].owner == name]
        if self.rng.random() < 0.3:
            year = int(self.rng.integers(5))
            going = [
                id
                for id, one in self.records.items()
                if one.year == year and (name is None or one.owner == name)
            ]
            assert self.docs.delete(filter={"year": year}, tenant=name).count == len(going)
        else:
            assert self.docs.delete(ids, tenant=name).count == len(going)
        for id in going:
            del self.records[id]

    def set_payload(self) -> None:
        ids, name = self.some_ids(2), str(self.rng.choice(NAMES))
        year = int(self.rng.integers(5))
        unseen = [i for i in ids if name not in self.viewers(i)]
        foreign = [i for i in ids if i not in unseen and self.records[i].owner != name]
        if unseen or foreign:
            with pytest.raises((NotFound, PermissionDenied)):
                self.docs.set_payload(ids, {"year": year}, tenant=name)
            return
        self.docs.set_payload(ids, {"year": year}, tenant=name)
        for id in ids:
            self.records[id].year = year

    def viewers(self, id: int) -> set[str]:
        return self.records[id].seen_by if id in self.records else set()

    def grant(self) -> None:
        ids, names = self.some_ids(), self.some_names(1)
        count = self.docs.grant(ids, names).count
        self.tenants |= set(names)
        stored = [self.records[id] for id in ids if id in self.records]
        assert count == sum(not set(names) <= one.seen_by for one in stored)
        for one in stored:
            one.seen_by |= set(names)

    def revoke(self) -> None:
        ids, names = self.some_ids(), self.some_names(1)
        if not set(names) <= self.tenants:
            with pytest.raises(NotFound):
                self.docs.revoke(ids, names)
            return
        count = self.docs.revoke(ids, names).count
        stored = [self.records[id] for id in ids if id in self.records]
        assert count == sum(bool(set(names) & one.seen_by) for one in stored)
        for one in stored:
            one.seen_by -= set(names)
            one.owner = None if one.owner in names else one.owner

    def copy(self) -> None:
        source, target = self.rng.choice(NAMES, 2, replace=False).tolist()
        if source not in self.tenants or target in self.tenants:
            with pytest.raises((NotFound, AlreadyExists)):
                self.docs.copy_tenant(source, target)
            return
        mine = [one for one in self.records.values() if source in one.seen_by]
        assert self.docs.copy_tenant(source, target).count == len(mine)
        self.tenants.add(target)
        for one in mine:
            one.seen_by.add(target)

    def end_tenant(self) -> None:
        name = str(self.rng.choice(NAMES))
        if name not in self.tenants:
            with pytest.raises(NotFound):
                self.docs.delete_tenant(name)
            return
        owned = [id for id, one in self.records.items() if one.owner == name]
        assert self.docs.delete_tenant(name).count == len(owned)
        assert self.docs.count(tenant=name) == 0
        self.tenants.discard(name)
        for id in owned:
            self.records[id].owner = None
            if self.records[id].seen_by == {name}:
                del self.records[id]
        for one in self.records.values():
            one.seen_by.discard(name)
        if self.rng.random() < 0.5:
            self.reopen()  # what is left of the sweep is found again
        self.settle()

    def seal(self) -> None:
        self.docs.seal()

    def compact(self) -> None:
        self.docs.compact()

    def reopen(self) -> None:
        self.db.close()
        self.open()

    # ---------------------------------------------------------------------------- compare

    def compare(self) -> None:
        docs, query = self.docs, self.rng.normal(size=DIM).astype(np.float32)
        assert {one.name for one in docs.tenants()} == self.tenants
        year = int(self.rng.integers(5))
        for name in (*NAMES, None):
            seen = {
                id: one for id, one in self.records.items() if name is None or name in one.seen_by
            }
            assert docs.count(tenant=name) == len(seen)
            near = sorted(seen, key=lambda id: (float(((seen[id].vector - query) ** 2).sum()), id))
            found = docs.search(query, IDS, tenant=name)
            assert sorted(found.ids.tolist()) == sorted(near)
            assert docs.search(query, 5, tenant=name).ids.tolist() == near[:5]
            assert docs.scroll(limit=IDS, tenant=name).ids.tolist() == sorted(seen)
            got = docs.get(list(range(IDS)), tenant=name)
            assert got.ids.tolist() == sorted(seen)
            some = {id for id, one in seen.items() if one.year == year}
            assert docs.count({"year": year}, tenant=name) == len(some)
            matched = docs.search(query, IDS, tenant=name, filter={"year": year})
            assert set(matched.ids.tolist()) == some
            pages = docs.scroll({"year": year}, limit=IDS, tenant=name)
            assert set(pages.ids.tolist()) == some
        for one in docs.tenants():
            assert one.visible == sum(one.name in it.seen_by for it in self.records.values())
            assert one.records == sum(one.name == it.owner for it in self.records.values())
        for id in self.some_ids(3):
            if id in self.records:
                access = docs.who_sees(id)
                assert access.owner == self.records[id].owner
                assert set(access.tenants) == self.records[id].seen_by


SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 4))]


@pytest.mark.parametrize("seed", SEEDS)
def test_tenants_see_what_the_model_says(tmp_path, monkeypatch, seed):
    monkeypatch.setattr(cleaning, "DEAD_ROWS", 30)
    monkeypatch.setattr(granting, "_STEP_RECORDS", 7)
    world = World(tmp_path / "db", seed)
    steps = [world.upsert, world.upsert_as, world.delete, world.set_payload, world.grant]
    steps += [world.revoke, world.copy, world.end_tenant, world.seal, world.compact, world.reopen]
    weights = np.array([4, 4, 2, 2, 4, 4, 2, 1, 1, 0.5, 0.5])
    for _ in range(STEPS):
        steps[world.rng.choice(len(steps), p=weights / weights.sum())]()
        world.compare()
    world.db.close()
    report = check_directory(tmp_path / "db")
    assert report.problems == ()
    assert report.counts["tenants"] == len(world.tenants)


def test_record_that_others_saw_when_its_owner_ended_stays(tmp_path):
    """Also where all ends come before the sweep, and where the last to see it ends later."""
    world = World(tmp_path / "db", 0)
    docs = world.docs
    docs.upsert([1], np.ones((1, DIM), np.float32), tenants=["ann"])
    docs.copy_tenant("ann", "bob")
    docs.upsert([2], np.ones((1, DIM), np.float32), tenants=["ann", "cat"])
    docs.upsert([3], np.ones((1, DIM), np.float32), tenants=["ann"])
    for name in ("ann", "bob", "cat"):
        docs.delete_tenant(name)
    world.settle()
    assert docs.scroll().ids.tolist() == [1, 2]
    assert docs.who_sees(1).tenants == docs.who_sees(2).tenants == ()
    assert docs.tenants() == []
    world.db.close()
    assert check_directory(tmp_path / "db").problems == ()
