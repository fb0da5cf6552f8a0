"""Declaring a field when there are records already, and taking a declaration back.

Payloads are checked against the field beside the writer, part by part. Only then the writer looks
at what was written meanwhile, and declares it in the same transaction: so every payload of every
commit fits the fields that the commit declares. A write that was checked against other fields than
it finds is checked again by the writer (``writes.Write``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..deadline import Deadline
from ..errors import AlreadyExists, DeadlineExceeded, NotFound, PreconditionFailed, VecDBError
from ..filters import check_field_value
from ..schema import check_field
from ..storage.catalogue import (
    CollectionRow,
    State,
    find_collection,
    get_state,
    put_columns_due,
    replace_schema,
)
from ..storage.format import NUMBER
from ..storage.operations import scan_operations
from ..storage.patches import scan_patches
from ..storage.records import id_keys, ids_of_keys, unpack_record
from ..storage.transaction import Transaction
from .group import Group
from .payload import decode_payload
from .store import Store
from .writes import collection_gone

_WRITE_BYTES = 1_024
_PART_RECORDS = 8_192
_TRIES = 5
_SHOWN = 60


def add_field(store: Store, row: CollectionRow, name: str, kind: str, deadline: Deadline) -> None:
    """Returns when it is durable and may be used; columns are made in the background.

    The same field again changes nothing; of another type it is ``AlreadyExists``.
    """
    check_field(name, kind, "name", "type")
    declaration = _Declaration(row=row, name=name, kind=kind, deadline=deadline)
    if declaration.is_there(row):
        return
    seen = declaration.check_all(store)
    for attempt in range(_TRIES):
        try:
            _submit(store, declaration.run(seen, thorough=attempt == _TRIES - 1), deadline)
        except _Overtaken:
            seen = declaration.check_since(store, seen)
        else:
            return


def drop_field(store: Store, row: CollectionRow, name: str, deadline: Deadline) -> None:
    """Returns when it is durable. Payloads keep their values."""
    _submit(store, _Drop(row, name), deadline)


def _submit(store: Store, run: Any, deadline: Deadline) -> None:
    deadline.check("changing the declared fields")
    future = store.submit(run, _WRITE_BYTES)
    try:
        future.result(deadline.remaining)
    except TimeoutError:
        raise DeadlineExceeded(
            "the deadline passed before the fields were changed; they may be yet",
            hint="Raise timeout, or look at describe()",
            maybe_applied=not future.cancel(),
        ) from None


class _Overtaken(Exception):
    """Too much was written meanwhile to be checked by the writer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declaration:
    """A field to be declared."""

    row: CollectionRow
    name: str
    kind: str
    deadline: Deadline

    def is_there(self, row: CollectionRow) -> bool:
        known = row.schema.fields.get(self.name)
        if known not in (None, self.kind):
            raise AlreadyExists(
                f"field {self.name!r} is declared already, as {known}",
                field="name",
                hint="drop_field first, then declare it as another type",
            )
        return known == self.kind

    # ------------------------------------------------------------------- beside the writer

    def check_all(self, store: Store) -> int:
        """Check every payload; the sequence from which on changes have not been seen.

        In several transactions: a long one would keep the file from growing.
        """
        seen: int | None = None
        start: bytes | None = None
        while True:
            with store.environment.read() as transaction:
                state = self._state(transaction)
                seen = state.sequence if seen is None else seen
                scan = transaction.scan("payloads", NUMBER.pack(self.row.number), start)
                part = [pair for pair, _ in zip(scan, range(_PART_RECORDS), strict=False)]
            self.deadline.check("checking records against the field")
            self._check(part, state)
            if len(part) < _PART_RECORDS:
                return seen
            start = part[-1][0] + b"\0"

    def check_since(self, store: Store, seen: int) -> int:
        """The same for what has changed since ``seen``."""
        self.deadline.check("checking records against the field")
        with store.environment.read() as transaction:
            state = self._state(transaction)
            self._check_keys(transaction, state, self._changed_records(transaction, seen))
        return state.sequence

    def _state(self, transaction: Transaction) -> State:
        state = get_state(transaction, self.row.number)
        if state is None:
            raise collection_gone(self.row.name)
        return state

    # ---------------------------------------------------------------------- in the writer

    def run(self, seen: int, *, thorough: bool) -> _Declare:
        return _Declare(self, seen, thorough)

    def changed_keys(self, transaction: Transaction, state: State, seen: int) -> list[bytes]:
        """Keys of what has changed since ``seen``, where that is quick; else ``_Overtaken``."""
        number = self.row.number
        if state.sequence == seen:
            return []
        patches = scan_patches(transaction, number)
        if state.trimmed > seen or (len(patches) and int(patches.sequences.max()) > seen):
            raise _Overtaken
        keys: list[bytes] = []
        for operation in scan_operations(transaction, number, self.row.schema, seen):
            keys += id_keys(number, operation.ids)
            if len(keys) > _PART_RECORDS:
                raise _Overtaken
        return keys

    def _changed_records(self, transaction: Transaction, seen: int) -> Iterator[bytes]:
        for key, value in transaction.scan("records", NUMBER.pack(self.row.number)):
            if unpack_record(key, value)[1] > seen:
                yield key

    def check_changed(
        self, transaction: Transaction, state: State, seen: int, *, thorough: bool
    ) -> None:
        if thorough:
            self._check_keys(transaction, state, self._changed_records(transaction, seen))
        else:
            keys = self.changed_keys(transaction, state, seen)
            self._check_keys(transaction, state, keys)

    # ----------------------------------------------------------------------------- payloads

    def _check_keys(self, transaction: Transaction, state: State, keys: Iterable[bytes]) -> None:
        stored = transaction.get_many("payloads", list(keys))
        self._check(sorted(stored.items()), state)

    def _check(self, payloads: Iterable[tuple[bytes, bytes]], state: State) -> None:
        word = self.name.encode()
        for key, text in payloads:
            if word not in text and b"\\" not in text:
                continue  # nor in another spelling of JSON
            payload = decode_payload(text) or {}
            if self.name not in payload:
                continue
            value = payload[self.name]
            try:
                check_field_value(value, self.kind, self.name)
            except VecDBError as error:
                raise self._unfit(key, state, value, error) from None

    def _unfit(
        self, key: bytes, state: State, value: object, error: VecDBError
    ) -> PreconditionFailed:
        (id,) = ids_of_keys([key], state.id_kind)
        shown = repr(value)
        shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "..."
        told = id if isinstance(id, str) else int(id)
        return PreconditionFailed(
            f"record {told!r} has {shown} in {self.name!r}, which does not fit the type "
            f"{self.kind} ({error.message}); the field was not declared",
            field="type",
            reason="UNFIT_RECORD",
            hint="Change or delete such records, or declare another type",
        )


