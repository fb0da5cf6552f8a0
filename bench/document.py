"""The parts of README.md that are output: what the demo prints, and the report of the results."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from .suites import report_lines

README = Path(__file__).resolve().parent.parent / "README.md"


def demo_output() -> str:
    """What ``vecdb demo`` prints."""
    done = subprocess.run(
        [Path(sys.executable).parent / "vecdb", "demo"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"COLUMNS": "100", "NO_COLOR": "1"},
    )
    return done.stdout


def section(text: str, name: str) -> str:
    """What stands between the marks of that name."""
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", text, re.DOTALL)
    if found is None:
        raise ValueError(f"README.md has no section {name!r}")
    return found[1]


def with_section(text: str, name: str, content: str) -> str:
    """``text`` with ``content`` between the marks of that name."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, rest = text.split(begin, 1)
    _, after = rest.split(end, 1)
    return f"{before}{begin}{content}{end}{after}"


def write_readme() -> None:
    """Run the demo and put its output and the report into README.md."""
    text = README.read_text(encoding="utf-8")
    text = with_section(text, "demo", f"```text\n{demo_output()}```\n")
    text = with_section(text, "bench", report_section())
    README.write_text(text, encoding="utf-8")


def report_section() -> str:
    return "\n" + "\n".join(report_lines()) + "\n\n"
