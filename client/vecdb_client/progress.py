# Generated from vecdb/collection/progress.py by client/generate.py; do not edit.
"""How far an upload is: a bar on a terminal, a function of the caller's, or nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol

from .errors import InvalidArgument

ProgressLike = bool | Callable[[int, int], object]
"""True: a bar on stderr, if that is a terminal and tqdm is installed; or f(records, bytes)."""


class Progress(Protocol):
    """Shown after each acknowledged chunk."""

    def show(self, records: int, size: int) -> None:
        """``records`` and bytes done so far."""

    def __enter__(self) -> Progress: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_progress(progress: ProgressLike, total: int | None) -> Progress:
    """What ``progress`` asks for; ``total`` is the number of records, if known."""
    if callable(progress):
        return _Told(progress)
    if not isinstance(progress, bool):
        raise InvalidArgument(
            f"progress must be True, False or a function; got {type(progress).__name__}",
            field="progress",
        )
    if not progress or not sys.stderr.isatty():
        return _Told(_ignore)
    try:
        from tqdm import tqdm
    except ImportError:  # optional: the client depends on three packages only
        return _Told(_ignore)
    return _Bar(tqdm(total=total, unit="rec", unit_scale=True, file=sys.stderr))


class _Told:
    def __init__(self, tell: Callable[[int, int], object]) -> None:
        self._tell = tell

    def show(self, records: int, size: int) -> None:
        self._tell(records, size)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class _Bar:
    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def show(self, records: int, size: int) -> None:
        self._bar.set_postfix_str(f"{size / 1e6:.1f} MB", refresh=False)
        self._bar.update(records - self._bar.n)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()


def _ignore(records: int, size: int) -> None:
    """Nobody looks."""
