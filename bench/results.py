"""Result files: one JSON object a measurement, with what a reader needs to judge it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "results"
PACKAGES = ("vecdb-engine", "numpy", "numba", "lmdb", "grpcio", "protobuf", "faiss-cpu")


def write_results(suite: str, command: str, rows: Iterable[dict[str, Any]], note: str = "") -> Path:
    """Store the rows of one run as ``<date>-<suite>.jsonl``; a run of the same day is replaced."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{time.strftime('%Y-%m-%d')}-{suite}.jsonl"
    about = describe_run(suite, command, note)
    path.write_text("".join(json.dumps(about | row) + "\n" for row in rows), encoding="utf-8")
    return path


def read_results(suite: str) -> list[dict[str, Any]]:
    """The rows of the newest run of a suite; [] if there is none."""
    paths = sorted(FOLDER.glob(f"*-{suite}.jsonl"))
    if not paths:
        return []
    return [json.loads(line) for line in paths[-1].read_text(encoding="utf-8").splitlines()]


def describe_run(suite: str, command: str, note: str) -> dict[str, Any]:
    """Commit, machine, versions and load: the same for every row of a run."""
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
        "load_average": round(os.getloadavg()[0], 2),
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
