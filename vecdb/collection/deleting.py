"""Deleting by filter: matched beside the writer, which looks again only if that is outdated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..deadline import Deadline
from ..filters import parse_filter
from ..results import WriteResult
from ..storage.catalogue import CollectionRow
from . import writes
from .batch import digest
from .filtering import make_test, scan_matching
from .group import Group
from .store import Store


def delete_matching(
    store: Store,
    name: str,
    row: CollectionRow,
    filter: object,
    key: bytes | None,
    deadline: Deadline,
) -> Callable[[Group], WriteResult]:
    """The write that deletes the records that match ``filter``; ``key``: its idempotency key."""
    node = parse_filter(filter, row.schema.fields)
    test = make_test(node, row)
    text = repr(node).encode()
    write = writes.make_write(row, deadline, key, lambda: digest(b"delete where", text))
    seen, found = -1, []
    with store.view(name) as view:
        if view.row.number == row.number:  # the name may have been given to another meanwhile
            seen = view.state.sequence
            matching = scan_matching(view.transaction, row, test, deadline)
            found = [key for key, _, _ in matching]

    def apply(group: Group, state: Any) -> WriteResult:
        keys = found
        if state.sequence != seen:
            matching = scan_matching(group.transaction, row, test, deadline)
            keys = [key for key, _, _ in matching]
        return writes.delete(group, state, row, keys)

    return lambda group: write.run(group, apply)
