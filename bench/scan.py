"""The scan kernels beside plain reading and ``faiss.IndexBinaryFlat``: the same codes, in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vecdb.kernels.codes import scan_estimates
from vecdb.kernels.hamming import scan_hamming

from .exact import timed

COUNTS = (1, 8, 32)
_LANES = 8

Rows = list[dict[str, Any]]


@njit(nogil=True)
def read_words(words: NDArray[np.uint64], out: NDArray[np.uint64]) -> None:
    """Look at every word once: no scan can be faster."""
    total = np.uint64(0)
    for i in range(words.shape[0]):
        total ^= words[i]
    out[0] = total


def _planes_of(queries: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Normal numbers in 4 bits, as bit planes [words, 4, queries]."""
    levels = np.clip(np.floor(queries * (7.5 / 2.9) + 8.0), 0, 15).astype(np.uint8)
    planes = [np.packbits(levels >> j & 1, axis=1, bitorder="little") for j in range(4)]
    return np.ascontiguousarray(np.stack([plane.view(np.uint64) for plane in planes], axis=1).T)


@dataclass(frozen=True, slots=True)
class Codes:
    """Random codes, as a segment keeps them, and random queries."""

    codes: NDArray[np.uint64]
    fac: NDArray[np.float32]
    mask: NDArray[np.uint8]
    planes4: NDArray[np.uint64]

    @staticmethod
    def draw(n: int, dim: int, seed: int) -> Codes:
        rng = np.random.default_rng(seed)
        blocks, words = n // _LANES, dim // 64
        return Codes(
            codes=rng.integers(0, 2**64, (blocks, words, _LANES), np.uint64),
            fac=rng.standard_normal((blocks, 2, _LANES), np.float32),
            mask=np.full(blocks, 0xFF, np.uint8),
            planes4=_planes_of(rng.standard_normal((max(COUNTS), dim))),
        )

    def signs(self, count: int) -> NDArray[np.uint64]:
        return np.ascontiguousarray(self.planes4[:, 3, :count])

    def rows(self) -> NDArray[np.uint8]:
        """The codes as faiss takes them."""
        words = self.codes.transpose(0, 2, 1).reshape(-1, self.codes.shape[1])
        return np.ascontiguousarray(words).view(np.uint8)

    def bytes_read(self, engine: str) -> int:
        return self.codes.nbytes + (self.fac.nbytes if engine == "estimate" else 0)


@dataclass(frozen=True, slots=True)
class Scans:
    """Calls that read all codes on so many threads, each its share of the blocks."""

    data: Codes
    k: int
    threads: int
    pool: ThreadPoolExecutor

    def read(self) -> None:
        words = self.data.codes.reshape(-1)
        out = np.empty((self.threads, 1), np.uint64)
        step = -(-len(words) // self.threads)
        self._share(lambda i: read_words(words[i * step : (i + 1) * step], out[i]))

    def estimate(self, count: int) -> NDArray[np.float32]:
        """The k best estimates of each query."""
        data = self.data
        planes = np.ascontiguousarray(data.planes4[:, :, :count])
        delta, constant = np.full(count, 1e-3, np.float32), np.zeros(count, np.float32)
        padded = 64 * len(planes)

        def scan(begin: int, end: int, *heaps: NDArray[Any]) -> None:
            codes = (data.codes, data.fac, data.mask)
            scan_estimates(*codes, begin, end, planes, delta, constant, padded, *heaps)

        return self._best(scan, count, np.float32)

    def hamming(self, count: int) -> NDArray[np.int32]:
        """The distances of the k nearest codes of each query, with a minus."""
        data, signs = self.data, self.data.signs(count)

        def scan(begin: int, end: int, *heaps: NDArray[Any]) -> None:
            scan_hamming(data.codes, data.mask, begin, end, signs, *heaps)

        return self._best(scan, count, np.int32)

    def _best(self, scan: Callable[..., None], count: int, dtype: type) -> NDArray[Any]:
        values: NDArray[Any] = np.empty((self.threads, count, self.k), dtype)
        slots = np.empty(values.shape, np.int64)
        sizes = np.zeros(values.shape[:2], np.int64)
        blocks = len(self.data.codes)
        step = -(-blocks // self.threads)

        def work(i: int) -> None:
            begin, end = i * step, min((i + 1) * step, blocks)
            scan(begin, end, values[i], slots[i], sizes[i])

        self._share(work)
        return -np.sort(-np.concatenate([*values], axis=1), axis=1)[:, : self.k]

    def _share(self, work: Callable[[int], None]) -> None:
        if self.threads == 1:
            work(0)
        else:
            list(self.pool.map(work, range(self.threads)))


def measure_scan(
    n: int = 1_000_000,
    dim: int = 768,
    k: int = 10,
    rounds: int = 9,
    threads: tuple[int, ...] = (1, 2),
    seed: int = 0,
) -> Iterator[dict[str, Any]]:
    """One dict for each round, engine, number of queries (1, 8, 32) and of threads.

    Engines are "read", "estimate", "hamming" and "faiss". ``wall_ms`` and ``cpu_ms`` (of the whole
    process) are of one call, ``bytes`` what it cannot but read. The engines take turns, and change
    who begins, so that a busy moment of the machine falls on all of them.
    """
    import faiss
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    data = Codes.draw(n, dim, seed)
    index = faiss.IndexBinaryFlat(dim)
    index.add(data.rows())
    for some in threads:
        with threadpool_limits(some), ThreadPoolExecutor(some) as pool:
            scans = Scans(data, k, some, pool)
            for count in COUNTS:
                about = {"queries": count, "threads": some, "n": n, "dim": dim, "k": k}
                for row in _take_turns(scans, index, count, rounds):
                    yield row | about


def _take_turns(scans: Scans, index: Any, count: int, rounds: int) -> Iterator[dict[str, Any]]:
    asked = np.ascontiguousarray(scans.data.signs(count).T).view(np.uint8)
    engines: dict[str, Callable[[int], Any]] = {
        "read": lambda count: scans.read(),
        "estimate": scans.estimate,
        "hamming": scans.hamming,
        "faiss": lambda count: index.search(asked, scans.k)[0],
    }
    for search in engines.values():  # warms up
        search(count)
    if not np.array_equal(-scans.hamming(count), np.sort(engines["faiss"](count), axis=1)):
        raise AssertionError("faiss finds other distances")
    for turn in range(rounds):
        names = list(engines)
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            wall_ms, cpu_ms = timed(engines[name], count)
            bytes_read = scans.data.bytes_read(name)
            row = {"engine": name, "round": turn, "bytes": bytes_read}
            yield row | {"wall_ms": wall_ms, "cpu_ms": cpu_ms}


def speed_ratios(rows: Rows, engine: str, other: str) -> list[float]:
    """How much faster ``engine`` reads than ``other``, in bytes (or codes) a millisecond, by round.

    Against "read" it is the share of the bandwidth, against "faiss" the ratio of times.
    """
    rates = {
        (row["round"], row["engine"]): (row["bytes"] if other == "read" else 1) / row["wall_ms"]
        for row in rows
    }
    rounds = sorted({turn for turn, _ in rates})
    return [rates[turn, engine] / rates[turn, other] for turn in rounds]
