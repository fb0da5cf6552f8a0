"""What a server is told at start: one frozen, validated object."""

from __future__ import annotations

import ipaddress
import os
import ssl
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vecdb.errors import InvalidArgument, VecDBError

PREFIX = "VECDB_SERVER__"
"""Every flag has an environment variable: this and its name."""
KEYS = (
    "API_KEY",
    "API_KEY_FILE",
    "DEV",
    "DRAIN_SECONDS",
    "IO_ENGINE",
    "LISTEN",
    "LOG_LEVEL",
    "QUEUE",
    "REQUIRE_KEY",
    "THREADS",
    "TLS_CERT",
    "TLS_KEY",
    "UPLOADS",
)
LISTEN = "127.0.0.1:7700"
LOG_LEVELS = ("debug", "info", "warning", "error")
IO_ENGINES = ("auto", "io_uring", "threads", "mmap")
"""As in ``vecdb.database``, which loads the engine; a test compares them."""
API_KEY_LENGTH_MIN = 16
THREADS_MAX = 1_024
QUEUE_MAX = 65_536
DRAIN_SECONDS_MAX = 3_600.0
PEM = b"-----BEGIN "


def default_threads() -> int:
    """Calls wait for the disk as well as for a processor: two for each core, at least 4."""
    return max(4, 2 * len(os.sched_getaffinity(0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Validated on construction: one that may not be served cannot exist.

    - ``directory``: the database, created if missing
    - ``listen``: host:port, IPv6 in brackets; port 0 takes a free one
    - ``threads``: unary calls that run at once; ``queue``: calls that may wait for one of these
    - ``uploads``: upload streams at once; each holds a thread of its own while it lasts
    - ``api_keys``: any of them opens every call; the database may hold more. Without either: open,
      on loopback only
    - ``require_key``: do not serve a database that holds no key, where none is given here
    - ``tls_cert``, ``tls_key``: PEM files, both or neither
    - ``dev``: logs for people instead of JSON; clients are told
    - ``io_engine``: what reads pages that a memory budget leaves on the disk; auto: what works best
    - ``drain_seconds``: how long calls in flight may go on after SIGTERM
    """

    directory: Path
    listen: str = LISTEN
    threads: int = field(default_factory=default_threads)
    queue: int = 256
    uploads: int = 16
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    require_key: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    dev: bool = False
    drain_seconds: float = 10.0
    log_level: str = "info"
    io_engine: str = "auto"

    def __post_init__(self) -> None:
        _check_int("threads", self.threads, 1, THREADS_MAX)
        _check_int("uploads", self.uploads, 1, THREADS_MAX)
        _check_int("queue", self.queue, 0, QUEUE_MAX)
        if not 0 <= self.drain_seconds <= DRAIN_SECONDS_MAX:
            raise InvalidArgument(
                f"drain_seconds must be from 0 to {DRAIN_SECONDS_MAX:.0f}; "
                f"got {self.drain_seconds}",
                field="drain_seconds",
            )
        _check_word("log_level", self.log_level, LOG_LEVELS)
        _check_word("io_engine", self.io_engine, IO_ENGINES)
        for position, key in enumerate(self.api_keys):
            _check_key(key, f"api_keys[{position}]")
        self._check_tls()
        self._check_exposure()

    @property
    def host(self) -> str:
        return split_address(self.listen)[0]

    @property
    def tls(self) -> bool:
        return self.tls_cert is not None

    def _check_tls(self) -> None:
        if (self.tls_cert is None) != (self.tls_key is None):
            given, missing = ("cert", "key") if self.tls_cert else ("key", "cert")
            raise InvalidArgument(
                f"--tls-{given} was given without --tls-{missing}",
                field=f"tls_{missing}",
                hint="TLS needs both: the certificate chain and its private key, as PEM files",
            )
        if self.tls_cert is not None and self.tls_key is not None:
            _check_pem(self.tls_cert, "tls_cert", private=False)
            _check_pem(self.tls_key, "tls_key", private=True)
            _check_pair(self.tls_cert, self.tls_key)

    def _check_exposure(self) -> None:
        if is_loopback(self.host):
            return
        wanted = []
        if not self.api_keys and not self.require_key:
            wanted.append(f"--api-key-file FILE (or --require-key, or {PREFIX}API_KEY)")
        if not self.tls:
            wanted.append("--tls-cert FILE --tls-key FILE")
        if wanted:
            raise InvalidArgument(
                f"{self.listen} can be reached from other machines, so it needs an API key and TLS",
                field="listen",
                reason="EXPOSED",
                hint=f"Add {' and '.join(wanted)}, or listen on {LISTEN}",
            )


def split_address(address: str) -> tuple[str, int]:
    """The host (without brackets) and port of ``host:port`` or ``[IPv6]:port``."""
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    ascii_digits = port.isascii() and port.isdecimal()
    if not colon or not host or (":" in host) != bracketed or not ascii_digits:
        raise InvalidArgument(
            f"listen must be host:port, such as {LISTEN} or [::1]:7700; got {address[:80]!r}",
            field="listen",
        )
    if int(port) > 65_535:
        raise InvalidArgument(f"a port is from 0 to 65535; got {port[:20]}", field="listen")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``. A name other than localhost does not count."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_api_keys(path: Path | None, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The keys of a file (one a line, # starts a comment), or the one of the environment."""
    value = environment.get(f"{PREFIX}API_KEY")
    if path is None:
        return () if value is None else (value,)
    if value is not None:
        raise InvalidArgument(
            f"API keys come from a file or from {PREFIX}API_KEY, and both were given",
            field="api_key_file",
            hint="Keep one of the two",
        )
    text = _read_private(path, "api_key_file", stat.S_IRWXG | stat.S_IRWXO)
    try:
        lines = [line.split("#")[0].strip() for line in text.decode("utf-8").splitlines()]
    except UnicodeDecodeError:
        raise InvalidArgument(f"{path} is not a text file", field="api_key_file") from None
    keys = tuple(line for line in lines if line)
    if not keys:
        raise InvalidArgument(
            f"{path} holds no key",
            field="api_key_file",
            hint=f"Write one key a line, of {API_KEY_LENGTH_MIN} characters or more",
        )
    return keys


def check_environment(environment: Mapping[str, str]) -> None:
    """Refuse a variable of ours that we do not know: a typing error must not pass for a setting."""
    unknown = sorted(
        name
        for name in environment
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in KEYS
    )
    if unknown:
        raise InvalidArgument(
            f"unknown setting in the environment: {', '.join(unknown)}",
            field=unknown[0],
            hint=f"Known are {', '.join(PREFIX + key for key in KEYS)}",
        )


def _check_int(name: str, value: int, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidArgument(f"{name} must be from {low} to {high}; got {value!r}", field=name)


def _check_word(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InvalidArgument(
            f"{name} must be one of {', '.join(known)}; got {value!r}", field=name
        )


def _check_key(key: str, name: str) -> None:
    # The key itself stays out of the message.
    if len(key) < API_KEY_LENGTH_MIN or not key.isascii() or not key.isprintable() or " " in key:
        raise InvalidArgument(
            f"{name} must be {API_KEY_LENGTH_MIN} or more printable ASCII characters without "
            f"spaces; got {len(key)} characters",
            field=name,
            hint='Make one with: python3 -c "import secrets; print(secrets.token_urlsafe(32))"',
        )


def _check_pem(path: Path, name: str, *, private: bool) -> None:
    text = _read_private(path, name, stat.S_IRWXO) if private else _read(path, name)
    if PEM not in text:
        raise InvalidArgument(
            f"{name} {path} is no PEM file: it holds no '-----BEGIN '", field=name
        )


def _check_pair(cert: Path, key: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without the password, OpenSSL would ask for one on the terminal.
        context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        raise InvalidArgument(
            f"{cert} and {key} are no certificate and its private key: {error.reason or error}",
            field="tls_cert",
            hint="The key must belong to the first certificate of the file, and have no password",
        ) from None


def _read_private(path: Path, name: str, forbidden: int) -> bytes:
    """The bytes of a file that holds a secret; its mode may have no bit of ``forbidden``."""
    text = _read(path, name)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & forbidden:
        raise InvalidArgument(
            f"{path} holds a secret and others may use it (mode {mode:04o})",
            field=name,
            reason="SECRET_EXPOSED",
            hint=f"chmod 600 {path}",
        )
    return text


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, name, error) from None


def _unreadable(path: Path, name: str, error: OSError) -> VecDBError:
    return InvalidArgument(
        f"{name} {path} cannot be read: {error.strerror or type(error).__name__}", field=name
    )
