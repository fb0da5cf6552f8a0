"""Grants, revocations, copies, quotas and ends of tenants, as writes of one transaction each.

None of them touches a record, so what is known of the records stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from .. import limits
from ..errors import AlreadyExists, LimitExceeded
from ..results import WriteResult
from ..storage import principals
from ..storage.catalogue import CollectionRow, State
from ..storage.format import DEAD, FROZEN, NUMBER
from ..storage.principals import Access, Grant, Principal
from ..storage.records import get_records
from .access import NOBODY, AccessEdit, owned_bytes
from .directory import Directory
from .group import Group, TenantSweep
from .sharing import Names
from .writes import delete

_STEP_RECORDS = 2_048
"""Records that one step of a sweep looks at."""


def grant(
    group: Group, state: State, row: CollectionRow, keys: Sequence[bytes], names: Names
) -> WriteResult:
    """Let tenants see records; ``count``: of those that one of them did not see before."""
    directory = Directory(group.transaction, row.number, group.now_us)
    tenants = [directory.ensure(name) for name in names]
    return _change(group, state, row, keys, directory, [_Grant(one) for one in tenants])


def revoke(
    group: Group, state: State, row: CollectionRow, keys: Sequence[bytes], names: Names
) -> WriteResult:
    """Let tenants see records no more; ``count``: of those that one of them saw.

    The owner of a record that may not see it any more owns it no more either.
    """
    directory = Directory(group.transaction, row.number, group.now_us)
    tenants = [directory.require(name, "tenants") for name in names]
    return _change(group, state, row, keys, directory, [_Revoke(directory, t) for t in tenants])


class _Grant:
    def __init__(self, tenant: Principal) -> None:
        self._own, self._numbers = tenant.own, frozenset(tenant.numbers)

    def apply(self, access: Access) -> Access:
        if not self._numbers.isdisjoint(access.numbers):
            return access
        return replace(access, numbers=tuple(sorted((*access.numbers, self._own))))


class _Revoke:
    def __init__(self, directory: Directory, tenant: Principal) -> None:
        self._directory, self._tenant = directory, tenant
        self._numbers = frozenset(tenant.numbers)

    def apply(self, access: Access) -> Access:
        """Without the tenant; a frozen number gives way to the own ones of its other holders."""
        taken = self._numbers.intersection(access.numbers)
        if not taken:
            return access
        numbers = set(access.numbers) - taken
        for number in taken:
            for id in self._directory.grant(number).seen_by:
                other = self._directory.of_id(id)
                if other is not None and id != self._tenant.id:
                    numbers.add(other.own)
        owner = 0 if access.owner == self._tenant.id else access.owner
        return Access(owner=owner, numbers=tuple(sorted(numbers)))


def _change(
    group: Group,
    state: State,
    row: CollectionRow,
    keys: Sequence[bytes],
    directory: Directory,
    edits: Sequence[_Grant | _Revoke],
) -> WriteResult:
    transaction = group.transaction
    stored = get_records(transaction, keys)
    before = principals.get_accesses(transaction, list(stored))
    edit, known, changed = AccessEdit(directory), dict[Access, Access](), 0
    disowned: dict[bytes, Access] = {}
    for place, key in enumerate(keys):
        if key not in stored:
            continue
        old = before.get(key, NOBODY)
        new = known.get(old)
        if new is None:  # most records of a call have the same access
            new = old
            for one in edits:
                new = one.apply(new)
            known[old] = new
        if new == old:
            continue
        if len(new.numbers) > limits.RECORD_TENANTS:
            raise _too_many(f"ids[{place}]", limits.RECORD_TENANTS, len(new.numbers))
        slot = stored[key][0]
        edit.change(key, slot, slot, old, new)
        changed += 1
        if new.owner != old.owner:
            disowned[key] = old
    if not changed:
        directory.store()  # those that were named are tenants, whatever was found
        return WriteResult(count=0, sequence=state.sequence)
    for key, size_bytes in owned_bytes(transaction, row, disowned).items():
        directory.use(disowned[key].owner, -1, -size_bytes)
    sequence = group.next_sequence()
    edit.store(sequence)
    return WriteResult(count=changed, sequence=sequence)


def copy_tenant(
    group: Group, state: State, row: CollectionRow, source: str, target: str
) -> WriteResult:
    """Make a tenant that sees what another does; ``count``: of those records.

    No record is touched: the number of the source is frozen, both include it, and each gets one of
    its own for what it is given from now on.
    """
    transaction, number = group.transaction, row.number
    directory = Directory(transaction, number, group.now_us)
    old = directory.require(source, "source")
    if directory.find(target) is not None:
        raise AlreadyExists(
            f"there is a tenant {target!r} already", field="target", hint="Delete it first"
        )
    frozen = directory.grant(old.own)
    includes = (*old.included, old.own) if frozen.count else old.included
    if len(includes) > limits.TENANT_COPIES:
        raise _too_many("source", limits.TENANT_COPIES, len(includes))
    for included in old.included:
        holders = directory.grant(included).holders
        if len(holders) >= limits.TENANT_COPIES:
            raise _too_many("source", limits.TENANT_COPIES, len(holders) + 1)
    sequence = group.next_sequence()
    renewed = 2 if frozen.count else 1  # a number that no record has need not be frozen
    id, first = principals.take_numbers(transaction, number, 1, renewed)
    transaction.adds = True
    for included in old.included:
        one = directory.grant(included)
        directory.put_grant(replace(one, holders=(*one.holders, id)))
    if frozen.count:
        directory.put_grant(replace(frozen, kind=FROZEN, holders=(old.id, id)))
        directory.put_grant(Grant.own(first + 1, old.id, sequence))
        directory.replace(replace(old, own=first + 1, included=includes))
    directory.put_grant(Grant.own(first, id, sequence))
    copied = Principal(name=target, id=id, own=first, created_us=group.now_us, included=includes)
    directory.replace(copied)
    seen = sum(directory.grant(one).count for one in includes)
    return WriteResult(count=seen, sequence=sequence)


def delete_tenant(group: Group, state: State, row: CollectionRow, name: str) -> WriteResult:
    """The tenant is gone at once; the records that nobody else sees are swept later.

    ``count``: of the records that it owned.
    """
    transaction, number = group.transaction, row.number
    directory = Directory(transaction, number, group.now_us)
    gone = directory.require(name, "name")
    sequence = group.next_sequence()
    for grant in gone.numbers:
        one = directory.grant(grant)
        left = tuple(id for id in one.holders if id != gone.id)
        if left:
            directory.put_grant(replace(one, holders=left))
        elif one.count:
            dead = replace(one, kind=DEAD, holders=(gone.id,), sequence=sequence)
            directory.put_grant(dead)
            principals.note_dead(transaction, number, grant)
        else:
            principals.delete_grant(transaction, number, grant)
    principals.delete_principal(transaction, number, gone)
    group.sweeps[number] = TenantSweep(row=row)
    return WriteResult(count=gone.records, sequence=sequence)


def set_quota(
    group: Group,
    row: CollectionRow,
    name: str,
    *,
    max_records: int | None,
    max_bytes: int | None,
    rate: float | None,
) -> WriteResult:
    """Bound what a tenant may own; one that has more keeps it, and adds nothing."""
    directory = Directory(group.transaction, row.number, group.now_us)
    directory.ensure(name)
    directory.store()
    one = directory.require(name)
    directory.replace(replace(one, max_records=max_records, max_bytes=max_bytes, rate=rate))
    return WriteResult(count=1, sequence=group.next_sequence())


def sweep_step(group: Group, sweep: TenantSweep) -> None:
    """Go on with a sweep for some records; what is left of it goes to ``group.sweeps``."""
    transaction, row = group.transaction, sweep.row
    state = group.state(row.number)
    dead = sweep.dead or frozenset(principals.scan_dead(transaction, row.number))
    if state is None or not dead:
        group.sweeps[row.number] = None
        return
    head = NUMBER.pack(row.number)
    rows = list(islice(transaction.scan("access", head, sweep.start), _STEP_RECORDS))
    accesses = {key: principals.unpack_access(key, value) for key, value in rows}
    _sweep(group, state, row, dead, accesses)
    if len(rows) == _STEP_RECORDS:
        group.sweeps[row.number] = replace(sweep, dead=dead, start=rows[-1][0] + b"\0")
        return
    for number in dead:
        principals.delete_grant(transaction, row.number, number)
    group.sweeps[row.number] = TenantSweep(row=row)  # others may have died meanwhile


def _sweep(
    group: Group,
    state: State,
    row: CollectionRow,
    dead: frozenset[int],
    accesses: dict[bytes, Access],
) -> None:
    """Take dead numbers off these records, and delete those that a tenant that is gone left.

    Those are the ones that it owned and nobody else sees.
    """
    meant = {key: one for key, one in accesses.items() if not dead.isdisjoint(one.numbers)}
    stored = get_records(group.transaction, list(meant))
    directory = Directory(group.transaction, row.number, group.now_us)
    ends = {number: directory.grant(number) for number in dead}
    edit, going = AccessEdit(directory), list[bytes]()
    for key, old in meant.items():
        kept = tuple(one for one in old.numbers if one not in dead)
        # Who saw it last: if that was not its owner, others saw it when the owner ended.
        last = max((ends[one] for one in old.numbers if one in dead), key=lambda one: one.sequence)
        if not kept and last.holders == (old.owner,):
            going.append(key)
        else:
            new = replace(old, numbers=kept) if kept else NOBODY
            edit.change(key, stored[key][0], stored[key][0], old, new)
    if len(going) < len(meant):
        edit.store(group.next_sequence())
    if going:
        delete(group, state, row, going)


def _too_many(field: str, limit: int, actual: int) -> LimitExceeded:
    return LimitExceeded(
        f"{field}: {actual} tenants, or copies of them, would see the same records; at most "
        f"{limit} may",
        field=field,
        reason="TENANTS",
        limit=limit,
        actual=actual,
    )
