"""How a command fails: one line, a hint, and an exit status that scripts can tell apart.

======  ==================================
0       ok
1       failed
2       usage: a wrong argument
3       cannot connect, or not now
4       unauthenticated or denied
5       not found
6       a precondition or a conflict
7       out of time
8       corruption found
130     interrupted
======  ==================================
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

import click

FAILED = 1
USAGE = 2
CORRUPT = 8
INTERRUPTED = 130

STATUSES: Mapping[str, int] = {
    "InvalidArgument": USAGE,
    "Unavailable": 3,
    "Unauthenticated": 4,
    "PermissionDenied": 4,
    "NotFound": 5,
    "PreconditionFailed": 6,
    "AlreadyExists": 6,
    "Conflict": 6,
    "UnsupportedFormat": 6,
    "DeadlineExceeded": 7,
    "DataCorruption": CORRUPT,
    "LimitExceeded": FAILED,
    "StorageError": FAILED,
    "UploadFailed": FAILED,
    "VecDBError": FAILED,
}
"""By the class's name: the engine's errors and the client's have the same names, not classes."""

HINTS: Mapping[str, str] = {
    "NO_COLLECTION": "`vecdb collection list` tells what there is",
    "WRONG_DIMENSION": "`vecdb collection describe` tells how many dimensions it has",
    "NO_TENANT": "Give --tenant T, or --all",
    "NotFound/NO_TENANT": "`vecdb tenant list` tells what there is",
    "LOCKED": "Stop that process; if it is a server, reach it with --at HOST:PORT",
    "ANSWER_TOO_LARGE": "Ask for less: a smaller -k or --limit, no vectors, no payloads",
}
"""By reason, or class and reason: what to do, where the engine's own words are for a program."""
WORDS: tuple[tuple[str, str], ...] = (
    ("read_only=True", "a verb that only reads"),
    ("open it for writing to create one", "make one by `vecdb collection create` or `import`"),
    ("vector_column=", "--map vector="),
    ("id_column=''", "--map id="),
    ("id_column=", "--map id="),
    ("payload_columns=", "--payload-columns"),
    ("max_n=", "--limit"),
    (" format=", " --format"),
    ("Raise timeout", "Raise --timeout"),
)
"""Words of Python in a hint -> words of the command line."""


class Interrupted(Exception):
    """Ctrl-C, where more can be said about it than that."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """``code``: the class of the error, for programs."""

    status: int
    code: str
    message: str
    hint: str = ""


def kind_of(error: BaseException | None) -> str | None:
    """The name of the first class of ours, the engine's or the client's; None: it has none."""
    return next((kind.__name__ for kind in type(error).__mro__ if kind.__name__ in STATUSES), None)


def failure_of(error: BaseException) -> Failure | None:
    """What to tell of ``error``; None: it is a bug."""
    if isinstance(error, Interrupted):
        return Failure(
            status=INTERRUPTED, code="Interrupted", message=error.message, hint=error.hint
        )
    if isinstance(error, click.Abort):
        if isinstance(error.__cause__, KeyboardInterrupt):
            return Failure(status=INTERRUPTED, code="Interrupted", message="interrupted")
        return Failure(status=FAILED, code="Aborted", message="the input ended")
    if isinstance(error, click.ClickException):
        return _of_click(error)
    if kind_of(error) is not None:
        return _of_ours(error)
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename is not None else ""
        return Failure(
            status=FAILED,
            code="OSError",
            message=f"{error.strerror or error}{where}",
            hint=getattr(error, "hint", ""),
        )
    return None


def show(failure: Failure, *, as_json: bool, color: bool | None = None) -> None:
    """On stderr; as JSON it is one line, the last."""
    if as_json:
        detail = {"code": failure.code, "message": failure.message, "hint": failure.hint}
        click.echo(json.dumps({"error": detail}, ensure_ascii=False), err=True)
        return
    label = click.style("error:", fg="red", bold=True)
    click.echo(f"{label} {failure.message}", err=True, color=color)
    if failure.hint:
        click.echo(f"hint: {failure.hint}", err=True, color=color)


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning of a library, without the place in the code that nobody here can change."""
    click.echo(f"warning: {message}", err=True)


def for_command_line(hint: str) -> str:
    """A hint that was written for a program, in words of the command line."""
    for said, meant in WORDS:
        hint = hint.replace(said, meant)
    return hint


def _of_ours(error: BaseException) -> Failure:
    kind = kind_of(error) or "VecDBError"
    # An upload that broke off because the server is gone has the status of that.
    cause = kind_of(error.__cause__) if kind == "UploadFailed" else None
    reason = getattr(error, "reason", "")
    return Failure(
        status=STATUSES[cause or kind],
        code=kind,
        message=getattr(error, "message", str(error)),
        hint=HINTS.get(f"{kind}/{reason}")
        or HINTS.get(reason)
        or for_command_line(getattr(error, "hint", "")),
    )


def _of_click(error: click.ClickException) -> Failure:
    if kind_of(error.__cause__) is not None and not isinstance(error, click.UsageError):
        assert error.__cause__ is not None
        told = _of_ours(error.__cause__)
        return Failure(status=error.exit_code, code=told.code, message=told.message, hint=told.hint)
    message = error.format_message().rstrip(".")
    hint = ""
    if isinstance(error, click.UsageError):
        message = message[:1].lower() + message[1:]
        if error.ctx is not None:
            hint = f"{error.ctx.command_path} --help tells what it takes"
        return Failure(status=USAGE, code="Usage", message=message, hint=hint)
    return Failure(status=error.exit_code, code="Failed", message=message)
