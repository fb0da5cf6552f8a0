"""Records read back: by id, in the order of their ids, or only counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..deadline import Deadline
from ..errors import InvalidArgument, StorageError
from ..filters import EVERYTHING, Node, parse_filter
from ..results import CollectionInfo, Records
from ..storage import format
from ..storage.catalogue import CollectionRow, State, scan_aliases
from ..storage.manifest import SegmentRow, scan_segments
from ..storage.records import Ids, get_records, id_keys, id_kind, ids_of_keys
from ..storage.transaction import Transaction
from .batch import check_ids
from .cleaning import dead_rows
from .filtering import make_test, scan_matching
from .levels import Plan, add_sizes, choose_level, sizes_of
from .memory import measure_memory
from .snapshot import Snapshot
from .store import Store, View
from .visible import KeyTest, count_visible, visible_origins
from .writes import check_id_kind, is_as_checked

_SCAN_RECORDS = 1_024
_SET_SHARE = 16
"""Who sees less than this part of the records has its own looked up, rather than all of them."""
_KIND_NAMES = {format.ID_NONE: None, format.ID_INT: "int", format.ID_STR: "str"}


def get(
    store: Store,
    name: str,
    ids: Ids,
    *,
    tenant: str | None,
    with_payload: bool,
    with_vector: bool,
) -> Records:
    """The records of ``ids``, in that order; those not stored, or not seen, are ``missing``."""
    with store.view(name, with_snapshot=with_vector) as view:
        check_id_kind(view.state, id_kind(ids), "ids")
        keys = id_keys(view.row.number, ids)
        stored = get_records(view.transaction, list(set(keys)))
        if tenant is not None:
            seen = KeyTest(view.transaction, view.row.number, tenant).of(list(stored))
            stored = {key: stored[key] for key in seen}
        present = [place for place, key in enumerate(keys) if key in stored]
        absent = [place for place, key in enumerate(keys) if key not in stored]
        found = [(keys[place], *stored[keys[place]]) for place in present]
        return records_of(
            view,
            found,
            _take(ids, present),
            with_payload=with_payload,
            with_vector=with_vector,
            missing=_take(ids, absent),
        )


def scroll(
    store: Store,
    name: str,
    filter: object,
    after: object,
    limit: int,
    *,
    tenant: str | None,
    with_payload: bool,
    with_vector: bool,
    deadline: Deadline,
) -> Records:
    """The next ``limit`` matching records behind the id ``after``."""
    loaded = tenant is not None and store.has_snapshot(name)
    with _filtered(store, name, filter, with_snapshot=with_vector or loaded) as (view, node):
        start = None if after is None else _key_behind(view, after)
        matching = _scan(store, view, tenant, node, deadline, start)
        found = list(islice(matching, limit + 1))
        page = found[:limit]
        ids = ids_of_keys([key for key, _, _ in page], view.state.id_kind)
        more = len(found) > limit
        return records_of(
            view,
            page,
            ids,
            with_payload=with_payload,
            with_vector=with_vector,
            next=_last(ids) if more else None,
        )


def _scan(
    store: Store,
    view: View,
    tenant: str | None,
    node: Node | None,
    deadline: Deadline,
    start: bytes | None,
) -> Iterator[tuple[bytes, int, int]]:
    """(key, slot, sequence) of what a caller sees and what matches, by id, from ``start`` on."""
    test = make_test(node, view.row)
    if tenant is None:
        return scan_matching(view.transaction, view.row, test, deadline, start)
    most = view.state.count // _SET_SHARE
    if view.snapshot is None or count_visible(view.transaction, view.row.number, tenant) > most:
        matching = scan_matching(view.transaction, view.row, test, deadline, start)
        return _only_seen(view, tenant, matching)
    origins = visible_origins(store, view, tenant, node, deadline)
    if origins is None:
        raise AssertionError("a tenant sees a set of records")
    return _scan_set(view, view.snapshot, origins, start)


def _only_seen(
    view: View, tenant: str, matching: Iterator[tuple[bytes, int, int]]
) -> Iterator[tuple[bytes, int, int]]:
    """Of records by id, those that a tenant sees."""
    test = KeyTest(view.transaction, view.row.number, tenant)
    while some := list(islice(matching, _SCAN_RECORDS)):
        seen = test.of([key for key, _, _ in some])
        yield from (one for one in some if one[0] in seen)


def _scan_set(
    view: View, snapshot: Snapshot, origins: NDArray[np.int64], start: bytes | None
) -> Iterator[tuple[bytes, int, int]]:
    """The records of ``origins`` by id: at the cost of their number, not of the collection's."""
    if not len(origins):
        return
    keys = id_keys(view.row.number, snapshot.ids_of(snapshot.places_of(origins)))
    keys = sorted(key for key in keys if start is None or key >= start)
    for at in range(0, len(keys), _SCAN_RECORDS):
        some = keys[at : at + _SCAN_RECORDS]
        stored = get_records(view.transaction, some)
        yield from ((key, *stored[key]) for key in some)


