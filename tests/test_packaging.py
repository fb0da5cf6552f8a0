"""Each distribution works without the others: installed from its wheel into a fresh environment."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
INHERITED = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
FOLDERS = {"vecdb": ROOT, "vecdb_client": ROOT / "client", "vecdb_server": ROOT / "server"}

IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
names = [found.name for found in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""
FIND = """
import importlib.util, sys
def found(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is not there
        return False
print(*filter(found, sys.argv[1:]))
"""


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """The output of a command that must succeed."""
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**INHERITED, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert result.returncode == 0, f"{command}:\n{result.stdout}\n{result.stderr}"
    return result.stdout.strip()


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Package -> wheel."""
    found = {}
    for package, folder in FOLDERS.items():
        target = tmp_path_factory.mktemp(package)
        run(
            *(sys.executable, "-m", "build", "--wheel", "--no-isolation"),
            *("--outdir", target, folder),
            cwd=target,
        )
        (found[package],) = target.glob("*.whl")
    return found


def install(wheel: Path, target: Path) -> Path:
    """A new environment with one wheel and what it requires; its python."""
    venv.create(target, with_pip=False)
    python = target / "bin" / "python"
    run(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet"),
        *("--only-binary", ":all:", wheel),
        cwd=target,
    )
    return python


# Hundreds of megabytes, so not in pytest's own folders: it keeps those of the last three runs.
@pytest.fixture(scope="module")
def client_python(wheels: dict[str, Path]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as target:
        yield install(wheels["vecdb_client"], Path(target))


@pytest.fixture(scope="module")
def engine_python(wheels: dict[str, Path]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as target:
        yield install(wheels["vecdb"], Path(target))


def present(python: Path, *names: str) -> list[str]:
    return run(python, "-c", FIND, *names, cwd=python.parent).split()


@pytest.mark.parametrize("package", FOLDERS)
def test_wheel_holds_its_package_and_nothing_else(wheels, package):
    names = zipfile.ZipFile(wheels[package]).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {package}
    assert f"{package}/py.typed" in names
    sources = {
        path.relative_to(FOLDERS[package]).as_posix()
        for path in (FOLDERS[package] / package).rglob("*.py")
    }
    assert sources <= set(names)


def test_client_alone_needs_neither_engine_nor_compiler(client_python):
    assert int(run(client_python, "-c", IMPORT_ALL, "vecdb_client", cwd=client_python.parent)) > 3
    unwanted = ("numba", "llvmlite", "lmdb", "vecdb", "vecdb_server", "click", "google_crc32c")
    assert present(client_python, *unwanted) == []
    assert present(client_python, "grpc", "google.protobuf", "numpy") == [
        "grpc",
        "google.protobuf",
        "numpy",
    ]


def test_engine_alone_imports_every_module_without_transport(engine_python):
    # Kernels compile when they are imported; whether they compile is for their own tests.
    count = run(
        *(engine_python, "-c", IMPORT_ALL, "vecdb"),
        cwd=engine_python.parent,
        NUMBA_DISABLE_JIT="1",
    )
    assert int(count) > 20
    unwanted = ("grpc", "google.protobuf", "vecdb_client", "vecdb_server", "pytest", "hypothesis")
    assert present(engine_python, *unwanted) == []


def test_engine_alone_has_a_command_line(engine_python):
    assert "collection" in run(engine_python.parent / "vecdb", "--help", cwd=engine_python.parent)
