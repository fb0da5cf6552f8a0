"""The crash loop: a process writes, is killed, and what it left is compared with an oracle.

    python tests/durability/crasher.py DIRECTORY --kills 100 --seconds 120 --seed 1
    python tests/durability/crasher.py DIRECTORY --points

Even rounds kill a process that has the engine embedded, odd rounds a server under a client in this
process. One database lives for ``ERA`` rounds, so damage would pile up. The seed decides what is
written and when the kill comes; how far the writers have got by then it does not. The last line
tells the figures as JSON; a failure keeps the database and tells how to run the same rounds again.
"""

from __future__ import annotations

import random
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

from audit import (
    Tally,
    Wrong,
    audit,
    check_files,
    require,
    require_no_orphans,
    wait_until_swept,
    was_cut_short,
)
from crash_program import run_program
from oracle_file import Journal, Oracle
from worker import POINTS, Plan, Zygote, make_collection, write_batches
from workload import Shape, draw_shape

import vecdb
from vecdb_client import Client
from vecdb_client.errors import Unavailable

ERA = 20
SHAPES = 4
"""Collections of one database; each round writes into one of them."""
MAPS = (65_536, 1 << 20, None)
KILL_SECONDS = 0.3
START_SECONDS = 0.06
"""One kill of eight comes this early after the start, while the database is made or opened."""
CHECK_EVERY = 5


class Era:
    """One database and what must be in it."""

    def __init__(self, base: Path, seed: int, number: int) -> None:
        self.folder = base / f"era-{number}"
        self.folder.mkdir(parents=True)
        self.directory = self.folder / "db"
        self.journal = self.folder / "journal"
        self.oracle = Oracle(self.journal, seed)
        rng = random.Random(f"era {seed} {number}")
        self.shapes: list[Shape] = [draw_shape(rng) for _ in range(SHAPES)]

    def settle(self, rng: random.Random, tally: Tally, *, deeply: bool) -> None:
        """Reopen and compare; ``deeply``: run the checker before, and sweep to the end."""
        tally.acknowledged += self.oracle.read()
        tally.builds_cut += was_cut_short(self.directory)
        if deeply and self.oracle.shapes:  # else it may have been killed before it was made
            check_files(self.directory)
        with vecdb.open(self.directory) as db:
            require_no_orphans(db, self.directory)
            audit(db, self.oracle, rng, tally)
            if deeply:
                wait_until_swept(db)
        if deeply:
            check_files(self.directory)


def draw_plan(era: Era, seed: int, number: int) -> tuple[Plan, float, bool]:
    """The plan of a round, seconds until its kill, and whether they count from the start."""
    rng = random.Random(f"round {seed} {number}")
    shape = rng.choice(era.shapes)
    remote = number % 2 == 1
    early = not remote and rng.random() < 0.25
    plan = Plan(
        seed=seed,
        round=number,
        directory=era.directory,
        journal=era.journal,
        shape=shape,
        stored=era.oracle.names(shape),
        writers=rng.choice((1, 1, 2, 4, 6)),
        rows_max=rng.choice((4, 40, 80)),
        map_bytes=None if remote else rng.choice(MAPS),
        small_steps=rng.random() < 0.75,
        seals=rng.random() < 0.75,
        remote=remote,
    )
    return plan, rng.uniform(0.0, START_SECONDS if early else KILL_SECONDS), early


def run_round(zygote: Zygote, plan: Plan, seconds: float, *, early: bool) -> None:
    """Start, let write, kill."""
    pid = zygote.start(plan)
    if plan.point:
        status = zygote.end(pid, by_itself=True)
    elif plan.remote:
        status = _write_remotely(zygote, pid, plan, seconds)
    else:
        if not early:
            zygote.ready_line()
        time.sleep(seconds)
        status = zygote.end(pid, by_itself=False)
    require(status == -signal.SIGKILL, f"the worker ended with status {status}, not by the kill")


def _write_remotely(zygote: Zygote, pid: int, plan: Plan, seconds: float) -> int:
    """A client's threads write here until the server is killed."""
    address = zygote.ready_line().rpartition(" ")[2]
    journal = Journal(plan.journal)
    faults: list[Exception] = []
    killed = threading.Event()

    def write(writer: int) -> None:
        try:
            write_batches(client, plan, journal, writer)
        except Exception as error:
            if not (killed.is_set() and isinstance(error, Unavailable)):
                faults.append(error)

    with Client(address) as client:
        make_collection(client, plan, journal)
        threads = [threading.Thread(target=write, args=(writer,)) for writer in range(plan.writers)]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        killed.set()
        status = zygote.end(pid, by_itself=False)
    for thread in threads:
        thread.join()
    journal.close()
    if faults:
        raise Wrong(f"a client's write failed before the kill: {faults[0]!r}") from faults[0]
    return status


def run_loop(zygote: Zygote, base: Path, seed: int, kills: int, seconds: float) -> Tally:
    """Up to ``kills`` rounds, or as many as fit in the time."""
    tally = Tally()
    end = time.monotonic() + seconds
    for number in range(kills):
        if number % ERA == 0:
            era = Era(base, seed, number // ERA)
        plan, delay, early = draw_plan(era, seed, number)
        last = number % ERA == ERA - 1 or number == kills - 1 or time.monotonic() > end
        rng = random.Random(f"audit {seed} {number}")
        try:
            run_round(zygote, plan, delay, early=early)
            tally.kills += 1
            era.settle(rng, tally, deeply=last or number % CHECK_EVERY == 0)
        except Exception as error:
            kind = "server" if plan.remote else "embedded"
            raise Wrong(
                f"seed {seed}, round {number} ({kind}, {plan.shape.name}, {plan.writers} writers, "
                f"killed after {delay * 1e3:.0f} ms{' from the start' if early else ''}): {error}\n"
                f"run again: python tests/durability/crasher.py DIR --seed {seed} --kills "
                f"{number + 1}; the database: {era.folder}"
            ) from error
        if last:
            shutil.rmtree(era.folder)
        if time.monotonic() > end:
            break
    return tally


def run_points(zygote: Zygote, base: Path, seed: int) -> Tally:
    """A kill at each of ``POINTS``, the first time and a later one; each in a new database."""
    tally = Tally()
    for number, (point, strike) in enumerate((point, n) for point in POINTS for n in (1, 3)):
        era = Era(base, seed, number)
        rng = random.Random(f"point {seed} {number}")
        shape = draw_shape(rng, dims=(64,))
        plan = Plan(
            seed=seed,
            round=number,
            directory=era.directory,
            journal=era.journal,
            shape=shape,
            # Chores are done while no write waits, which it always does with many writers.
            writers=4 if point.startswith(("write", "swap")) else 1,
            map_bytes=MAPS[0],
            small_steps=True,
            seals="segment" in point or point.startswith("swap"),  # else little is left to clean
            point=point,
            strike=strike,
        )
        try:
            run_round(zygote, plan, 0.0, early=False)
            tally.kills += 1
            era.settle(rng, tally, deeply=True)
        except Exception as error:
            raise Wrong(
                f"seed {seed}, killed at {point!r}, strike {strike}: {error}\nrun again: python "
                f"tests/durability/crasher.py DIR --seed {seed} --points; the database: "
                f"{era.folder}"
            ) from error
        shutil.rmtree(era.folder)
    return tally


if __name__ == "__main__":
    sys.exit(run_program(__doc__ or "", run_loop, run_points, kills=100, seconds=120.0))
