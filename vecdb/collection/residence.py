"""What of a collection's segments is in memory, and the cache of the pages that are not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ..storage.page_cache import PageCache
from .levels import CACHE_BYTES, Plan, Sizes, add_sizes, choose_level

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from ..storage.page_cache import Held, PageSource
    from ..storage.page_reader import PageFile, PageReader

    Wanted = Sequence[tuple[PageSource, NDArray[np.int64]]]

OpenReader = Callable[["PageFile", int], "PageReader"]
"""The reader of the database; the file is what it is tried on, with pages of so many bytes."""

LOOKED_AT = (
    *("nodes_expanded", "nodes_visited", "blocks_scanned"),
    *("codes_scanned", "codes_refined", "vectors_scored"),
)
"""Of a tally: what is no reading."""

_RESIZED_BYTES = 1024 * 1024  # a cache is not made smaller or larger for less


@dataclass(slots=True)
class Tally:
    """What one search has read and looked at, or all of them. ``add`` is safe for any thread."""

    pages_read: int = 0
    bytes_read: int = 0
    read_calls: int = 0
    cache_hits: int = 0
    io_rounds: int = 0
    nodes_expanded: int = 0
    nodes_visited: int = 0
    blocks_scanned: int = 0
    codes_scanned: int = 0
    codes_refined: int = 0
    vectors_scored: int = 0

    def add(self, **more: int) -> None:
        with _tally_lock:
            for name, value in more.items():
                setattr(self, name, getattr(self, name) + value)

    def values(self) -> dict[str, int]:
        with _tally_lock:
            return {one.name: getattr(self, one.name) for one in fields(self)}


_tally_lock = threading.Lock()


class Residence:
    """Of one collection. Safe for any thread."""

    def __init__(self, open_reader: OpenReader) -> None:
        self.totals = Tally()
        self.plan: Plan = choose_level(None, add_sizes([]))  # Swapped by one assignment.
        self._open_reader = open_reader
        self._lock = threading.Lock()
        self._cache: PageCache | None = None  # Set once, under self._lock.
        self._tail_bytes = 0  # Guarded by self._lock.

    def decide(self, budget: int | None, sizes: Sequence[Sizes]) -> Plan:
        """Choose the level for these segments, and give the cache what it leaves."""
        self.plan = plan = choose_level(budget, add_sizes(sizes))
        with self._lock:
            self._resize()
        return plan

    def fit(self, tail_bytes: int) -> None:
        """The tail takes so much: the cache has the rest."""
        if abs(tail_bytes - self._tail_bytes) < _RESIZED_BYTES:
            return
        with self._lock:
            self._tail_bytes = tail_bytes
            self._resize()

    def _cache_bytes(self) -> int:
        if self.plan.budget is None:
            return 0
        return max(CACHE_BYTES, self.plan.cache_bytes - self._tail_bytes)

    def _resize(self) -> None:
        if self._cache is not None:
            self._cache.resize(self._cache_bytes())

    @contextmanager
    def hold(self, wanted: Wanted, tally: Tally | None = None) -> Iterator[Held]:
        """Pages in memory while the context lasts; ``PageCache.hold``, counted."""
        cache = self._cache or self._make_cache(wanted[0][0])
        with cache.hold(wanted) as held:
            counts = held.counts
            self.count(
                tally,
                pages_read=counts.pages_read,
                bytes_read=counts.bytes_read,
                read_calls=counts.read_calls,
                cache_hits=counts.cache_hits,
                io_rounds=int(counts.read_calls > 0),
            )
            yield held

    def count(self, tally: Tally | None, **read: int) -> None:
        """Add what was read to the totals, and to what one search has read."""
        for one in (self.totals, tally):
            if one is not None:
                one.add(**read)

    def end(self, tally: Tally) -> None:
        """A search has ended: what it looked at joins the totals, as what it read has."""
        self.totals.add(**{name: getattr(tally, name) for name in LOOKED_AT})

    def _make_cache(self, source: PageSource) -> PageCache:
        reader = self._open_reader(source.file, source.page_bytes)
        with self._lock:
            if self._cache is None:
                self._cache = PageCache(self._cache_bytes(), source.page_bytes, reader)
            return self._cache

    def close(self) -> None:
        """Give the cache's memory back once no search holds a page."""
        if self._cache is not None:
            self._cache.close()

    def drop(self, source: PageSource) -> None:
        """Its segment is gone: nobody asks for these pages again."""
        if self._cache is not None:
            self._cache.drop(source)

    @property
    def cache_bytes(self) -> int:
        """Taken by the cache of pages now."""
        return 0 if self._cache is None else self._cache.memory_bytes

    def stats(self) -> dict[str, Any]:
        """For ``stats``: the plan in words and numbers."""
        plan = self.plan
        return {
            "level": plan.level,
            "why": plan.why,
            "budget": plan.budget,
            "level_bytes": plan.sizes,
            "cache_bytes": self.cache_bytes,
        }
