"""Tenants of a collection: what is asked of them, and the writes that change them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from .. import limits
from ..deadline import Deadline
from ..errors import InvalidArgument, NotFound
from ..results import RecordAccess, TenantInfo, WriteResult
from ..storage import principals
from ..storage.catalogue import CollectionRow, State
from ..storage.principals import Principal
from ..storage.records import Ids, get_records, id_keys, id_kind
from ..storage.transaction import Transaction
from . import granting, keyring
from .access import NOBODY
from .arguments import check_number
from .directory import Directory, no_tenant, seen_through
from .group import Group
from .sharing import Names
from .store import Store
from .writes import check_id_kind, collection_gone, result_of

_RECORD_BYTES = 64
_WRITE_BYTES = 1_024

Apply = Callable[[Group, State], WriteResult]


def list_tenants(store: Store, name: str, after: str | None, limit: int) -> list[TenantInfo]:
    """The next ``limit`` tenants behind ``after``, by name."""
    with store.view(name) as view:
        transaction, number = view.transaction, view.row.number
        found = islice(principals.scan_principals(transaction, number, after), limit)
        return [_info(transaction, number, one) for one in found]


def describe_tenant(store: Store, name: str, tenant: str) -> TenantInfo:
    """``NotFound`` where there is none of that name."""
    with store.view(name) as view:
        transaction, number = view.transaction, view.row.number
        found = principals.find_principal(transaction, number, tenant)
        if found is None:
            raise no_tenant(tenant)
        return _info(transaction, number, found)


def who_sees(store: Store, name: str, ids: Ids) -> RecordAccess:
    """Who has the one record of ``ids``; ``NotFound`` where it is not stored."""
    with store.view(name) as view:
        transaction, number = view.transaction, view.row.number
        check_id_kind(view.state, id_kind(ids), "id")
        (key,) = id_keys(number, ids)
        if not get_records(transaction, [key]):
            raise NotFound("there is no record of this id", field="id", reason="NO_RECORD")
        access = principals.get_accesses(transaction, [key]).get(key, NOBODY)
        directory = Directory(transaction, number, 0)
        holders = {id for grant in access.numbers for id in seen_through(directory, grant)}
        found = [one for id in holders if (one := directory.of_id(id)) is not None]
        owner = directory.of_id(access.owner)
        return RecordAccess(
            owner=None if owner is None else owner.name,
            tenants=tuple(sorted(one.name for one in found)),
        )


def change_grants(
    store: Store, name: str, ids: Ids, names: Names, deadline: Deadline, *, away: bool
) -> WriteResult:
    """Grant the records to these tenants, or (``away``) revoke them."""
    if not names:
        raise InvalidArgument("tenants names nobody: name at least one", field="tenants")
    row = store.row(name)
    keys = id_keys(row.number, ids)
    change = granting.revoke if away else granting.grant

    def apply(group: Group, state: State) -> WriteResult:
        check_id_kind(state, id_kind(ids), "ids")
        return change(group, state, row, keys, names)

    return _write(store, row, apply, _RECORD_BYTES * len(keys), deadline)


def copy_tenant(
    store: Store, name: str, source: str, target: str, deadline: Deadline
) -> WriteResult:
    row = store.row(name)

    def apply(group: Group, state: State) -> WriteResult:
        return granting.copy_tenant(group, state, row, source, target)

    return _write(store, row, apply, _WRITE_BYTES, deadline)


def delete_tenant(store: Store, name: str, tenant: str, deadline: Deadline) -> WriteResult:
    """Its keys are revoked with it, where no other collection has a tenant of the name."""
    row = store.row(name)

    def apply(group: Group, state: State) -> WriteResult:
        result = granting.delete_tenant(group, state, row, tenant)
        keyring.revoke_keys_of(group, tenant)
        return result

    return _write(store, row, apply, _WRITE_BYTES, deadline)


def set_quota(
    store: Store,
    name: str,
    tenant: str,
    quotas: tuple[object, object, object],
    deadline: Deadline,
) -> None:
    """``quotas``: ``max_records``, ``max_bytes``, ``rate``; None: no bound."""
    max_records, max_bytes, rate = quotas
    records = _check_bound("max_records", max_records)
    size_bytes = _check_bound("max_bytes", max_bytes)
    checked = _check_rate(rate)
    row = store.row(name)

    def apply(group: Group, state: State) -> WriteResult:
        return granting.set_quota(
            group, row, tenant, max_records=records, max_bytes=size_bytes, rate=checked
        )

    _write(store, row, apply, _WRITE_BYTES, deadline)


def _write(
    store: Store, row: CollectionRow, apply: Apply, size_bytes: int, deadline: Deadline
) -> WriteResult:
    def run(group: Group) -> WriteResult:
        deadline.check("waiting to be written")
        state = group.state(row.number)
        if state is None:
            raise collection_gone(row.name)
        return apply(group, state)

    return result_of(store.submit(run, size_bytes), deadline, wait=True)


def _info(transaction: Transaction, number: int, one: Principal) -> TenantInfo:
    grants = [principals.get_grant(transaction, number, grant) for grant in one.numbers]
    return TenantInfo(
        name=one.name,
        visible=sum(grant.count for grant in grants),
        records=one.records,
        bytes=one.bytes,
        created=one.created_us / 1e6,
        max_records=one.max_records,
        max_bytes=one.max_bytes,
        rate=one.rate,
    )


def _check_bound(field: str, value: object) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < 1 << 63:
        got = value if type(value) is int else type(value).__name__
        raise InvalidArgument(
            f"{field} must be an integer, 0 or more, or None for no bound; got {got}", field=field
        )
    return value


def _check_rate(value: object) -> float | None:
    if value is None:
        return None
    rate = check_number("rate", value, "None for no bound")
    if not 0 < rate <= limits.TENANT_RATE:
        raise InvalidArgument(
            f"rate must be above 0 and at most {limits.TENANT_RATE} calls a second; got {rate:g}",
            field="rate",
            limit=limits.TENANT_RATE,
        )
    return rate
