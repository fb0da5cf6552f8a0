"""What commands take in common: types of values, and help in sections."""

from __future__ import annotations

import json
import re
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import click

from .failures import USAGE

METRICS = ("cosine", "dot", "l2")
DTYPES = ("float32", "float16", "uint8")
FIELD_TYPES = ("keyword", "bool", "int", "float", "datetime", "uuid", "geo", "text")
"""As in ``vecdb.schema``, which loads numpy; a test compares them."""
SIZE_UNITS = {
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
TIME_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}
_DURATION = re.compile(rf"(\d{{1,5}})({'|'.join(TIME_UNITS)})", re.ASCII)
NO_SIZE = -1
_SIZE = re.compile(rf"(\d{{1,20}}(?:\.\d{{1,20}})?) ?({'|'.join(SIZE_UNITS)})?", re.ASCII)

SECTIONS = {
    "Database": ("directory", "address", "api_key_file", "tls", "ca_file", "timeout"),
    "Output": ("output_format", "quiet", "no_color"),
}
"""Heading in help -> names of the options below it; the rest comes first."""


class Command(click.Command):
    """A command whose help has the options that all commands share in sections of their own."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        shared = {name: title for title, names in SECTIONS.items() for name in names}
        found: dict[str, list[tuple[str, str]]] = {"Options": [], **{t: [] for t in SECTIONS}}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                found[shared.get(param.name or "", "Options")].append(record)
        for title, records in found.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class Group(click.Group):
    """Its commands are listed in the order in which they are written; alone it tells them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(USAGE)
        return super().parse_args(ctx, args)


class JsonObject(click.ParamType):  # type: ignore[type-arg]  # not generic in click 8.1
    """A JSON object on the command line, such as a filter."""

    name = "json"

    def __init__(self, example: str) -> None:
        self._example = example

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        try:
            found = json.loads(value, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            said = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            self.fail(f"not JSON: {said}; expected such as '{self._example}'", param, ctx)
        if not isinstance(found, dict):
            self.fail(
                f"expected a JSON object, such as '{self._example}'; got {_kind(found)}", param, ctx
            )
        return found


class Pair(click.ParamType):  # type: ignore[type-arg]  # the same
    """``name=value``, where the value may have to be one of a few."""

    def __init__(self, name: str, choices: tuple[str, ...] = (), keys: tuple[str, ...] = ()):
        self.name = name
        self._choices = choices
        self._keys = keys

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, equals, rest = str(value).partition("=")
        if not equals or not key:
            self.fail(f"expected {self.name}; got {value!r}", param, ctx)
        if self._keys and key not in self._keys:
            self.fail(f"expected one of {', '.join(self._keys)} before =; got {key!r}", param, ctx)
        if self._choices and rest not in self._choices:
            self.fail(
                f"{key!r} must be one of {', '.join(self._choices)}; got {rest!r}", param, ctx
            )
        return key, rest


class Size(click.ParamType):  # type: ignore[type-arg]  # the same
    """Bytes, such as 1000000, 2GiB or 500MB; with ``none`` also the word none, which is -1."""

    name = "size"

    def __init__(self, *, none: bool = False) -> None:
        self._none = none

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value).strip().lower()
        if self._none and text == "none":
            return NO_SIZE
        found = _SIZE.fullmatch(text)
        if found is None or (found[2] is None and "." in found[1]):
            expected = "a number of bytes, such as 1000000, 512MiB, 2GiB or 2GB"
            self.fail(
                f"expected {expected}{', or none' if self._none else ''}; got {str(value)[:40]!r}",
                param,
                ctx,
            )
        return int(Fraction(found[1]) * SIZE_UNITS[found[2] or "b"])


class Bound(click.ParamType):  # type: ignore[type-arg]  # the same
    """A number, 0 or more; or the word none, which is -1. ``whole``: an integer."""

    name = "bound"

    def __init__(self, *, whole: bool = False) -> None:
        self._whole = whole

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | int:
        text = str(value).strip().lower()
        if text == "none":
            return NO_SIZE
        try:
            found = int(text) if self._whole else float(text)
        except ValueError:
            found = NO_SIZE
        if not found >= 0:
            what = "a whole number" if self._whole else "a number"
            self.fail(f"expected {what}, 0 or more, or none; got {str(value)[:40]!r}", param, ctx)
        return found


class Duration(click.ParamType):  # type: ignore[type-arg]  # the same
    """Seconds, such as 30d, 12h, 90m or 60s; ``zero``: none at all is one too."""

    name = "duration"

    def __init__(self, *, zero: bool = False) -> None:
        self._zero = zero

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        found = _DURATION.fullmatch(str(value).strip().lower())
        seconds = float(found[1]) * TIME_UNITS[found[2]] if found else 0.0
        if found is None or (not seconds and not self._zero):
            self.fail(
                f"expected a time with its unit, such as 30d, 12h, 90m or 60s; "
                f"got {str(value)[:40]!r}",
                param,
                ctx,
            )
        return seconds


class Address(click.ParamType):  # type: ignore[type-arg]  # the same
    """``host:port``, IPv6 in brackets."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if "://" in text:
            self.fail(f"leave the scheme out (--tls encrypts); got {text[:80]!r}", param, ctx)
        host, colon, port = text.rpartition(":")
        if not colon or not host or (":" in host and not host.startswith("[")):
            self.fail(
                f"expected host:port, such as 127.0.0.1:7700 or [::1]:7700; got {text[:80]!r}",
                param,
                ctx,
            )
        if not (port.isascii() and port.isdecimal() and 1 <= int(port) <= 65_535):
            self.fail(f"a port is from 1 to 65535; got {port[:20]!r}", param, ctx)
        return text


FILTER = JsonObject('{"lang": "en"}')
PAYLOAD = JsonObject('{"lang": "en"}')
FIELD = Pair("name=type", choices=FIELD_TYPES)
DIRECTORY = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)

filter_option = click.option(
    "--filter",
    "condition",
    metavar="JSON",
    type=FILTER,
    help='Only records that match, such as \'{"lang": "en", "year": {"gte": 2020}}\'.',
)
tenant_option = click.option(
    "--tenant",
    metavar="T",
    help="As this tenant: only records that it sees and, to change them, owns.",
)
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
vector_option = click.option("--with-vector", is_flag=True, help="Show vectors too.")


def record_ids(given: tuple[str, ...], id_kind: str | None) -> list[int] | list[str]:
    """Ids as typed -> ids of a collection whose ids are of ``id_kind`` (None: it is empty)."""
    if id_kind == "str":
        return list(given)
    found = []
    for text in given:
        try:
            found.append(int(text))
        except ValueError:
            if id_kind is None:
                return list(given)
            raise click.UsageError(
                f"the ids of this collection are whole numbers; got {text[:80]!r}",
                click.get_current_context(silent=True),
            ) from None
    return found


def names(text: str) -> list[str]:
    """Names with commas between them."""
    return [one.strip() for one in text.split(",")]


def confirm(name: str, consequence: str, *, yes: bool) -> None:
    """Return if ``yes``, or once ``name`` was typed; else raise."""
    if yes:
        return
    click.echo(f"{consequence}\nType {name} to confirm: ", nl=False, err=True)
    typed = sys.stdin.readline()
    if not typed:
        click.echo(err=True)
        raise click.UsageError("not confirmed, nothing was changed; --yes confirms")
    if typed.strip() != name:
        raise click.ClickException(f"not confirmed, nothing was changed: that is not {name}")


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _kind(value: object) -> str:
    names = {list: "a list", str: "text", bool: "true or false"}
    return "null" if value is None else names.get(type(value), "a number")
