"""``python -m bench run [SUITE...]`` measures; ``python -m bench report`` shows what came out."""

from __future__ import annotations

import os
from functools import partial

import click

from .document import write_documents
from .recall import VARIABLE
from .results import FOLDER, write_results
from .suites import SUITES, report_lines, suite_lines

BY_NAME = ("recall", "grouping", "building", "graph", "beyond", "pages", "budgets", "cold")
"""Run only when they are asked for: they need data, peers or hours."""


@click.group()
def bench() -> None:
    """Measure the database. Close everything else first; results go to bench/results/."""


@bench.command()
@click.argument("suites", nargs=-1, type=click.Choice(list(SUITES)))
@click.option("--note", default="", help="What a reader should know, such as a busy machine.")
@click.option("--add", is_flag=True, help="Keep what the suite's file of today holds.")
def run(suites: tuple[str, ...], note: str, add: bool) -> None:
    """Run SUITES, or all of them, and store the results.

    Rows are stored and told as they come: what is stopped leaves a file that ends in .part.jsonl.

    recall takes its datasets from the folder that VECDB_BENCH_DATA names; it is left out without.
    Those that take hours, or make environments for peers, are run by name alone.
    """
    everything = [name for name in SUITES if name not in BY_NAME]
    if os.environ.get(VARIABLE):
        everything.append("recall")
    for name in suites or everything:
        click.echo(f"{name} ...", err=True)
        rows, command = SUITES[name].run(), f"python -m bench run {name}"
        path = write_results(name, command, rows, note, add, partial(click.echo, err=True))
        click.echo(f"{name}: {path.relative_to(FOLDER.parent.parent)}", err=True)
        click.echo("\n".join(suite_lines(name)))


@bench.command()
def report() -> None:
    """Print the newest results of every suite as a Markdown table."""
    click.echo("\n".join(report_lines()))


@bench.command()
def readme() -> None:
    """Run the demo; put its output and the report into README.md, and tables where they stand."""
    write_documents()


if __name__ == "__main__":
    bench(prog_name="python -m bench")
