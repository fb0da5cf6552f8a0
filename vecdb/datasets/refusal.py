"""How a file is refused: which, what was expected, what was found, what to do."""

from __future__ import annotations

import importlib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import limits
from ..errors import InvalidArgument, PreconditionFailed

LOADED_BYTES = 1024**3
"""Most that one array takes which has to be held in memory: queries and truth of some formats."""


def bad_file(
    path: Path, message: str, *, hint: str = "", reason: str = "BAD_FILE"
) -> InvalidArgument:
    """The error to raise; its ``field`` is the path."""
    return InvalidArgument(f"{path}: {message}", field=str(path), hint=hint, reason=reason)


def wrong_size(
    path: Path, arithmetic: str, expected: int, found: int | str, *, hint: str = ""
) -> InvalidArgument:
    """A file that is shorter or longer than its header says."""
    return bad_file(
        path,
        f"expected {arithmetic} = {expected} bytes, found {found}",
        hint=hint or "It was cut short, has something appended, or is of another format",
        reason="WRONG_SIZE",
    )


def check_shape(path: Path, count: int, dim: int) -> None:
    """Refuse a matrix without rows, and one of more dimensions than a collection may have."""
    if count < 1:
        raise bad_file(path, f"expected at least one row, found {count}")
    if not 1 <= dim <= limits.DIM:
        raise bad_file(
            path,
            f"expected 1 to {limits.DIM} dimensions, found {dim}",
            hint="Is it of this format? Name another with format=",
        )


def check_loaded(path: Path, what: str, size: int) -> None:
    """Refuse what would take too much memory; called before it is allocated."""
    if size > LOADED_BYTES:
        raise bad_file(
            path,
            f"{what} would take {size} bytes of memory, at most {LOADED_BYTES} are loaded",
            reason="TOO_LARGE",
        )


@contextmanager
def reading(path: Path, *also: type[Exception]) -> Iterator[None]:
    """Turn what the system and decompressors raise, and ``also``, into a refusal of ``path``."""
    refused: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error, zipfile.BadZipFile)
    try:
        yield
    except (*refused, *also) as error:
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise bad_file(path, f"cannot be read: {' '.join(said.split())[:300]}") from error


def import_optional(package: str, purpose: str) -> Any:
    """A package of the extra ``datasets``."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        name = package.split(".")[0]
        raise PreconditionFailed(
            f"reading {purpose} needs the package {name}, which is not installed",
            field="format",
            reason="MISSING_PACKAGE",
            hint="pip install 'vecdb-engine[datasets]'",
        ) from error
