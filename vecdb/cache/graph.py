"""A graph in memory over a large partition: hnswlib where it is installed, else faiss's.

It proposes slots and decides nothing: each is scored exactly from the partition's own vectors, and
the dead are passed over there. What a graph misses is a lost hit, never a wrong one. faiss's keeps
one byte a dimension of each vector, hnswlib's four.

Neither may be searched while it is added to: searches go in together, additions alone (``Gate``).
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..storage.gate import Gate

LINKS = 16
BUILD_WIDTH = 80
WIDTH = 50
PROPOSED = 16
"""Slots that a search asks for: so many, because some may be dead."""
TRAIN_ROWS = 32_768


class _Library(Protocol):
    def add(self, vectors: NDArray[np.float32]) -> None: ...

    def search(self, query: NDArray[np.float32]) -> NDArray[np.int64]: ...

    @property
    def nbytes(self) -> int: ...


class Graph:
    """Its points are slots 0, 1, 2, ... of the partition, in that order."""

    def __init__(self, library: _Library, name: str) -> None:
        self._library = library
        self._gate = Gate()
        self.name = name

    @property
    def nbytes(self) -> int:
        return self._library.nbytes

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Add the vectors of the next slots. Searches wait meanwhile: give it few at a time."""
        with self._gate.alone():
            self._library.add(vectors)

    def search(self, query: NDArray[np.float32]) -> NDArray[np.int64]:
        """i64[up to PROPOSED]: slots near to ``query`` (f32[dim], length 1), or -1."""
        with self._gate.together():
            return self._library.search(query)


def make_graph(dim: int, sample: NDArray[np.float32]) -> Graph:
    """An empty graph. ``sample``: f32[n, dim], of the vectors that will come."""
    try:
        import hnswlib  # noqa: F401
    except ImportError:
        return Graph(_Faiss(dim, sample), "faiss")
    return Graph(_Hnswlib(dim), "hnswlib")


class _Faiss:
    def __init__(self, dim: int, sample: NDArray[np.float32]) -> None:
        import faiss

        kind: Any = faiss.ScalarQuantizer.QT_8bit
        self._index: Any = faiss.IndexHNSWSQ(dim, kind, LINKS, faiss.METRIC_INNER_PRODUCT)
        self._index.hnsw.efConstruction = BUILD_WIDTH
        self._index.hnsw.efSearch = WIDTH
        step = max(1, len(sample) // TRAIN_ROWS)
        self._index.train(np.ascontiguousarray(sample[::step]))
        self._dim = dim

    @property
    def nbytes(self) -> int:
        return int(self._index.ntotal) * (self._dim + 4 * 2 * LINKS + 16)

    def add(self, vectors: NDArray[np.float32]) -> None:
        self._index.add(vectors)

    def search(self, query: NDArray[np.float32]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = self._index.search(query[None, :], PROPOSED)[1][0]
        return found


class _Hnswlib:
    def __init__(self, dim: int) -> None:
        import hnswlib

        self._index: Any = hnswlib.Index("ip", dim)
        self._index.init_index(max_elements=1_024, M=LINKS, ef_construction=BUILD_WIDTH)
        self._index.set_ef(WIDTH)
        self._dim = dim
        self._count = 0

    @property
    def nbytes(self) -> int:
        return self._count * (4 * self._dim + 4 * 2 * LINKS + 16)

    def add(self, vectors: NDArray[np.float32]) -> None:
        end = self._count + len(vectors)
        room = int(self._index.get_max_elements())
        if end > room:
            self._index.resize_index(max(end, 2 * room))
        self._index.add_items(vectors, np.arange(self._count, end), num_threads=1)
        self._count = end

    def search(self, query: NDArray[np.float32]) -> NDArray[np.int64]:
        wanted = min(PROPOSED, self._count)
        labels = self._index.knn_query(query[None, :], k=wanted, num_threads=1)[0][0]
        found: NDArray[np.int64] = labels.astype(np.int64)
        return found
