"""What the suites of graph search say: figures at the recalls .90, .95 and .99, by interpolation.

A peer stands with the best of all its settings at each recall and for each figure by itself, ours
with those of one collection.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from .curves import TARGETS, at_recall, curve
from .disk_probe import DEPTHS
from .figures import Figure, listed, spread
from .grouping import pages_at

Rows = list[dict[str, Any]]
Values = list[float | None]

_AT = "at recall@10 .90 / .95 / .99"
_GREEDY_MOST = 1.25
_FASTER, _JUDGED = 1.5, ("fashion-mnist-784", "mixture-1000k-96")
_READS_MOST, _RATE_LEAST = 1 / 2, 2.0
_STRICT = TARGETS[1:]


def report_graph(rows: Rows) -> list[Figure]:
    found = []
    for some in _by(rows, "dataset"):
        ours, theirs = _sides(some, "hnswlib")
        what = f"graph, all in memory, {_named(some[0])}"
        for threads in (1, 2):
            name = f"qps_{threads}"
            ratios = _ratios(_best(ours, name), _best(theirs, name))
            middle = ratios[TARGETS.index(0.95)]
            judged = threads == 1 and some[0]["dataset"] in _JUDGED
            found.append(
                Figure(
                    what=f"{what}: queries a second by hnswlib's, {_threads(threads)}, {_AT}",
                    goal=f">= {_FASTER} at .95" if judged else "",
                    measured=f"{listed(ratios, '.2f')}: {_both(ours, theirs, name, ',.0f')}",
                    met=middle is not None and middle >= _FASTER if judged else None,
                )
            )
        found.append(_memory_figure(what, some, "hnswlib"))
        found += _build_figures(what, some, "hnswlib")
    return found


def report_beyond(rows: Rows) -> list[Figure]:
    found: list[Figure] = []
    for some in _by(rows, "dataset"):
        for budget in _by([row for row in some if row.get("share")], "share"):
            ours, theirs = _sides(budget, "diskannpy")
            for mine in _by(ours, "code_bits", "page_bytes"):
                found += _beyond_figures(mine, theirs)
            if ours and theirs:
                found += _fairness_figures(budget, ours, theirs)
        found += _build_figures(f"graph, {_named(some[0])}", some, "diskannpy")
        found += [_disk_figure(row) for row in some if row["kind"] == "disk"]
    return found


def _beyond_figures(ours: Rows, theirs: Rows) -> Iterator[Figure]:
    one = ours[0]
    size = one.get("page_bytes")
    pages = "" if size is None else f", pages of {size // 1024} KiB"
    what = (
        f"{one['share']:.0%} of the raw bytes in memory, {_named(one)}: level {one['level']!r}, "
        f"{one['code_bits']} bits{pages}"
    )
    for name, least, bound, text, form in (
        ("reads_4k", True, _READS_MOST, "reads of 4 KiB a query", ".1f"),
        ("qps_1", False, _RATE_LEAST, "queries a second, one thread", ",.0f"),
        ("qps_2", False, _RATE_LEAST, "queries a second, two threads", ",.0f"),
        ("qps_cpu_1", False, None, "queries a CPU second", ",.0f"),
        ("p50_us", True, None, "median microseconds of a search", ",.0f"),
    ):
        pick, both = (_least, _both_least) if least else (_best, _both)
        ratios = _ratios(pick(ours, name), pick(theirs, name))
        sign = "<=" if least else ">="
        yield Figure(
            what=f"{what}: {text} by diskannpy's, {_AT}",
            goal="" if bound is None else f"{sign} {bound:g} at .95 and .99",
            measured=f"{listed(ratios, '.2f')}: {both(ours, theirs, name, form)}",
            met=None if bound is None else _judge(ratios, theirs, bound, least=least),
        )


def _fairness_figures(rows: Rows, ours: Rows, theirs: Rows) -> Iterator[Figure]:
    """What both sides held, and how even the machine was."""
    what = f"{rows[0]['share']:.0%} of the raw bytes in memory, {_named(rows[0])}"
    held = [
        [row["rss_own"] / 2**20 for row in _of_kind(rows, "memory", side)]
        for side in ("vecdb", "diskannpy")
    ]
    if all(held):
        yield Figure(
            what=f"{what}: MiB held beside the bare process, all sides",
            goal="",
            measured=f"ours {listed(held[0], ',.0f')}, diskannpy {listed(held[1], ',.0f')}, of a "
            f"budget of {rows[0]['budget'] / 2**20:,.0f}",
            met=None,
        )
    noise = [
        float(np.median([row[f"noise_{threads}"] for row in some]))
        for threads in (1, 2)
        for some in (ours, theirs)
    ]
    yield Figure(
        what=f"{what}: noise, how far the middle half of slices of 50 queries lie apart",
        goal="",
        measured="one thread {:.0%} and {:.0%} of the median, two threads {:.0%} and {:.0%} (ours "
        "and diskannpy's)".format(*noise),
        met=None,
    )


def report_pages(rows: Rows) -> list[Figure]:
    found = []
    for some in _by(rows, "dataset"):
        for budget in _by(some, "share"):
            what = (
                f"pages of {{}} KiB, {budget[0]['share']:.0%} of the raw bytes, {_named(some[0])}"
            )
            for one in _by(budget, "page_bytes"):
                parts = [
                    f"{listed(_least(one, 'pages_read'), '.1f')} pages",
                    f"{listed(_least(one, 'p50_us'), ',.0f')} us",
                    f"{listed(_best(one, 'qps_cpu_1'), ',.0f')} a CPU second",
                ]
                found.append(
                    Figure(
                        what=f"{what.format(one[0]['page_bytes'] // 1024)}, level "
                        f"{one[0]['level']!r}: pages read, median of a search, queries, {_AT}",
                        goal="",
                        measured="; ".join(parts),
                        met=None,
                    )
                )
    return found


def report_budgets(rows: Rows) -> list[Figure]:
    found = []
    for some in _by([row for row in rows if row["kind"] == "search"], "dataset", "share"):
        enough = [row["pages_read"] for row in some if row["recall"] >= 0.95]
        for row in some:
            pages = row["pages_read"]
            judged = row["share"] == 0.20 and enough and pages == min(enough)
            goal = "<= 25 at recall@10 0.95" if judged else ""
            found.append(
                Figure(
                    what=f"{row['share']:.0%} of the raw bytes, 2 bits, {_named(row)}, level "
                    f"{row['level']!r}, effort {row['effort']:g}: pages read",
                    goal=goal,
                    measured=f"{pages:.1f} in {row['io_rounds']:.1f} rounds, recall@10 "
                    f"{row['recall']:.4f}, {row['qps_cpu_1']:,.0f} queries a CPU second",
                    met=pages <= 25 if goal else None,
                )
            )
    for one in _by([row for row in rows if row["kind"] == "cold"], "dataset", "level"):
        total = [row["open_s"] + row["first_search_s"] for row in one]
        found.append(
            Figure(
                what=f"cold open to the first answer, {_named(one[0])}, level "
                f"{one[0]['level']!r}: seconds",
                goal="< 1",
                measured=spread(total, ".3f"),
                met=float(np.median(total)) < 1.0,
            )
        )
    memory = [row for row in rows if row["kind"] == "memory"]
    budgets = [row["budget"] for row in memory]
    over = [row["rss_own"] - budget for row, budget in zip(memory, budgets, strict=True)]
    found += [
        Figure(
            what=f"{row['share']:.0%} of the raw bytes, {_named(row)}: memory over the budget",
            goal="",
            measured=f"{extra / 1e6:.1f} MB over {budget / 1e6:.1f} MB, all that was searched",
            met=None,
        )
        for row, budget, extra in zip(memory, budgets, over, strict=True)
    ]
    return found


def report_cold(rows: Rows) -> list[Figure]:
    found = []
    for some in _by(rows, "dataset"):
        for one in _by(some, "side", "share", "mechanism"):
            row = one[0]
            memory = "all in memory" if row["share"] is None else f"{row['share']:.0%} in memory"
            how = f", caching {row['mechanism']}" if "mechanism" in row else f", {row['level']!r}"
            total = [each["open_s"] + each["first_search_s"] for each in one]
            opened = spread([each["open_s"] for each in one], ".3f")
            found.append(
                Figure(
                    what=f"cold open to the first answer, {_named(row)}, {row['side']}, "
                    f"{memory}{how}: seconds",
                    goal="",
                    measured=f"{spread(total, '.3f')}, of them to open {opened}",
                    met=None,
                )
            )
    return found


_KINDS = {
    "rerank fixed": "to score a shortlist",
    "rerank sigma": "to score what one sigma leaves",
    "walk": "in a walk on pages",
}
_GRAPHS = {"hnsw": "faiss's HNSW", "vecdb": "our graph"}


def report_grouping(rows: Rows) -> list[Figure]:
    found = []
    for (kind, dataset, page_bytes, graph), at in pages_at(rows).items():
        ratios = _ratios(at["tree"], at["greedy"])
        found.append(
            Figure(
                what=f"pages read {_KINDS[kind]}, {dataset}, {_GRAPHS[graph]}, pages of "
                f"{page_bytes // 1024} KiB: tree order by PageANN's grouping, {_AT}",
                goal=f"<= {_GREEDY_MOST}",
                measured=f"{listed(ratios, '.2f')}: {listed(at['tree'], '.1f')} against "
                f"{listed(at['greedy'], '.1f')}, random {listed(at['random'], '.1f')}",
                met=all(ratio <= _GREEDY_MOST for ratio in ratios if ratio is not None),
            )
        )
    return found


# ------------------------------------------------------------------------------ parts of lines


def _named(row: dict[str, Any]) -> str:
    kind = ", synthetic" if row["synthetic"] else ""
    return f"{row['dataset']} ({row['n']:,} x {row['dim']}, {row['metric']}{kind})"


def _threads(count: int) -> str:
    return "one thread" if count == 1 else "two threads"


def _by(rows: Iterable[dict[str, Any]], *names: str) -> list[Rows]:
    """The rows in groups that agree in these, as they come."""
    groups: dict[tuple[Any, ...], Rows] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(name) for name in names), []).append(row)
    return list(groups.values())


def _sides(rows: Rows, peer: str) -> tuple[Rows, Rows]:
    some = [row for row in rows if row["kind"] == "search"]
    ours = [row for row in some if row["side"] == "vecdb"]
    return ours, [row for row in some if row["side"] == peer]


def _best(rows: Rows, name: str) -> Values:
    return [at_recall(curve(rows, name), target, least=False) for target in TARGETS]


def _least(rows: Rows, name: str) -> Values:
    return [at_recall(curve(rows, name), target, least=True) for target in TARGETS]


def _ratios(ours: Values, theirs: Values) -> Values:
    return [
        None if one is None or other is None else one / other
        for one, other in zip(ours, theirs, strict=True)
    ]


def _judge(ratios: Values, theirs: Rows, bound: float, *, least: bool) -> bool | None:
    """Whether those at .95 and .99 are within the bound; what only the peer reaches is a miss.

    None: there is nothing to judge.
    """
    reached = max((row["recall"] for row in theirs), default=0.0)
    some = [
        ratio is not None and (ratio <= bound if least else ratio >= bound)
        for target, ratio in zip(TARGETS, ratios, strict=True)
        if target in _STRICT and target <= reached
    ]
    return all(some) if some else None


def _both(ours: Rows, theirs: Rows, name: str, form: str) -> str:
    return f"{listed(_best(ours, name), form)} against {listed(_best(theirs, name), form)}"


def _both_least(ours: Rows, theirs: Rows, name: str, form: str) -> str:
    return f"{listed(_least(ours, name), form)} against {listed(_least(theirs, name), form)}"


def _disk_figure(row: dict[str, Any]) -> Figure:
    rates = [row[f"reads_per_second_{depth}"] for depth in DEPTHS]
    depths = " / ".join(map(str, DEPTHS))
    return Figure(
        what=f"the disk below {_named(row)}: random reads of 4 KiB a second by {depths} threads",
        goal="",
        measured=f"{listed(rates, ',.0f')}; one takes {row['read_us_p50']:.0f} us, at worst of a "
        f"hundred {row['read_us_p99']:.0f}",
        met=None,
    )


def _of_kind(rows: Rows, kind: str, side: str) -> Rows:
    return [row for row in rows if row["kind"] == kind and row["side"] == side]


def _memory_figure(what: str, rows: Rows, peer: str) -> Figure:
    ours, theirs = (
        float(np.median([row["rss_own"] for row in _of_kind(rows, "memory", side)])) / 2**20
        for side in ("vecdb", peer)
    )
    return Figure(
        what=f"{what}: MiB of memory by {peer}'s",
        goal="",
        measured=f"{ours / theirs:.2f}: {ours:,.0f} against {theirs:,.0f}",
        met=None,
    )


def _build_figures(what: str, rows: Rows, peer: str) -> Sequence[Figure]:
    ours, theirs = (_of_kind(rows, "build", side) for side in ("vecdb", peer))
    if not ours or not theirs:
        return ()
    seconds = [float(np.median([row["cpu_s"] for row in some])) for some in (ours, theirs)]
    return [
        Figure(
            what=f"{what}: CPU seconds to build, upload and seal included, by {peer}'s",
            goal="",
            measured=f"{seconds[0] / seconds[1]:.2f}: {seconds[0]:,.1f} against {seconds[1]:,.1f}",
            met=None,
        )
    ]
