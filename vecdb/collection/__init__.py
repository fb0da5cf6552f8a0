"""What happens to the records of one collection: written, kept in a tail, found, read back?"""

from __future__ import annotations

from .collection import Collection
from .store import Clock, Store

__all__ = ["Clock", "Collection", "Store"]
