"""Keys of the database at a server: taken at once, refused at once, told to nobody."""

from __future__ import annotations

import json
import queue

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vecdb
from vecdb.errors import PreconditionFailed, Unauthenticated, Unavailable
from vecdb.storage import credentials
from vecdb_client.wire import vecdb_pb2 as pb
from vecdb_server.auth import Keys
from vecdb_server.caller import EVERYTHING
from vecdb_server.gate import Gate

KEY = "correct-horse-battery-staple"
COUNT = pb.CountRequest(collection="docs")


def rights(role: str = "read", **fields) -> pb.CreateKeyRequest:
    values = {"name": "app", "role": role, "all_tenants": True} | fields
    return pb.CreateKeyRequest(rights=pb.KeyRights(**values))


@pytest.fixture
def guarded(running):
    """The server with "docs", called with an admin key of its database."""
    running.key = running.KeysCreate(rights("admin")).secret
    return running


@pytest.fixture
def use(guarded):
    """Makes a call of the server with another key."""

    def call(key, name, request):
        before, guarded.key = guarded.key, key
        try:
            return getattr(guarded, name)(request)
        finally:
            guarded.key = before

    return call


def test_first_key_closes_the_server(running, refused):
    assert running.Count(COUNT).count == 0
    made = running.KeysCreate(rights("admin"))
    failure = refused(lambda: running.Count(COUNT))
    assert failure.code == grpc.StatusCode.UNAUTHENTICATED
    running.key = made.secret
    assert running.Count(COUNT).count == 0
    assert list(running.KeysList(pb.ListKeysRequest()).keys) == [made.key]


def test_key_of_the_configuration_keeps_every_right(start_server, refused):
    running = start_server(key=KEY)
    made = running.KeysCreate(rights("read"))
    assert running.DatabaseStats(pb.StatsRequest()).json
    running.key = made.secret
    assert refused(lambda: running.KeysList(pb.ListKeysRequest())).code == (
        grpc.StatusCode.PERMISSION_DENIED
    )
    running.key = "another-key-of-somebody"
    assert refused(lambda: running.DatabaseInfo(pb.InfoRequest())).code == (
        grpc.StatusCode.UNAUTHENTICATED
    )


def test_server_that_requires_keys_serves_no_database_without(start_server, tmp_path, refused):
    with pytest.raises(PreconditionFailed) as caught:
        start_server(require_key=True)
    assert caught.value.reason == "NO_KEYS"
    with vecdb.open(tmp_path / "db") as database:
        database.create_key("app", "read", tenant="acme")
    running = start_server(require_key=True)
    assert refused(lambda: running.DatabaseInfo(pb.InfoRequest())).code == (
        grpc.StatusCode.UNAUTHENTICATED
    )


def test_denial_is_typed(guarded, use, refused, batch):
    made = guarded.KeysCreate(rights("read"))
    failure = refused(lambda: use(made.secret, "Upsert", batch(1)))
    assert failure.code == grpc.StatusCode.PERMISSION_DENIED
    assert (failure.detail.kind, failure.detail.reason) == ("PermissionDenied", "ROLE")
    assert made.key.id in failure.text
    assert guarded.Count(COUNT).count == 0


def test_revoked_key_is_refused_by_the_next_call(guarded, use, refused):
    made = guarded.KeysCreate(rights())
    assert use(made.secret, "Count", COUNT).count == 0
    guarded.KeysRevoke(pb.RevokeKeyRequest(id=made.key.id))
    failure = refused(lambda: use(made.secret, "Count", COUNT))
    assert (failure.code, failure.detail.reason) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "REVOKED_KEY",
    )


def test_both_secrets_are_valid_while_they_overlap(guarded, use, refused):
    made = guarded.KeysCreate(rights())
    request = pb.RotateKeyRequest(id=made.key.id, overlap_seconds=3600.0)
    second = guarded.KeysRotate(request).secret
    assert use(made.secret, "Count", COUNT) == use(second, "Count", COUNT)
    third = guarded.KeysRotate(pb.RotateKeyRequest(id=made.key.id)).secret
    assert use(third, "Count", COUNT).count == 0
    for old in (made.secret, second):
        assert refused(lambda old=old: use(old, "Count", COUNT)).code == (
            grpc.StatusCode.UNAUTHENTICATED
        )


