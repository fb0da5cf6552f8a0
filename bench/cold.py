"""From a cold disk to the first answer: new processes, and the kernel's copies of files dropped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from .datasets import Prepared, prepared
from .peer_env import Side, peer_version
from .sides import Ours, disk_index

SHARES = (None, 0.50, 0.10)
"""Budgets by the raw vectors; None: all in memory."""
ROUNDS = 5
PEER_INDEX, PEER_SHARE = (64, 32), 0.50


@dataclass(frozen=True, slots=True)
class _Opening:
    about: dict[str, Any]
    side: str
    folder: Any
    options: dict[str, Any]


def measure_cold() -> Iterator[dict[str, Any]]:
    """One dict for each dataset, side, budget and round, in turns."""
    for data in prepared():
        yield from _compare(data)


def _compare(data: Prepared) -> Iterator[dict[str, Any]]:
    budget = int(PEER_SHARE * data.raw_bytes)
    with ExitStack() as stack:
        openings: list[_Opening] = []
        for share in SHARES:
            ours = stack.enter_context(Ours(data))
            ours.set_budget(None if share is None else int(share * data.raw_bytes))
            about = {"share": share, "level": ours.level}
            ours.rest()
            mine = {"threads": 2, "effort": None, "mode": "auto"}
            openings.append(_Opening(about, "vecdb", ours.path, mine))
        folder, _ = disk_index(data, *PEER_INDEX)
        for mechanism in (1, 2):
            about = {"share": PEER_SHARE, "mechanism": mechanism}
            about |= {"peer": peer_version("diskannpy")}
            theirs = {"threads": 2, "budget": budget, "mechanism": mechanism}
            theirs |= {"complexity": 40, "beam": 4}
            openings.append(_Opening(about, "diskannpy", folder, theirs))
        yield from _in_turns(data, openings)


def _in_turns(data: Prepared, openings: list[_Opening]) -> Iterator[dict[str, Any]]:
    for turn in range(ROUNDS):
        at = turn % len(openings)
        for one in openings[at:] + openings[:at]:
            row = data.about | {"side": one.side, "round": turn} | one.about
            yield row | _first_answer(data, one)


def _first_answer(data: Prepared, one: _Opening) -> dict[str, Any]:
    with Side(one.side) as side:
        side.call("drop_cached", folder=one.folder)
        return side.call("first_answer", folder=one.folder, queries=data.queries, **one.options)
