"""Result files: one JSON object a measurement, with what a reader needs to judge it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "results"
PACKAGES = ("vecdb-engine", "numpy", "numba", "lmdb", "grpcio", "protobuf", "faiss-cpu")


LAST = "last"
"""The key that marks the last row of a run that came to its end."""
_PROGRESS_CHARACTERS = 200


def write_results(
    suite: str,
    command: str,
    rows: Iterable[dict[str, Any]],
    note: str = "",
    add: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> Path:
    """Store the rows of one run, as they come, in ``<date>-<suite>.jsonl``.

    Until the last has come they are in ``<date>-<suite>.part.jsonl``, which no report reads and
    which outlives whatever ends the run; then they take the place of a run of the same day.

    - ``add``: rows of the same day are kept: datasets may be measured one after the other
    - ``tell``: gets a line for each row: seconds since the start, and what the row says
    """
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{time.strftime('%Y-%m-%d')}-{suite}.jsonl"
    part = path.with_suffix(".part.jsonl")
    about = describe_run(suite, command, note)
    began, count = time.monotonic(), 0
    with part.open("w", encoding="utf-8") as file:
        if add and path.exists():
            file.write(path.read_text(encoding="utf-8"))
        for row in rows:
            start, count = file.tell(), count + 1
            whole = about | {"load_average": round(os.getloadavg()[0], 2)} | row
            file.write(json.dumps(whole) + "\n")
            file.flush()
            tell(f"{time.monotonic() - began:8.1f} s  {count:4d}  {_shown(row)}")
        if count:
            file.seek(start)
            file.truncate()
            file.write(json.dumps(whole | {LAST: True}) + "\n")
    if count:
        part.replace(path)
    else:
        part.unlink()  # there was nothing to measure: what was measured before stays
    return path


def _shown(row: dict[str, Any]) -> str:
    """The names, numbers and figures of a row on a line, cut where it grows long."""
    some = {name: value for name, value in row.items() if not isinstance(value, dict | list)}
    texts = (
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in some.items()
    )
    return " ".join(texts)[:_PROGRESS_CHARACTERS]


def read_results(suite: str) -> list[dict[str, Any]]:
    """The rows of the newest whole run of a suite; [] if there is none."""
    paths = sorted(FOLDER.glob(f"*-{suite}.jsonl"))
    if not paths:
        return []
    return [json.loads(line) for line in paths[-1].read_text(encoding="utf-8").splitlines()]


def describe_run(suite: str, command: str, note: str) -> dict[str, Any]:
    """Commit, machine, and versions: the same for every row of a run."""
    return {
        "suite": suite,
        "command": command,
        "note": note,
        "commit": _git("rev-parse", "--short", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "machine": {
            "cpu": _cpu_model(),
            "cores": os.cpu_count(),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
            "kernel": platform.release(),
        },
        "versions": {"python": sys.version.split()[0]} | {p: _version(p) for p in PACKAGES},
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=FOLDER.parent, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
