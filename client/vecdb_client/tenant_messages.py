"""Requests about tenants, and what their answers say."""

from __future__ import annotations

from collections.abc import Sequence

from . import arguments, codec, columns, limits
from .errors import InvalidArgument
from .quotas import check_quotas
from .requests import IdsLike, Request, make_request
from .results import RecordAccess, TenantInfo
from .sharing import Sharing, check_tenant, check_tenants
from .wire import vecdb_pb2 as pb


def grant(collection: str, ids: IdsLike, tenants: str | Sequence[str]) -> Request:
    message = pb.GrantRequest(
        collection=arguments.to_text("name", collection),
        ids=codec.ids_to_wire(columns.check_ids(ids, limits.BATCH_RECORDS)),
        tenants=_some(tenants),
    )
    return make_request("Tenants", "Grant", message, pb.WriteResponse, write=True)


def revoke(collection: str, ids: IdsLike, tenants: str | Sequence[str]) -> Request:
    message = pb.RevokeRequest(
        collection=arguments.to_text("name", collection),
        ids=codec.ids_to_wire(columns.check_ids(ids, limits.BATCH_RECORDS)),
        tenants=_some(tenants),
    )
    return make_request("Tenants", "Revoke", message, pb.WriteResponse, write=True)


def list_page(collection: str, after: str | None, limit: int) -> Request:
    message = pb.ListTenantsRequest(
        collection=arguments.to_text("name", collection),
        after=None if after is None else check_tenant(after, "after"),
        limit=arguments.to_integer("limit", limit, limits.TENANTS_PAGE),
    )
    return make_request("Tenants", "List", message, pb.ListTenantsResponse)


def describe(collection: str, name: str) -> Request:
    message = pb.DescribeTenantRequest(
        collection=arguments.to_text("name", collection), tenant=check_tenant(name, "name")
    )
    return make_request("Tenants", "Describe", message, pb.TenantInfo)


def who_sees(collection: str, id: int | str) -> Request:
    message = pb.WhoSeesRequest(
        collection=arguments.to_text("name", collection),
        id=codec.ids_to_wire(columns.check_ids([id], 1, "id")),
    )
    return make_request("Tenants", "WhoSees", message, pb.RecordAccess)


def copy(collection: str, source: str, target: str) -> Request:
    message = pb.CopyTenantRequest(
        collection=arguments.to_text("name", collection),
        source=check_tenant(source, "source"),
        target=check_tenant(target, "target"),
    )
    answer = pb.WriteResponse
    return make_request("Tenants", "Copy", message, answer, write=True, repeatable=False)


def delete(collection: str, name: str) -> Request:
    message = pb.DeleteTenantRequest(
        collection=arguments.to_text("name", collection), tenant=check_tenant(name, "name")
    )
    answer = pb.WriteResponse
    return make_request("Tenants", "Delete", message, answer, write=True, repeatable=False)


def set_quota(
    collection: str,
    name: str,
    *,
    max_records: int | None,
    max_bytes: int | None,
    rate: float | None,
) -> Request:
    tenant = check_tenant(name, "name")
    records, size_bytes, calls = check_quotas(max_records, max_bytes, rate)
    message = pb.SetQuotaRequest(
        collection=arguments.to_text("name", collection),
        tenant=tenant,
        max_records=records,
        max_bytes=size_bytes,
        rate=calls,
    )
    return make_request("Tenants", "SetQuota", message, pb.TenantInfo, write=True)


def sharing_to_wire(sharing: Sharing) -> pb.Sharing | None:
    """None where a write leaves who sees its records as it is."""
    if sharing.lists is None:
        return None
    return pb.Sharing(
        lists=[pb.Strings(values=names) for names in sharing.lists],
        places=None if sharing.places is None else sharing.places.tolist(),
    )


def listed(message: pb.ListTenantsResponse) -> list[TenantInfo]:
    return [tenant_info(one) for one in message.tenants]


def tenant_info(message: pb.TenantInfo) -> TenantInfo:
    return TenantInfo(
        name=message.name,
        visible=message.visible,
        records=message.records,
        bytes=message.bytes,
        created=message.created_us / 1e6,
        max_records=message.max_records if message.HasField("max_records") else None,
        max_bytes=message.max_bytes if message.HasField("max_bytes") else None,
        rate=message.rate if message.HasField("rate") else None,
    )


def record_access(message: pb.RecordAccess) -> RecordAccess:
    return RecordAccess(
        owner=message.owner if message.HasField("owner") else None, tenants=tuple(message.tenants)
    )


def _some(tenants: str | Sequence[str]) -> tuple[str, ...]:
    names = check_tenants(tenants)
    if not names:
        raise InvalidArgument("tenants names nobody: name at least one", field="tenants")
    return names
