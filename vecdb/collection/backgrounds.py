"""The background of scores of each collection, decoded once for each manifest."""

from __future__ import annotations

import threading
from collections import OrderedDict

from ..quantize.score import Background
from ..storage.catalogue import CollectionRow, State
from ..storage.manifest import get_background
from ..storage.transaction import Transaction

_ENTRIES = 64


class Backgrounds:
    """Safe for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Guarded by self._lock; oldest use first. Keys: collection's number, manifest.
        self._known: OrderedDict[tuple[int, int], Background | None] = OrderedDict()

    def get(self, transaction: Transaction, row: CollectionRow, state: State) -> Background | None:
        """None: the collection was too small when it was last sealed or compacted, or never was."""
        key = row.number, state.manifest
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        data = get_background(transaction, row.number)
        background = None if data is None else Background.from_bytes(data)
        with self._lock:
            self._known[key] = background
            while len(self._known) > _ENTRIES:
                self._known.popitem(last=False)
        return background
