"""Searches that read the disk, at equal memory: ours beside diskannpy, and our sizes of pages.

A budget is a share of the raw float32 vectors. Ours holds codes, links, ids and pages in it;
diskannpy its codes, their tables and as many cached nodes as are left. Both read with O_DIRECT.
A pilot with few queries tries all settings of both; those around the recalls that are reported
are measured in turns.
"""

from __future__ import annotations

from collections.abc import Container, Generator, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from vecdb.collection.levels import LEVELS, choose_level, sizes_to_be
from vecdb.schema import CollectionSchema
from vecdb.storage.page_geometry import geometry

from .curves import around_targets
from .datasets import Prepared, prepared
from .disk_probe import probe_disk
from .peer_env import Side, peer_version
from .sides import Ours, Theirs, disk_index
from .turns import Runner, run_in_turns, run_pilot

BUDGETS = (0.20, 0.50)
EFFORTS = (0.125, 0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 8.0, 16.0)
COMPLEXITIES = (10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320)
BEAMS = (2, 4, 8)
INDEXES = ((64, 32), (64, 96), (64, 256))
"""Of diskannpy: links of a node (with 32, as many as ours, it reads more), and bytes of its codes,
where they fit the dimension and the budget."""
CODE_BITS = (4, 2)
"""Ours; the second only where it allows a better level, or is built and allows as good a one."""
LEAST_PAGE = 4096
"""Beside the size of pages that is the default for the dimension."""
PAGE_BUDGETS = (0.30, 0.75)
PAGE_BYTES = (4096, 8192, 16384)
PAGE_EFFORTS = (0.25, 0.5, 1.0, 2.0, 4.0)
SMALL_BUDGETS = (0.20, 0.10)
COLD_ROUNDS = 5

_ENOUGH = 0.997  # recall of a pilot: more effort says no more
_FIGURES = (("reads_4k", True), ("qps_1", False))  # and whether little is good
_CODES_MOST = 0.9  # of the budget

Row = dict[str, Any]


def measure_beyond() -> Iterator[Row]:
    """One dict for each dataset, budget, side and setting, and one for each build."""
    for data in prepared():
        yield from _compare(data)


def measure_pages() -> Iterator[Row]:
    """The same of our side alone: one collection for each size of pages, in turns."""
    for data in prepared():
        yield from _sweep_pages(data)


def measure_budgets() -> Iterator[Row]:
    """Our side alone, with codes of two bits: a fifth of the raw bytes, then a tenth."""
    for data in prepared():
        yield from _within(data)


def _within(data: Prepared) -> Iterator[Row]:
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


def _first_answers(data: Prepared, ours: Ours) -> Iterator[Row]:
    """New processes, and the kernel's copies of files dropped."""
    ours.rest()
    for turn in range(COLD_ROUNDS):
        with Side("vecdb") as side:
            side.call("drop_cached", folder=ours.path)
            options = {"threads": 2, "effort": None, "mode": "graph"}
            found = side.call("first_answer", folder=ours.path, queries=data.queries, **options)
        yield {"kind": "cold", "level": ours.level, "round": turn} | found


def _compare(data: Prepared) -> Iterator[Row]:
    with ExitStack() as stack:
        for index in _fitting(data, data.raw_bytes):
            about = {"kind": "build", "side": "diskannpy", "peer": peer_version("diskannpy")}
            folder, figures = disk_index(data, *index)
            yield data.about | about | figures
            if index == INDEXES[0]:
                yield data.about | probe_disk(folder / "ann_disk.index")
        collections: dict[tuple[int, int | None], Ours] = {}
        for share in BUDGETS:
            budget = int(share * data.raw_bytes)
            mine = []
            for kind in _kinds(data, budget, collections):
                if kind not in collections:
                    one = Ours(data, code_bits=kind[0], page_bytes=kind[1])
                    collections[kind] = stack.enter_context(one)
                built = len(collections[kind].builds)
                collections[kind].set_budget(budget)
                yield from collections[kind].builds[built:]
                mine.append(collections[kind])
            with ExitStack() as opened:
                peers = [
                    opened.enter_context(Theirs(data, index, budget))
                    for index in _fitting(data, budget)
                ]
                for row in _within_budget(data, mine, peers):
                    yield data.about | {"share": share, "budget": budget} | row


