"""The service of API keys, and what keys are on the wire."""

from __future__ import annotations

from vecdb.errors import InvalidArgument
from vecdb.keys import KeyInfo, from_us, to_us
from vecdb_client.wire import vecdb_pb2 as pb
from vecdb_client.wire import vecdb_pb2_grpc as rpc

from .call import Call
from .gate import Gate


class KeysService(rpc.KeysServicer):
    """What is done to keys is in the log, by their ids."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def Create(self, request: pb.CreateKeyRequest, call: Call) -> pb.CreateKeyResponse:
        rights = request.rights
        info, secret = self._gate.database.create_key(
            rights.name,
            rights.role,
            collections=list(rights.collections) or None,
            tenant=rights.tenant if rights.HasField("tenant") else None,
            all_tenants=rights.all_tenants,
            expires=from_us(rights.expires_us) if rights.HasField("expires_us") else None,
            rate=rights.rate if rights.HasField("rate") else None,
            concurrency=rights.concurrency if rights.HasField("concurrency") else None,
        )
        call.notes |= {"made_key": info.id, "role": info.role}
        return pb.CreateKeyResponse(key=info_to_wire(info), secret=secret)

    def List(self, request: pb.ListKeysRequest, call: Call) -> pb.ListKeysResponse:
        return pb.ListKeysResponse(keys=map(info_to_wire, self._gate.database.keys()))

    def Revoke(self, request: pb.RevokeKeyRequest, call: Call) -> pb.RevokeKeyResponse:
        self._gate.database.revoke_key(_id(request))
        call.notes["revoked_key"] = request.id
        return pb.RevokeKeyResponse()

    def Rotate(self, request: pb.RotateKeyRequest, call: Call) -> pb.RotateKeyResponse:
        secret = self._gate.database.rotate_key(_id(request), request.overlap_seconds)
        call.notes["rotated_key"] = request.id
        return pb.RotateKeyResponse(secret=secret)


def info_to_wire(info: KeyInfo) -> pb.KeyInfo:
    return pb.KeyInfo(
        id=info.id,
        rights=pb.KeyRights(
            name=info.name,
            role=info.role,
            collections=info.collections or (),
            tenant=info.tenant,
            all_tenants=info.all_tenants,
            expires_us=None if info.expires is None else to_us(info.expires),
            rate=info.rate,
            concurrency=info.concurrency,
        ),
        created_us=to_us(info.created),
        revoked_us=None if info.revoked is None else to_us(info.revoked),
        overlap_us=None if info.overlap is None else to_us(info.overlap),
    )


def _id(request: pb.RevokeKeyRequest | pb.RotateKeyRequest) -> str:
    if not request.id:
        raise InvalidArgument("id is missing: name the key by its id", field="key")
    return request.id
