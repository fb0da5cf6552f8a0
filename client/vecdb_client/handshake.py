"""The first call on a channel: who is the server, and can we talk to it?

Versions are compared only here; new behaviour is asked for by feature name.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from .errors import PreconditionFailed
from .version import VERSION
from .wire import vecdb_pb2 as pb

API: Final = "v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """What a server tells about itself.

    - ``features``: names of what it can do beyond the first version of ``api``
    - ``limits``: its bounds, by name
    - ``dev``: it runs for development, with more shown than in earnest
    """

    server_version: str
    api: str
    features: tuple[str, ...]
    limits: Mapping[str, int]
    database_id: str
    dev: bool


def server_info(message: pb.InfoResponse) -> ServerInfo:
    """The message as a value."""
    return ServerInfo(
        server_version=message.server_version,
        api=message.api,
        features=tuple(message.features),
        limits=dict(message.limits),
        database_id=message.database_id,
        dev=message.dev,
    )


def check_server(info: ServerInfo, address: str, *, warn: bool, ours: str = VERSION) -> bool:
    """Raise ``PreconditionFailed`` for a server of another major version or interface.

    Minor versions more than one apart give a warning if ``warn``. Returns whether they are.
    """
    theirs = _parse(info.server_version)
    here = _parse(ours)
    if info.api != API or theirs is None or here is None or theirs[0] != here[0]:
        raise PreconditionFailed(
            f"the server at {address} has version {info.server_version[:40]!r} and interface "
            f"{info.api[:40]!r}; this client has version {ours!r} and interface {API!r}",
            reason="INCOMPATIBLE_SERVER",
            hint="Install a client and a server of the same major version",
        )
    apart = abs(theirs[1] - here[1]) > 1
    if apart and warn:
        warnings.warn(
            f"the server at {address} has version {info.server_version}, this client {ours}: more "
            "than one minor version apart is not tested",
            UserWarning,
            stacklevel=2,
        )
    return apart


def _parse(version: str) -> tuple[int, int] | None:
    match = re.match(r"(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else None
