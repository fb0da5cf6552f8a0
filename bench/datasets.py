"""Datasets of the benchmarks beyond RAM: float32 files that all sides read, and the exact answers.

Vectors of cosine datasets are made of length 1 here, once and for all sides, so the order by l2 is
the order by cosine. Files are made when they are first needed and kept in the cache folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecdb.datasets import load_dataset

from .peer_env import CACHE
from .recall import VARIABLE

QUICK = "VECDB_BENCH_QUICK"
"""Set to anything: synthetic data of 100,000 vectors, not of a million."""
SETS = "VECDB_BENCH_SETS"
"""Names of datasets, by commas: no others are measured."""
QUERIES = 2_000
WARM = 4_000
"""Rows of the base that fill caches, at most."""
TRUE = 10
"""Neighbours of a query whose distances are known."""

_GAUSSIANS = 2_000
_LATENT = 12
_SPREAD, _NOISE = 0.6, 0.1  # deviation inside a Gaussian (of centres: 1), and of the noise
_STEP = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A dataset whose files are there.

    - ``base``, ``queries``: ``.npy`` files of float32; ``warm``: rows to fill caches by
    - ``reach``: float64[q], the true squared distance of the ``TRUE``-th neighbour
    """

    name: str
    metric: str
    base: Path
    queries: Path
    warm: Path
    reach: NDArray[np.float64]
    n: int
    dim: int
    synthetic: bool

    @property
    def raw_bytes(self) -> int:
        return 4 * self.n * self.dim

    @property
    def about(self) -> dict[str, Any]:
        """What every result says of it."""
        names = ("metric", "n", "dim", "synthetic")
        return {"dataset": self.name} | {name: getattr(self, name) for name in names}


def prepared() -> Iterator[Prepared]:
    """Those of the folder that VECDB_BENCH_DATA names, and a synthetic one."""
    folder = os.environ.get(VARIABLE)
    if folder and _wanted("fashion-mnist-784"):
        yield _prepare("fashion-mnist-784", "l2", *_read_images(Path(folder) / "fashion-mnist-784"))
    if folder and _wanted("glove-100"):
        yield _prepare("glove-100", "cosine", *read_arrays(Path(folder) / "glove-100"))
    n = 100_000 if os.environ.get(QUICK) else 1_000_000
    if _wanted(mixture_name(n)):
        yield prepared_mixture(n)


def prepared_for_building() -> Iterator[Prepared]:
    """Smaller ones, for ways to build a graph: some of them take minutes for these."""
    folder = os.environ.get(VARIABLE)
    if folder and _wanted("fashion-mnist-784"):
        yield _prepare("fashion-mnist-784", "l2", *_read_images(Path(folder) / "fashion-mnist-784"))
    n = 20_000 if os.environ.get(QUICK) else 200_000
    if _wanted(mixture_name(n)):
        yield prepared_mixture(n)


def mixture_name(n: int) -> str:
    return f"mixture-{n // 1000}k-96"


def prepared_mixture(n: int) -> Prepared:
    """``n`` vectors of 96 dimensions, and their queries."""
    name = mixture_name(n)
    if (CACHE / "data" / f"{name}.npy").exists():
        return _prepare(name, "l2", None, None, synthetic=True)
    return _prepare(name, "l2", *mixture(n, 96, QUERIES), synthetic=True)


def _wanted(name: str) -> bool:
    chosen = os.environ.get(SETS)
    return chosen is None or name in chosen.split(",")


