"""Deleting by filter: matched beside the writer, which looks again only if that is outdated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..deadline import Deadline
from ..filters import Node, parse_filter
from ..results import WriteResult
from ..storage.catalogue import CollectionRow
from ..storage.records import id_keys
from . import writes
from .batch import digest
from .filtering import make_test, scan_matching
from .group import Group
from .sharing import caller_text
from .store import Store, View


def delete_matching(
    store: Store,
    name: str,
    row: CollectionRow,
    filter: object,
    key: bytes | None,
    deadline: Deadline,
    tenant: str | None = None,
) -> Callable[[Group], WriteResult]:
    """The write that deletes the records that match ``filter``; ``key``: its idempotency key.

    As a tenant: of those that it owns.
    """
    node = parse_filter(filter, row.schema.fields)
    test = make_test(node, row)
    text = repr(node).encode()
    write = writes.make_write(
        row, deadline, key, lambda: digest(b"delete where", text), caller_text(tenant), tenant
    )
    seen, found = -1, []
    with store.view(name, with_snapshot=store.has_snapshot(name)) as view:
        if view.row.number == row.number:  # the name may have been given to another meanwhile
            seen = view.state.sequence
            found = _matching_keys(store, view, node, deadline)

    def apply(group: Group, state: Any) -> WriteResult:
        keys = found
        if state.sequence != seen:
            matching = scan_matching(group.transaction, row, test, deadline)
            keys = [key for key, _, _ in matching]
        return writes.delete(group, state, row, keys, tenant)

    return lambda group: write.run(group, apply)


def _matching_keys(store: Store, view: View, node: Node | None, deadline: Deadline) -> list[bytes]:
    """In the order of the ids, as a scan gives them."""
    snapshot, row, test = view.snapshot, view.row, make_test(node, view.row)
    if node is None or test is None or snapshot is None:
        return [key for key, _, _ in scan_matching(view.transaction, row, test, deadline)]
    origins = store.filters.matching_slots(
        view.transaction, row, view.state, node, deadline, snapshot
    )
    places = snapshot.places_of(origins)
    return sorted(id_keys(row.number, snapshot.ids_of(places))) if len(places) else []
