"""Deleting by filter: matched beside the writer, which looks again only if that is outdated.

And what a delete would take, told without writing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .. import limits
from ..deadline import Deadline
from ..filters import Node, fields_of, parse_filter
from ..results import WriteResult
from ..storage.catalogue import CollectionRow
from ..storage.principals import find_principal, get_accesses
from ..storage.records import get_records, id_keys, id_kind
from . import writes
from .batch import check_ids, digest
from .conditions import require_same_fields
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
    used = frozenset() if node is None else fields_of(node)
    write = writes.make_write(
        row,
        deadline,
        key,
        lambda: digest(b"delete where", text),
        caller_text(tenant),
        tenant=tenant,
        recheck=partial(require_same_fields, used, row.schema.fields),
    )
    seen, found = -1, []
    with store.view(name, with_snapshot=store.has_snapshot(name)) as view:
        # The name may have been given to another meanwhile, or the fields have changed.
        if writes.is_as_checked(view.row, row):
            seen = view.state.sequence
            found = _matching_keys(store, view, node, deadline)

    def apply(group: Group, state: Any) -> WriteResult:
        keys = found
        if state.sequence != seen:
            matching = scan_matching(group.transaction, row, test, deadline)
            keys = [key for key, _, _ in matching]
        return writes.delete(group, state, row, keys, tenant)

    return lambda group: write.run(group, apply)


def count_deletable(
    store: Store,
    name: str,
    row: CollectionRow,
    ids: object,
    filter: object,
    deadline: Deadline,
    tenant: str | None = None,
) -> WriteResult | None:
    """What a delete of ``ids``, or of what ``filter`` matches, would answer; nothing is written.

    None: the name has been given to another collection meanwhile, or the fields have changed.
    """
    checked = None if ids is None else check_ids(ids, limits.BATCH_RECORDS)
    node = None if checked is not None else parse_filter(filter, row.schema.fields)
    deadline.check("counting records")
    with store.view(name, with_snapshot=store.has_snapshot(name)) as view:
        if not writes.is_as_checked(view.row, row):
            return None
        if checked is None:
            keys = _matching_keys(store, view, node, deadline)
        else:
            writes.check_id_kind(view.state, id_kind(checked), "ids")
            keys = list(get_records(view.transaction, list(set(id_keys(row.number, checked)))))
        count = len(keys) if tenant is None else _count_owned(view, keys, tenant)
        return WriteResult(count=count, sequence=view.state.sequence)


def _count_owned(view: View, keys: list[bytes], tenant: str) -> int:
    """How many of these records the tenant owns."""
    caller = find_principal(view.transaction, view.row.number, tenant)
    if caller is None:
        return 0
    accesses = get_accesses(view.transaction, keys)
    return sum(one.owner == caller.id for one in accesses.values())


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
