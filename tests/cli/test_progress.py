"""How far it is: a bar on a terminal, lines elsewhere, nothing where it is to be quiet."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

from vecdb.cli.output import Console
from vecdb.cli.progress import LINE_SECONDS, Lines, open_counter, open_meter


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def terminal() -> Iterator[Terminal]:
    """What a terminal on stderr gets to show."""
    with redirect_stderr(Terminal()) as made:
        yield made


def lines_of(total: int | None, done: int = 0) -> tuple[list[str], list[float], Lines]:
    written: list[str] = []
    now = [0.0]
    lines = Lines("import", total, done, clock=lambda: now[0], write=written.append)
    return written, now, lines


def test_line_tells_share_size_rate_and_time_left():
    written, now, lines = lines_of(1_000_000)
    now[0] = LINE_SECONDS
    lines.show(200_000, 300_000_000)
    assert written == [
        "import: 200,000 of 1,000,000 (20%) records, 300.0 MB, 20,000 records/s, 40 s left"
    ]


def test_lines_come_only_now_and_then():
    written, now, lines = lines_of(100)
    for second in range(35):
        now[0] = float(second)
        lines.show(second, 0)
    assert len(written) == 3


def test_line_without_a_total_tells_no_time_left():
    written, now, lines = lines_of(None)
    now[0] = LINE_SECONDS
    lines.show(50, 1_000)
    assert written == ["import: 50 records, 1.0 kB, 5 records/s"]


def test_rate_is_of_this_run_alone():
    written, now, lines = lines_of(1_000, done=900)
    now[0] = LINE_SECONDS
    lines.show(950, 0)
    assert written == ["import: 950 of 1,000 (95%) records, 0 B, 5 records/s, 10 s left"]


def test_bar_is_for_a_terminal():
    with terminal() as screen, open_meter(Console(), "import", 1_000) as meter:
        meter.show(250, 1_500_000)
        meter.show(1_000, 6_000_000)
    shown = screen.getvalue()
    assert "import" in shown
    assert "1.00k/1.00k" in shown
    assert "6.0 MB" in shown


def test_counter_names_the_stage_on_a_terminal():
    with terminal() as screen, open_counter(Console()) as counter:
        counter.show("records", 1_024)
    assert "records: 1.02k [" in screen.getvalue()


def test_quiet_shows_nothing():
    with terminal() as screen:
        with open_meter(Console(quiet=True), "import", 10) as meter:
            meter.show(5, 5)
        with open_counter(Console(quiet=True)) as counter:
            counter.show("records", 1)
    assert screen.getvalue() == ""


def test_without_a_terminal_a_short_job_shows_nothing(capsys):
    with open_meter(Console(), "import", 10) as meter:
        meter.show(5, 5)
    with open_counter(Console()) as counter:
        counter.show("records", 1)
    assert capsys.readouterr() == ("", "")
