"""What the groups of a collection's methods have in common: its store and its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from .store import Store

IdsLike = Sequence[int] | Sequence[str] | NDArray[Any]
Filter = object
"""An expression of ``F``, the dict form, anything with ``to_dict()``, or None."""


class Handle:
    """A collection by its name or an alias; cheap, and safe for any thread."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self.name = name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"