def _within_budget(data: Prepared, mine: list[Ours], peers: list[Theirs]) -> Iterator[Row]:
    """The pilot, then what it chose in turns, then memory."""
    chosen: list[list[Runner]] = []
    for one in mine:
        ladder = [one.runner(effort) for effort in EFFORTS]
        chosen.append((yield from _around(data, [ladder])))
    ladders = [
        [peer.runner({"complexity": complexity, "beam": beam}) for complexity in COMPLEXITIES]
        for peer in peers
        for beam in BEAMS
    ]
    theirs = yield from _around(data, ladders)
    yield from _turns(data, chosen, theirs)
    for side in [*mine, *peers]:
        yield side.memory()


def _around(
    data: Prepared, ladders: Sequence[Sequence[Runner]]
) -> Generator[Row, None, list[Runner]]:
    """The runners that lie around the recalls on the frontier of any figure, by recall.

    - ``ladders``: runners of one side, each at settings that grow
    """
    tried: list[tuple[Runner, Row]] = []
    for ladder in ladders:
        for runner in ladder:
            row = run_pilot(data, runner)
            yield {"kind": "pilot"} | row
            tried.append((runner, row))
            if row["recall"] >= _ENOUGH:
                break
    kept: set[int] = set()
    for name, least in _FIGURES:
        kept |= around_targets([(row["recall"], row[name]) for _, row in tried], least=least)
    order = sorted(kept, key=lambda number: float(tried[number][1]["recall"]))
    return [tried[number][0] for number in order]


def _turns(
    data: Prepared, mine: Sequence[Sequence[Runner]], theirs: Sequence[Runner]
) -> Iterator[Row]:
    """Each of our efforts beside those of their settings that have about its recall."""
    rounds = max(len(some) for some in mine)
    for number in range(rounds):
        ours = [some[number] for some in mine if number < len(some)]
        part = theirs[number * len(theirs) // rounds : (number + 1) * len(theirs) // rounds]
        found = run_in_turns(data, [*ours, *part])
        for runner, row in zip(ours, found, strict=False):
            row |= runner.counts()
        yield from ({"kind": "search"} | row for row in found)


def _kinds(
    data: Prepared, budget: int, built: Container[tuple[int, int | None]]
) -> list[tuple[int, int | None]]:
    """Of our collections: bits of their codes and bytes of pages; None: the default.

    The bits are those of the best level; of several those that are ``built``, or the most.
    """

    def rank(bits: int) -> tuple[int, bool, int]:
        schema = CollectionSchema(dim=data.dim, metric=data.metric, code_bits=bits)
        plan = choose_level(budget, sizes_to_be(schema, data.n, 8 * data.n))
        return LEVELS.index(plan.level), (bits, None) not in built, -bits

    bits = min(CODE_BITS, key=rank)
    default = geometry(data.dim, "float32").page_bytes
    if default == LEAST_PAGE or 4 * data.dim + 64 > LEAST_PAGE:
        return [(bits, None)]
    return [(bits, None), (bits, LEAST_PAGE)]


def _sweep_pages(data: Prepared) -> Iterator[Row]:
    sizes = [size for size in PAGE_BYTES if size > 4 * data.dim + 64]
    with ExitStack() as stack:
        mine = [stack.enter_context(Ours(data, page_bytes=size)) for size in sizes]
        for share in PAGE_BUDGETS:
            budget = int(share * data.raw_bytes)
            for one in mine:
                one.set_budget(budget)
            about = data.about | {"share": share, "budget": budget}
            runners = [[one.runner(effort) for effort in PAGE_EFFORTS] for one in mine]
            for row in _turns(data, runners, []):
                yield about | row


def _fitting(data: Prepared, budget: int) -> list[tuple[int, int]]:
    return [
        (degree, size)
        for degree, size in INDEXES
        if size <= data.dim and size * data.n <= _CODES_MOST * budget
    ]
