"""Calls a second of all keys of a tenant together, at a server."""

from __future__ import annotations

import grpc
import pytest

from vecdb_client.wire import vecdb_pb2 as pb


@pytest.fixture
def bounded(running):
    """A server with the tenant "acme", of which all keys may make one call in 1,000 seconds."""
    request = pb.SetQuotaRequest(collection="docs", tenant="acme", rate=0.001)
    running.TenantsSetQuota(request)
    running.CollectionsAlias(pb.AliasRequest(alias="now", collection="docs"))
    running.CollectionsCreate(
        pb.CreateCollectionRequest(name="more", schema=pb.CollectionSchema(dim=4))
    )
    rights = pb.KeyRights(name="boss", role="admin", all_tenants=True)
    running.key = running.KeysCreate(pb.CreateKeyRequest(rights=rights)).secret
    running.keys = [
        running.KeysCreate(
            pb.CreateKeyRequest(rights=pb.KeyRights(name="app", role="write", tenant=tenant))
        ).secret
        for tenant in ("acme", "acme", "zeta")
    ]
    return running


def test_rate_of_a_tenant_is_that_of_all_its_keys(bounded, refused):
    def count(key, name="docs"):
        bounded.key = bounded.keys[key]
        return bounded.Count(pb.CountRequest(collection=name)).count

    assert count(0) == 0
    for key, name in [(0, "docs"), (1, "docs"), (1, "now")]:
        failure = refused(lambda key=key, name=name: count(key, name))
        assert (failure.code, failure.detail.reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "TENANT_RATE",
        )
        assert 900_000 < failure.detail.retry_after_ms <= 1_000_000
    assert count(0, "more") == count(1, "more") == 0
    for _ in range(3):
        assert count(2) == 0


def test_upload_of_a_tenant_is_one_call(bounded, refused, batch):
    bounded.key = bounded.keys[0]
    chunks = [
        pb.UploadRequest(chunk=chunk, batch=batch(chunk, idempotency_key=b"%d" % chunk))
        for chunk in range(3)
    ]
    assert [one.result.count for one in bounded.Upload(iter(chunks))] == [1, 1, 1]
    failure = refused(lambda: list(bounded.Upload(iter(chunks))))
    assert failure.detail.reason == "TENANT_RATE"