def test_stream_ends_when_its_key_is_revoked(guarded, refused, batch):
    admin = guarded.key
    made = guarded.KeysCreate(rights("write"))
    sent: queue.SimpleQueue[pb.UploadRequest | None] = queue.SimpleQueue()
    guarded.key = made.secret
    stream = guarded.Upload(iter(sent.get, None))
    sent.put(pb.UploadRequest(chunk=0, batch=batch(1, idempotency_key=b"1")))
    assert next(stream).result.count == 1
    guarded.key = admin
    guarded.KeysRevoke(pb.RevokeKeyRequest(id=made.key.id))
    sent.put(pb.UploadRequest(chunk=1, batch=batch(2, idempotency_key=b"2")))
    failure = refused(lambda: list(stream))
    sent.put(None)
    assert failure.code == grpc.StatusCode.UNAUTHENTICATED
    assert guarded.Count(COUNT).count == 1


def test_stream_may_not_reach_another_collection(guarded, use, refused, batch):
    made = guarded.KeysCreate(rights("write", collections=["docs"]))
    chunk = pb.UploadRequest(batch=batch(1, collection="others", idempotency_key=b"1"))
    failure = refused(lambda: list(use(made.secret, "Upload", iter([chunk]))))
    assert (failure.code, failure.detail.reason) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "OTHER_COLLECTION",
    )


def test_key_for_some_collections_lists_these(guarded, use):
    schema = pb.CollectionSchema(dim=4)
    guarded.CollectionsCreate(pb.CreateCollectionRequest(name="others", schema=schema))
    made = guarded.KeysCreate(rights(collections=["docs"]))
    listed = use(made.secret, "CollectionsList", pb.ListCollectionsRequest())
    assert [info.name for info in listed.collections] == ["docs"]


def test_tenant_hears_no_figures_of_others(guarded, use, batch):
    guarded.Upsert(batch(1, 2))
    made = guarded.KeysCreate(rights(tenant="acme", all_tenants=False))
    request = pb.DescribeCollectionRequest(name="docs")
    shown = use(made.secret, "CollectionsDescribe", request)
    assert (shown.schema.dim, shown.count, shown.tail, shown.sequence) == (4, 0, 0, 0)
    (listed,) = use(made.secret, "CollectionsList", pb.ListCollectionsRequest()).collections
    assert listed == shown
    assert guarded.CollectionsDescribe(request).count == 2


def test_rate_of_a_key_is_kept_to(guarded, use, refused):
    made = guarded.KeysCreate(rights(rate=0.001))
    assert use(made.secret, "Count", COUNT).count == 0
    failure = refused(lambda: use(made.secret, "Count", COUNT))
    assert (failure.code, failure.detail.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "KEY_RATE",
    )
    assert 0 < failure.detail.retry_after_ms <= 1_000_000
    assert guarded.Count(COUNT).count == 0


def test_calls_at_once_of_a_key_are_bounded(guarded, use, refused, batch):
    made = guarded.KeysCreate(rights("write", concurrency=1))
    sent: queue.SimpleQueue[pb.UploadRequest | None] = queue.SimpleQueue()
    stream = use(made.secret, "Upload", iter(sent.get, None))
    sent.put(pb.UploadRequest(batch=batch(1, idempotency_key=b"1")))
    assert next(stream).result.count == 1  # it runs
    failure = refused(lambda: use(made.secret, "Count", COUNT))
    assert (failure.code, failure.detail.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "KEY_CONCURRENCY",
    )
    assert failure.detail.retry_after_ms > 0
    sent.put(None)
    assert list(stream) == []
    assert use(made.secret, "Count", COUNT).count == 1