@dataclass(frozen=True, slots=True)
class _Declare:
    """The write that declares it."""

    declaration: _Declaration
    seen: int
    thorough: bool

    def __call__(self, group: Group) -> None:
        one, transaction = self.declaration, group.transaction
        stored = _stored(group, one.row)
        if one.is_there(stored):
            return
        fields = {**stored.schema.fields, one.name: one.kind}
        schema = replace(stored.schema, fields=fields)  # which counts them
        state = group.state(one.row.number)
        if state is None:
            raise collection_gone(one.row.name)
        one.check_changed(transaction, state, self.seen, thorough=self.thorough)
        replace_schema(transaction, stored, schema)
        put_columns_due(transaction, one.row.number)


@dataclass(frozen=True, slots=True)
class _Drop:
    """The write that takes a declaration back."""

    row: CollectionRow
    name: str

    def __call__(self, group: Group) -> None:
        stored = _stored(group, self.row)
        if self.name not in stored.schema.fields:
            raise NotFound(
                f"there is no declared field {str(self.name)[:128]!r}",
                field="name",
                reason="NO_FIELD",
                hint="describe() lists them",
            )
        fields = {name: kind for name, kind in stored.schema.fields.items() if name != self.name}
        replace_schema(group.transaction, stored, replace(stored.schema, fields=fields))


def _stored(group: Group, row: CollectionRow) -> CollectionRow:
    stored = find_collection(group.transaction, row.name)
    if stored is None or stored.number != row.number:
        raise collection_gone(row.name)
    return stored
