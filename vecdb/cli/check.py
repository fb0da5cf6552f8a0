"""``vecdb check DIR``: read everything and tell what does not fit."""

from __future__ import annotations

from pathlib import Path

import click

from .failures import CORRUPT
from .options import DIRECTORY, Command
from .output import Console, with_console
from .progress import open_counter
from .tables import Column
from .text import plural

PROBLEM_COLUMNS = (Column("where"), Column("what"))


@click.command(cls=Command)
@click.argument("directory", metavar="DIR", type=DIRECTORY)
@click.option("--deep", is_flag=True, help="Make all codes of sealed vectors again, not some.")
@with_console
@click.pass_context
def check(ctx: click.Context, directory: Path, deep: bool, console: Console) -> None:
    """Verify every byte of the database in DIR.

    Changes nothing, and may run beside a server. Exit status 8 if anything is damaged.
    """
    from ..check import check_directory

    with open_counter(console) as counter:
        report = check_directory(directory, progress=counter.show, deep=deep)
    problems = [{"where": problem.where, "what": problem.what} for problem in report.problems]
    if console.format == "table":
        console.rows(problems, PROBLEM_COLUMNS)
        checked = ", ".join(f"{count:,} {name}" for name, count in report.counts.items())
        console.note(f"{directory}: verified {checked or 'nothing: it is empty'}")
        console.note(
            f"{plural(len(problems), 'problem')} found" if problems else "no problem found"
        )
    elif console.format == "json":
        console.facts({"ok": report.ok, "counts": dict(report.counts), "problems": problems})
    else:
        console.rows(problems, PROBLEM_COLUMNS)
    if not report.ok:
        ctx.exit(CORRUPT)
