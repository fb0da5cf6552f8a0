"""The processes that are killed: forked from one that has loaded everything and opened nothing.

To start an interpreter and load the kernels takes longer than a round writes.
"""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol

from oracle_file import Journal
from workload import (
    BUILDS,
    FIELDS,
    UPSERTS,
    Batch,
    Id,
    Shape,
    build,
    fill_and_drop,
    next_batch,
    payloads_of,
    send,
)
from workload import text_of as name_of

import vecdb
from vecdb.collection import cleaning, granting, sealer, store
from vecdb.collection.sealing import Swap
from vecdb.storage.environment import Environment
from vecdb_server import lifecycle
from vecdb_server.config import ServerConfig

WAIT_SECONDS = 60.0
BATCHES_MAX = 100_000
"""A writer that nobody kills ends at last."""
POINTS = (
    *(
        f"{work} {moment}"
        for work in ("write", "clean", "sweep", "swap")
        for moment in ("applied", "synced", "noted")
    ),
    "growing",
    "grown",
    "naming a segment",
    "named a segment",
    "removing a segment",
    "hidden a segment",
)
"""Where a worker can kill itself: a transaction's work is done and not committed; it is synced; the
witness is written, and nothing acknowledged yet. Before and after the map has grown. Before and
after the folder of a finished segment gets its name; before what a compaction has taken loses its
name, and before the files go."""

TENANT_POINTS = tuple(
    f"{work} {moment}"
    for work in ("grant", "copy", "end", "tenant sweep")
    for moment in ("applied", "synced", "noted")
)
"""The same moments of what is done to tenants."""


