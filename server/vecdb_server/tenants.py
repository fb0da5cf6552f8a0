"""The service of tenants, and what they are on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vecdb.errors import InvalidArgument
from vecdb.results import Ids, RecordAccess, TenantInfo
from vecdb_client.wire import vecdb_pb2 as pb
from vecdb_client.wire import vecdb_pb2_grpc as rpc

from . import convert
from .call import Call
from .gate import Gate

if TYPE_CHECKING:
    from vecdb.collection import Collection

LIST_LIMIT: Final = 1_000
"""Tenants in a page where a request names no number."""


class TenantsService(rpc.TenantsServicer):
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def Grant(self, request: pb.GrantRequest, call: Call) -> pb.WriteResponse:
        result = self._collection(request.collection).grant(
            _ids(request), list(request.tenants), timeout=call.timeout
        )
        return convert.write_to_wire(result)

    def Revoke(self, request: pb.RevokeRequest, call: Call) -> pb.WriteResponse:
        result = self._collection(request.collection).revoke(
            _ids(request), list(request.tenants), timeout=call.timeout
        )
        return convert.write_to_wire(result)

    def List(self, request: pb.ListTenantsRequest, call: Call) -> pb.ListTenantsResponse:
        found = self._collection(request.collection).tenants(
            request.after if request.HasField("after") else None,
            request.limit or LIST_LIMIT,
            timeout=call.timeout,
        )
        return pb.ListTenantsResponse(tenants=map(info_to_wire, found))

    def Describe(self, request: pb.DescribeTenantRequest, call: Call) -> pb.TenantInfo:
        collection = self._collection(request.collection)
        return info_to_wire(collection.tenant(request.tenant, timeout=call.timeout))

    def WhoSees(self, request: pb.WhoSeesRequest, call: Call) -> pb.RecordAccess:
        id = convert.id_from_wire(request, "id")
        if id is None:
            raise InvalidArgument("id is missing: name a record", field="id")
        collection = self._collection(request.collection)
        return access_to_wire(collection.who_sees(id, timeout=call.timeout))

    def Copy(self, request: pb.CopyTenantRequest, call: Call) -> pb.WriteResponse:
        result = self._collection(request.collection).copy_tenant(
            request.source, request.target, timeout=call.timeout
        )
        return convert.write_to_wire(result)

    def Delete(self, request: pb.DeleteTenantRequest, call: Call) -> pb.WriteResponse:
        collection = self._collection(request.collection)
        result = collection.delete_tenant(request.tenant, timeout=call.timeout)
        return convert.write_to_wire(result)

    def SetQuota(self, request: pb.SetQuotaRequest, call: Call) -> pb.TenantInfo:
        info = self._collection(request.collection).set_quota(
            request.tenant,
            max_records=request.max_records if request.HasField("max_records") else None,
            max_bytes=request.max_bytes if request.HasField("max_bytes") else None,
            rate=request.rate if request.HasField("rate") else None,
            timeout=call.timeout,
        )
        return info_to_wire(info)

    def _collection(self, name: str) -> Collection:
        return self._gate.database.collection(name)


def info_to_wire(info: TenantInfo) -> pb.TenantInfo:
    return pb.TenantInfo(
        name=info.name,
        visible=info.visible,
        records=info.records,
        bytes=info.bytes,
        created_us=round(info.created * 1e6),
        max_records=info.max_records,
        max_bytes=info.max_bytes,
        rate=info.rate,
    )


def access_to_wire(access: RecordAccess) -> pb.RecordAccess:
    return pb.RecordAccess(owner=access.owner, tenants=access.tenants)


def _ids(request: pb.GrantRequest | pb.RevokeRequest) -> Ids:
    ids = convert.ids_from_wire(request)
    if ids is None:
        raise InvalidArgument("ids is missing: name at least one record", field="ids")
    return ids
