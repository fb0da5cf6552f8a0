"""What was used last, as much as may be kept; for caches, which have locks of their own."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Bounded(Generic[K, V]):
    """Values by key; those not used for longest go where the weights are more than ``most``.

    - ``weight``: of all that is kept
    - ``entries``: so many at most; None: any number
    - ``least``: so many stay, whatever they weigh

    Not safe for threads: whoever has one holds a lock around each call.
    """

    def __init__(self, most: int, *, entries: int | None = None, least: int = 0) -> None:
        self.most = most
        self._entries = entries
        self._least = least
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()  # Oldest use first.
        self.weight = 0

    def __len__(self) -> int:
        return len(self._kept)

    def values(self) -> list[V]:
        """All that is kept, the oldest use first."""
        return [value for value, _ in self._kept.values()]

    def peek(self, key: K) -> V | None:
        """The value; not counted as a use."""
        kept = self._kept.get(key)
        return None if kept is None else kept[0]

    def get(self, key: K) -> V | None:
        """The value, and from now on the one used last."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        self._kept.move_to_end(key)
        return kept[0]

    def put(self, key: K, value: V, weight: int) -> None:
        """Keep a value, in place of the one before."""
        _, before = self._kept.pop(key, (None, 0))
        self._kept[key] = value, weight
        self.weight += weight - before
        while len(self._kept) > self._least and (
            self.weight > self.most
            or (self._entries is not None and len(self._kept) > self._entries)
        ):
            _, (_, gone) = self._kept.popitem(last=False)
            self.weight -= gone
