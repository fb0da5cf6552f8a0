"""Who has the records that a write touches: planned before its first change, stored with it.

A record's row in table ``access`` and the postings of its grant numbers say the same, and change
in the same transaction. Used by the writer thread only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..errors import NotFound, PermissionDenied
from ..storage import principals
from ..storage.catalogue import CollectionRow
from ..storage.format import DEAD
from ..storage.postings import edit_posting
from ..storage.principals import Access
from ..storage.transaction import Transaction
from .directory import Directory, open_directory
from .group import Group
from .sharing import Sharing

NOBODY = Access()
Stored = Mapping[bytes, tuple[int, int]]
"""key of a record -> its slot, and the sequence of its last write."""


class AccessEdit:
    """What one write changes of who has which records."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self._accesses: dict[bytes, Access] = {}
        self._added: defaultdict[int, list[int]] = defaultdict(list)
        self._removed: defaultdict[int, list[int]] = defaultdict(list)

    def change(
        self, key: bytes, old: int | None, new: int | None, before: Access, after: Access
    ) -> None:
        """A record moves from slot ``old`` (None: it is new) to ``new`` (None: it is deleted)."""
        if before != after:
            self._accesses[key] = after
        gone, come = set(before.numbers), set(after.numbers)
        if old == new:
            gone, come = gone - come, come - gone
        if old is not None:
            for number in gone:
                self._removed[number].append(old)
        if new is not None:
            for number in come:
                self._added[number].append(new)

    def store(self, sequence: int) -> None:
        """Write it all, as part of the write of that sequence."""
        directory = self.directory
        transaction, number = directory.transaction, directory.number
        directory.store()
        principals.put_accesses(transaction, self._accesses)
        for grant in sorted(self._added.keys() | self._removed.keys()):
            added = np.array(self._added.get(grant, ()), np.int64)
            removed = np.array(self._removed.get(grant, ()), np.int64)
            grown = edit_posting(transaction, number, grant, added, removed)
            if grown != len(added) - len(removed):
                raise AssertionError(f"the slots of grant number {grant} are not its records'")
            row = directory.grant(grant)
            last = row.sequence if row.kind == DEAD else sequence
            directory.put_grant(replace(row, count=row.count + grown, sequence=last))
        if self._added:
            transaction.adds = True


def plan_upsert(
    group: Group,
    row: CollectionRow,
    sharing: Sharing,
    keys: Sequence[bytes],
    stored: Stored,
    first_slot: int,
    payload_bytes: Sequence[int],
) -> AccessEdit | None:
    """``keys`` are given the slots from ``first_slot`` on; ``stored``: those that had others.

    None: nobody had one, and nobody is to. ``payload_bytes``: of each new payload.
    """
    directory = open_directory(group.transaction, row.number, group.now_us)
    if directory is None:
        if sharing.tenant is None and not any(sharing.lists or ()):
            return None
        directory = Directory(group.transaction, row.number, group.now_us)
    before = principals.get_accesses(group.transaction, list(stored))
    caller = None if sharing.tenant is None else directory.ensure(sharing.tenant)
    if caller is not None:
        for place, key in enumerate(keys):
            if key in stored and before.get(key, NOBODY).owner != caller.id:
                raise not_owner(f"ids[{place}]")
    edit = AccessEdit(directory)
    wanted = _Wanted(directory, sharing)
    old_bytes = owned_bytes(group.transaction, row, before)
    for place, (key, size_bytes) in enumerate(zip(keys, payload_bytes, strict=True)):
        old = before.get(key, NOBODY)
        new = wanted.of(place) if caller is None or key not in stored else old
        slot = stored[key][0] if key in stored else None
        edit.change(key, slot, first_slot + place, old, old if new is None else new)
        if old.owner:
            directory.use(old.owner, -1, -old_bytes[key])
        owner = old.owner if new is None else new.owner
        if owner:
            directory.use(owner, 1, row.schema.row_bytes + size_bytes)
    directory.check_quotas()
    return edit


