"""diskannpy 0.7.0 (C++): StaticDiskIndex, which reads nodes with O_DIRECT and libaio.

It knows no cosine on disk: vectors of length 1 are compared by l2, which orders the same.
"""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Any

import diskannpy
import numpy as np
from loop import COMMON, folder_bytes, metered, run_search, serve

SECTOR = 4096
_WHEN_OPEN = ("ann_disk.index", "ann_pq_compressed.bin", "ann_pq_pivots.bin")
_HASH_BYTES = 32  # of a cached node in the two maps of the cache, by their entries
_held: dict[str, Any] = {}


def build(
    vectors: str,
    folder: str,
    complexity: int,
    degree: int,
    pq_bytes: int,
    build_gb: float,
    threads: int,
) -> dict[str, Any]:
    """One index; ``pq_bytes`` of codes a vector."""
    rows = np.load(vectors, mmap_mode="r")
    Path(folder).mkdir(parents=True, exist_ok=True)
    data = Path(folder).parent / f"{Path(folder).name}.bin"
    _write_bin(data, rows)

    def work() -> None:
        diskannpy.build_disk_index(
            data=str(data),
            distance_metric="l2",
            index_directory=folder,
            complexity=complexity,
            graph_degree=degree,
            search_memory_maximum=(pq_bytes + 0.5) * len(rows) / 2**30,
            build_memory_maximum=build_gb,
            num_threads=threads,
            vector_dtype=np.float32,
        )

    _, spent = metered(work)
    data.unlink()
    chunks = _pair(Path(folder) / "ann_pq_compressed.bin")[1]
    if chunks != pq_bytes:
        raise ValueError(f"expected codes of {pq_bytes} bytes, diskannpy made {chunks}")
    needed = sum((Path(folder) / name).stat().st_size for name in _WHEN_OPEN)
    return spent | {"disk_bytes": needed, "folder_bytes": folder_bytes(folder)}


def load(folder: str, threads: int, budget: int, mechanism: int) -> dict[str, Any]:
    """Open with as many cached nodes as ``budget`` leaves beside the codes.

    - ``mechanism``: 1: nodes that its sample queries visit most; 2: the first levels from the entry
    """
    shape = _shape(folder)
    left = budget - shape["code_bytes"] - shape["table_bytes"]
    nodes = max(0, left // shape["cached_node_bytes"])
    _held.clear()

    def work() -> Any:
        return diskannpy.StaticDiskIndex(
            folder,
            num_threads=threads,
            num_nodes_to_cache=int(nodes),
            cache_mechanism=mechanism if nodes else 0,
        )

    _held["index"], spent = metered(work)
    _held["request_bytes"] = shape["request_bytes"]
    return spent | shape | {"nodes_cached": int(nodes)}


def search(
    queries: str,
    start: int,
    stop: int,
    k: int,
    threads: int,
    one_by_one: bool,
    answers: str,
    complexity: int,
    beam: int,
) -> dict[str, Any]:
    """``requests``: reads of a node, of one or several sectors."""
    index = _held["index"]

    def find(asked: Any, k: int) -> Any:
        if one_by_one:
            return index.search(asked[0], k, complexity, beam).identifiers[None, :].astype(np.int64)
        found = index.batch_search(asked, k, complexity, threads, beam)
        return found.identifiers.astype(np.int64)

    spent = run_search(find, queries, start, stop, k, one_by_one, answers)
    return spent | {"requests": spent["read_bytes"] // _held["request_bytes"]}


def first_answer(
    folder: str, threads: int, budget: int, mechanism: int, queries: str, complexity: int, beam: int
) -> dict[str, Any]:
    """Seconds to open, and from there to the first answer."""
    opened = load(folder, threads, budget, mechanism)
    query = np.load(queries, mmap_mode="r")[0]
    began = time.perf_counter()
    _held["index"].search(np.array(query), 10, complexity, beam)
    return {
        "open_s": opened["wall_s"],
        "first_search_s": time.perf_counter() - began,
        "read_bytes": opened["read_bytes"],
    }


def _shape(folder: str) -> dict[str, int]:
    """Bytes of the parts that it holds in memory, by its files and its source."""
    path = Path(folder)
    count, chunks = _pair(path / "ann_pq_compressed.bin")
    with (path / "ann_disk.index").open("rb") as file:
        fields, _ = struct.unpack("<II", file.read(8))
        numbers = struct.unpack(f"<{fields}Q", file.read(8 * fields))
    dim, node_bytes, per_sector = numbers[1], numbers[3], numbers[4]
    aligned = -(-dim // 8) * 8
    degree = (node_bytes - 4 * dim) // 4 - 1
    sectors = 1 if per_sector else -(-node_bytes // SECTOR)
    return {
        "code_bytes": count * chunks,
        "table_bytes": 2 * 256 * dim * 4,  # the pivots, and transposed
        "cached_node_bytes": 4 * aligned + 4 * (degree + 1) + _HASH_BYTES,
        "request_bytes": SECTOR * sectors,
    }


def _pair(path: Path) -> tuple[int, int]:
    """The two numbers at the head of a ``.bin`` file."""
    with path.open("rb") as file:
        rows, columns = struct.unpack("<II", file.read(8))
    return rows, columns


def _write_bin(path: Path, rows: Any) -> None:
    step = 65_536
    with path.open("wb") as file:
        file.write(struct.pack("<II", *rows.shape))
        for first in range(0, len(rows), step):
            file.write(np.ascontiguousarray(rows[first : first + step], "<f4").tobytes())


if __name__ == "__main__":
    serve(COMMON | {"build": build, "open": load, "search": search, "first_answer": first_answer})
