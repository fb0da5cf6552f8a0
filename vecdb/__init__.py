"""An embedded vector database: ``vecdb.open(path)`` opens a directory.

``import vecdb`` is light; opening a database loads (the first time: compiles) the kernels.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import errors, limits

if TYPE_CHECKING:
    from . import results
    from .database import Database
    from .filters import F

    __version__: str

__all__ = ["F", "errors", "limits", "open", "results", "warm"]


def __getattr__(name: str) -> Any:
    """What takes numpy, or the disk, to load: the command line starts without it."""
    if name == "results":
        return importlib.import_module(".results", __name__)
    if name == "F":
        return importlib.import_module(".filters", __name__).F
    if name == "__version__":
        return _version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("vecdb-engine")
    except metadata.PackageNotFoundError:  # run from a source tree that is not installed
        return "0+unknown"


def open(
    path: str | os.PathLike[str],
    *,
    read_only: bool = False,
    clock: Callable[[], float] = time.time,
    threads: int | None = None,
    map_bytes: int | None = None,
    build_memory: int | None = None,
    io_engine: str = "auto",
) -> Database:
    """Open the database in the directory ``path``; made if missing, unless ``read_only``.

    - ``read_only``: beside a writing process; sees its commits as they come
    - ``clock``: seconds since 1970
    - ``threads``: of one search; None: one for each core
    - ``map_bytes``: address space to reserve at first; it grows by itself
    - ``build_memory``: bytes that building a segment may take beside the records themselves; None:
      a quarter of the machine's memory, from 512 MiB to 4 GiB
    - ``io_engine``: what reads pages that a memory budget leaves on the disk: io_uring, threads or
      mmap; auto: the first that works here

    Raises ``NotFound`` (read only, nothing there), ``Unavailable`` (another process writes),
    ``UnsupportedFormat``, ``DataCorruption``.
    """
    from .database import Database

    return Database(
        path,
        read_only=read_only,
        clock=clock,
        threads=threads,
        map_bytes=map_bytes,
        build_memory=build_memory,
        io_engine=io_engine,
    )


def warm() -> None:
    """Run every kernel once, so that neither the first search nor the first seal waits for that."""
    from .index import flat, graph, shortlist, tree_walk
    from .kernels import (  # noqa: F401 - loading them compiles them
        clusters,
        graph_build,
        halving,
        permute,
    )

    flat.warm()
    shortlist.warm()
    graph.warm()
    tree_walk.warm()
