"""Requests about API keys, and what their answers say."""

from __future__ import annotations

from . import arguments
from .keys import KeyInfo, KeyRights, check_overlap, from_us, to_us
from .requests import Request, make_request
from .wire import vecdb_pb2 as pb


def create(rights: KeyRights) -> Request:
    message = pb.CreateKeyRequest(rights=rights_to_wire(rights))
    answer = pb.CreateKeyResponse
    return make_request("Keys", "Create", message, answer, write=True, repeatable=False)


def list_all() -> Request:
    return make_request("Keys", "List", pb.ListKeysRequest(), pb.ListKeysResponse)


def revoke(key: str) -> Request:
    message = pb.RevokeKeyRequest(id=arguments.to_text("key", key))
    return make_request("Keys", "Revoke", message, pb.RevokeKeyResponse, write=True)


def rotate(key: str, overlap: float) -> Request:
    message = pb.RotateKeyRequest(
        id=arguments.to_text("key", key), overlap_seconds=check_overlap(overlap)
    )
    answer = pb.RotateKeyResponse
    return make_request("Keys", "Rotate", message, answer, write=True, repeatable=False)


def created(message: pb.CreateKeyResponse) -> tuple[KeyInfo, str]:
    return key_info(message.key), message.secret


def listed(message: pb.ListKeysResponse) -> list[KeyInfo]:
    return [key_info(key) for key in message.keys]


def rotated(message: pb.RotateKeyResponse) -> str:
    return message.secret


def rights_to_wire(rights: KeyRights) -> pb.KeyRights:
    return pb.KeyRights(
        name=rights.name,
        role=rights.role,
        collections=rights.collections or (),
        tenant=rights.tenant,
        all_tenants=rights.all_tenants,
        expires_us=None if rights.expires is None else to_us(rights.expires),
        rate=rights.rate,
        concurrency=rights.concurrency,
    )


def key_info(message: pb.KeyInfo) -> KeyInfo:
    rights = message.rights
    return KeyInfo(
        id=message.id,
        name=rights.name,
        role=rights.role,
        collections=tuple(rights.collections) or None,
        tenant=rights.tenant if rights.HasField("tenant") else None,
        all_tenants=rights.all_tenants,
        expires=from_us(rights.expires_us) if rights.HasField("expires_us") else None,
        rate=rights.rate if rights.HasField("rate") else None,
        concurrency=rights.concurrency if rights.HasField("concurrency") else None,
        created=from_us(message.created_us),
        revoked=from_us(message.revoked_us) if message.HasField("revoked_us") else None,
        overlap=from_us(message.overlap_us) if message.HasField("overlap_us") else None,
    )
