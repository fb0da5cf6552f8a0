"""The writes of a collection, as the writer thread runs them inside its transaction.

Each reads and checks first and changes afterwards, so one that is refused leaves no trace.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..deadline import Deadline
from ..errors import DeadlineExceeded, InvalidArgument, LimitExceeded, NotFound
from ..results import WriteResult
from ..storage import format
from ..storage.catalogue import CollectionRow, State, find_collection
from ..storage.idempotency import Answer, expire_answers, find_answer, put_answer
from ..storage.operations import put_delete, put_upsert
from ..storage.patches import drop_patches, put_patches
from ..storage.records import get_records, id_kind, pack_record
from .access import not_stored, plan_delete, plan_growth, plan_payloads, plan_upsert
from .arguments import check_key
from .batch import Batch, digest
from .conditions import Condition
from .group import Group
from .payload import merge_payload
from .sharing import SILENT, Sharing

_KIND_WORDS = {format.ID_INT: "integers", format.ID_STR: "strings"}
Recheck = Callable[[Mapping[str, str]], None]
_log = logging.getLogger("vecdb")


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """What all writes have: where to, until when, and under which idempotency key.

    ``recheck``: told the declared fields where they are not those that the write was checked
    against; raises if it does not fit them.
    """

    row: CollectionRow
    deadline: Deadline
    key: bytes | None
    digest: bytes
    recheck: Recheck = lambda fields: None

    def run(self, group: Group, apply: Callable[[Group, State], WriteResult]) -> WriteResult:
        """``apply`` once for each idempotency key; its answer again for a key that is known."""
        self.deadline.check("waiting to be written")
        state = group.state(self.row.number)
        if state is None:
            raise collection_gone(self.row.name)
        if self.key is None:
            self._check_fields(group)
            return apply(group, state)
        oldest_us = group.now_us - int(limits.IDEMPOTENCY_SECONDS * 1e6)
        known = find_answer(group.transaction, self.key, self.digest, oldest_us)
        if known is not None:
            return WriteResult(count=known.count, sequence=known.sequence, replayed=True)
        self._check_fields(group)
        result = apply(group, state)
        answer = Answer(count=result.count, sequence=result.sequence)
        put_answer(group.transaction, self.key, self.digest, answer, group.now_us)
        expire_answers(group.transaction, oldest_us)
        return result

    def _check_fields(self, group: Group) -> None:
        stored = find_collection(group.transaction, self.row.name)
        if stored is not None and stored.schema.fields != self.row.schema.fields:
            self.recheck(stored.schema.fields)


def make_write(
    row: CollectionRow,
    deadline: Deadline,
    key: bytes | None,
    content: Callable[[], bytes],
    condition: bytes = b"",
    tenant: str | None = None,
    recheck: Recheck = lambda fields: None,
) -> Write:
    """What a write has beside its records; ``content()`` is the digest of those.

    Each tenant has idempotency keys of its own: it meets, and hears of, no other's.
    """
    if key is None:
        return Write(row=row, deadline=deadline, key=None, digest=b"", recheck=recheck)
    checked = check_key(key)
    if tenant is not None:
        checked = digest(b"key of a tenant", tenant.encode(), checked)
    whole = digest(row.number.to_bytes(4, "little"), content(), condition)
    return Write(row=row, deadline=deadline, key=checked, digest=whole, recheck=recheck)


def result_of(future: Future[Any], deadline: Deadline, *, wait: bool) -> WriteResult:
    """What a queued write answers; at once, and without knowing, where ``wait`` is False."""
    if not wait:
        future.add_done_callback(_log_failure)
        return WriteResult(count=0, sequence=0)
    try:
        return cast(WriteResult, future.result(deadline.remaining))
    except TimeoutError:
        applied = not future.cancel()
        raise DeadlineExceeded(
            "the deadline passed before the write was synced",
            hint="Repeat it with its idempotency key" if applied else "Raise timeout",
            maybe_applied=applied,
        ) from None


def _log_failure(future: Future[Any]) -> None:
    error = None if future.cancelled() else future.exception()
    if error is not None:
        _log.warning("a write with wait=False failed: %s", error)


def upsert(
    group: Group,
    state: State,
    row: CollectionRow,
    batch: Batch,
    keys: Sequence[bytes],
    condition: Condition | None,
    sharing: Sharing = SILENT,
) -> WriteResult:
    """Store the records of ``batch`` (``keys``: of its ids) in new slots; retire their old ones."""
    transaction = group.transaction
    kind = id_kind(batch.ids)
    check_id_kind(state, kind, "ids")
    stored = get_records(transaction, keys)
    texts = batch.payloads or [b""] * len(keys)
    sizes = [len(text) for text in texts]
    edit = plan_upsert(group, row, sharing, keys, stored, state.next_slot, sizes)
    if condition is not None:
        condition.require(transaction, keys, stored)
    count = len(keys)
    retired = _slots_of(stored.values())
    sequence = group.next_sequence()
    operation = put_upsert(
        transaction,
        row.number,
        sequence,
        first_slot=state.next_slot,
        ids=batch.ids,
        vectors=batch.vectors,
        retired=retired,
    )
    drop_patches(transaction, row.number, retired)
    transaction.put_many(
        "records",
        [(key, pack_record(state.next_slot + i, sequence)) for i, key in enumerate(keys)],
    )
    for key, text in zip(keys, texts, strict=True):
        if not text and key in stored:
            transaction.delete("payloads", key)
    if batch.payloads is not None:
        pairs = zip(keys, batch.payloads, strict=True)
        transaction.put_many("payloads", [(key, text) for key, text in pairs if text])
    now = replace(
        _buried(state, retired),
        sequence=sequence,
        next_slot=state.next_slot + count,
        count=state.count + count - len(stored),
        id_kind=kind,
    )
    if edit is not None:
        edit.store(sequence)
    group.change(row, state, now, operation)
    return WriteResult(count=count, sequence=sequence)


def delete(
    group: Group,
    state: State,
    row: CollectionRow,
    keys: Sequence[bytes],
    tenant: str | None = None,
) -> WriteResult:
    """Delete those of the records that are stored; ``count`` tells how many.

    As a tenant: those that it owns; the others are passed over.
    """
    transaction = group.transaction
    stored, edit = plan_delete(group, row, get_records(transaction, keys), tenant)
    if not stored:
        return WriteResult(count=0, sequence=state.sequence)
    sequence = group.next_sequence()
    retired = _slots_of(stored.values())
    operation = put_delete(transaction, row.number, sequence, retired)
    drop_patches(transaction, row.number, retired)
    for key in sorted(stored):
        transaction.delete("records", key)
        transaction.delete("payloads", key)
    if edit is not None:
        edit.store(sequence)
    now = replace(_buried(state, retired), sequence=sequence, count=state.count - len(stored))
    group.change(row, state, now, operation)
    return WriteResult(count=len(stored), sequence=sequence)


def set_payload(
    group: Group,
    state: State,
    row: CollectionRow,
    keys: Sequence[bytes],
    patch: bytes,
    *,
    replace_all: bool,
    tenant: str | None = None,
) -> WriteResult:
    """Merge ``patch`` into the payload of each record, or put it in its place."""
    transaction = group.transaction
    stored = get_records(transaction, keys)
    accesses = plan_payloads(group, row, keys, stored, tenant)
    for place, key in enumerate(keys):
        if key not in stored:
            raise not_stored(place)
    payloads = [(key, patch) for key in keys]
    found: dict[bytes, bytes] = {}
    if not replace_all or accesses:
        found = transaction.get_many("payloads", keys)
    if not replace_all:
        payloads = [(key, merge_payload(found.get(key, b""), patch)) for key in keys]
        _check_sizes(payloads)
    directory = None
    if accesses:
        grown = {key: len(text) - len(found.get(key, b"")) for key, text in payloads}
        directory = plan_growth(group, row, accesses, grown)
    sequence = group.next_sequence()
    if directory is not None:
        directory.store()
    transaction.put_many("payloads", payloads)
    transaction.put_many(
        "records", [(key, pack_record(slot, sequence)) for key, (slot, _) in stored.items()]
    )
    put_patches(transaction, row.number, _slots_of(stored.values()), sequence)
    group.change(row, state, replace(state, sequence=sequence))
    return WriteResult(count=len(keys), sequence=sequence)


def check_id_kind(state: State, kind: int, field: str) -> None:
    """Raise ``InvalidArgument`` if the collection's ids are of the other kind."""
    if state.id_kind not in (format.ID_NONE, kind):
        raise InvalidArgument(
            f"{field} are {_KIND_WORDS[kind]}, but the ids of this collection are "
            f"{_KIND_WORDS[state.id_kind]}",
            field=field,
            reason="WRONG_ID_KIND",
            hint="The first write of a collection decides; they are never mixed",
        )


