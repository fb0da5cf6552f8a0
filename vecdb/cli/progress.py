"""How far it is, on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import click

from .output import Console
from .text import seconds_text, size_text

LINE_SECONDS = 10.0
"""Between two lines where stderr is no terminal."""


class Meter(Protocol):
    """Shows records and bytes done; a call may come often."""

    def show(self, records: int, size: int) -> None: ...


class Counter(Protocol):
    """Shows what is being looked at, and how many of it were."""

    def show(self, stage: str, count: int) -> None: ...


@contextmanager
def open_meter(console: Console, verb: str, total: int | None, done: int = 0) -> Iterator[Meter]:
    """``verb``: what happens; ``total``: records, if known; ``done``: where it begins."""
    if console.quiet:
        yield Silent()
    elif sys.stderr.isatty():
        from tqdm import tqdm

        settings: dict[str, Any] = {"unit": " rec", "unit_scale": True, "dynamic_ncols": True}
        with tqdm(total=total, initial=done, desc=verb, file=sys.stderr, **settings) as bar:
            yield Bar(bar)
    else:
        yield Lines(verb, total, done)


@contextmanager
def open_counter(console: Console) -> Iterator[Counter]:
    """A counter of things of which nobody knows how many there are."""
    if console.quiet or not sys.stderr.isatty():
        yield Silent()
        return
    from tqdm import tqdm

    with tqdm(desc="verified", unit="", unit_scale=True, file=sys.stderr, leave=False) as bar:
        yield Stages(bar)


class Silent:
    """Shows nothing."""

    def show(self, *_: Any) -> None:
        return None


class Bar:
    """Records by tqdm, with rate and time left; bytes behind them."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def show(self, records: int, size: int) -> None:
        self._bar.set_postfix_str(size_text(size), refresh=False)
        self._bar.update(records - self._bar.n)


class Stages:
    """The name of what is counted, and the count."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def show(self, stage: str, count: int) -> None:
        self._bar.set_description_str(stage, refresh=False)
        self._bar.n = count
        self._bar.refresh()


class Lines:
    """A line at most every ``LINE_SECONDS``."""

    def __init__(
        self,
        verb: str,
        total: int | None,
        done: int = 0,
        *,
        clock: Callable[[], float] = time.monotonic,
        write: Callable[[str], None] = lambda text: click.echo(text, err=True),
    ) -> None:
        self._verb = verb
        self._total = total
        self._done = done
        self._clock = clock
        self._write = write
        self._began = self._last = clock()

    def show(self, records: int, size: int) -> None:
        now = self._clock()
        if now - self._last < LINE_SECONDS:
            return
        self._last = now
        rate = (records - self._done) / (now - self._began)
        share = left = ""
        if self._total:
            share = f" of {self._total:,} ({records / self._total:.0%})"
            if rate > 0:
                left = f", {seconds_text(max(0, self._total - records) / rate)} left"
        self._write(
            f"{self._verb}: {records:,}{share} records, {size_text(size)}, "
            f"{rate:,.0f} records/s{left}"
        )
