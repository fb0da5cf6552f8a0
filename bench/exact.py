"""Exact search beside ``faiss.IndexFlat``: the same vectors, threads and k, in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecdb.index.flat import Rows, row_norms, search_rows, warm

BLOCK_BYTES = 8 * 1024 * 1024  # of one run, as a collection keeps them
BATCH = 64


def measure_exact(
    n: int = 100_000,
    dim: int = 384,
    k: int = 10,
    rounds: int = 7,
    threads: int = 2,
    metric: str = "dot",
    seed: int = 0,
) -> Iterator[dict[str, Any]]:
    """One dict for each round, engine ("vecdb", "faiss") and number of queries (1, 64).

    ``wall_ms`` and ``cpu_ms`` (of the whole process) are of one call; ``agreement`` is the share of
    faiss's neighbours that are ours too. The two engines take turns, and change who begins, so
    that a busy moment of the machine falls on both. "cosine" gives faiss normalised vectors.
    """
    import faiss
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, dim), dtype=np.float32)
    queries = rng.standard_normal((BATCH, dim), dtype=np.float32)
    if metric == "cosine":
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    index = (faiss.IndexFlatL2 if metric == "l2" else faiss.IndexFlatIP)(dim)
    index.add(vectors)
    rows = as_runs(vectors)
    warm()

    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(threads))
        pool = stack.enter_context(ThreadPoolExecutor(threads))

        def ours(asked: NDArray[np.float32]) -> NDArray[np.int64]:
            found = search_rows(
                rows, asked, k, metric=metric, ids_of=lambda s: s, pool=pool, threads=threads
            )
            return np.stack([one.slots for one in found])

        def theirs(asked: NDArray[np.float32]) -> NDArray[np.int64]:
            slots: NDArray[np.int64] = index.search(asked, k)[1]
            return slots

        engines = [("vecdb", ours), ("faiss", theirs)]
        for count in (1, BATCH):
            asked = queries[:count]
            agreement = float(np.mean(np.sort(ours(asked)) == np.sort(theirs(asked))))
            for turn in range(rounds):
                for name, search in engines if turn % 2 else engines[::-1]:
                    wall_ms, cpu_ms = timed(search, asked)
                    yield {
                        "engine": name,
                        "queries": count,
                        "round": turn,
                        "wall_ms": wall_ms,
                        "cpu_ms": cpu_ms,
                        "agreement": agreement,
                        "metric": metric,
                        "n": n,
                        "dim": dim,
                        "k": k,
                        "threads": threads,
                    }


def as_runs(vectors: NDArray[np.float32]) -> list[Rows]:
    """The vectors in blocks that are allocated apart."""
    step = max(1, BLOCK_BYTES // vectors[0].nbytes)
    rows = []
    for first in range(0, len(vectors), step):
        block = vectors[first : first + step].copy()
        mask = np.ones(len(block), np.uint8)
        rows.append(Rows(first=first, vectors=block, norms=row_norms(block), mask=mask))
    return rows


def timed(
    search: Callable[[NDArray[np.float32]], Any], asked: NDArray[np.float32]
) -> tuple[float, float]:
    """Milliseconds of wall clock and of processor, all threads together."""
    cpu, wall = time.process_time(), time.perf_counter()
    search(asked)
    return (time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3


def ratios(results: list[dict[str, Any]]) -> dict[int, float]:
    """Number of queries -> median over the rounds of our wall time by faiss's, in that round."""
    walls = {(row["queries"], row["round"], row["engine"]): row["wall_ms"] for row in results}
    by_count: dict[int, list[float]] = {}
    for count, turn, engine in walls:
        if engine == "vecdb":
            ratio = walls[count, turn, "vecdb"] / walls[count, turn, "faiss"]
            by_count.setdefault(count, []).append(ratio)
    return {count: float(np.median(found)) for count, found in by_count.items()}
