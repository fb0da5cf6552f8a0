"""The parts of documents that are output: what the demo prints, and tables of the results."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from .graph_build import build_lines
from .results import read_results
from .suites import report_lines

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BUILDING = ROOT / "docs" / "decisions" / "0012-graph-from-leaves.md"


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
        raise ValueError(f"the document has no section {name!r}")
    return found[1]


def with_section(text: str, name: str, content: str) -> str:
    """``text`` with ``content`` between the marks of that name."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, rest = text.split(begin, 1)
    _, after = rest.split(end, 1)
    return f"{before}{begin}{content}{end}{after}"


def write_documents() -> None:
    """Put the demo's output and the report into README.md, and the table of graphs where it is."""
    text = BUILDING.read_text(encoding="utf-8")
    BUILDING.write_text(with_section(text, "building", building_section()), encoding="utf-8")
    text = README.read_text(encoding="utf-8")
    text = with_section(text, "demo", f"```text\n{demo_output()}```\n")
    text = with_section(text, "bench", report_section())
    README.write_text(text, encoding="utf-8")


def report_section() -> str:
    return "\n" + "\n".join(report_lines()) + "\n\n"


def building_section() -> str:
    return "\n" + "\n".join(build_lines(read_results("building"))) + "\n\n"
