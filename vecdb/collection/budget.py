"""Changing the memory budget of a collection."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any

from ..deadline import Deadline
from ..errors import DeadlineExceeded
from ..schema import check_budget
from ..storage.catalogue import CollectionRow, find_collection, replace_schema
from .group import Group
from .store import Store
from .writes import collection_gone

_WRITE_BYTES = 1_024


def set_budget(store: Store, row: CollectionRow, budget: object, deadline: Deadline) -> None:
    """Returns when it is durable; segments are rewritten for it in the background."""
    checked = check_budget(budget)
    deadline.check("setting the memory budget")
    future: Future[Any] = store.submit(partial(_write, row=row, budget=checked), _WRITE_BYTES)
    try:
        future.result(deadline.remaining)
    except TimeoutError:
        raise DeadlineExceeded(
            "the deadline passed before the budget was written; it may be yet",
            hint="Raise timeout, or look at describe()",
        ) from None
    store.lay_out(row)


def _write(group: Group, *, row: CollectionRow, budget: int | None) -> None:
    stored = find_collection(group.transaction, row.name)
    if stored is None or stored.number != row.number:
        raise collection_gone(row.name)
    replace_schema(group.transaction, stored, replace(stored.schema, memory_budget=budget))
