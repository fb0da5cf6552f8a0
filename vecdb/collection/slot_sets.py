"""Where the records of recent sets lie in a segment: found once, used by search after search.

A set is an array of origins, known again by being the same array: what a tenant sees, or a filter
matches, stays one array as long as no write changes it. A segment is never changed, so what was
found stays right.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..index.coded import count_bits
from ..index.tree_walk import Ranked, rank_mask
from .masks import slots_in

_CACHE_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, eq=False)
class SlotSet:
    """Some slots of a segment of ``size``. Arrays are read-only.

    - ``mask``: u8[blocks], a bit for each; ``count``: how many
    """

    mask: NDArray[np.uint8]
    count: int
    size: int

    @classmethod
    def of(cls, mask: NDArray[np.uint8], size: int) -> SlotSet:
        return cls(mask=mask, count=count_bits(mask), size=size)

    @cached_property
    def ranked(self) -> Ranked:
        """The mask as words, and how many bits are set before each."""
        return rank_mask(self.mask, self.size)

    @cached_property
    def slots(self) -> NDArray[np.int64]:
        """Ascending."""
        return slots_in(self.mask, self.size)

    @property
    def nbytes(self) -> int:
        """Of all that may be kept of it."""
        return 3 * len(self.mask) + 8 * self.count


class SlotSets:
    """The sets that were looked for last. Safe for any thread.

    ``find(origins)``: the mask of a set in the segment of ``size`` slots.
    """

    def __init__(self, find: Callable[[NDArray[np.uint64]], NDArray[np.uint8]], size: int) -> None:
        self._find = find
        self._size = size
        self._lock = threading.Lock()
        # By the array's id, with the array, so that the id stays its own; oldest use first.
        self._kept: OrderedDict[int, tuple[NDArray[np.int64], SlotSet]] = OrderedDict()
        self._bytes = 0  # Of them. Both guarded by self._lock.

    def of(self, origins: NDArray[np.int64]) -> SlotSet:
        """``origins``: ascending; kept only where nobody may write to it."""
        with self._lock:
            kept = self._kept.get(id(origins))
            if kept is not None:
                self._kept.move_to_end(id(origins))
                return kept[1]
        found = SlotSet.of(self._find(origins.astype(np.uint64)), self._size)
        if not origins.flags.writeable:
            self._keep(origins, found)
        return found

    def _keep(self, origins: NDArray[np.int64], found: SlotSet) -> None:
        with self._lock:
            if id(origins) in self._kept:
                return
            self._kept[id(origins)] = origins, found
            self._bytes += found.nbytes + origins.nbytes
            while self._bytes > _CACHE_BYTES and len(self._kept) > 1:
                _, (some, gone) = self._kept.popitem(last=False)
                self._bytes -= gone.nbytes + some.nbytes