class _Wanted:
    """The access that a write gives its records; None: what they have."""

    def __init__(self, directory: Directory, sharing: Sharing) -> None:
        self._sharing = sharing
        lists = sharing.lists
        if sharing.tenant is not None:
            lists = ((sharing.tenant,),)
        self._known: list[Access | None] = [None]
        if lists is not None:
            self._known = []
            for names in lists:
                who = [directory.ensure(name) for name in names]
                numbers = tuple(sorted(one.own for one in who))
                self._known.append(Access(owner=who[0].id if who else 0, numbers=numbers))

    def of(self, place: int) -> Access | None:
        places = self._sharing.places
        return self._known[0 if places is None else int(places[place])]


def plan_delete(
    group: Group, row: CollectionRow, stored: Stored, tenant: str | None
) -> tuple[Stored, AccessEdit | None]:
    """Which of the records go (as a tenant: those that it owns), and what that changes."""
    directory = open_directory(group.transaction, row.number, group.now_us)
    if directory is None:
        return ({} if tenant is not None else stored), None
    before = principals.get_accesses(group.transaction, list(stored))
    if tenant is not None:
        caller = directory.find(tenant)
        owner = 0 if caller is None else caller.id
        before = {key: one for key, one in before.items() if owner and one.owner == owner}
        stored = {key: stored[key] for key in before}
    edit = AccessEdit(directory)
    old_bytes = owned_bytes(group.transaction, row, before)
    for key, old in before.items():
        edit.change(key, stored[key][0], None, old, NOBODY)
        if old.owner:
            directory.use(old.owner, -1, -old_bytes[key])
    return stored, edit


def plan_payloads(
    group: Group,
    row: CollectionRow,
    keys: Sequence[bytes],
    stored: Stored,
    tenant: str | None,
) -> dict[bytes, Access] | None:
    """Who has each of the records; None: nobody has any.

    As a tenant: ``NotFound`` for a record that it does not see, and ``PermissionDenied`` for one
    that it does not own.
    """
    directory = open_directory(group.transaction, row.number, group.now_us)
    if directory is None and tenant is None:
        return None
    before = principals.get_accesses(group.transaction, list(stored))
    if tenant is not None:
        caller = None if directory is None else directory.find(tenant)
        numbers = set(() if caller is None else caller.numbers)
        for place, key in enumerate(keys):
            old = before.get(key, NOBODY)
            if key not in stored or numbers.isdisjoint(old.numbers):
                raise not_stored(place)
            if caller is None or old.owner != caller.id:
                raise not_owner(f"ids[{place}]")
    return before


def plan_growth(
    group: Group, row: CollectionRow, accesses: Mapping[bytes, Access], grown: Mapping[bytes, int]
) -> Directory:
    """The payloads of records have grown by so many bytes; ``LimitExceeded`` over a quota."""
    directory = Directory(group.transaction, row.number, group.now_us)
    for key, one in accesses.items():
        if one.owner:
            directory.use(one.owner, 0, grown[key])
    directory.check_quotas()
    return directory


def move_accesses(
    group: Group,
    row: CollectionRow,
    keys: Sequence[bytes],
    slots: Sequence[int],
    first_slot: int,
    sequence: int,
) -> None:
    """The records of ``slots`` were given those from ``first_slot`` on, and nothing else."""
    directory = open_directory(group.transaction, row.number, group.now_us)
    if directory is None:
        return
    known = principals.get_accesses(group.transaction, keys)
    edit = AccessEdit(directory)
    for place, (key, slot) in enumerate(zip(keys, slots, strict=True)):
        if key in known:
            edit.change(key, slot, first_slot + place, known[key], known[key])
    edit.store(sequence)


def not_stored(place: int) -> NotFound:
    return NotFound(f"ids[{place}] is not stored; no payload was changed", field=f"ids[{place}]")


def not_owner(field: str) -> PermissionDenied:
    return PermissionDenied(
        f"{field} is another's record: a tenant writes the records that it owns; nothing was "
        "applied",
        field=field,
        reason="NOT_OWNER",
        hint="Use an id of its own, or write without tenant",
    )


def owned_bytes(
    transaction: Transaction, row: CollectionRow, accesses: Mapping[bytes, Access]
) -> dict[bytes, int]:
    """What each record that somebody owns counts for: the bytes of its vector and payload."""
    owned = [key for key, one in accesses.items() if one.owner]
    payloads = transaction.get_many("payloads", owned) if owned else {}
    return {key: row.schema.row_bytes + len(payloads.get(key, b"")) for key in owned}
