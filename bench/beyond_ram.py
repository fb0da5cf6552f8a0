"""Searches that read the disk, at equal memory: ours beside diskannpy, and our sizes of pages.

A budget is a share of the raw float32 vectors. Ours holds codes, links, ids and pages in it;
diskannpy its codes, their tables and as many cached nodes as are left. Both read with O_DIRECT.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .datasets import TRUE, Prepared, prepared
from .disk_probe import probe_disk
from .peer_env import Side, built_index, peer_version
from .turns import COUNTED, Rows, Runner, run_in_turns

BUDGETS = (0.10, 0.20, 0.30, 0.50)
EFFORTS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
COMPLEXITIES = (10, 20, 40, 80, 160, 320)
BEAMS = (4, 8)
INDEXES = ((64, 32), (64, 96), (64, 256))
"""Of diskannpy: links of a node (with 32, as many as ours, it reads more), and bytes of its codes,
where they fit the dimension and the budget."""
CODE_BITS = (4, 2)
"""Ours; the second only where it allows a better level."""
PAGE_BUDGETS = (0.30, 0.75)
PAGE_BYTES = (4096, 8192, 16384)
SMALL_BUDGETS = (0.20, 0.10)
COLD_ROUNDS = 5

CACHING = 1
"""Of its nodes: those that its sample queries visit; 2, the first levels, read 14 % more."""

_LEVELS = ("entries", "codes", "graph+codes", "all")
_CODES_MOST = 0.9  # of the budget


def measure_beyond() -> Rows:
    """One dict for each dataset, budget, side and setting, and one for each build."""
    return [row for data in prepared() for row in _compare(data)]


def measure_pages() -> Rows:
    """The same of our side alone: one collection for each size of pages, in turns."""
    return [row for data in prepared() for row in _sweep_pages(data)]


def measure_budgets() -> Rows:
    """Our side alone, with codes of two bits: a fifth of the raw bytes, then a tenth."""
    return [row for data in prepared() for row in _within(data)]


def _within(data: Prepared) -> Iterator[dict[str, Any]]:
    with Ours(data, code_bits=2) as ours:
        for share in SMALL_BUDGETS:
            budget = int(share * data.raw_bytes)
            ours.set_budget(budget)
            about = data.about | {"share": share, "budget": budget}
            for effort in (0.5, 1.0, 2.0):
                for row in run_in_turns(data, [ours.runner(effort)]):
                    yield about | {"kind": "search"} | row | ours.counts(effort)
            yield about | ours.memory()
            yield from (about | row for row in _first_answers(data, ours))
        ours.set_budget(None)
        yield from (data.about | {"share": None} | row for row in _first_answers(data, ours))
        yield from ours.builds


def _first_answers(data: Prepared, ours: Ours) -> Iterator[dict[str, Any]]:
    """New processes, and the kernel's copies of files dropped."""
    ours.rest()
    for turn in range(COLD_ROUNDS):
        with Side("vecdb") as side:
            side.call("drop_cached", folder=ours.path)
            options = {"threads": 2, "effort": None, "mode": "graph"}
            found = side.call("first_answer", folder=ours.path, queries=data.queries, **options)
        yield {"kind": "cold", "level": ours.level, "round": turn} | found


def _compare(data: Prepared) -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        for index in _fitting(data, data.raw_bytes):
            about = {"kind": "build", "side": "diskannpy", "peer": peer_version("diskannpy")}
            folder, figures = disk_index(data, *index)
            yield data.about | about | figures
            if index == INDEXES[0]:
                yield data.about | probe_disk(folder / "ann_disk.index")
        ours = {bits: stack.enter_context(Ours(data, code_bits=bits)) for bits in CODE_BITS}
        for share in BUDGETS:
            budget = int(share * data.raw_bytes)
            about = data.about | {"share": share, "budget": budget}
            peers = [
                stack.enter_context(Theirs(data, index, budget)) for index in _fitting(data, budget)
            ]
            mine: list[Ours] = []
            for one in ours.values():
                one.set_budget(budget)
                if not mine or _LEVELS.index(one.level) > _LEVELS.index(mine[0].level):
                    mine.append(one)
            for row in _turns(data, mine, peers):
                yield about | row
            sides: list[Ours | Theirs] = [*mine, *peers]
            for side in sides:
                yield about | side.memory()
            for peer in peers:
                peer.close()
        for one in ours.values():
            yield from one.builds


def _turns(data: Prepared, mine: list[Ours], peers: list[Theirs]) -> Iterator[dict[str, Any]]:
    """Each of our efforts beside its part of their settings."""
    settings = [{"complexity": c, "beam": beam} for c in COMPLEXITIES for beam in BEAMS]
    for number, effort in enumerate(EFFORTS):
        runners = [one.runner(effort) for one in mine]
        some = settings[number :: len(EFFORTS)]
        runners += [peer.runner(setting) for peer in peers for setting in some]
        found = run_in_turns(data, runners)
        for one, row in zip(mine, found, strict=False):
            row |= one.counts(effort)
        yield from ({"kind": "search"} | row for row in found)


def _sweep_pages(data: Prepared) -> Iterator[dict[str, Any]]:
    sizes = [size for size in PAGE_BYTES if size > 4 * data.dim + 64]
    with ExitStack() as stack:
        mine = [stack.enter_context(Ours(data, page_bytes=size)) for size in sizes]
        for share in PAGE_BUDGETS:
            budget = int(share * data.raw_bytes)
            for one in mine:
                one.set_budget(budget)
            about = data.about | {"share": share, "budget": budget}
            for row in _turns(data, mine, []):
                yield about | row


