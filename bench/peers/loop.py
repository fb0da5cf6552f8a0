"""Answers requests, one JSON object a line, and measures what each search cost.

Every side of a comparison, ours too, is a process of its own that runs ``serve`` under its own
interpreter; vectors come, and answers go, by ``.npy`` files. Only numpy may be imported here. What
a library prints goes to the standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Search = Callable[[Any, int], Any]
"""Rows [q, dim] of queries and k -> ids [q, k]; -1 where there is none."""


def serve(commands: dict[str, Callable[..., dict[str, Any]]]) -> None:
    """Run the command that each request names by "do" with the rest of it, until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = commands[request.pop("do")](**request)
        except Exception:
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def metered(work: Callable[[], Any]) -> tuple[Any, dict[str, Any]]:
    """What ``work`` gives; its wall and CPU seconds (of all threads) and what it read.

    - ``read_bytes``: from the device, by all threads; a hit of the page cache reads none
    - ``read_calls``: of read, pread and their like; reads by io_uring and libaio are not calls
    """
    before = _io()
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    spent = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    after = _io()
    return result, spent | {
        "read_bytes": after["read_bytes"] - before["read_bytes"],
        "read_calls": after["syscr"] - before["syscr"],
    }


def run_search(
    search: Search, queries: str, start: int, stop: int, k: int, one_by_one: bool, answers: str
) -> dict[str, Any]:
    """Search for rows of the file ``queries``; ids go to ``answers``.

    All in one call, or one after the other with ``micros`` of each.
    """
    asked = np.ascontiguousarray(np.load(queries, mmap_mode="r")[start:stop])
    micros: list[float] = []

    def work() -> Any:
        if not one_by_one:
            return search(asked, k)
        found = []
        for i in range(len(asked)):
            began = time.perf_counter()
            found.append(search(asked[i : i + 1], k))
            micros.append((time.perf_counter() - began) * 1e6)
        return np.concatenate(found)

    ids, spent = metered(work)
    np.save(answers, np.asarray(ids).astype(np.int64))
    return spent | ({"micros": micros} if one_by_one else {})


def memory() -> dict[str, Any]:
    """Bytes resident, and the most since ``forget_peak``; file pages that are shared are apart."""
    kib = {}
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "VmHWM", "RssAnon", "RssFile"):
            kib[name] = 1024 * int(value.split()[0])
    return {
        "rss": kib["VmRSS"],
        "rss_peak": kib["VmHWM"],
        "rss_anonymous": kib["RssAnon"],
        "rss_file": kib["RssFile"],
    }


def forget_peak() -> dict[str, Any]:
    """The most resident memory counts from here."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return memory()


def drop_cached(folder: str) -> dict[str, Any]:
    """Have the kernel forget the pages of all files under ``folder``."""
    files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    for path in files:
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
            os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(number)
    return {"files": len(files)}


def folder_bytes(folder: str | Path) -> int:
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


COMMON: dict[str, Callable[..., dict[str, Any]]] = {
    "memory": memory,
    "forget_peak": forget_peak,
    "drop_cached": drop_cached,
}
"""Commands that every side has."""


def _io() -> dict[str, int]:
    lines = Path("/proc/self/io").read_text(encoding="utf-8").splitlines()
    return {name: int(value) for name, _, value in (line.partition(":") for line in lines)}