@contextmanager
def _filtered(
    store: Store, name: str, filter: object, *, with_snapshot: bool
) -> Iterator[tuple[View, Node | None]]:
    """A view, and the filter as its collection's fields have it.

    It is checked before the view: it may be an object of the caller's, whose code must not run
    inside a transaction.
    """
    while True:
        row = store.row(name)
        node = parse_filter(filter, row.schema.fields)
        with store.view(name, with_snapshot=with_snapshot) as view:
            if is_as_checked(view.row, row):
                yield view, node
                return


def count(store: Store, name: str, tenant: str | None, filter: object, deadline: Deadline) -> int:
    with _filtered(store, name, filter, with_snapshot=store.has_snapshot(name)) as (view, node):
        if tenant is not None and (node is None or node == EVERYTHING):
            return count_visible(view.transaction, view.row.number, tenant)
        origins = visible_origins(store, view, tenant, node, deadline)
        return view.state.count if origins is None else len(origins)


def describe(
    store: Store, transaction: Transaction, row: CollectionRow, state: State
) -> CollectionInfo:
    aliases = tuple(alias for alias, target in scan_aliases(transaction) if target == row.name)
    segments = scan_segments(transaction, row.number)
    plan = _plan(store, row, segments)
    return CollectionInfo(
        name=row.name,
        dim=row.schema.dim,
        metric=row.schema.metric,
        dtype=row.schema.dtype,
        fields=dict(row.schema.fields),
        id_kind=_KIND_NAMES[state.id_kind],
        count=state.count,
        sequence=state.sequence,
        aliases=aliases,
        code_bits=row.schema.code_bits,
        page_bytes=row.schema.page_bytes,
        memory_budget=row.schema.memory_budget,
        level="" if plan is None else plan.level,
        level_reason="" if plan is None else plan.why,
        segments=len(segments),
        tail=state.count - state.sealed,
        sealing=_sealing(store, row),
    )


def stats(
    store: Store, transaction: Transaction, row: CollectionRow, state: State
) -> dict[str, Any]:
    """Counters and sizes; memory is 0 bytes until something asks for the vectors."""
    live = store.live_of(row)
    snapshot = None if live is None else live.loaded
    segments = scan_segments(transaction, row.number)
    return {
        "count": state.count,
        "sequence": state.sequence,
        "tail": state.count - state.sealed,
        "segments": [
            {"uuid": str(one.uuid), "slots": one.count, "sequence": one.sequence}
            for one in segments
        ],
        "dead_rows": dead_rows(state),
        "sealing": _sealing(store, row),
        "vector_bytes": state.count * row.schema.row_bytes,
        "memory_bytes": measure_memory(snapshot, 0 if live is None else live.residence.cache_bytes),
        "memory": None if live is None else live.residence.stats(),
        "searches": None if live is None else live.residence.totals.values(),
        "io_engine": store.io_engine,
    }


def _plan(store: Store, row: CollectionRow, segments: Sequence[SegmentRow]) -> Plan | None:
    """The level that the budget gives these segments; None: one of them cannot be read."""
    try:
        infos = [store.segments.info(one) for one in segments]
    except StorageError:  # a search says so, and `vecdb check`
        return None
    sizes = [sizes_of(info) for info in infos if info is not None]
    return choose_level(row.schema.memory_budget, add_sizes(sizes)) if None not in infos else None


def _sealing(store: Store, row: CollectionRow) -> str:
    return "" if store.sealer is None else store.sealer.progress_of(row.number)


def _key_behind(view: View, after: object) -> bytes:
    """The first key that comes after that of the id ``after``."""
    try:
        ids = check_ids([after], 1, "after")
    except InvalidArgument:
        raise InvalidArgument(
            f"after must be one id, an integer of 64 bits or a string; got {type(after).__name__}",
            field="after",
        ) from None
    check_id_kind(view.state, id_kind(ids), "after")
    return id_keys(view.row.number, ids)[0] + b"\0"


def records_of(
    view: View,
    found: Sequence[tuple[bytes, int, int]],
    ids: Ids,
    *,
    with_payload: bool,
    with_vector: bool,
    missing: Ids | None = None,
    next: Any = None,
) -> Records:
    """``found``: (key, slot, sequence) of each of ``ids``."""
    texts: list[bytes] | None = None
    if with_payload:
        keys = [key for key, _, _ in found]
        stored = view.transaction.get_many("payloads", list(set(keys)))
        texts = [stored.get(key, b"") for key in keys]
    vectors: NDArray[Any] | None = None
    if with_vector and view.snapshot is not None:
        origins = np.array([slot for _, slot, _ in found], np.int64)
        vectors = view.snapshot.vectors_of(view.snapshot.places_of(origins))
    return Records(
        ids=ids,
        sequences=np.array([sequence for _, _, sequence in found], np.int64),
        payload_bytes=texts,
        vectors=vectors,
        missing=[] if missing is None else missing,
        next=next,
    )


def _take(ids: Ids, places: list[int]) -> Ids:
    return [ids[place] for place in places] if isinstance(ids, list) else ids[places]


def _last(ids: Ids) -> int | str:
    return ids[-1] if isinstance(ids, list) else int(ids[-1])