def mixture(
    n: int, dim: int, queries: int, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(vectors [n, dim], queries [queries, dim]) of 2,000 Gaussians in 12 dimensions, turned into
    ``dim``, with a little noise in all of them; in no order.

    Queries come from the same mixture and are not among the vectors.
    """
    rng = np.random.default_rng(seed)
    axes = rng.standard_normal((_LATENT, dim), dtype=np.float32) / np.float32(np.sqrt(_LATENT))
    centres = rng.standard_normal((_GAUSSIANS, _LATENT), dtype=np.float32)
    made = np.empty((n + queries, dim), np.float32)
    for start in range(0, len(made), _STEP):
        rows = made[start : start + _STEP]
        latent = centres[rng.integers(0, _GAUSSIANS, len(rows))]
        latent += np.float32(_SPREAD) * rng.standard_normal(latent.shape, dtype=np.float32)
        noise = rng.standard_normal(rows.shape, dtype=np.float32)
        rows[:] = latent @ axes + np.float32(_NOISE) * noise
    return made[:n], made[n:]


def squared_distances(
    base: NDArray[np.float32], queries: NDArray[np.float32], ids: NDArray[np.int64]
) -> NDArray[np.float64]:
    """[q, k]: of the rows ``ids`` ([q, k]) to their queries; inf where an id is -1."""
    out = np.full(ids.shape, np.inf)
    for number, (query, some) in enumerate(zip(queries.astype(np.float64), ids, strict=True)):
        there = some >= 0
        gaps = base[some[there]].astype(np.float64) - query
        out[number, there] = np.einsum("ij,ij->i", gaps, gaps)
    return out


def _read_images(folder: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    def read(part: str) -> NDArray[Any]:
        dataset = load_dataset(next(folder.glob(f"{part}-images*")))
        return np.concatenate([batch.vectors for batch in dataset.batches()])

    return read("train"), read("t10k")


def read_arrays(folder: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.load(folder / "vectors.npy"), np.load(folder / "queries.npy")


def _prepare(
    name: str,
    metric: str,
    base: NDArray[Any] | None,
    queries: NDArray[Any] | None,
    synthetic: bool = False,
) -> Prepared:
    """The dataset in the cache folder; arrays of None are there already."""
    folder = CACHE / "data"
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}{part}.npy" for part in ("", "-queries", "-reach", "-warm")]
    if base is not None and queries is not None:
        for path, rows in zip(paths, (base, queries[:QUERIES]), strict=False):
            made = unit_rows(rows) if metric == "cosine" else rows.astype(np.float32)
            np.save(path, np.ascontiguousarray(made))
    rows, asked = np.load(paths[0], mmap_mode="r"), np.load(paths[1])
    if base is not None or not paths[2].exists():
        np.save(paths[2], _reach(rows, asked))
    if base is not None or not paths[3].exists():
        draws = np.random.default_rng(0).choice(len(rows), min(WARM, len(rows)), replace=False)
        np.save(paths[3], rows[np.sort(draws)][np.argsort(np.argsort(draws))])
    return Prepared(
        name=name,
        metric=metric,
        base=paths[0],
        queries=paths[1],
        warm=paths[3],
        reach=np.load(paths[2]),
        n=rows.shape[0],
        dim=rows.shape[1],
        synthetic=synthetic,
    )


def unit_rows(rows: NDArray[Any]) -> NDArray[np.float32]:
    """Each row made of length 1, in float64; zero stays zero."""
    made = rows.astype(np.float64)
    lengths = np.linalg.norm(made, axis=1, keepdims=True)
    return np.ascontiguousarray(made / np.maximum(lengths, 1e-30), np.float32)


def nearest(base: NDArray[np.float32], queries: NDArray[np.float32]) -> list[NDArray[np.int64]]:
    """For each query the rows no farther than the ``TRUE``-th nearest; more if they tie."""
    ids, distances = _candidates(base, queries)
    reach = np.sort(distances, axis=1)[:, TRUE - 1 : TRUE]
    return [some[near] for some, near in zip(ids, distances <= reach, strict=True)]


def _reach(base: NDArray[np.float32], queries: NDArray[np.float32]) -> NDArray[np.float64]:
    distances = np.sort(_candidates(base, queries)[1], axis=1)
    return distances[:, TRUE - 1].copy()


def _candidates(
    base: NDArray[np.float32], queries: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Ids and squared distances of more than enough: faiss picks in float32, float64 decides."""
    import faiss

    ids = faiss.knn(queries, base, 5 * TRUE)[1]
    return ids, squared_distances(base, queries, ids)
