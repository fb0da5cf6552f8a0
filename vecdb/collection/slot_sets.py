"""Where the records of recent sets lie in a segment: found once, used by search after search.

A set is an array of origins, known again by being the same array: what a tenant sees, or a filter
matches, stays one array as long as no write changes it. A segment is never changed, so what was
found stays right.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..index.coded import count_bits
from ..index.tree_walk import Ranked, rank_mask
from .bounded import Bounded
from .masks import pack_slots, slots_in

_CACHE_BYTES = 8 * 1024 * 1024


class SlotSet:
    """Some slots of a segment of ``size``: by a mask or one by one, and the other when asked.

    ``count``: how many. Arrays are not to be changed.
    """

    def __init__(
        self,
        size: int,
        *,
        mask: NDArray[np.uint8] | None = None,
        slots: NDArray[np.int64] | None = None,
    ) -> None:
        """``mask``: u8[blocks]; or ``slots``: ascending."""
        self.size = size
        if mask is not None:
            self.mask = mask
            self.count = count_bits(mask)
        if slots is not None:
            self.slots = slots
            self.count = len(slots)

    @cached_property
    def mask(self) -> NDArray[np.uint8]:
        """u8[blocks], a bit for each slot."""
        return pack_slots(self.slots, self.size)

    @cached_property
    def slots(self) -> NDArray[np.int64]:
        """Ascending."""
        return slots_in(self.mask, self.size)

    @cached_property
    def ranked(self) -> Ranked:
        """The mask as words, and how many bits are set before each."""
        return rank_mask(self.mask, self.size)

    @property
    def nbytes(self) -> int:
        """Of all that may be kept of it."""
        return 3 * -(-self.size // 8) + 8 * self.count


class SlotSets:
    """The sets that were looked for last; ``find`` finds one. Safe for any thread."""

    def __init__(self, find: Callable[[NDArray[np.uint64]], SlotSet]) -> None:
        self._find = find
        self._lock = threading.Lock()
        # By the array's id, with the array, so that the id stays its own. Guarded by self._lock.
        self._kept = Bounded[int, tuple[NDArray[np.int64], SlotSet]](_CACHE_BYTES, least=1)

    def of(self, origins: NDArray[np.int64]) -> SlotSet:
        """``origins``: ascending; kept only where nobody may write to it."""
        with self._lock:
            kept = self._kept.get(id(origins))
        if kept is not None:
            return kept[1]
        found = self._find(origins.astype(np.uint64))
        if not origins.flags.writeable:
            with self._lock:
                self._kept.put(id(origins), (origins, found), found.nbytes + origins.nbytes)
        return found
