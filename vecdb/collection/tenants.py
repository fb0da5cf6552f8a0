"""Tenants of a collection: what is asked of them, and the writes that change them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

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
from .directory import Directory, no_tenant
from .group import Group
from .quotas import check_quotas
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
        holders = {id for grant in access.numbers for id in directory.grant(grant).seen_by}
        found = [one for id in holders if (one := directory.of_id(id)) is not None]
        owner = directory.of_id(access.owner)
        return RecordAccess(
            owner=None if owner is None else owner.name,
            tenants=tuple(sorted(one.name for one in found)),
        )


def rate_of(store: Store, name: str, tenant: str) -> tuple[int, float | None]:
    """The collection's number, and calls a second that the tenant's keys may make; None: any."""
    with store.view(name) as view:
        found = principals.find_principal(view.transaction, view.row.number, tenant)
        return view.row.number, None if found is None else found.rate


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
    records, size_bytes, rate = check_quotas(*quotas)
    row = store.row(name)

    def apply(group: Group, state: State) -> WriteResult:
        return granting.set_quota(
            group, row, tenant, max_records=records, max_bytes=size_bytes, rate=rate
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
