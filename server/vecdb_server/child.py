"""A real server as a child process: started, ready, stopped; nothing stays behind."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO

START_SECONDS = 300.0
"""The first start on a machine compiles the kernels, which takes minutes where it is busy."""
STOP_SECONDS = 30.0
LOG_LINES = 20
READY = re.compile(r"vecdb (?P<version>\S+) serving (?P<directory>.+) on (?P<address>\S+)")


class ServerFailed(Exception):
    """The child did not start or did not stop as it should; the message ends with its log."""


class ServerProcess:
    """``with ServerProcess(directory, log=path) as server:`` the server runs inside the block.

    It serves ``directory`` on loopback; ``port`` 0 takes any free one. Leaving the block sends
    SIGTERM and waits. ``ServerFailed`` tells of a server that ended by itself or, where the block
    itself went well, with a status other than 0. ``version``, ``address`` and ``pid`` are set once
    it is ready.
    """

    def __init__(self, directory: Path, *, log: Path, port: int = 0) -> None:
        self.directory = directory
        self.port = port
        self.version = ""
        self.address = ""
        self.stop_seconds = 0.0
        self._log = log
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def __enter__(self) -> ServerProcess:
        # Settings meant for another server (keys, limits, a file here) must not reach this one.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("VECDB_")}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "vecdb_server", str(self.directory.resolve())),
                    *("--listen", f"127.0.0.1:{self.port}"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._log.parent,
                env=environment,
                text=True,
                encoding="utf-8",
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        alone = self._process.poll() is not None
        status = self._end()
        # A call that failed because the server died is explained by the server's log.
        if (kind is None and status != 0) or (alone and isinstance(error, Exception)):
            text = f"the server ended{' by itself' if alone else ''} with status {status}"
            raise ServerFailed(self._with_log(text)) from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def _wait_until_ready(self) -> None:
        assert self._process.stdout is not None
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                text = f"the server was not ready after {START_SECONDS:.0f} seconds"
                raise ServerFailed(self._with_log(text)) from None
            if line is None:
                status = self._process.wait()
                text = f"the server ended with status {status} before it was ready"
                raise ServerFailed(self._with_log(text))
            ready = READY.fullmatch(line.strip())
            if ready:
                self.version, self.address = ready["version"], ready["address"]
                return

    def _read(self, stdout: IO[str]) -> None:
        """Keep the pipe empty, so that the child never waits for a reader; None: it closed."""
        with stdout:
            for line in stdout:
                self._lines.put(line)
        self._lines.put(None)

    def _end(self) -> int:
        """Stop the child, by force where it does not go; its exit status."""
        started = time.monotonic()
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except BaseException as error:  # an interrupt while waiting must not leave it either
            self._process.kill()
            self._process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
        self.stop_seconds = time.monotonic() - started
        return self._process.returncode

    def _with_log(self, text: str) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        return "\n".join([text, *(f"  | {line}" for line in lines)])
