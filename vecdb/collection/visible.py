"""What a tenant sees: the one place where a call's tenant becomes a set of records.

Every read goes through here, with or without a filter. Sets are kept by grant number and by the
write that changed it last, so they are right for any commit, in any process.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..deadline import Deadline
from ..filters import EVERYTHING, Node
from ..storage.format import DEAD
from ..storage.postings import read_posting, slots_of
from ..storage.principals import Grant, find_principal, get_accesses, get_grant
from ..storage.transaction import Transaction
from .bounded import Bounded

if TYPE_CHECKING:
    from .store import Store, View

_CACHE_ENTRIES = 4_096
_CACHE_SLOTS = 16 * 1024 * 1024

Origins = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Kept:
    """A set, and those that it is what they have in common; held, so that they are known again."""

    origins: Origins
    parts: tuple[Origins, ...] = ()


class VisibleCache:
    """The sets of recent callers. Safe for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Guarded by self._lock.
        self._kept = Bounded[Hashable, _Kept](_CACHE_SLOTS, entries=_CACHE_ENTRIES)

    def of(self, transaction: Transaction, number: int, tenant: str) -> Origins:
        """Origins of the records that the tenant sees, ascending; none for an unknown one.

        - ``number``: of the collection
        """
        grants = grants_of(transaction, number, tenant)
        key = (number, *((one.number, one.sequence) for one in grants))
        kept = self._get(key)
        if kept is not None:
            return kept.origins
        bitmap = None
        for one in grants:
            some = read_posting(transaction, number, one.number)
            bitmap = some if bitmap is None else bitmap | some
        found = np.empty(0, np.int64) if bitmap is None else slots_of(bitmap)
        return self._keep(key, _Kept(found))

    def meet(self, some: Origins, others: Origins) -> Origins:
        """What is in both, ascending."""
        key = ("both", id(some), id(others))
        kept = self._get(key)
        if kept is not None and kept.parts[0] is some and kept.parts[1] is others:
            return kept.origins
        found = intersect(some, others)
        found.flags.writeable = False
        return self._keep(key, _Kept(found, (some, others)))

    def _get(self, key: Hashable) -> _Kept | None:
        with self._lock:
            return self._kept.get(key)

    def _keep(self, key: Hashable, kept: _Kept) -> Origins:
        with self._lock:
            self._kept.put(key, kept, len(kept.origins))
        return kept.origins


def visible_origins(
    store: Store, view: View, tenant: str | None, node: Node | None, deadline: Deadline
) -> Origins | None:
    """Origins of the records that a caller sees and that match a filter; None: all records."""
    visible = None
    if tenant is not None:
        visible = store.visible.of(view.transaction, view.row.number, tenant)
        if not len(visible):
            return visible
    if node is None or node == EVERYTHING:
        return visible
    matching = store.filters.matching_slots(
        view.transaction, view.row, view.state, node, deadline, view.snapshot
    )
    return matching if visible is None else store.visible.meet(visible, matching)


def grants_of(transaction: Transaction, number: int, tenant: str) -> list[Grant]:
    """The numbers that a tenant sees by, in order; no record has two of them."""
    found = find_principal(transaction, number, tenant)
    if found is None:
        return []
    grants = [get_grant(transaction, number, one) for one in sorted(found.numbers)]
    return [one for one in grants if one.kind != DEAD]


def count_visible(transaction: Transaction, number: int, tenant: str) -> int:
    """How many records a tenant sees."""
    return sum(one.count for one in grants_of(transaction, number, tenant))


class KeyTest:
    """Whether a tenant sees the record of a key, by the record's own row."""

    def __init__(self, transaction: Transaction, number: int, tenant: str) -> None:
        self._transaction = transaction
        self._numbers = {one.number for one in grants_of(transaction, number, tenant)}

    def of(self, keys: Sequence[bytes]) -> set[bytes]:
        """Those of ``keys`` that it sees."""
        accesses = get_accesses(self._transaction, list(keys)) if self._numbers else {}
        return {key for key, one in accesses.items() if not self._numbers.isdisjoint(one.numbers)}


def intersect(some: Origins, others: Origins) -> Origins:
    """What is in both; each ascending, without repeats."""
    if len(some) > len(others):
        some, others = others, some
    if not len(some):
        return np.empty(0, np.int64)
    at = np.searchsorted(others, some)
    at[at == len(others)] = 0
    found: Origins = some[others[at] == some]
    return found
