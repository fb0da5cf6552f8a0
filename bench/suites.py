"""The suites of ``python -m bench``: what each runs, its goal, how its figures are summed up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .beyond_ram import measure_beyond, measure_budgets, measure_pages
from .cold import measure_cold
from .disk_reports import (
    report_beyond,
    report_budgets,
    report_cold,
    report_graph,
    report_grouping,
    report_pages,
)
from .exact import measure_exact, ratios
from .figures import Figure, spread
from .filtered import measure_filtered
from .graph_build import measure_building, report_building
from .graph_search import measure_graph
from .grouping import measure_grouping
from .loopback import measure_loopback
from .many_tenants import measure_many_tenants
from .opening import measure_opening
from .planner_fit import measure_planner, report_planner
from .recall import measure_recall
from .results import read_results
from .scan import measure_scan, speed_ratios
from .sealing import measure_sealing
from .searching import measure_search
from .tenant_reports import report_filtered, report_many_tenants, report_tenants
from .tenants import measure_tenants
from .tree_walk import measure_tree, report_tree
from .upload import measure_upload

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    run: Callable[[], Iterable[dict[str, Any]]]
    report: Callable[[Rows], list[Figure]]


def _column(rows: Rows, name: str) -> list[float]:
    return [float(row[name]) for row in rows]


def run_exact() -> Iterator[dict[str, Any]]:
    for metric in ("dot", "cosine", "l2"):
        yield from measure_exact(metric=metric)


def report_exact(rows: Rows) -> list[Figure]:
    found = []
    for metric in ("dot", "cosine", "l2"):
        some = [row for row in rows if row["metric"] == metric]
        for count, ratio in sorted(ratios(some).items()):
            goal = 1.1 if count == 1 else 1.2
            walls = {
                engine: float(
                    np.median(
                        [
                            row["wall_ms"]
                            for row in some
                            if row["engine"] == engine and row["queries"] == count
                        ]
                    )
                )
                for engine in ("vecdb", "faiss")
            }
            one = some[0]
            found.append(
                Figure(
                    what=f"exact search, {one['n']:,} x {one['dim']}, {metric}, k={one['k']}, "
                    f"{count} {'query' if count == 1 else 'queries'}: time against faiss.IndexFlat",
                    goal=f"<= {goal}",
                    measured=f"{ratio:.2f} ({walls['vecdb']:.1f} ms against "
                    f"{walls['faiss']:.1f} ms, {one['threads']} threads each)",
                    met=ratio <= goal,
                )
            )
    return found


def report_upload(rows: Rows) -> list[Figure]:
    rates = _column(rows, "records_per_second")
    one = rows[0]
    cpu = (
        f"server {np.median(_column(rows, 'server_cpu_us')):.0f} us, "
        f"client {np.median(_column(rows, 'client_cpu_us')):.0f} us"
    )
    return [
        Figure(
            what=f"upload through the client, {one['n']:,} x {one['dim']} float32 with payloads, "
            "synced: records a second",
            goal=">= 20,000",
            measured=spread(rates, ",.0f"),
            met=float(np.median(rates)) >= 20_000,
        ),
        Figure(what="the same: CPU of one record", goal="", measured=cpu, met=None),
    ]


def report_loopback(rows: Rows) -> list[Figure]:
    added, turns = _column(rows, "added_ms"), _column(rows, "added_in_turns_ms")
    one = rows[0]
    what = (
        f"one search over loopback, {one['n']:,} x {one['dim']}, k={one['k']} with payloads: "
        "milliseconds added"
    )
    return [
        Figure(
            what=f"{what} to the engine's own time in the same calls",
            goal="<= 1",
            measured=f"{spread(added, '.2f')}, the engine itself "
            f"{np.median(_column(rows, 'engine_ms')):.2f}",
            met=float(np.median(added)) <= 1.0,
        ),
        Figure(
            what=f"{what} to an embedded search, in turns",
            goal="",
            measured=f"{spread(turns, '.2f')}, the embedded search "
            f"{np.median(_column(rows, 'embedded_in_turns_ms')):.2f}",
            met=None,
        ),
    ]


def report_opening(rows: Rows) -> list[Figure]:
    found = []
    for dim in sorted({row["dim"] for row in rows}):
        some = [row for row in rows if row["dim"] == dim]
        opened, total = (
            _column(some, "open_s"),
            [row["open_s"] + row["first_search_s"] for row in some],
        )
        what = f"open, {some[0]['n']:,} records x {dim}"
        found += [
            Figure(
                what=f"{what}: seconds",
                goal="< 2",
                measured=spread(opened, ".3f"),
                met=float(np.median(opened)) < 2.0,
            ),
            Figure(
                what=f"{what}: seconds to the first exact answer, vectors read into memory",
                goal="",
                measured=spread(total, ".2f"),
                met=None,
            ),
        ]
    return found


# (engine, against, one query or several) -> goal of ``report_scan``
_SCAN_GOALS = {
    ("estimate", "read", False): 0.8,
    ("hamming", "read", False): 0.9,
    ("estimate", "faiss", False): 1.4,
    ("estimate", "faiss", True): 2.0,
    ("hamming", "faiss", True): 6.0,
}


def report_scan(rows: Rows) -> list[Figure]:
    found = []
    for threads, count in sorted({(row["threads"], row["queries"]) for row in rows}):
        some = [row for row in rows if (row["threads"], row["queries"]) == (threads, count)]
        for engine, other in (
            ("estimate", "read"),
            ("estimate", "faiss"),
            ("hamming", "read"),
            ("hamming", "faiss"),
        ):
            if other == "read" and count > 1:
                continue
            goal = _SCAN_GOALS.get((engine, other, count > 1))
            reached = speed_ratios(some, engine, other)
            walls = [
                float(np.median([row["wall_ms"] for row in some if row["engine"] == name]))
                for name in (engine, other)
            ]
            against = (
                "share of the bandwidth of plain reading"
                if other == "read"
                else "times as fast as faiss.IndexBinaryFlat"
            )
            found.append(
                Figure(
                    what=f"scan of {some[0]['n']:,} codes of {some[0]['dim']} bits by {engine}, "
                    f"k={some[0]['k']}, {count} {'query' if count == 1 else 'queries'}, "
                    f"{threads} {'thread' if threads == 1 else 'threads'}: {against}",
                    goal=f">= {goal}" if goal else "",
                    measured=f"{spread(reached, '.2f')}: {walls[0]:.1f} ms against "
                    f"{walls[1]:.1f} ms",
                    met=float(np.median(reached)) >= goal if goal else None,
                )
            )
    return found


def report_search(rows: Rows) -> list[Figure]:
    one = rows[0]
    ratios_found = [row["exact_ms"] / row["scan_ms"] for row in rows]
    exact, scan = (float(np.median(_column(rows, name))) for name in ("exact_ms", "scan_ms"))
    return [
        Figure(
            what=f"one embedded search, {one['n']:,} x {one['dim']} (synthetic), sealed, "
            f'k={one["k"]} with payloads: times as fast as mode="exact"',
            goal=">= 5",
            measured=f"{spread(ratios_found, '.1f')}: {scan:.2f} ms against {exact:.2f} ms",
            met=float(np.median(ratios_found)) >= 5.0,
        ),
        Figure(
            what="the same: recall@10 of its matches",
            goal="",
            measured=f"{np.median(_column(rows, 'recall')):.4f}",
            met=None,
        ),
    ]


def report_sealing(rows: Rows) -> list[Figure]:
    found = []
    for row in rows:
        what = f"seal of {row['n']:,} x {row['dim']} (synthetic)"
        limit = 180.0 * row["raw_bytes"] / (4 * 96e6)  # 3 minutes for 1,000,000 x 96
        found += [
            Figure(
                what=f"{what}: seconds",
                goal=f"< {limit:.0f}",
                measured=f"{row['seconds']:.1f} ({row['cpu_seconds']:.1f} of CPU)",
                met=row["seconds"] < limit,
            ),
            Figure(
                what=f"{what}: most memory, tail and new segment included, by the raw vectors",
                goal="< 2.5",
                measured=f"{row['peak_share']:.2f} (the tail by itself {row['tail_share']:.2f})",
                met=row["peak_share"] < 2.5,
            ),
        ]
    return found


def report_recall(rows: Rows) -> list[Figure]:
    found = []
    for row in rows:
        goal = 0.99 if row["effort"] is None else 0.999
        effort = "default effort" if row["effort"] is None else f"effort {row['effort']:g}"
        found.append(
            Figure(
                what=f'recall@{row["k"]} of mode="scan", {row["dataset"]} ({row["n"]:,} x '
                f"{row['dim']}, {row['metric']}), {effort}, "
                f"{row['queries']:,} queries",
                goal=f">= {goal}",
                measured=f"{row['recall']:.4f}, worst query {row['worst']:.1f}",
                met=row["recall"] >= goal,
            )
        )
    return found


SUITES = {
    "exact": Suite(run=run_exact, report=report_exact),
    "upload": Suite(run=measure_upload, report=report_upload),
    "loopback": Suite(run=measure_loopback, report=report_loopback),
    "opening": Suite(run=measure_opening, report=report_opening),
    "scan": Suite(run=measure_scan, report=report_scan),
    "search": Suite(run=measure_search, report=report_search),
    "sealing": Suite(run=measure_sealing, report=report_sealing),
    "recall": Suite(run=measure_recall, report=report_recall),
    "grouping": Suite(run=measure_grouping, report=report_grouping),
    "building": Suite(run=measure_building, report=report_building),
    "graph": Suite(run=measure_graph, report=report_graph),
    "beyond": Suite(run=measure_beyond, report=report_beyond),
    "pages": Suite(run=measure_pages, report=report_pages),
    "budgets": Suite(run=measure_budgets, report=report_budgets),
    "cold": Suite(run=measure_cold, report=report_cold),
    "tree": Suite(run=measure_tree, report=report_tree),
    "planner": Suite(run=measure_planner, report=report_planner),
    "tenants": Suite(run=measure_tenants, report=report_tenants),
    "many_tenants": Suite(run=measure_many_tenants, report=report_many_tenants),
    "filtered": Suite(run=measure_filtered, report=report_filtered),
}


def report_lines() -> list[str]:
    """The newest results of every suite as a Markdown table."""
    lines = ["| what | goal | measured: median (range) |", "|---|---|---|"]
    for name in SUITES:
        lines += suite_lines(name)
    return lines


def suite_lines(name: str) -> list[str]:
    """The lines of one suite; none where it has not been run."""
    rows = read_results(name)
    verdicts = {True: "", False: " **missed**", None: ""}
    return [
        f"| {figure.what} | {figure.goal} | {figure.measured}{verdicts[figure.met]} |"
        for figure in (SUITES[name].report(rows) if rows else ())
    ]
