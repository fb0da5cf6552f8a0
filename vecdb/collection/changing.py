"""Writes of checked arguments, as they are given to the writer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from .. import limits
from ..deadline import Deadline
from ..errors import InvalidArgument
from ..results import WriteResult
from ..storage.catalogue import CollectionRow, State
from ..storage.records import Ids, id_keys, id_kind
from . import writes
from .batch import Batch, check_ids, digest, ids_bytes
from .conditions import Condition, parse_condition, require_same_fields
from .group import Group
from .payload import check_stored_payload, encode_payload
from .sharing import SILENT, Sharing, caller_text

_RECORD_BYTES = 64

Run = Callable[[Group], WriteResult]


def upsert_batch(
    row: CollectionRow,
    batch: Batch,
    condition: Mapping[str, Any] | None,
    key: bytes | None,
    deadline: Deadline,
    sharing: Sharing = SILENT,
) -> Run:
    """Store the records; ``key``: the write's idempotency key."""
    keys = id_keys(row.number, batch.ids)
    checked = parse_condition(condition, row.schema.fields)
    text = b"" if checked is None else checked.text
    write = writes.make_write(
        row,
        deadline,
        key,
        batch.digest,
        text + sharing.text(),
        tenant=sharing.tenant,
        recheck=partial(_check_batch, row.schema.fields, batch, checked),
    )

    def apply(group: Group, state: State) -> WriteResult:
        return writes.upsert(group, state, row, batch, keys, checked, sharing)

    return lambda group: write.run(group, apply)


def _check_batch(
    before: Mapping[str, str], batch: Batch, condition: Condition | None, now: Mapping[str, str]
) -> None:
    """Raise where what was checked against the fields ``before`` does not fit those of ``now``."""
    if condition is not None:
        require_same_fields(condition.fields, before, now)
    new = {name: kind for name, kind in now.items() if before.get(name) != kind}
    if new:
        for place, text in enumerate(batch.payloads or ()):
            check_stored_payload(text, new, f"payloads[{place}]")


def set_payloads(
    row: CollectionRow,
    ids: Ids,
    payload: Mapping[str, Any] | bytes | None,
    replace: bool,
    key: bytes | None,
    deadline: Deadline,
    tenant: str | None = None,
) -> tuple[Run, int]:
    """Merge ``payload`` into those of these records, or replace them; and the bytes it takes."""
    patch = encode_payload(payload, row.schema.fields, "payload")
    if not patch:
        got = "None" if payload is None else "no text"
        raise InvalidArgument(f"payload must be a JSON object (a dict); got {got}", field="payload")
    keys = id_keys(row.number, ids)
    word = b"replace" if replace else b"merge"
    caller = caller_text(tenant)
    write = writes.make_write(
        row,
        deadline,
        key,
        lambda: digest(word, ids_bytes(ids), patch),
        caller,
        tenant=tenant,
        recheck=lambda now: check_stored_payload(patch, now, "payload"),
    )

    def apply(group: Group, state: State) -> WriteResult:
        writes.check_id_kind(state, id_kind(ids), "ids")
        return writes.set_payload(
            group, state, row, keys, patch, replace_all=replace, tenant=tenant
        )

    return lambda group: write.run(group, apply), len(keys) * (_RECORD_BYTES + len(patch))


def delete_ids(
    row: CollectionRow,
    ids: object,
    key: bytes | None,
    deadline: Deadline,
    tenant: str | None = None,
) -> tuple[Run, int]:
    """Delete the records of these ids, those that are stored; and the bytes it takes.

    As a tenant: those that it owns.
    """
    checked = check_ids(ids, limits.BATCH_RECORDS)
    keys = sorted(set(id_keys(row.number, checked)))
    caller = caller_text(tenant)
    write = writes.make_write(
        row, deadline, key, lambda: digest(b"delete", ids_bytes(checked)), caller, tenant
    )

    def apply(group: Group, state: State) -> WriteResult:
        writes.check_id_kind(state, id_kind(checked), "ids")
        return writes.delete(group, state, row, keys, tenant)

    return lambda group: write.run(group, apply), _RECORD_BYTES * len(keys)
