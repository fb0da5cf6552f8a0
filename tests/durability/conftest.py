"""Server processes that a test kills and starts again, on the same directory and port."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent
SECONDS = 120.0
START_SECONDS = 600.0
"""The first start on a machine compiles the kernels."""
READY = re.compile(r"vecdb \S+ serving .+ on (\S+)\n")


class Servers:
    """At most one runs at a time."""

    def __init__(self, folder: Path) -> None:
        self.directory = folder / "db"
        self.address = "127.0.0.1:0"
        self.log = folder / "server.log"
        self.process: subprocess.Popen[str] | None = None

    def start(self, *, dies_at: str = "", strike: int = 1) -> str:
        """Start one, at the address of the one before if there was one; its address.

        ``dies_at``, ``strike``: a point of ``worker.POINTS`` where it kills itself, and at which
        time of coming there.
        """
        program = ["-m", "vecdb_server"]
        if dies_at:
            program = [str(FOLDER / "dying_server.py"), dies_at, str(strike)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *program, str(self.directory), "--listen", self.address],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={k: v for k, v in os.environ.items() if not k.startswith("VECDB_")},
                text=True,
            )
        assert self.process.stdout is not None
        ready = READY.fullmatch(self.process.stdout.readline())
        assert ready, self.log.read_text()
        self.address = ready[1]
        return self.address

    def succeed(self) -> threading.Thread:
        """Start another as soon as this one has killed itself; join the thread to wait for it."""

        def start_again() -> None:
            assert self.wait() == -signal.SIGKILL
            self.start()

        successor = threading.Thread(target=start_again)
        successor.start()
        return successor

    def kill(self) -> None:
        """SIGKILL; returns when the process has gone."""
        if self.process is not None:
            self.process.kill()
            self.wait()

    def wait(self) -> int:
        """The exit status of a server that ends by itself."""
        assert self.process is not None
        status = self.process.wait(SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return status


@pytest.fixture
def servers(tmp_path) -> Iterator[Servers]:
    made = Servers(tmp_path)
    yield made
    made.kill()


@pytest.fixture
def crash(tmp_path):
    """Run a crash loop of this folder in ``tmp_path``; its figures."""

    def run(program: str, *options: object, rounds: int) -> dict[str, int]:
        ended = subprocess.run(
            [sys.executable, str(FOLDER / program), str(tmp_path), *map(str, options)],
            env={name: text for name, text in os.environ.items() if not name.startswith("VECDB_")},
            capture_output=True,
            text=True,
            timeout=START_SECONDS + 10 * rounds,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        told, figures = ended.stdout.splitlines()[-2:]
        print(told)
        return json.loads(figures)

    return run