def is_as_checked(row: CollectionRow, checked: CollectionRow) -> bool:
    """Whether what was checked by the row ``checked`` holds for ``row``."""
    return row.number == checked.number and row.schema.fields == checked.schema.fields


def collection_gone(name: str, field: str = "name") -> NotFound:
    return NotFound(
        f"there is no collection or alias {name[:128]!r}",
        field=field,
        reason="NO_COLLECTION",
        hint="collections() lists what there is",
    )


def _slots_of(rows: Any) -> NDArray[np.uint64]:
    return np.array([slot for slot, _ in rows], np.uint64)


def _buried(state: State, retired: NDArray[np.uint64]) -> State:
    """The state after slots were retired: those below its first one lie in segments."""
    gone = int(np.count_nonzero(retired < state.first_slot))
    return replace(state, sealed=state.sealed - gone, buried=state.buried + gone)


def _check_sizes(payloads: Sequence[tuple[bytes, bytes]]) -> None:
    for place, (_, text) in enumerate(payloads):
        if len(text) > limits.PAYLOAD_BYTES:
            raise LimitExceeded(
                f"the merged payload of ids[{place}] has {len(text)} bytes, at most "
                f"{limits.PAYLOAD_BYTES} are stored; no payload was changed",
                field=f"ids[{place}]",
                limit=limits.PAYLOAD_BYTES,
                actual=len(text),
            )
