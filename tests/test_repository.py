"""Rules of the repository that no linter knows. Each failure says what to do instead."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROTO_PYTHON = ROOT / ".venv-proto" / "bin" / "python"
PACKAGES = {"vecdb": ROOT, "vecdb_client": ROOT / "client", "vecdb_server": ROOT / "server"}

FILE_LINES = 400
TEXT_SUFFIXES = (
    ".py",
    ".pyi",
    ".md",
    ".toml",
    ".proto",
    ".yml",
    ".yaml",
    ".cfg",
    ".sh",
    ".service",
)
TEXT_NAMES = ("Makefile", "run", ".gitignore", ".gitattributes", "Dockerfile")
PATH_SUFFIXES = (".py", ".md", ".proto", ".toml", ".lock")

# Written in pieces: this file obeys them too.
UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME)\b")
LOCAL_PATH = re.compile(r"(?<![\w.$)}\]/-])/(?:work|root|home)(?![\w.-])")
UNSAFE_MODULES = ("pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib")
UNSAFE_CALLS = ("eval", "exec", "compile")


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=False
    )


def tracked(*suffixes: str) -> list[Path]:
    """Files of the repository with such a suffix: tracked, or new and not ignored."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    assert listed.returncode == 0, listed.stderr
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    # A file that was deleted and not yet committed is listed too.
    return sorted({path for path in paths if path.suffix in suffixes and path.is_file()})


def texts() -> Iterator[tuple[Path, str]]:
    """Every source and document, without data files and the licence."""
    named = [path for path in tracked("") if path.name in TEXT_NAMES]
    for path in [*tracked(*TEXT_SUFFIXES), *named]:
        yield path, path.read_text(encoding="utf-8")


def is_generated(path: Path) -> bool:
    # The wire code (its generator's header is not ours), and what client/generate.py writes.
    if "wire" in path.parts:
        return True
    return path.read_text(encoding="utf-8").startswith("# Generated ")


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_repository_lists_its_own_files():
    assert {ROOT / "vecdb" / "errors.py", Path(__file__).resolve()} <= set(tracked(".py"))
    assert ROOT / "Makefile" in {path for path, _ in texts()}


# ------------------------------------------------------------------------------ public names


def modules_with_all() -> list[tuple[str, list[str]]]:
    found = []
    for package, folder in PACKAGES.items():
        for path in tracked(".py"):
            if not path.is_relative_to(folder / package):
                continue
            parts = [*path.relative_to(folder).with_suffix("").parts]
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.Assign) and "__all__" in map(ast.unparse, node.targets):
                    found.append((name, ast.literal_eval(node.value)))
    return found


def order(name: str) -> tuple[int, str]:
    """CONSTANTS, Classes, functions: as ruff sorts them."""
    if name.isupper() and len(name) > 1:
        return 0, name
    return (1 if name[0].isupper() else 2), name


@pytest.mark.parametrize(("module", "names"), modules_with_all())
def test_public_names_are_sorted_and_exist(module, names):
    assert names == sorted(set(names), key=order), f"sort __all__ of {module}: ruff check --fix"
    imported = importlib.import_module(module)
    missing = [name for name in names if not hasattr(imported, name)]
    assert not missing, f"__all__ of {module} names what is not there: {missing}"


def test_public_packages_have_public_names():
    assert {"vecdb", "vecdb.filters", "vecdb_client"} <= {name for name, _ in modules_with_all()}


# ------------------------------------------------------------------------------------ safety


