"""Damage to files, disks that are full, and calls to the system that fail. For tests.

What a machine cannot do (mount without root, ``fiu-run`` not installed) is told by ``why_no_*``:
a sentence to skip with, or None.
"""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "MUTATIONS",
    "PAGE_BYTES",
    "TinyDisk",
    "failing_call",
    "flip_bit",
    "mutate",
    "run_with_failures",
    "swap_pages",
    "tiny_disk",
    "truncate",
    "why_no_failing_calls",
    "why_no_tiny_disk",
    "zero_page",
]

PAGE_BYTES = 4096
MUTATIONS = ("flip", "flips", "zero", "truncate", "swap")

# ----------------------------------------------------------------------------- damaged files


def flip_bit(path: Path, offset: int, bit: int) -> None:
    """Flip one bit (0 is the lowest) of the byte at ``offset``."""
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ (1 << bit)]))


def truncate(path: Path, size: int) -> None:
    os.truncate(path, size)


def zero_page(path: Path, page: int, page_bytes: int = PAGE_BYTES) -> None:
    with path.open("r+b") as file:
        file.seek(page * page_bytes)
        file.write(bytes(page_bytes))


def swap_pages(path: Path, a: int, b: int, page_bytes: int = PAGE_BYTES) -> None:
    """As if each of two pages had been written in the other's place."""
    with path.open("r+b") as file:
        contents = []
        for page in (a, b):
            file.seek(page * page_bytes)
            contents.append(file.read(page_bytes))
        for page, content in zip((b, a), contents, strict=True):
            file.seek(page * page_bytes)
            file.write(content)


def mutate(path: Path, rng: random.Random) -> str:
    """Damage the file in one of the ways of ``MUTATIONS``; says what was done."""
    kind = rng.choice(MUTATIONS)
    size = path.stat().st_size
    pages = size // PAGE_BYTES
    if kind in ("flip", "flips"):
        bits = [(rng.randrange(size), rng.randrange(8)) for _ in range(1 if kind == "flip" else 8)]
        for offset, bit in bits:
            flip_bit(path, offset, bit)
        return f"{kind} {bits}"
    if kind == "zero":
        page = rng.randrange(pages)
        zero_page(path, page)
        return f"zero page {page}"
    if kind == "truncate":
        length = rng.randrange(size)
        truncate(path, length)
        return f"truncate to {length}"
    a, b = rng.sample(range(pages), 2)
    swap_pages(path, a, b)
    return f"swap pages {a} and {b}"


# ---------------------------------------------------------------------------------- full disks


class TinyDisk:
    """A mounted file system of a few pages, in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self, leave_bytes: int = 0) -> None:
        """Take all room that is left, but for that many bytes."""
        with self._filler.open("ab", buffering=0) as file:
            for step in (65_536, PAGE_BYTES):
                try:
                    while file.write(bytes(step)) == step:
                        pass
                except OSError:
                    continue
            file.truncate(max(0, file.tell() - leave_bytes))

    def free(self) -> None:
        """Give back what ``fill`` took."""
        self._filler.unlink()

    def resize(self, size_bytes: int) -> None:
        _run_mount("mount", "-o", f"remount,size={size_bytes}", str(self.path))


def why_no_tiny_disk() -> str | None:
    if os.geteuid() != 0:
        return "a file system of its own needs root, to mount a tmpfs"
    if shutil.which("mount") is None or shutil.which("umount") is None:
        return "mount and umount are not installed"
    result = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        return f"this machine does not let us mount a tmpfs: {result.stderr.strip()}"
    return None


@contextmanager
def tiny_disk(path: Path, size_bytes: int) -> Iterator[TinyDisk]:
    """Mount a tmpfs of that size at the directory ``path``, which is made."""
    path.mkdir(parents=True, exist_ok=True)
    _run_mount("mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=700", "tmpfs", str(path))
    try:
        yield TinyDisk(path)
    finally:
        _run_mount("umount", "--lazy", str(path))


def _run_mount(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise OSError(f"{' '.join(command)}: {result.stderr.strip()}")


# ------------------------------------------------------------------------------- failing calls


def why_no_failing_calls() -> str | None:
    if shutil.which("fiu-run") is None:
        return "fiu-run is not installed (Debian: apt-get install fiu-utils)"
    return None


def run_with_failures(
    script: Path, arguments: Sequence[str], *, timeout_seconds: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run a Python script in which ``failing_call`` works."""
    command = ["fiu-run", "-x", "-f", "", sys.executable, str(script), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=timeout_seconds
    )


@contextmanager
def failing_call(point: str, error: int, nth: int = 1) -> Iterator[list[str]]:
    """Make exactly the ``nth`` call of ``point`` fail with that errno, in this process.

    Gives the list of the calls seen, which grows. Points are those of libfiu's POSIX library, such
    as ``posix/io/sync/fdatasync``; a ``*`` at the end stands for any rest. Works only in a process
    that ``run_with_failures`` started.
    """
    if "fiu_posix_preload" not in os.environ.get("LD_PRELOAD", ""):
        raise RuntimeError("failing_call works only in a script that run_with_failures started")
    library = ctypes.CDLL("libfiu.so.0")
    seen: list[str] = []

    def decide(name: bytes, *_: object) -> int:
        seen.append(name.decode())
        return int(len(seen) == nth)

    signature = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p
    )
    callback = signature(decide)
    library.fiu_enable_external.argtypes = [
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_uint,
        signature,
    ]
    if library.fiu_enable_external(point.encode(), 1, error, 0, callback) != 0:
        raise RuntimeError(f"libfiu does not take the point {point!r}")
    try:
        yield seen
    finally:
        library.fiu_disable(point.encode())