class Work(Protocol):
    """A round of another kind, that is done by the plan itself."""

    def work(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One round: who writes, what, where.

    - ``stored``: writer -> id -> label in the payload, at the start
    - ``point``, ``strike``: where the worker kills itself, and at which time of coming there
    - ``small_steps``: clean, sweep and seal early, in many small transactions
    - ``seals``: there are segments: the writers seal and compact, and so do large tails
    """

    seed: int
    round: int
    directory: Path
    journal: Path
    shape: Shape
    stored: dict[int, dict[Id, str]] = field(default_factory=dict)
    writers: int = 1
    rows_max: int = 40
    map_bytes: int | None = None
    small_steps: bool = False
    seals: bool = True
    remote: bool = False
    point: str = ""
    strike: int = 1


class Zygote:
    """Forks workers. Make it before this process has any thread."""

    def __init__(self, log: Path) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        self._output, output = os.pipe()
        leash, self._leash = os.pipe()
        self.log = log
        sys.stdout.flush()
        if os.fork() == 0:
            self._pipe.close()
            os.close(self._leash)  # the leash ends when the parent does
            error = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.dup2(output, 1)
            os.dup2(error, 2)
            _serve(theirs, leash)
        theirs.close()
        os.close(output)
        os.close(leash)

    def start(self, plan: Plan | Work) -> int:
        """The process id of a new worker."""
        while select.select([self._output], [], [], 0)[0]:
            os.read(self._output, 65_536)  # of workers that are dead
        self._pipe.send(plan)
        return int(self._pipe.recv())

    def ready_line(self) -> str:
        """What a worker prints when it begins to write, or to serve."""
        text = b""
        while not text.endswith(b"\n"):
            if not select.select([self._output], [], [], WAIT_SECONDS)[0]:
                raise TimeoutError(f"the worker was not ready after {WAIT_SECONDS} s")
            text += os.read(self._output, 4_096)
        return text.decode().strip()

    def end(self, pid: int, *, by_itself: bool) -> int:
        """Kill the worker, or wait until it has done it; its status as ``waitpid`` gives it."""
        if not by_itself:
            os.kill(pid, signal.SIGKILL)
        self._pipe.send(pid)
        if not self._pipe.poll(WAIT_SECONDS):
            os.kill(pid, signal.SIGKILL)
            self._pipe.recv()
            raise TimeoutError(f"the worker did not come to its end within {WAIT_SECONDS} s")
        return int(self._pipe.recv())


def _serve(pipe: Any, leash: int) -> NoReturn:
    while True:
        try:
            command = pipe.recv()
        except EOFError:
            os._exit(0)
        if isinstance(command, int):
            pipe.send(os.waitstatus_to_exitcode(os.waitpid(command, 0)[1]))
            continue
        pid = os.fork()
        if pid == 0:
            pipe.close()
            _work(command, leash)
        pipe.send(pid)


def _work(plan: Plan | Work, leash: int) -> NoReturn:
    threading.excepthook = lambda _: _fail()
    threading.Thread(target=_follow_parent, args=(leash,), daemon=True).start()
    try:
        if not isinstance(plan, Plan):
            plan.work()
            _fail()
        if plan.small_steps:
            make_small_steps(seals=plan.seals)
        if plan.point:
            kill_at(plan.point, plan.strike)
        if plan.remote:
            lifecycle.serve(
                ServerConfig(directory=plan.directory, listen="127.0.0.1:0", log_level="warning")
            )
        else:
            _write(plan)
    finally:
        _fail()


def _fail() -> NoReturn:
    traceback.print_exc()
    os._exit(3)


def _follow_parent(leash: int) -> None:
    os.read(leash, 1)
    os._exit(4)


def _write(plan: Plan) -> None:
    journal = Journal(plan.journal)
    db = vecdb.open(plan.directory, map_bytes=plan.map_bytes, threads=1)
    make_collection(db, plan, journal)
    print("ready", flush=True)
    threads = [
        threading.Thread(target=write_batches, args=(db, plan, journal, writer))
        for writer in range(plan.writers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def make_collection(db: Any, plan: Plan, journal: Journal) -> None:
    shape = plan.shape
    if shape.name not in [info.name for info in db.collections()]:
        db.create_collection(
            shape.name, dim=shape.dim, metric=shape.metric, dtype=shape.dtype, fields=FIELDS
        )
    journal.created(shape)


def write_batches(db: Any, plan: Plan, journal: Journal, writer: int) -> None:
    """One writer's batches, one after the other, each told to the journal before and after."""
    stored = dict(plan.stored.get(writer, {}))
    for number in range(BATCHES_MAX):
        label = plan.round, writer, number
        batch = next_batch(plan.shape, plan.seed, label, stored, plan.rows_max)
        if batch.kind in BUILDS:
            if plan.seals:
                build(db, plan.shape, batch)
            continue
        journal.intend(plan.shape, batch)
        if batch.kind == "scratch":
            fill_and_drop(db, batch)
            journal.done(batch)
            continue
        result = send(db, plan.shape, plan.seed, batch)
        journal.done(batch, result.count, result.sequence)
        _note(stored, plan.seed, batch)


def _note(stored: dict[Id, str], seed: int, batch: Batch) -> None:
    """Keep ``stored`` up to date."""
    if batch.kind in UPSERTS:
        for id, payload in zip(batch.ids, payloads_of(seed, batch), strict=True):
            stored[id] = "" if payload is None else name_of(batch.label)
    elif batch.kind == "delete":
        for id in batch.ids:
            stored.pop(id, None)
    elif batch.kind == "delete_where":
        for id in [id for id, name in stored.items() if name == batch.target]:
            del stored[id]
    elif batch.kind == "replace":
        stored |= dict.fromkeys(batch.ids, "")


# ------------------------------------------------------------------------------- small steps


def make_small_steps(*, seals: bool) -> None:
    """Have this process clean, sweep and seal early and in many transactions."""
    cleaning.DEAD_ROWS = 64
    cleaning.BURIED_ROWS = 32
    if seals:
        sealer.SEAL_RECORDS = 150
    cleaning._STEP_PARTS = 4
    store._SWEEP_KEYS = 64


def kill_at(point: str, strike: int) -> None:
    """Have this process killed when it comes to ``point`` for that time."""
    left = [strike]
    work = ["write"]

    def reach(name: str) -> None:
        if name == point:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    write_once, note, grow = Environment._write_once, Environment.note_commit, Environment._grow
    clean, sweep = store.clean_step, store.Store._sweep
    swap, rename = Swap.commit, os.rename

    def watched_write(self: Environment, apply: Callable[[Any], Any], *more: Any) -> Any:
        def watched_apply(transaction: Any) -> Any:
            work[0] = "write"
            answer = apply(transaction)
            reach(f"{work[0]} applied")
            return answer

        answer = write_once(self, watched_apply, *more)
        reach(f"{work[0]} synced")
        return answer

    def watched_note(self: Environment, sequence: int) -> None:
        note(self, sequence)
        reach(f"{work[0]} noted")

    def watched_grow(self: Environment) -> None:
        reach("growing")
        grow(self)
        reach("grown")

    def watched_clean(*arguments: Any, **options: Any) -> None:
        work[0] = "clean"
        clean(*arguments, **options)

    def watched_sweep(self: store.Store, group: Any) -> None:
        work[0] = "sweep"
        sweep(self, group)

    def watched(name: str, change: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            work[0] = name
            return change(*arguments, **options)

        return run

    def watched_swap(self: Swap, group: Any) -> Any:
        work[0] = "swap"
        return swap(self, group)

    def watched_rename(source: Any, target: Any) -> None:
        if "segments" not in Path(target).parts:
            rename(source, target)
            return
        is_removed = str(target).endswith(".new")
        reach("removing a segment" if is_removed else "naming a segment")
        rename(source, target)
        reach("hidden a segment" if is_removed else "named a segment")

    os.rename = watched_rename
    Swap.commit = watched_swap  # type: ignore[method-assign]
    Environment._write_once, Environment.note_commit = watched_write, watched_note
    Environment._grow, store.clean_step = watched_grow, watched_clean
    store.Store._sweep = watched_sweep
    store.sweep_step = watched("tenant sweep", store.sweep_step)
    granting.grant = watched("grant", granting.grant)
    granting.copy_tenant = watched("copy", granting.copy_tenant)
    granting.delete_tenant = watched("end", granting.delete_tenant)