def test_damaged_key_opens_nothing(guarded, use, refused):
    made = guarded.KeysCreate(rights())
    store = guarded.server._gate.database._store

    def damage(group):
        group.transaction.put(credentials.TABLE, made.key.id.encode(), b"{}")

    store.submit(damage, 0).result()
    failure = refused(lambda: use(made.secret, "Count", COUNT))
    assert failure.code == grpc.StatusCode.DATA_LOSS
    assert guarded.Count(COUNT).count == 0


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff\xff"])
def test_role_is_looked_at_before_the_request_is_parsed(guarded, use, refused, garbage):
    made = guarded.KeysCreate(rights("read"))
    metadata = (("authorization", f"Bearer {made.secret}"),)
    for method, code in [
        ("/vecdb.v1.Records/Upsert", grpc.StatusCode.PERMISSION_DENIED),
        ("/vecdb.v1.Records/Count", grpc.StatusCode.INVALID_ARGUMENT),
    ]:
        call = guarded.channel.unary_unary(method)
        assert refused(lambda call=call: call(garbage, metadata=metadata)).code == code


def test_secrets_are_told_once_and_to_nobody_else(guarded, use, refused, batch):
    made = guarded.KeysCreate(rights("read"))
    second = guarded.KeysRotate(pb.RotateKeyRequest(id=made.key.id, overlap_seconds=9)).secret
    use(second, "Count", COUNT)
    texts = [
        str(refused(lambda: use(second, "Upsert", batch(1)))),
        str(refused(lambda: use(second[:-1], "Count", COUNT))),
        str(guarded.KeysList(pb.ListKeysRequest())),
        guarded.DatabaseStats(pb.StatsRequest()).json.decode(),
    ]
    guarded.KeysRevoke(pb.RevokeKeyRequest(id=made.key.id))
    texts.append(str(refused(lambda: use(second, "Count", COUNT))))
    guarded.server.stop(0.0)
    log = guarded.log.getvalue()
    for secret in (guarded.key, made.secret, second):
        hidden = secret.split("_", 2)[2][:-1]  # one attempt lacked the last letter
        assert all(hidden not in text for text in [*texts, log])
    lines = [json.loads(line) for line in log.splitlines()]
    assert {"made_key", "revoked_key", "rotated_key", "key"} <= {
        key for line in lines for key in line
    }


# ---------------------------------------------------------------------------------- metadata


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    with vecdb.open(tmp_path_factory.mktemp("metadata") / "db") as opened:
        yield opened


@pytest.fixture(scope="module")
def secret(database):
    return database.create_key("app", "read", tenant="acme")[1]


@pytest.fixture(scope="module")
def keys(database):
    gate = Gate()
    gate.open(database)
    return Keys((), gate)


names = st.sampled_from(["authorization", "Authorization", "x-api-key", "sourceid", "host", "role"])
schemes = st.sampled_from(["Bearer ", "bearer ", "Basic ", "Bearer", "", "Bearer Bearer "])
texts = st.text(max_size=80) | st.from_regex(credentials._SECRET, fullmatch=True)
values = st.builds("".join, st.tuples(schemes, texts)) | st.binary(max_size=80)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(metadata=st.lists(st.tuples(names, values), max_size=4))
def test_no_metadata_but_a_key_lets_a_call_in(keys, secret, metadata):
    with pytest.raises(Unauthenticated):
        keys.caller(metadata)


def test_no_other_metadata_changes_who_calls(keys, secret):
    claims = [("role", "admin"), ("tenant", "umbrella"), ("sourceid", "internal")]
    caller = keys.caller([*claims, ("authorization", f"Bearer {secret}"), *claims])
    assert (caller.role, caller.tenant, caller.all_tenants) == ("read", "acme", False)


def test_key_of_the_database_waits_for_the_database(database, secret):
    gate = Gate()
    entry = [("authorization", f"Bearer {secret}")]
    for closed in (Keys((), gate), Keys((KEY,), gate)):
        with pytest.raises(Unavailable):
            closed.caller(entry)
    with pytest.raises(Unavailable):
        Keys((), gate).caller([])  # nobody knows yet whether it needs a key
    guarded = Keys((KEY,), gate)
    assert guarded.caller([("authorization", f"Bearer {KEY}")]) == EVERYTHING
    with pytest.raises(Unauthenticated):
        guarded.caller([])
    gate.open(database)
    assert guarded.caller(entry).tenant == "acme"
