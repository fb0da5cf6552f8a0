"""Which database: a directory that is opened here, or a server."""

from __future__ import annotations

import functools
import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click

from .. import limits
from ..errors import InvalidArgument, PreconditionFailed, Unavailable
from .options import DIRECTORY, EXISTING, Address

GROUP = "vecdb.targets"
"""The entry point ``remote`` of this group is the client's class."""
DEFAULT_ADDRESS = "127.0.0.1:7700"
CONNECT_SECONDS = 5.0
"""How long a server may take to answer at all."""
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A database and how to reach it: ``directory``, or else ``address``.

    ``assumed``: neither was named, so it is the default address.
    """

    directory: Path | None = None
    address: str = DEFAULT_ADDRESS
    assumed: bool = False
    api_key: str | None = field(default=None, repr=False)
    tls: bool = False
    ca_file: Path | None = None
    timeout: float | None = None

    @property
    def label(self) -> str:
        """What people call it."""
        return self.address if self.directory is None else str(self.directory)

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """The database, opened read-only: beside a server that has the directory."""
        if self.directory is None:
            with self._connect() as database:
                yield database
            return
        import vecdb

        with vecdb.open(self.directory, read_only=True) as database:
            yield database

    @contextmanager
    def writing(self, *, create: bool = False) -> Iterator[Any]:
        """The database, opened for writing. ``create``: the directory may be missing."""
        if self.directory is None:
            with self._connect() as database:
                yield database
            return
        import vecdb

        from ..storage.files import require_database

        if not create:
            require_database(self.directory)
        with vecdb.open(self.directory) as database:
            yield database

    def identity(self, database: Any) -> str:
        """The database's own id, whichever way it is reached."""
        found = database.info() if self.directory is None else database
        return str(found.database_id)

    @contextmanager
    def _connect(self) -> Iterator[Any]:
        """A client of a server that is there, and ready."""
        client = load_client()
        if self.api_key is not None and not self.tls and not self._loopback:
            click.echo(
                "warning: the API key travels unencrypted to another machine; --tls encrypts",
                err=True,
            )
        settings: dict[str, Any] = {"api_key": self.api_key, "tls": self.tls}
        if self.ca_file is not None:
            settings["ca_file"] = str(self.ca_file)
        if self.timeout is not None:
            settings["timeout"] = self.timeout
        if self._loopback:
            self._probe()
        with client(self.address, **settings) as database:
            database.wait_ready(min(CONNECT_SECONDS, self.timeout or CONNECT_SECONDS))
            yield database

    @property
    def _loopback(self) -> bool:
        return self.address.rpartition(":")[0] in LOOPBACK

    def _probe(self) -> None:
        """Refuse at once where nobody listens: the client would try again until it is time."""
        host, _, port = self.address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
        except ConnectionRefusedError:
            hint = f"Start one: vecdb serve DIR --listen {self.address}"
            if self.assumed:
                hint = "Start one (vecdb serve DIR), or name one: --at HOST:PORT, or --dir DIR"
            raise Unavailable(
                f"no server listens on {self.address}", reason="REFUSED", hint=hint
            ) from None
        except OSError:
            return  # the client tells more of what else is wrong


def with_target(function: Function) -> Function:
    """Give a command the options that name a database, and the argument ``target``."""

    @click.option(
        "--dir",
        "directory",
        metavar="DIR",
        type=DIRECTORY,
        help="A database directory, opened in this process (or VECDB_DIR).",
    )
    @click.option(
        "--at",
        "address",
        metavar="HOST:PORT",
        type=Address(),
        help=f"A server (or VECDB_AT); {DEFAULT_ADDRESS} if neither is given.",
    )
    @click.option(
        "--api-key-file",
        metavar="FILE",
        type=EXISTING,
        envvar="VECDB_API_KEY_FILE",
        help="Holds the API key, mode 600; or set VECDB_API_KEY.",
    )
    @click.option("--tls", is_flag=True, envvar="VECDB_TLS", help="Encrypt the connection.")
    @click.option(
        "--ca-file",
        metavar="FILE",
        type=EXISTING,
        envvar="VECDB_CA_FILE",
        help="PEM certificates to trust instead of the system's; implies --tls.",
    )
    @click.option(
        "--timeout",
        metavar="SECONDS",
        type=click.FloatRange(0, min_open=True),
        help=f"How long a call to the server may take ({limits.TIMEOUT_SECONDS:.0f}).",
    )
    @functools.wraps(function)
    def run(
        *args: Any,
        directory: Path | None,
        address: str | None,
        api_key_file: Path | None,
        tls: bool,
        ca_file: Path | None,
        timeout: float | None,
        **values: Any,
    ) -> Any:
        directory, address = _choose(directory, address)
        target = Target(
            directory=directory,
            address=address or DEFAULT_ADDRESS,
            assumed=directory is None and address is None,
            api_key=None if directory is not None else _api_key(api_key_file),
            tls=tls or ca_file is not None,
            ca_file=ca_file,
            timeout=timeout,
        )
        return function(*args, target=target, **values)

    return run  # type: ignore[return-value]  # click gives what the signature lacks


def load_client() -> Any:
    """The class of the client, whose package may be missing."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what it would log, our errors tell
    from importlib import metadata

    for entry in metadata.entry_points(group=GROUP, name="remote"):
        return entry.load()
    raise PreconditionFailed(
        "a server is reached through the package vecdb-client, which is not installed",
        reason="MISSING_PACKAGE",
        hint="pip install vecdb-client, or name a directory: --dir DIR",
    )


def _choose(directory: Path | None, address: str | None) -> tuple[Path | None, str | None]:
    """Flags win over the environment; two of a kind are a mistake."""
    if directory is not None and address is not None:
        raise click.UsageError("--dir and --at name two databases: give one of them")
    if directory is not None or address is not None:
        return directory, address
    at, path = os.environ.get("VECDB_AT"), os.environ.get("VECDB_DIR")
    if at and path:
        raise click.UsageError("VECDB_DIR and VECDB_AT name two databases: unset one of them")
    if path:
        return Path(path), None
    return None, Address().convert(at, None, None) if at else None


def _api_key(path: Path | None) -> str | None:
    """The key of a file, or of the environment; None: no key."""
    if path is None:
        return os.environ.get("VECDB_API_KEY") or None
    try:
        text = path.read_text(encoding="utf-8")
        mode = stat.S_IMODE(path.stat().st_mode)
    except UnicodeDecodeError:
        raise InvalidArgument(f"{path} is not a text file", field="api_key_file") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InvalidArgument(
            f"{path} holds a secret and others may use it (mode {mode:04o})",
            field="api_key_file",
            reason="SECRET_EXPOSED",
            hint=f"chmod 600 {path}",
        )
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    keys = [line for line in lines if line]
    if len(keys) != 1:
        raise InvalidArgument(
            f"{path} must hold one key; it holds {len(keys) or 'none'}", field="api_key_file"
        )
    return keys[0]
