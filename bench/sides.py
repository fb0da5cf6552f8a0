"""The two sides of searches that read the disk: a collection of ours, an index of diskannpy.

Each is a folder, the process that searches it, and what its rows say of it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from vecdb.collection.levels import choose_level, sizes_to_be
from vecdb.schema import CollectionSchema
from vecdb.storage.page_geometry import geometry

from .datasets import TRUE, Prepared
from .peer_env import Side, built_index, peer_version
from .turns import COUNTED, Rows, Runner

WARM_LEAST, WARM_MOST = 300, 4_000
_NEW_PAGES = 5  # that a search brings into a cache which is not full, about
CACHING = 1
"""Of its nodes: those that its sample queries visit; 2, the first levels, read 14 % more."""


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
        self._warm = WARM_LEAST

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
        self._warm = self._enough_to_warm()
        self._about["level"] = self.level

    def _enough_to_warm(self) -> int:
        """So many searches fill the cache of pages, or come near it."""
        if self._budget is None:
            return WARM_LEAST
        bits, size = self._about["code_bits"], self._page_bytes
        schema = CollectionSchema(
            dim=self._data.dim, metric=self._data.metric, code_bits=bits, page_bytes=size
        )
        plan = choose_level(self._budget, sizes_to_be(schema, self._data.n, 8 * self._data.n))
        page_bytes = geometry(self._data.dim, "float32", size).page_bytes
        pages = plan.cache_bytes // page_bytes
        return min(WARM_MOST, max(WARM_LEAST, pages // _NEW_PAGES))

    def runner(self, effort: float) -> Runner:
        return Runner(
            side=self._side,
            setting={"effort": effort},
            about=dict(self._about),
            reopen=self._reopen,
            warm=self._warm,
            counts=lambda: self.counts(effort),
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
