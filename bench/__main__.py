"""``python -m bench run [SUITE...]`` measures; ``python -m bench report`` shows what came out."""

from __future__ import annotations

import click

from .results import FOLDER, read_results, write_results
from .suites import SUITES


@click.group()
def bench() -> None:
    """Measure the database. Close everything else first; results go to bench/results/."""


@bench.command()
@click.argument("suites", nargs=-1, type=click.Choice(list(SUITES)))
@click.option("--note", default="", help="What a reader should know, such as a busy machine.")
def run(suites: tuple[str, ...], note: str) -> None:
    """Run SUITES, or all of them, and store the results."""
    for name in suites or tuple(SUITES):
        click.echo(f"{name} ...", err=True)
        path = write_results(name, f"python -m bench run {name}", SUITES[name].run(), note)
        click.echo(f"{name}: {path.relative_to(FOLDER.parent.parent)}", err=True)
        show(name)


@bench.command()
def report() -> None:
    """Print the newest results of every suite as a Markdown table."""
    click.echo("| what | goal | measured: median (range) |\n|---|---|---|")
    for name in SUITES:
        show(name)


def show(name: str) -> None:
    rows = read_results(name)
    for figure in SUITES[name].report(rows) if rows else ():
        verdict = {True: "", False: " **missed**", None: ""}[figure.met]
        click.echo(f"| {figure.what} | {figure.goal} | {figure.measured}{verdict} |")


if __name__ == "__main__":
    bench(prog_name="python -m bench")
