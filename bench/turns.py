"""Sides that search in turns: small slices of the queries, so a busy moment falls on all of them.

Queries are never repeated to a setting, nor to a cache that has seen them: parts of the queries
are for batches on one thread, on two, for single searches, and for counts. A cache is filled
by searches for vectors of the dataset itself, as diskannpy fills its own when it is opened.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .curves import recall_by_distance
from .datasets import TRUE, Prepared, squared_distances
from .peer_env import Side

BATCHES = {1: range(0, 800), 2: range(800, 1_200)}
SINGLE = range(1_500, 1_900)
COUNTED = range(1_900, 2_000)
PILOT = range(1_200, 1_350)
_SLICE = 50
_WARM_PILOT, _WARM_SLICE = 300, 500

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """A side at one setting.

    - ``about``: what results say of it beside the setting
    - ``reopen``: opens it for so many threads, with cold caches
    - ``warm``: it caches what it reads, so it first gets so many vectors of the dataset
    - ``counts``: what the side says of its searches at the setting
    """

    side: Side
    setting: dict[str, Any]
    reopen: Callable[[int], Any]
    about: dict[str, Any] = field(default_factory=dict)
    warm: int = 0
    counts: Callable[[], dict[str, Any]] = dict


@dataclass(frozen=True, slots=True)
class _Part:
    """What a runner did with a part of the queries."""

    answers: list[dict[str, Any]]
    recalls: NDArray[np.float64]

    def total(self, name: str) -> float:
        return float(sum(answer.get(name, 0) for answer in self.answers))


def run_in_turns(data: Prepared, runners: Sequence[Runner]) -> Rows:
    """One dict for each runner: its recall, times and reads.

    ``qps_1`` and ``qps_2`` are of wall clock on one and two threads in batches, ``noise_*`` how far
    slices of these lie apart, ``cpu_us_*`` CPU of a query, ``p50_us`` and ``p95_us`` of single
    searches, ``reads`` requests of a query of the batches on one thread, ``read_bytes`` what they
    brought.
    """
    rows: Rows = [
        {"side": runner.side.name, "warm": runner.warm} | runner.about | runner.setting
        for runner in runners
    ]
    recalls: list[list[NDArray[np.float64]]] = [[] for _ in runners]
    base = np.load(data.base, mmap_mode="r")
    queries = np.load(data.queries)
    with tempfile.TemporaryDirectory(prefix="vecdb-bench-") as name:
        turns = _Turns(data, base, queries, Path(name) / "answers.npy")
        for threads, part in BATCHES.items():
            turns.open(runners, threads)
            found = turns.run(runners, part, threads)
            for row, one, hits in zip(rows, found, recalls, strict=True):
                row |= _batch_figures(one, threads, len(part))
                hits.append(one.recalls)
            if threads == 1:
                found = turns.run(runners, SINGLE, 1, one_by_one=True)
                for row, one, hits in zip(rows, found, recalls, strict=True):
                    row |= _single_figures(one)
                    hits.append(one.recalls)
    for row, hits in zip(rows, recalls, strict=True):
        every = np.concatenate(hits)
        row |= {"recall": float(every.mean()), "queries": len(every)}
        row |= {"recall_p5": float(np.percentile(every, 5)), "recall_worst": float(every.min())}
    return rows


def run_pilot(data: Prepared, runner: Runner) -> dict[str, Any]:
    """What a runner does with a few queries on one thread: enough to choose settings by."""
    base, queries = np.load(data.base, mmap_mode="r"), np.load(data.queries)
    with tempfile.TemporaryDirectory(prefix="vecdb-bench-") as name:
        turns = _Turns(data, base, queries, Path(name) / "answers.npy")
        turns.open([runner], 1, warm_most=_WARM_PILOT)
        (found,) = turns.run([runner], PILOT, 1)
    about = {"side": runner.side.name} | runner.about | runner.setting
    about |= {"recall": float(found.recalls.mean()), "queries": len(PILOT)}
    return about | _batch_figures(found, 1, len(PILOT))


class _Turns:
    def __init__(
        self,
        data: Prepared,
        base: NDArray[np.float32],
        queries: NDArray[np.float32],
        answers: Path,
    ) -> None:
        self._data, self._base, self._queries, self._answers = data, base, queries, answers

    def open(self, runners: Sequence[Runner], threads: int, warm_most: int = 1_000_000) -> None:
        """All are opened anew, and their caches are filled."""
        _open(runners, threads)
        for runner in runners:
            warm = range(0, min(runner.warm, warm_most, len(self._base)))
            for start in warm[::_WARM_SLICE]:
                some = range(start, min(start + _WARM_SLICE, len(warm)))
                self.ask(runner, some, threads, queries=self._data.warm)

    def ask(
        self,
        runner: Runner,
        part: range,
        threads: int,
        one_by_one: bool = False,
        queries: Path | None = None,
    ) -> dict[str, Any]:
        return runner.side.call(
            "search",
            queries=str(queries or self._data.queries),
            start=part.start,
            stop=part.stop,
            k=TRUE,
            threads=threads,
            one_by_one=one_by_one,
            answers=str(self._answers),
            **runner.setting,
        )

    def run(
        self, runners: Sequence[Runner], part: range, threads: int, one_by_one: bool = False
    ) -> list[_Part]:
        """Slice after slice, and who begins changes."""
        answers: list[list[dict[str, Any]]] = [[] for _ in runners]
        recalls: list[list[NDArray[np.float64]]] = [[] for _ in runners]
        for turn, start in enumerate(range(part.start, part.stop, _SLICE)):
            some = range(start, min(start + _SLICE, part.stop))
            for i in range(len(runners)):
                at = (i + turn) % len(runners)
                answers[at].append(self.ask(runners[at], some, threads, one_by_one))
                recalls[at].append(self._recall(some))
        return [
            _Part(one, np.concatenate(found)) for one, found in zip(answers, recalls, strict=True)
        ]

    def _recall(self, some: range) -> NDArray[np.float64]:
        ids = np.load(self._answers)
        chosen = slice(some.start, some.stop)
        distances = squared_distances(self._base, self._queries[chosen], ids)
        return recall_by_distance(ids, distances, self._data.reach[chosen])


def _open(runners: Sequence[Runner], threads: int) -> None:
    opened: set[int] = set()
    for runner in runners:
        if id(runner.side) not in opened:
            opened.add(id(runner.side))
            runner.reopen(threads)


def _batch_figures(part: _Part, threads: int, count: int) -> dict[str, Any]:
    wall, cpu = part.total("wall_s"), part.total("cpu_s")
    figures: dict[str, Any] = {
        f"qps_{threads}": count / wall,
        f"cpu_us_{threads}": 1e6 * cpu / count,
        f"qps_cpu_{threads}": count / cpu,
        f"noise_{threads}": _noise([answer["wall_s"] for answer in part.answers]),
    }
    if threads == 1:
        figures |= {
            "read_bytes": part.total("read_bytes") / count,
            "reads_4k": part.total("read_bytes") / 4096 / count,
        }
        if any("requests" in answer for answer in part.answers):
            figures["reads"] = part.total("requests") / count
    return figures


def _noise(seconds: Sequence[float]) -> float:
    """How far slices of as many queries lie apart: the middle half of them by their median."""
    low, middle, high = np.percentile(seconds, (25, 50, 75))
    return float((high - low) / middle)


def _single_figures(part: _Part) -> dict[str, Any]:
    micros = [micro for answer in part.answers for micro in answer["micros"]]
    return {
        "p50_us": float(np.percentile(micros, 50)),
        "p95_us": float(np.percentile(micros, 95)),
        "p99_us": float(np.percentile(micros, 99)),
        "cpu_us_single": 1e6 * part.total("cpu_s") / len(micros),
    }
