"""Peers in virtual environments of their own, and the processes that search for them and for us."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

CACHE_VARIABLE = "VECDB_BENCH_CACHE"
CACHE = Path(os.environ.get(CACHE_VARIABLE) or Path(__file__).resolve().parent / ".cache")
"""Environments, indexes of peers and generated vectors; nothing in it is needed, but it saves an
hour. The variable names another folder, which several checkouts may share."""
SCRIPTS = Path(__file__).resolve().parent / "peers"

REQUIREMENTS = {
    "hnswlib": ("numpy==2.*", "hnswlib==0.8.0"),  # compiled for this machine, where g++ is
    "diskannpy": ("numpy==1.25.*", "diskannpy==0.7.0"),  # wheels for CPython 3.9 to 3.11
}
_SCRIPTS = {
    "hnswlib": "hnswlib_side.py",
    "diskannpy": "diskann_side.py",
    "vecdb": "vecdb_side.py",
}
_NO_SPINNING = {"KMP_BLOCKTIME": "0", "OMP_WAIT_POLICY": "PASSIVE"}  # or idle threads cost CPU


def peer_version(name: str) -> str:
    """Such as "hnswlib 0.8.0"."""
    return REQUIREMENTS[name][-1].replace("==", " ")


def peer_python(name: str) -> Path:
    """The interpreter of a peer's environment, which is made when it is first asked for."""
    if name == "vecdb":
        return Path(sys.executable)
    folder = CACHE / "environments" / name
    python = folder / "bin" / "python"
    made = folder / "requirements.txt"
    wanted = "\n".join(REQUIREMENTS[name]) + "\n"
    if not (made.exists() and made.read_text(encoding="utf-8") == wanted):
        _run(sys.executable, "-m", "venv", "--clear", folder)
        _run(python, "-m", "pip", "install", "--quiet", *REQUIREMENTS[name])
        made.write_text(wanted, encoding="utf-8")
    return python


def import_peer(name: str) -> Any:
    """The module of a peer in this process, for calls too short to cross to another.

    Its environment comes last in the path: numpy and the like stay ours.
    """
    home = peer_python(name).parents[1]
    folder = next(home.glob("lib/python*/site-packages"))
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    return importlib.import_module(name)


def _run(*command: str | Path) -> None:
    done = subprocess.run([*command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stderr.strip()}")


def built_index(name: str, vectors: Path, **parameters: Any) -> tuple[Path, dict[str, Any]]:
    """The folder of a peer's index of a file of vectors, and what it cost to build.

    It is built once for the same parameters; other processes are not waited for.
    """
    stem = "-".join([vectors.stem, *(f"{key}{value}" for key, value in parameters.items())])
    folder = CACHE / "indexes" / name / stem
    report = folder.parent / f"{stem}.json"  # beside it: there when the index is whole
    if not report.exists():
        shutil.rmtree(folder, ignore_errors=True)
        with Side(name) as side:
            bare = side.call("forget_peak")["rss"]
            figures = side.call("build", vectors=vectors, folder=folder, **parameters)
            figures["rss_peak_build"] = side.call("memory")["rss_peak"] - bare
        report.write_text(json.dumps(figures), encoding="utf-8")
    about: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return folder, parameters | about


class Side:
    """The process of one side: ``call`` has it do something and waits.

    What it prints goes to ``log``. Not safe for threads.
    """

    def __init__(self, name: str, log: Path | None = None) -> None:
        self.name = name
        self._log = (log or Path(os.devnull)).open("a", encoding="utf-8")
        self._process = subprocess.Popen(
            [peer_python(name), SCRIPTS / _SCRIPTS[name]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=os.environ | _NO_SPINNING,
        )

    def call(self, do: str, **arguments: Any) -> dict[str, Any]:
        """What the side answers; a failure there is a ``RuntimeError`` here."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do} | arguments, default=str) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name}: {do} ended its process ({self._process.wait()})")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {do} failed:\n{answer['error']}")
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
