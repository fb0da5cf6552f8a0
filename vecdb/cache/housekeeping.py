"""What a cache does when nobody asks: entries expire, space comes back, graphs grow, switches turn.

Each step is short, and lookups take no lock that it holds: at most ``EXPIRED_AT_ONCE`` entries
expire, and ``writing.SLICE`` are deleted, at a time.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from functools import partial

from ..errors import VecDBError
from .background import Background
from .economics import decide
from .engine import Engine
from .graph import make_graph
from .partition import Partition
from .writing import reclaim_slice, store_notes

NOTES_SECONDS = 60.0
EXPIRED_AT_ONCE = 64
"""Entries that expire while the index is locked: less than a millisecond."""
_LINK_SECONDS = 0.02
_LINK_ROWS = 4
"""Rows that are added to a graph while its searches wait."""
_BUILD_ROWS = 256


class Housekeeper:
    """Of one cache; used under its lock."""

    def __init__(self, engine: Engine, builder: Background) -> None:
        self.engine = engine
        self.lock = threading.Lock()
        self._builder = builder
        self._noted_at = engine.now_us()
        self._notes: dict[str, bytes] = {}

    def step(self) -> bool:
        """One short piece of work; whether there may be more at once."""
        engine = self.engine
        more = self.expire() > 0
        if engine.store.read_only:
            while engine.reclaim:
                engine.index.free(engine.reclaim.popleft())
        elif engine.reclaim:
            more = reclaim_slice(engine) > 0 or more
        more = self._grow_graphs() or more
        now = engine.now_us()
        if now - self._noted_at >= NOTES_SECONDS * 1e6:
            self._noted_at = now
            self.note()
        return more

    def expire(self) -> int:
        """Take entries out whose time is over, a few at a time; how many there were."""
        engine = self.engine
        gone = engine.index.expire(engine.now_us(), EXPIRED_AT_ONCE)
        names: Counter[str] = Counter()
        for entry in gone:
            row = engine.index.row_of(entry)
            if row is not None:
                names[engine.index.partition_of(row).category] += 1
        for name, count in names.items():
            engine.tally.add(name, "expired", count)
        engine.reclaim.extend(gone)
        return len(gone)

    def note(self) -> None:
        """Turn the switches, and keep what was learned and counted since the last time."""
        engine = self.engine
        for name, category in engine.policy.categories.items():
            if category.auto_off and category.allow_caching:
                decide(
                    engine.tally,
                    name,
                    engine.switches[name],
                    now=engine.now_us() / 1e6,
                    window=engine.policy.break_even_window,
                )
        if engine.store.read_only:
            return
        notes = engine.notes()
        changed = {name: value for name, value in notes.items() if self._notes.get(name) != value}
        if changed:
            store_notes(engine, changed)
            self._notes |= changed

    # --------------------------------------------------------------------------------- graphs

    def _grow_graphs(self) -> bool:
        engine = self.engine
        more = False
        for partition in list(engine.index.partitions.values()):
            view = partition.view
            if view.graph is not None and view.linked < view.size:
                more = _link_some(partition, engine) or more
            elif (
                view.graph is None
                and not partition.building
                and partition.count > engine.policy.hnsw_above
            ):
                partition.building = True
                partition.building = self._builder.submit(partial(_build, engine, partition))
        return more


def _link_some(partition: Partition, engine: Engine) -> bool:
    """Move young slots into the graph for a moment; whether some are left."""
    view = partition.view
    graph = view.graph
    if graph is None or partition.building:
        return False
    till = time.perf_counter() + _LINK_SECONDS
    linked = view.linked
    while linked < view.size and time.perf_counter() < till:
        end = min(view.size, linked + _LINK_ROWS)
        graph.add(view.vectors[linked:end])
        linked = end
    with engine.index.lock:
        partition.link(graph, view, linked)
    return linked < view.size


def _build(engine: Engine, partition: Partition) -> None:
    """Make the graph of a partition beside it, then have it searched."""
    try:
        view = partition.view
        if partition.count <= engine.policy.hnsw_above:
            return
        graph = make_graph(engine.row.dim, view.vectors[: view.size])
        for start in range(0, view.size, _BUILD_ROWS):
            if engine.dropped or engine.closed:
                return
            graph.add(view.vectors[start : min(view.size, start + _BUILD_ROWS)])
        with engine.index.lock:
            partition.link(graph, view, view.size)
    except VecDBError:
        return  # the database has been closed meanwhile
    finally:
        partition.building = False
