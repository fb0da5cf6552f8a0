"""``vecdb serve DIR``. Only click is imported here: every start of ``vecdb`` loads this file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from vecdb.errors import VecDBError

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--listen",
    metavar="HOST:PORT",
    envvar="VECDB_SERVER__LISTEN",
    help="Address to serve on (127.0.0.1:7700); any but loopback needs a key and TLS.",
)
@click.option(
    "--api-key-file",
    type=FILE,
    envvar="VECDB_SERVER__API_KEY_FILE",
    help="File of accepted API keys, one a line; mode 600. Or set VECDB_SERVER__API_KEY.",
)
@click.option(
    "--require-key",
    is_flag=True,
    default=None,
    envvar="VECDB_SERVER__REQUIRE_KEY",
    help="Do not serve a database without keys of its own (vecdb key create).",
)
@click.option(
    "--tls-cert", type=FILE, envvar="VECDB_SERVER__TLS_CERT", help="Certificate chain, PEM."
)
@click.option("--tls-key", type=FILE, envvar="VECDB_SERVER__TLS_KEY", help="Its private key, PEM.")
@click.option(
    "--threads",
    type=int,
    envvar="VECDB_SERVER__THREADS",
    help="Calls that run at once (twice the cores, at least 4).",
)
@click.option(
    "--queue",
    type=int,
    envvar="VECDB_SERVER__QUEUE",
    help="Calls that may wait for a thread (256); more are told to come again.",
)
@click.option(
    "--uploads", type=int, envvar="VECDB_SERVER__UPLOADS", help="Upload streams at once (16)."
)
@click.option(
    "--io-engine",
    type=click.Choice(["auto", "io_uring", "threads", "mmap"]),
    envvar="VECDB_SERVER__IO_ENGINE",
    help="What reads pages from the disk (auto: the first that works here).",
)
@click.option(
    "--drain-seconds",
    type=float,
    envvar="VECDB_SERVER__DRAIN_SECONDS",
    help="How long calls in flight may go on after SIGTERM (10).",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    envvar="VECDB_SERVER__LOG_LEVEL",
    help="Least level of a log line on stderr (info).",
)
@click.option(
    "--dev",
    is_flag=True,
    default=None,
    envvar="VECDB_SERVER__DEV",
    help="For development: logs for people instead of JSON.",
)
def serve(directory: Path, api_key_file: Path | None, **settings: Any) -> None:
    """Serve the database in DIR (made if missing) over gRPC until SIGTERM."""
    from vecdb.errors import VecDBError

    from . import config, lifecycle

    try:
        config.check_environment(os.environ)
        lifecycle.serve(
            config.ServerConfig(
                directory=directory,
                api_keys=config.read_api_keys(api_key_file, os.environ),
                **{name: value for name, value in settings.items() if value is not None},
            )
        )
    except VecDBError as error:
        raise StartFailed(error) from error


class StartFailed(click.ClickException):
    """One line on stderr, and the exit status that its cause has on the command line."""

    def __init__(self, error: VecDBError) -> None:
        from vecdb.cli.failures import STATUSES, kind_of

        super().__init__(str(error))
        self.status = STATUSES[kind_of(error) or "VecDBError"]

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # click reads it, and never sets it
        return self.status
