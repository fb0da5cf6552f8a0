"""Searches by the graph, all in memory, beside hnswlib: the same vectors, queries and threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from .datasets import Prepared, prepared
from .peer_env import Side, built_index, peer_version
from .sides import Ours, memory_since
from .turns import Runner, run_in_turns

EFFORTS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
BEAMS = (10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 640)
"""hnswlib's ``ef``."""

_BUILD = {"m": 16, "ef_construction": 200, "threads": 2}  # 32 links on the lowest level, as ours


def measure_graph() -> Iterator[dict[str, Any]]:
    """One dict for each dataset, side and setting, and one for each build."""
    for data in prepared():
        yield from _compare(data)


def _compare(data: Prepared) -> Iterator[dict[str, Any]]:
    folder, figures = built_index("hnswlib", data.base, **_BUILD)
    about = {"peer": peer_version("hnswlib")}
    yield data.about | about | {"kind": "build", "side": "hnswlib"} | figures
    with ExitStack() as stack:
        ours = stack.enter_context(Ours(data))
        ours.set_budget(None)
        yield from ours.builds
        theirs = stack.enter_context(Side("hnswlib"))
        bare = theirs.call("forget_peak")
        theirs.call("open", folder=folder, dim=data.dim)
        for number, effort in enumerate(EFFORTS):
            runners = [ours.runner(effort)]
            for ef in BEAMS[number :: len(EFFORTS)]:
                setting = {"ef": ef}
                runners.append(Runner(side=theirs, setting=setting, about=about, reopen=_stay_open))
            found = run_in_turns(data, runners)
            found[0] |= ours.counts(effort)
            yield from (data.about | {"kind": "search"} | row for row in found)
        yield data.about | ours.memory()
        yield data.about | about | memory_since(theirs, bare)


def _stay_open(threads: int) -> None:
    """It reads no disk and takes the number of threads with each call."""
