"""The command line of a crash loop: a process of its own, which forks and so has no threads."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from audit import Wrong
from worker import Zygote

import vecdb

LOG_LINES = 30


def run_program(
    about: str,
    run_loop: Callable[[Zygote, Path, int, int, float], Any],
    run_points: Callable[[Zygote, Path, int], Any],
    *,
    kills: int,
    seconds: float,
) -> int:
    """``about``: its docstring; ``kills``, ``seconds``: of the loop, where not told otherwise."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--kills", type=int, default=kills)
    parser.add_argument("--seconds", type=float, default=seconds)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--points", action="store_true", help="kill at each named point instead")
    options = parser.parse_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    vecdb.warm()
    zygote = Zygote(options.directory / "worker.log")
    try:
        if options.points:
            tally = run_points(zygote, options.directory, options.seed)
        else:
            tally = run_loop(
                zygote, options.directory, options.seed, options.kills, options.seconds
            )
    except Wrong as error:
        print(f"WRONG: {error}", flush=True)
        with suppress(OSError):
            lines = zygote.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
            print("\n".join(f"  | {line}" for line in lines), flush=True)
        return 1
    print(tally)
    print(json.dumps(asdict(tally)))
    return 0
