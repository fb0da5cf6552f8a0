"""The crash loop of tenants: a process grants, copies and deletes, is killed, and is looked at.

    python tests/durability/tenant_crasher.py DIRECTORY --kills 60 --seconds 60 --seed 1
    python tests/durability/tenant_crasher.py DIRECTORY --points

Who sees what must be as after what was acknowledged, with the step under way whole or absent. The
last line tells the figures as JSON; a failure keeps the database.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit import Wrong, check_files, require
from crash_program import run_program
from tenant_workload import (
    COLLECTION,
    IDS,
    NAMES,
    Shared,
    State,
    TenantPlan,
    after,
    draw_step,
    vectors_of,
    wait_until_swept,
)
from worker import TENANT_POINTS, Zygote

import vecdb

ERA = 10
"""Rounds of one database."""
KILL_SECONDS = 0.3


@dataclass(slots=True)
class Tally:
    """What the rounds have found so far."""

    kills: int = 0
    acknowledged: int = 0
    whole: int = 0
    absent: int = 0
    swept_later: int = 0


class Era:
    """One database, and who must see what in it."""

    def __init__(self, base: Path, seed: int, number: int) -> None:
        self.folder = base / f"era-{number}"
        self.folder.mkdir(parents=True)
        self.directory = self.folder / "db"
        self.journal = self.folder / "journal"
        self.seed = seed
        self.state = State()
        self._read = 0

    def plan(self, number: int, point: str = "", strike: int = 1) -> TenantPlan:
        return TenantPlan(
            seed=self.seed,
            round=number,
            directory=self.directory,
            journal=self.journal,
            state=self.state,
            point=point,
            strike=strike,
        )

    def settle(self, tally: Tally) -> None:
        """Take in the journal, then compare."""
        pending = self._take_in(tally)
        with vecdb.open(self.directory, threads=1) as db:
            if not db.collections():
                require(not self.state.tenants, "the collection is lost")
                return
            docs = db.collection(COLLECTION)
            old, new = self.state, None
            if pending is not None:
                new, _ = after(old, draw_step(old, self.seed, pending))
            seen = seen_in(docs)
            require(
                seen in [seen_by_state(one) for one in (old, new) if one is not None],
                f"what tenants see is neither of before nor of after the step {pending}",
            )
            left = bool(db._store._sweeps)
            tally.swept_later += left
            wait_until_swept(db)
            require(seen_in(docs) == seen, "the sweep changed what tenants see")
            found = state_in(docs)
            if new is not None and found == new != old:
                self.state = new
                tally.whole += 1
            else:
                require(found == old, differences(old, found))
                tally.absent += pending is not None
            check_searches(docs, self.state)
        check_files(self.directory)

    def _take_in(self, tally: Tally) -> tuple[int, int] | None:
        """Go on to the state of what was acknowledged; the label of what was not."""
        pending = None
        data = self.journal.read_bytes() if self.journal.exists() else b""
        data, self._read = data[self._read :], len(data)
        for text in data.split(b"\n"):
            try:
                line = json.loads(text)
            except ValueError:
                continue  # killed while it wrote
            if "intent" in line:
                pending = tuple(line["intent"])
                continue
            step = draw_step(self.state, self.seed, tuple(line["done"]))
            self.state, count = after(self.state, step)
            told = line["count"]
            require(
                step.kind == "quota" or told == count,
                f"{step} was answered with count {told}, expected {count}",
            )
            pending = None
            tally.acknowledged += 1
        return pending


def seen_by_state(state: State) -> dict[str, set[int]]:
    return {
        name: {id for id, one in state.records.items() if name in one.seen_by}
        for name in state.tenants
    }


def seen_in(docs: Any) -> dict[str, set[int]]:
    """Tenant -> ids that it sees."""
    found = {}
    for info in docs.tenants():
        ids = docs.scroll(limit=10_000, tenant=info.name).ids
        require(info.visible == len(ids), f"{info.name} sees {len(ids)}, told: {info.visible}")
        found[info.name] = set(map(int, ids))
    return found


def state_in(docs: Any) -> State:
    """All that there is, by the records themselves."""
    records = {}
    for id in docs.scroll(limit=10_000).ids:
        access = docs.who_sees(int(id))
        records[int(id)] = Shared(access.owner, frozenset(access.tenants))
    infos = docs.tenants()
    for info in infos:
        owned = sum(one.owner == info.name for one in records.values())
        require(info.records == owned, f"{info.name} owns {owned}, told: {info.records}")
    return State(records, {info.name: info.max_records for info in infos})


def check_searches(docs: Any, state: State) -> None:
    """A search as each tenant finds all that it sees, and nothing else."""
    query = vectors_of([IDS])[0]
    seen = seen_by_state(state)
    for name in NAMES:
        wanted = seen.get(name, set())
        for mode in ("exact", "scan"):
            found = docs.search(query, IDS, tenant=name, mode=mode).ids
            require(set(map(int, found)) == wanted, f"{mode} as {name} found {found}")
        require(docs.count(tenant=name) == len(wanted), f"count of {name}")


def differences(expected: State, found: State) -> str:
    ids = sorted(
        id
        for id in expected.records.keys() | found.records.keys()
        if expected.records.get(id) != found.records.get(id)
    )
    told = [f"{id}: {expected.records.get(id)} became {found.records.get(id)}" for id in ids[:5]]
    return f"{len(ids)} records differ: {told}; tenants {expected.tenants}, found {found.tenants}"


def run_round(zygote: Zygote, plan: TenantPlan, seconds: float) -> None:
    pid = zygote.start(plan)
    if plan.point:
        status = zygote.end(pid, by_itself=True)
    else:
        zygote.ready_line()
        time.sleep(seconds)
        status = zygote.end(pid, by_itself=False)
    require(status == -signal.SIGKILL, f"the worker ended with status {status}, not by the kill")


def run_loop(zygote: Zygote, base: Path, seed: int, kills: int, seconds: float) -> Tally:
    tally = Tally()
    end = time.monotonic() + seconds
    for number in range(kills):
        if number % ERA == 0:
            era = Era(base, seed, number // ERA)
        delay = random.Random(f"delay {seed} {number}").uniform(0.0, KILL_SECONDS)
        try:
            run_round(zygote, era.plan(number), delay)
            tally.kills += 1
            era.settle(tally)
        except Exception as error:
            raise Wrong(f"seed {seed}, round {number}, in {era.folder}: {error!r}") from error
        last = number % ERA == ERA - 1 or time.monotonic() > end
        if last:
            shutil.rmtree(era.folder)
        if time.monotonic() > end:
            break
    return tally


def run_points(zygote: Zygote, base: Path, seed: int) -> Tally:
    """A kill at each point, the first time and a later one; each in a new database."""
    tally = Tally()
    runs = [(point, strike) for point in TENANT_POINTS for strike in (1, 3)]
    for number, (point, strike) in enumerate(runs):
        era = Era(base, seed, number)
        try:
            run_round(zygote, era.plan(number, point, strike), 0.0)
            tally.kills += 1
            era.settle(tally)
        except Exception as error:
            raise Wrong(f"seed {seed}, {point!r} {strike}, in {era.folder}: {error!r}") from error
        shutil.rmtree(era.folder)
    return tally


if __name__ == "__main__":
    sys.exit(run_program(__doc__ or "", run_loop, run_points, kills=60, seconds=60.0))
