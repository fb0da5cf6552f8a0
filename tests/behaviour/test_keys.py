"""API keys: made, listed, rotated, revoked."""

from __future__ import annotations

import asyncio
import io
import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest

import vecdb
import vecdb_client
from vecdb_server import logs
from vecdb_server.config import ServerConfig
from vecdb_server.lifecycle import Server

from .conftest import Api, Blocking

KEY = "correct-horse-battery-staple"
NOW = datetime(2030, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)


@pytest.fixture
def api(request, tmp_path):
    """As in the other modules, but a database of the test's own: keys stay."""
    if request.param == "embedded":
        with vecdb.open(tmp_path / "db", clock=NOW.timestamp) as db:
            yield Api("embedded", db, vecdb.errors, vecdb.F)
        return
    config = ServerConfig(directory=tmp_path / "db", listen="127.0.0.1:0", api_keys=(KEY,))
    server = Server(config, log=logs.make_logger("error", stream=io.StringIO()))
    address = server.start()
    if request.param == "remote":
        with vecdb_client.Client(address, api_key=KEY) as db:
            yield Api("remote", db, vecdb_client.errors, vecdb_client.F)
    else:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        db = Blocking(vecdb_client.AsyncClient(address, api_key=KEY), loop)
        yield Api("async", db, vecdb_client.errors, vecdb_client.F)
        db.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    server.stop(0.0)


def test_key_is_listed_as_it_was_made(api):
    assert api.db.keys() == []
    expires = (datetime.now(UTC) + 10 * YEAR).astimezone(timezone(timedelta(hours=2)))
    first, secret = api.db.create_key(
        "app", "write", ["b", "a", "a"], "acme", expires=expires, rate=2, concurrency=3
    )
    second, other = api.db.create_key("boss", "admin", all_tenants=True)
    assert (first.name, first.role, first.collections) == ("app", "write", ("a", "b"))
    assert (first.tenant, first.all_tenants, first.expires) == ("acme", False, expires)
    assert (first.rate, first.concurrency) == (2.0, 3)
    assert (first.revoked, first.overlap) == (None, None)
    assert (second.collections, second.tenant, second.all_tenants) == (None, None, True)
    assert sorted(api.db.keys(), key=lambda info: info.name) == [first, second]
    assert secret.startswith(f"vdb_{first.id}_")
    assert secret != other
    assert secret not in repr(api.db.keys())


def test_key_with_neither_a_tenant_nor_all_is_refused(api):
    with api.refuses("InvalidArgument", "tenant", "NO_TENANT") as caught:
        api.db.create_key("app", "read")
    assert "default" in str(caught.value)
    with api.refuses("InvalidArgument", "tenant"):
        api.db.create_key("app", "read", tenant="acme", all_tenants=True)
    assert api.db.keys() == []


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("name", {"name": ""}),
        ("name", {"name": "a/b"}),
        ("name", {"name": None}),
        ("role", {"role": "root"}),
        ("role", {"role": None}),
        ("role", {"role": ["admin"]}),
        ("collections", {"collections": []}),
        ("collections", {"collections": "docs"}),
        ("collections", {"collections": ["x"] * 101}),
        ("collections[1]", {"collections": ["a", "../b"]}),
        ("tenant", {"all_tenants": False, "tenant": "a b"}),
        ("tenant", {"all_tenants": False, "tenant": ""}),
        ("all_tenants", {"all_tenants": 1}),
        ("expires", {"expires": datetime(2001, 1, 1, tzinfo=UTC)}),
        ("expires", {"expires": datetime(2099, 1, 1)}),
        ("expires", {"expires": 3600}),
        ("rate", {"rate": 0}),
        ("rate", {"rate": float("nan")}),
        ("rate", {"rate": True}),
        ("concurrency", {"concurrency": 0}),
        ("concurrency", {"concurrency": 1.5}),
    ],
)
def test_what_is_wrong_with_a_key_is_told_by_field(api, field, change):
    values = {"name": "app", "role": "read", "all_tenants": True} | change
    with api.refuses("InvalidArgument", field):
        api.db.create_key(values.pop("name"), values.pop("role"), **values)
    assert api.db.keys() == []


def test_revoked_key_stays_listed(api):
    info, _ = api.db.create_key("app", "read", all_tenants=True)
    api.db.revoke_key(info.id)
    (found,) = api.db.keys()
    assert found.revoked is not None
    assert found.state(datetime.now(UTC)) == "revoked"
    api.db.revoke_key(info.id)
    assert api.db.keys() == [found]
    with api.refuses("PreconditionFailed", "key", "KEY_NOT_VALID"):
        api.db.rotate_key(info.id)


def test_rotated_key_has_a_new_secret_and_the_same_rights(api):
    info, secret = api.db.create_key("app", "read", ["docs"], tenant="acme")
    again = api.db.rotate_key(info.id, 3600)
    assert again != secret
    assert again.startswith(f"vdb_{info.id}_")
    (found,) = api.db.keys()
    assert found.overlap - found.created >= timedelta(hours=1)
    api.db.rotate_key(info.id, overlap=0)
    assert api.db.keys() == [info]


def test_unknown_key_is_not_found(api):
    for name in ("0123456789ab", "../x", "vdb_x", "é" * 600):
        with api.refuses("NotFound", "key", "NO_KEY"):
            api.db.revoke_key(name)
        with api.refuses("NotFound", "key"):
            api.db.rotate_key(name)
    with api.refuses("InvalidArgument", "key"):
        api.db.revoke_key("")


@pytest.mark.parametrize("overlap", [-1, float("nan"), 31 * 86_400, "1h", True])
def test_overlap_is_bounded(api, overlap):
    info, _ = api.db.create_key("app", "read", all_tenants=True)
    with api.refuses("InvalidArgument", "overlap"):
        api.db.rotate_key(info.id, overlap)
