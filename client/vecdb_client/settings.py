"""Where a client connects and how: all that survives pickling."""

from __future__ import annotations

import enum
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from . import limits
from .errors import InvalidArgument
from .version import VERSION

ADDRESS: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")
LOOPBACK: Final = re.compile(r"localhost|127\.[0-9.]+|\[::1\]")


class Default(enum.Enum):
    """Stands for a value that was left out."""

    CLIENT = "the client's"

    def __repr__(self) -> str:
        return "<the client's>"


Timeout = float | None | Literal[Default.CLIENT]
"""Seconds; None: the server's bound alone, which is 30 s; left out: the client's."""


def check_timeout(timeout: object, field: str = "timeout") -> float | None:
    """Seconds above 0, or None for none given."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        raise InvalidArgument(
            f"{field} must be a number of seconds above 0, or None; got {timeout!r}", field=field
        )
    return None if math.isinf(timeout) else float(timeout)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Validated on construction.

    - ``address``: "host:port"; an IPv6 address in brackets
    - ``api_key``: sent with every call, never shown
    - ``timeout``: seconds a call may take, retries included; None: see ``Timeout``
    - ``tls``: encrypt; ``ca_file``: PEM certificates to trust instead of the system's
    """

    address: str
    api_key: str | None = field(default=None, repr=False)
    timeout: float | None = limits.TIMEOUT_SECONDS
    tls: bool = False
    ca_file: str | None = None

    def __post_init__(self) -> None:
        _check_address(self.address)
        _check_api_key(self.api_key)
        object.__setattr__(self, "timeout", check_timeout(self.timeout))
        if self.ca_file is not None and not self.tls:
            raise InvalidArgument(
                "ca_file is given but tls is not", field="ca_file", hint="Pass tls=True"
            )

    @property
    def loopback(self) -> bool:
        """The address is this machine."""
        return LOOPBACK.fullmatch(self.address.rpartition(":")[0]) is not None

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Metadata of every call."""
        return () if self.api_key is None else (("authorization", f"Bearer {self.api_key}"),)

    def channel_options(self) -> list[tuple[str, str | int]]:
        """Options of the channel: our size limit, our retries, no connection shared."""
        options: list[tuple[str, str | int]] = [
            ("grpc.max_send_message_length", limits.MESSAGE_BYTES),
            ("grpc.max_receive_message_length", limits.MESSAGE_BYTES),
            ("grpc.enable_retries", 0),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.primary_user_agent", f"vecdb-client/{VERSION}"),
            # Below the five minutes that servers demand between pings, gRPC hangs up.
            ("grpc.keepalive_time_ms", 300_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            # gRPC would wait up to two minutes; our own pauses end at 2 s.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 1_000),
            ("grpc.max_reconnect_backoff_ms", 2_000),
        ]
        if self.loopback:
            options.append(("grpc.enable_http_proxy", 0))
        return options

    def root_certificates(self) -> bytes | None:
        """PEM of ``ca_file``; None: the system's."""
        if self.ca_file is None:
            return None
        try:
            return Path(self.ca_file).read_bytes()
        except OSError as error:
            raise InvalidArgument(
                f"ca_file cannot be read: {error.strerror}: {self.ca_file}", field="ca_file"
            ) from error


def _check_address(address: object) -> None:
    match = ADDRESS.fullmatch(address) if isinstance(address, str) else None
    if match and 1 <= int(match["port"]) <= 65_535:
        return
    hint = ""
    if isinstance(address, str) and "://" in address:
        hint = "Leave the scheme out, and pass tls=True for an encrypted connection"
    elif isinstance(address, str) and address and ":" not in address:
        hint = f"Add the port, such as {address[:80]}:7700"
    raise InvalidArgument(
        f"address must be 'host:port', such as 127.0.0.1:7700; got {str(address)[:80]!r}",
        field="address",
        hint=hint,
    )


def _check_api_key(api_key: object) -> None:
    if api_key is None:
        return
    if not isinstance(api_key, str) or not re.fullmatch(r"[\x21-\x7e]+", api_key):
        raise InvalidArgument(
            "api_key must be text of printable ASCII without spaces (a line end from a file?)",
            field="api_key",
        )