def _fitting(data: Prepared, budget: int) -> list[tuple[int, int]]:
    return [
        (degree, size)
        for degree, size in INDEXES
        if size <= data.dim and size * data.n <= _CODES_MOST * budget
    ]


def disk_index(data: Prepared, degree: int, pq_bytes: int) -> tuple[Path, dict[str, Any]]:
    """The folder of an index of diskannpy, and what it cost."""
    parameters = {"degree": degree, "pq_bytes": pq_bytes}
    parameters |= {"complexity": 100, "build_gb": 8, "threads": 2}
    return built_index("diskannpy", data.base, **parameters)


class Ours:
    """A sealed collection in a folder of its own, and the process that searches it."""

    def __init__(
        self,
        data: Prepared,
        *,
        code_bits: int = 4,
        page_bytes: int | None = None,
        budget: int | None = None,
    ) -> None:
        self.builds: Rows = []
        self.level = ""
        self._data = data
        self._about: dict[str, Any] = {"code_bits": code_bits}
        if page_bytes is not None:
            self._about["page_bytes"] = page_bytes
        self._budget, self._page_bytes, self._built = budget, page_bytes, False
        self._folder = tempfile.TemporaryDirectory(prefix="vecdb-bench-")
        self._side = Side("vecdb")
        self._bare: dict[str, Any] = {}

    @property
    def side(self) -> Side:
        return self._side

    @property
    def path(self) -> Path:
        return Path(self._folder.name) / "db"

    def set_budget(self, budget: int | None) -> None:
        """Builds the collection the first time; later rewrites its segments where it must.

        The process that builds is another than the one that searches.
        """
        self._budget = budget
        with Side("vecdb") as builder:
            bare = builder.call("forget_peak")["rss"]
            about = self._data.about | self._about | {"side": "vecdb", "budget": budget}
            if not self._built:
                figures = builder.call(
                    "build",
                    vectors=self._data.base,
                    folder=self.path,
                    metric=self._data.metric,
                    code_bits=self._about["code_bits"],
                    page_bytes=self._page_bytes,
                    budget=budget,
                    threads=2,
                )
                kind = "build"
            else:
                self._side.call("close")
                builder.call("open", folder=self.path, threads=2)
                figures = builder.call("set_budget", budget=budget, queries=self._data.queries)
                builder.call("close")
                kind = "rebuild"
            figures["rss_peak_build"] = builder.call("memory")["rss_peak"] - bare
            self.builds.append(about | {"kind": kind} | figures)
        self._built = True
        self._side.close()
        self._side = Side("vecdb")
        self._bare = self._side.call("warm")
        self._reopen(1)
        self.level = self.counts(1.0)["level"]
        self._about["level"] = self.level

    def runner(self, effort: float) -> Runner:
        return Runner(
            side=self._side,
            setting={"effort": effort},
            about=dict(self._about),
            reopen=self._reopen,
            warms=True,
        )

    def counts(self, effort: float) -> dict[str, Any]:
        """What ``explain`` says, as means over some queries of their own."""
        return self._side.call(
            "explain",
            queries=self._data.queries,
            start=COUNTED.start,
            stop=COUNTED.stop,
            k=TRUE,
            effort=effort,
        )

    def memory(self) -> dict[str, Any]:
        """Most bytes resident since it was opened last, by those before; file pages apart."""
        return memory_since(self._side, self._bare) | self._about

    def rest(self) -> None:
        """Closed until it is asked again, so that others may open it."""
        self._side.call("close")

    def _reopen(self, threads: int) -> None:
        self._side.call("open", folder=self.path, threads=threads)

    def close(self) -> None:
        self._side.close()
        self._folder.cleanup()

    def __enter__(self) -> Ours:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Theirs:
    """An index of diskannpy, and the process that searches it within a budget."""

    def __init__(self, data: Prepared, index: tuple[int, int], budget: int) -> None:
        self._folder, self._budget = disk_index(data, *index)[0], budget
        self._side = Side("diskannpy")
        self._bare = self._side.call("forget_peak")
        self._side.call("drop_cached", folder=self._folder)
        degree, pq_bytes = index
        self._about: dict[str, Any] = {"degree": degree, "pq_bytes": pq_bytes}
        self._about["peer"] = peer_version("diskannpy")
        self._open_threads = 0
        self._reopen(2)

    def runner(self, setting: dict[str, Any]) -> Runner:
        return Runner(
            side=self._side, setting=setting, about=dict(self._about), reopen=self._reopen
        )

    def memory(self) -> dict[str, Any]:
        return memory_since(self._side, self._bare) | self._about

    def _reopen(self, threads: int) -> None:
        """Once: its cache never changes, and it has room for two threads."""
        if self._open_threads:
            return
        self._open_threads = 2
        opened = self._side.call(
            "open", folder=self._folder, threads=2, budget=self._budget, mechanism=CACHING
        )
        self._about["nodes_cached"] = opened["nodes_cached"]

    def close(self) -> None:
        self._side.close()

    def __enter__(self) -> Theirs:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def memory_since(side: Side, bare: dict[str, Any]) -> dict[str, Any]:
    """What a side holds now and held at most, less what it held ``bare``; file pages are apart."""
    now = side.call("memory")
    own = (now["rss"] - now["rss_file"]) - (bare["rss"] - bare["rss_file"])
    return {
        "kind": "memory",
        "side": side.name,
        "rss_peak": now["rss_peak"] - bare["rss"],
        "rss_own": own,
        "rss_file": now["rss_file"] - bare["rss_file"],
    }
