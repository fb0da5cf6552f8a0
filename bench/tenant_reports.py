"""What the suites about tenants and filters say, as lines of the report."""

from __future__ import annotations

from typing import Any

import numpy as np

from .figures import Figure, spread
from .tenants import RECALL

Rows = list[dict[str, Any]]


def report_tenants(rows: Rows) -> list[Figure]:
    found = []
    for dataset in sorted({row["dataset"] for row in rows}):
        some = [row for row in rows if row["dataset"] == dataset]
        one = some[0]
        where = f"{dataset} ({one['n']:,} x {one['dim']})"
        for row in (row for row in some if row["kind"] == "search"):
            ratio = row["vecdb_cpu_us"] / row["hnswlib_cpu_us"]
            met = ratio <= 2.0 and row["vecdb_recall"] >= RECALL and not row["short"]
            found.append(
                Figure(
                    what=f"{where}, tenant of {row['size']:,} records ({row['tenant']}), queries "
                    f'"{row["queries"]}", path {row["path"]}: time of an hnswlib of its own '
                    f"({row['hnswlib_recall']:.3f})",
                    goal=f"<= 2.0, recall >= {RECALL}",
                    measured=f"{ratio:.2f} ({row['vecdb_us']:.0f} us against "
                    f"{row['hnswlib_us']:.0f} us), recall {row['vecdb_recall']:.3f}, "
                    f"{row['forbidden']} forbidden",
                    met=met and not row["forbidden"],
                )
            )
        for row in (row for row in some if row["kind"] == "memory"):
            ratio, theirs = row["ours"] / row["shared"], row["per_tenant"] / row["shared"]
            found.append(
                Figure(
                    what=f"{where}: memory of all, by that of one shared hnswlib",
                    goal="<= 1.3",
                    measured=f"{ratio:.2f} (an hnswlib for each of {row['tenants']} tenants "
                    f"{theirs:.2f})",
                    met=ratio <= 1.3,
                )
            )
        grants = [row["us_each"] for row in some if row["kind"] == "grant" and row["size"] > 999]
        found.append(
            Figure(
                what=f"{where}: microseconds of a grant, in batches of 1,000 and more, synced",
                goal="< 100",
                measured=spread(grants, ".0f"),
                met=float(np.median(grants)) < 100.0,
            )
        )
    return found


def report_filtered(rows: Rows) -> list[Figure]:
    found = []
    for row in rows:
        for peer, what, goal in (
            ("hnswlib", "hnswlib with a filter function", 10.0),
            ("faiss", "faiss IVF with a selector", 3.0),
        ):
            ratio = row[f"{peer}_cpu_us"] / row["vecdb_cpu_us"]
            found.append(
                Figure(
                    what=f"{row['dataset']} ({row['n']:,} x {row['dim']}), filters that "
                    f"{row['share']:.0%} pass, each new: times as fast as {what} "
                    f"(recall {row[f'{peer}_recall']:.3f})",
                    goal=f">= {goal:g}",
                    measured=f"{ratio:.1f} ({row['vecdb_us']:.0f} us against "
                    f"{row[f'{peer}_us']:.0f} us), recall {row['vecdb_recall']:.3f}, "
                    f"path {row['path']}",
                    met=ratio >= goal and row["vecdb_recall"] >= RECALL and not row["short"],
                )
            )
    return found


def report_many_tenants(rows: Rows) -> list[Figure]:
    found = []
    for kind in ("grant", "revoke"):
        each = [row["us_each"] for row in rows if row["kind"] == kind]
        found.append(
            Figure(
                what=f"{kind} in a batch of 10,000, {rows[0]['tenants']:,} tenants there: "
                "microseconds each, synced",
                goal="< 100",
                measured=spread(each, ".1f"),
                met=float(np.median(each)) < 100.0,
            )
        )
    opened = [row for row in rows if row["kind"] == "open"]
    total = {
        tenants: float(
            np.median(
                [r["open_s"] + r["first_search_s"] for r in opened if r["tenants"] == tenants]
            )
        )
        for tenants in {row["tenants"] for row in opened}
    }
    most = max(total)
    found.append(
        Figure(
            what=f"open to first answer with {most:,} tenants, less that with none: seconds",
            goal="< 1",
            measured=f"{total[most] - total[0]:.2f} ({total[most]:.2f} against {total[0]:.2f})",
            met=total[most] - total[0] < 1.0,
        )
    )
    (disk,) = [row["bytes_each"] for row in rows if row["kind"] == "disk"]
    found.append(
        Figure(
            what=f"bytes on disk of a grant, {rows[0]['each']} tenants a record",
            goal="",
            measured=f"{disk:.0f}",
            met=None,
        )
    )
    return found
