"""What a crash round does to tenants: steps that a seed decides, and what each must come to.

A step follows from the seed, its label (round, number) and the state before it, so that a process
that knows the labels which were acknowledged knows the state.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from worker import kill_at

import vecdb
from vecdb.collection import cleaning, granting, sealer

COLLECTION = "shared"
DIM = 8
IDS = 240
NAMES = ("ann", "bob", "cat", "dan", "eve", "fay")
STEPS_MAX = 100_000
SWEEP_RECORDS = 5
"""Records that a sweep looks at in one transaction."""
SWEEP_SECONDS = 60.0
KINDS = {
    "write": 20,
    "write_as": 15,
    "grant": 20,
    "revoke": 10,
    "copy": 12,
    "end": 10,
    "delete": 5,
    "quota": 3,
    "seal": 3,
    "compact": 2,
}
BUILDS = ("seal", "compact")
"""These change nothing that can be seen."""

Label = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Shared:
    """Who has a record."""

    owner: str | None = None
    seen_by: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class State:
    """Who has which records, and which tenants there are, with the most that they may own."""

    records: Mapping[int, Shared] = field(default_factory=dict)
    tenants: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """``names``: tenants that it is about; of a copy the source and the target."""

    kind: str
    ids: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    most: int | None = None


def draw_step(state: State, seed: int, label: Label) -> Step:
    rng = random.Random(f"step {seed} {label}")
    kind = rng.choices(tuple(KINDS), tuple(KINDS.values()))[0]
    there, absent = sorted(state.tenants), sorted(set(NAMES) - set(state.tenants))
    ids = tuple(rng.sample(range(IDS), rng.randint(1, 40)))
    some = tuple(rng.sample(NAMES, rng.randint(1, 3)))
    if kind in BUILDS or kind == "delete":
        return Step(kind=kind, ids=ids[:8])
    if kind == "write_as":
        own = [id for id in ids if id not in state.records or state.records[id].owner == some[0]]
        return Step(kind="write_as" if own else "write", ids=tuple(own) or ids, names=some[:1])
    if kind == "revoke" and there:
        return Step(kind=kind, ids=ids, names=tuple(rng.sample(there, min(2, len(there)))))
    if kind == "copy" and there and absent:
        return Step(kind=kind, names=(rng.choice(there), rng.choice(absent)))
    if kind == "end" and there:
        return Step(kind=kind, names=(rng.choice(there),))
    if kind == "quota":
        return Step(kind=kind, names=some[:1], most=rng.choice((None, 1_000)))
    return Step(kind="grant" if kind == "grant" else "write", ids=ids, names=some)


def after(state: State, step: Step) -> tuple[State, int]:
    """The state once the step is done and all is swept, and the count that it is answered."""
    records, tenants = dict(state.records), dict(state.tenants)
    if step.kind in ("write", "write_as", "grant", "quota"):
        tenants |= {name: tenants.get(name) for name in step.names}
    stored = [id for id in step.ids if id in records]
    names = frozenset(step.names)
    count = len(step.ids)
    if step.kind == "write":
        records |= dict.fromkeys(step.ids, Shared(step.names[0], names))
    elif step.kind == "write_as":
        fresh = set(step.ids) - set(stored)
        records |= dict.fromkeys(fresh, Shared(step.names[0], names))
    elif step.kind == "grant":
        count = sum(not names <= records[id].seen_by for id in stored)
        records |= {id: replace(records[id], seen_by=records[id].seen_by | names) for id in stored}
    elif step.kind == "revoke":
        count = sum(bool(names & records[id].seen_by) for id in stored)
        records |= {id: _without(records[id], names) for id in stored}
    elif step.kind == "copy":
        source, target = step.names
        tenants[target] = None
        seen = [id for id, one in records.items() if source in one.seen_by]
        count = len(seen)
        records |= {id: replace(records[id], seen_by=records[id].seen_by | {target}) for id in seen}
    elif step.kind == "end":
        del tenants[step.names[0]]
        owned = {id for id, one in records.items() if one.owner in names}
        count = len(owned)
        gone = {id for id in owned if records[id].seen_by == names}
        records = {id: _without(one, names) for id, one in records.items() if id not in gone}
    elif step.kind == "delete":
        count = len(stored)
        records = {id: one for id, one in records.items() if id not in step.ids}
    elif step.kind == "quota":
        tenants[step.names[0]] = step.most
    return State(records, tenants), count


def _without(one: Shared, names: frozenset[str]) -> Shared:
    return Shared(None if one.owner in names else one.owner, one.seen_by - names)


def send(docs: Any, step: Step) -> int:
    """Do it; the count that it was answered."""
    ids, names = list(step.ids), list(step.names)
    if step.kind in ("write", "write_as"):
        whose = {"tenant": names[0]} if step.kind == "write_as" else {"tenants": names}
        return int(docs.upsert(ids, vectors_of(step.ids), **whose).count)
    if step.kind in ("grant", "revoke"):
        return int(getattr(docs, step.kind)(ids, names).count)
    if step.kind == "copy":
        return int(docs.copy_tenant(*names).count)
    if step.kind == "end":
        return int(docs.delete_tenant(names[0]).count)
    if step.kind == "delete":
        return int(docs.delete(ids).count)
    docs.set_quota(names[0], max_records=step.most)
    return 0


def vectors_of(ids: Any) -> np.ndarray:
    """[n, DIM]: the same for each id, always."""
    return np.stack([np.random.default_rng(id).standard_normal(DIM, np.float32) for id in ids])


def wait_until_swept(db: Any) -> None:
    """Return once nothing of tenants that are gone is left on records."""
    end = time.monotonic() + SWEEP_SECONDS
    while True:
        db._store.submit(lambda group: None, 0).result()
        if not db._store._sweeps:
            return
        if time.monotonic() > end:
            raise TimeoutError("what deleted tenants left is not swept")


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantPlan:
    """One round of one writer; ``state``: at its start.

    ``point``, ``strike``: as in ``worker.Plan``.
    """

    seed: int
    round: int
    directory: Path
    journal: Path
    state: State
    point: str = ""
    strike: int = 1

    def work(self) -> None:
        """Do steps until killed, each told to the journal before and after."""
        granting._STEP_RECORDS = SWEEP_RECORDS
        cleaning.DEAD_ROWS = 64
        sealer.SEAL_RECORDS = 150
        if self.point:
            kill_at(self.point, self.strike)
        journal = os.open(self.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        db = vecdb.open(self.directory, threads=1)
        if not db.collections():
            db.create_collection(COLLECTION, dim=DIM, metric="l2")
        docs, state = db.collection(COLLECTION), self.state
        print("ready", flush=True)
        for number in range(STEPS_MAX):
            label = self.round, number
            step = draw_step(state, self.seed, label)
            if step.kind in BUILDS:
                getattr(docs, step.kind)(wait=number % 2 == 0)
                continue
            _tell(journal, intent=label)
            count = send(docs, step)
            _tell(journal, done=label, count=count)
            if step.kind == "end":
                wait_until_swept(db)  # else it would be chance what later steps find
            state, _ = after(state, step)


def _tell(journal: int, **line: Any) -> None:
    os.write(journal, b"\n" + json.dumps(line).encode())
