"""What the disk itself gives, to be read beside searches: random reads of 4 KiB with O_DIRECT."""

from __future__ import annotations

import mmap
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

READ_BYTES = 4096
DEPTHS = (1, 8, 32)
_READS = 2_000


def probe_disk(path: Path, seed: int = 0) -> dict[str, Any]:
    """Reads a second of the file by so many threads, and microseconds of a read by one."""
    pages = path.stat().st_size // READ_BYTES
    offsets = np.random.default_rng(seed).integers(0, pages, _READS) * READ_BYTES
    number = os.open(path, os.O_RDONLY | os.O_DIRECT)
    found: dict[str, Any] = {"kind": "disk", "file_bytes": pages * READ_BYTES}
    try:
        for depth in DEPTHS:
            with ThreadPoolExecutor(depth) as pool:
                began = time.perf_counter()
                parts = list(
                    pool.map(lambda some: _read(number, some), np.array_split(offsets, depth))
                )
                seconds = time.perf_counter() - began
            found[f"reads_per_second_{depth}"] = _READS / seconds
            if depth == 1:
                found |= {
                    f"read_us_p{share}": float(np.percentile(parts[0], share)) for share in (50, 99)
                }
    finally:
        os.close(number)
    return found


def _read(number: int, offsets: Any) -> list[float]:
    memory = mmap.mmap(-1, READ_BYTES)  # aligned
    micros = []
    for offset in offsets.tolist():
        began = time.perf_counter()
        os.preadv(number, [memory], offset)
        micros.append((time.perf_counter() - began) * 1e6)
    memory.close()
    return micros
