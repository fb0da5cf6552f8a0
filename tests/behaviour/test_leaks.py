"""No read ever tells a tenant of a record that is not its to see: random reads against a dict.

Embedded, since what a server adds is the key that fills the tenant in (``test_tenant_keys.py``).
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import vecdb

SEARCHES = int(os.environ.get("VECDB_LEAK_SEARCHES", "20000"))
"""Of the long test; ``make leaks`` has a million."""
DIM = 8
NAMES = tuple(f"t{number}" for number in range(12))
MODES: tuple[dict[str, Any], ...] = (
    *({"mode": mode} for mode in ("auto", "exact", "scan", "tree", "graph")),
    *({"mode": "scan", "effort": effort} for effort in (0.1, 8, "bound")),
    {"mode": "scan", "estimator": "hamming"},
    *({"mode": mode, "effort": 4} for mode in ("tree", "graph")),
)


class World:
    """A collection whose vectors come in clusters of copies, and who sees which of its records."""

    def __init__(self, path: Any, records: int, seed: int = 7) -> None:
        self.rng = np.random.default_rng(seed)
        self.db = vecdb.open(path, threads=1)
        self.docs = self.db.create_collection(
            "docs", dim=DIM, metric="l2", fields={"year": "int", "lang": "keyword"}
        )
        self.records = records
        self.centres = self.rng.normal(size=(50, DIM)).astype(np.float32)
        self.years = self.rng.integers(0, 5, records)
        # seen[name][id]: whether the tenant sees the record.
        self.seen = {name: np.zeros(records, bool) for name in NAMES}
        payloads = [{"year": int(year), "lang": "en" if year < 3 else "de"} for year in self.years]
        for at in range(0, records, 1_000):
            ids = list(range(at, min(records, at + 1_000)))
            lists = [self.some_names() for _ in ids]
            self.docs.upsert(ids, self.vectors(len(ids)), payloads[at : at + 1_000], tenants=lists)
            for id, names in zip(ids, lists, strict=True):
                for name in names:
                    self.seen[name][id] = True

    def vectors(self, count: int) -> np.ndarray:
        """Copies of a few centres: a forbidden record is as near as an allowed one."""
        return self.centres[self.rng.integers(0, len(self.centres), count)]

    def some_names(self) -> list[str]:
        """Few tenants see much, and many see little."""
        odds = self.rng.random(len(NAMES)) < 0.7 / (1 + np.arange(len(NAMES)))
        return [name for name, chosen in zip(NAMES, odds, strict=True) if chosen]

    def some_ids(self, most: int) -> list[int]:
        count = int(self.rng.integers(1, most + 1))
        return self.rng.choice(self.records, count, replace=False).tolist()

    def name(self) -> str:
        return str(self.rng.choice([*NAMES, "nobody"]))

    def change(self) -> None:
        """Grant, revoke or overwrite some records."""
        name, ids = str(self.rng.choice(NAMES)), self.some_ids(60)
        kind = self.rng.random()
        if kind < 0.4:
            self.docs.grant(ids, name)
            self.seen[name][ids] = True
        elif kind < 0.8:
            self.docs.revoke(ids, name)
            self.seen[name][ids] = False
        elif kind < 0.9:
            names = self.some_names()
            payloads = [{"year": int(self.years[id]), "lang": "en"} for id in ids]
            self.docs.upsert(ids, self.vectors(len(ids)), payloads, tenants=names)
            for one in NAMES:
                self.seen[one][ids] = one in names
        else:
            self.docs.upsert(
                ids, self.vectors(len(ids)), [{"year": int(self.years[i])} for i in ids]
            )

    def filter(self) -> tuple[Any, np.ndarray]:
        """A filter, and whether it matches each record."""
        kind, year = self.rng.integers(5), int(self.rng.integers(6))
        if kind == 0:
            return {"year": year}, self.years == year
        if kind == 1:
            return {"not": {"year": year}}, self.years != year
        if kind == 2:
            return {"year": {"gte": year}}, self.years >= year
        return None, np.ones(self.records, bool)

    def visible(self, name: str, matching: np.ndarray) -> np.ndarray:
        return self.seen.get(name, np.zeros(self.records, bool)) & matching

    # ------------------------------------------------------------------------------- reads

    def search(self, queries: int) -> int:
        """One batch; how many searches it was."""
        name, (condition, matching) = self.name(), self.filter()
        allowed = self.visible(name, matching)
        k = int(self.rng.choice([1, 5, 10, 40]))
        how = MODES[self.rng.integers(len(MODES))]
        found = self.docs.search_batch(
            self.vectors(queries),
            k,
            tenant=name,
            filter=condition,
            with_payload=bool(self.rng.random() < 0.1),
            **how,
        )
        wanted = min(k, int(allowed.sum()))
        assert {len(one) for one in found} == {wanted}, (name, condition, k, how)
        ids = np.concatenate([one.ids for one in found])
        assert allowed[ids].all(), (name, condition, k, how, ids[~allowed[ids]])
        return queries

    def read(self) -> None:
        """One read of another kind."""
        name, (condition, matching) = self.name(), self.filter()
        allowed = self.visible(name, matching)
        kind = self.rng.integers(8)
        if kind == 0:
            ids = self.some_ids(30)
            got = self.docs.get(ids, tenant=name)
            seen = self.visible(name, np.ones(self.records, bool))
            assert got.ids.tolist() == [id for id in ids if seen[id]]
            assert sorted(got.missing) == sorted(id for id in ids if not seen[id])
        elif kind == 1:
            assert self.docs.count(condition, tenant=name) == allowed.sum()
        elif kind == 2:
            after, limit = int(self.rng.integers(-1, self.records)), int(self.rng.integers(1, 200))
            page = self.docs.scroll(condition, after, limit, tenant=name)
            behind = np.flatnonzero(allowed)
            behind = behind[behind > after]
            assert page.ids.tolist() == behind[:limit].tolist()
            assert (page.next is not None) == (len(behind) > limit)
        elif kind == 3:
            how = MODES[self.rng.integers(len(MODES))]
            told = self.docs.explain(self.vectors(1)[0], 5, tenant=name, filter=condition, **how)
            assert told.matching == allowed.sum()
            assert allowed[told.matches.ids].all()
            if told.mode in ("exact", "scan"):
                assert told.vectors_scored <= told.matching
        elif kind == 4:
            facets = self.docs.facets("year", condition, tenant=name)
            years = np.bincount(self.years[allowed], minlength=5)
            told = dict(zip(facets.values, facets.counts.tolist(), strict=True))
            assert told == {year: count for year, count in enumerate(years.tolist()) if count}
        elif kind == 5:
            groups = self.docs.search_groups(
                self.vectors(1)[0], "year", 5, 10, tenant=name, filter=condition
            )
            for group in groups:
                assert allowed[group.matches.ids].all()
                assert (self.years[group.matches.ids] == group.value).all()
        elif kind == 6:
            order = {"field": "year", "descending": bool(self.rng.random() < 0.5)}
            page = self.docs.scroll(condition, limit=self.records, tenant=name, order_by=order)
            assert sorted(page.ids.tolist()) == np.flatnonzero(allowed).tolist()
        else:
            found = self.docs.search(
                self.vectors(1)[0], 5, tenant=name, filter=condition, diversity=0.5
            )
            assert allowed[found.ids].all()
            assert len(found) == min(5, allowed.sum())


@pytest.fixture
def world(tmp_path, request):
    made = World(tmp_path / "db", request.param)
    yield made
    made.db.close()


@pytest.mark.parametrize("world", [600], indirect=True)
def test_no_read_tells_of_what_is_not_granted(world):
    searches = 0
    for step in range(120):
        if step == 30:
            world.docs.seal()
        if step % 2:
            world.change()
        searches += world.search(20)
        for _ in range(3):
            world.read()
    assert searches == 2_400


@pytest.mark.slow
@pytest.mark.parametrize("world", [4_000], indirect=True)
def test_no_search_of_many_finds_what_is_not_granted(world):
    """A thousand queries a call; grants change between the calls, and so do segments."""
    searches = step = 0
    while searches < SEARCHES:
        if step % 10 == 5:
            world.docs.seal()
        if step % 40 == 35:
            world.docs.compact()
        world.change()
        searches += world.search(1_000)
        world.read()
        step += 1