def unsafe_uses(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of what would run code that comes from data."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            names = []
        yield from ((node.lineno, name) for name in names if name.split(".")[0] in UNSAFE_MODULES)
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in UNSAFE_CALLS:
                yield node.lineno, node.func.id
            for keyword in node.keywords:
                safe = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                if keyword.arg == "allow_pickle" and not safe:
                    yield node.lineno, "allow_pickle"


def test_no_data_is_run_as_code():
    faults = [
        f"{path.relative_to(ROOT)}:{line}: {name}: data is read as JSON or numpy arrays"
        for path in tracked(".py")
        if not path.is_relative_to(ROOT / "tests")
        for line, name in unsafe_uses(path.read_text(encoding="utf-8"))
    ]
    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize(
    ("source", "unsafe"),
    [
        ("import pickle", True),
        ("from pickle import loads", True),
        ("def f():\n    import marshal", True),
        ("eval('1')", True),
        ("np.load(f, allow_pickle=True)", True),
        ("np.load(f, allow_pickle=flag)", True),
        ("np.load(f, allow_pickle=False)", False),
        ("re.compile('x')", False),
        ("'no pickle here'", False),
    ],
)
def test_rule_against_running_data_tells_right_from_wrong(source, unsafe):
    assert bool(list(unsafe_uses(source))) is unsafe


# ------------------------------------------------------------------------- generated, finished


def test_wire_code_is_up_to_date():
    if not PROTO_PYTHON.exists():
        pytest.skip("no .venv-proto with the pinned generator: `make proto` makes it")
    result = run(PROTO_PYTHON, "proto/generate.py", "--check")
    assert result.returncode == 0, result.stderr


def test_generated_files_of_the_client_are_up_to_date():
    result = run(sys.executable, "client/generate.py", "--check")
    assert result.returncode == 0, result.stdout + result.stderr


def test_nothing_is_left_unfinished():
    faults = lines_with(UNFINISHED)
    assert not faults, "do it, or file an issue:\n" + "\n".join(faults)


def test_no_file_names_a_path_of_one_machine():
    faults = lines_with(LOCAL_PATH)
    assert not faults, "say it relative to the repository:\n" + "\n".join(faults)


@pytest.mark.parametrize(
    ("line", "faulty"),
    [
        ("see @work/shared", True),
        ('open("@home/me/x")', True),
        ("`@root`", True),
        ("client@work", False),
        ("https://example.org@home", False),
        ("@workers", False),
    ],
)
def test_rule_against_local_paths_tells_right_from_wrong(line, faulty):
    line = line.replace("@", "/")  # or this file would break the rule
    assert bool(LOCAL_PATH.search(line)) is faulty


def test_files_are_short_enough_to_read():
    faults = [
        f"{path.relative_to(ROOT)}: {lines} lines"
        for path in tracked(".py")
        if not is_generated(path)
        and (lines := len(path.read_text(encoding="utf-8").splitlines())) > FILE_LINES
    ]
    assert not faults, f"above {FILE_LINES} lines, look for the second noun:\n" + "\n".join(faults)


# ------------------------------------------------------------------------------ ARCHITECTURE.md


def paths_named(text: str) -> list[str]:
    """What stands in backticks and looks like a path: it has a slash or a known suffix."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    spans = re.findall(r"`([\w./*-]+)`", text)
    return [
        span
        for span in spans
        if ("/" in span and not span.startswith("/")) or span.endswith(PATH_SUFFIXES)
    ]


def exists(path: str) -> bool:
    # Inside the section of a package, paths are relative to it.
    return any(
        any(folder.glob(path)) for folder in (ROOT, *(PACKAGES[name] / name for name in PACKAGES))
    )


@pytest.fixture(scope="module")
def architecture() -> str:
    return (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


def test_paths_in_architecture_exist(architecture):
    named = paths_named(architecture)
    assert named, "ARCHITECTURE.md names no path in backticks"
    missing = [path for path in named if not exists(path)]
    assert not missing, f"ARCHITECTURE.md names what is not there: {missing}"


def test_architecture_names_every_package(architecture):
    folders = {path.parent.name for path in ROOT.glob("vecdb/*/__init__.py")}
    missing = sorted(name for name in folders if not re.search(rf"\b{name}/", architecture))
    assert not missing, f"ARCHITECTURE.md does not tell of vecdb/: {missing}"


def test_paths_are_told_from_other_words():
    text = "`vecdb/errors.py` `storage/` `limits.py` `F` `a | b` `make test` `/metrics` `x*.toml`"
    assert paths_named(text) == ["vecdb/errors.py", "storage/", "limits.py", "x*.toml"]
    assert exists("filters/builder.py")
    assert exists("client/vecdb_client/wire/*_pb2.py")
    assert not exists("vecdb/missing.py")
