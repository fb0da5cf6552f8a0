"""``vecdb demo``: a server, a real data set, searches, measurements, and a clean end."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from .child import ServerFailed, ServerProcess

if TYPE_CHECKING:
    from numpy.typing import NDArray

STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
"""Besides Ctrl-C: what ends a command from outside must not leave the server behind."""


@click.command()
@click.option("--ask", metavar="TEXT", multiple=True, help="Your own question; may be repeated.")
@click.option(
    "--keep",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the database in DIR, which must be new or empty.",
)
@click.option(
    "-k",
    "k",
    default=5,
    show_default=True,
    type=click.IntRange(1, 100),
    help="Packages to show for a question.",
)
@click.option(
    "--port",
    default=0,
    type=click.IntRange(0, 65535),
    help="Port of the server on 127.0.0.1; any free one if not given.",
)
@click.pass_context
def demo(
    context: click.Context, ask: tuple[str, ...], keep: Path | None, k: int, port: int
) -> None:
    """Start a server, load 10,000 Debian packages, search them, stop."""
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise click.BadParameter(
            "the directory is not empty; choose a new one", param_hint="--keep"
        )
    if os.environ.get("NO_COLOR"):
        context.color = False
    own = list(zip(ask, _embed(ask), strict=True)) if ask else []
    try:
        with _stop_signals(), tempfile.TemporaryDirectory(prefix="vecdb-demo-") as name:
            _run(Path(name), keep, port, k, own)
    except ServerFailed as error:
        raise click.ClickException(str(error)) from error
    kept = f"database kept: vecdb serve {keep}" if keep else "temporary directory removed"
    click.echo(kept)


def _run(
    work: Path, keep: Path | None, port: int, k: int, own: list[tuple[str, NDArray[Any]]]
) -> None:
    """The demo in the directory ``work``, with a server of its own."""
    from .tour import Tour

    click.echo("starting a server (the first start on a machine compiles its kernels) ...")
    server = ServerProcess(keep or work / "database", log=work / "server.log", port=port)
    with server, Tour(server, k) as tour:
        tour.load()
        if own:
            tour.answer(own)
        else:
            tour.show_questions()
            tour.show_filters()
            tour.measure()
    click.echo()
    click.echo(f"server stopped by SIGTERM in {server.stop_seconds:.1f} s, exit status 0")


def _embed(texts: tuple[str, ...]) -> NDArray[Any]:
    """Vectors of the user's questions; exit status 2 where the optional packages are missing."""
    from .embedding import Embedder, ModelMissing

    if not all(text.strip() for text in texts):
        raise click.BadParameter("the question is empty", param_hint="--ask")
    try:
        return Embedder().embed(texts)
    except ModelMissing as error:
        raise _Missing(str(error)) from error


class _Missing(click.ClickException):
    """Asked for what this installation cannot do: a mistake in usage, not a failure."""

    exit_code = 2


@contextmanager
def _stop_signals() -> Iterator[None]:
    """Inside, the signals that end a command unwind it first, so that all is cleaned up."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, stop) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
