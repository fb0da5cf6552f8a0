"""One interface three times: the embedded database, the client, the client for asyncio."""

from __future__ import annotations

import inspect

import pytest

from vecdb.collection import Collection as EmbeddedCollection
from vecdb.database import Database
from vecdb_client import AsyncClient, Client
from vecdb_client.async_collection import AsyncCollection
from vecdb_client.collection import Collection

CLIENT_ONLY = {"address", "info", "wait_ready"}
DATABASE_ONLY = {"database_id", "path", "read_only"} | {"authenticate", "has_keys", "tenant_rate"}
CACHES = {"cache", "caches", "create_cache", "delete_cache"}
"""Of the embedded database alone: no call of the server reaches a cache."""
COLLECTION_ONLY = {"submit_upsert"}  # what the server calls
AT_ONCE = {"__init__", "address", "collection"}
"""What needs no call to the server, so nothing to wait for."""


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def parameters(kind: type, name: str) -> list[tuple[str, object, object]]:
    """Name, kind and default of each; of ``timeout`` the default differs on purpose."""
    found = inspect.signature(getattr(kind, name)).parameters.values()
    return [(one.name, one.kind, None if one.name == "timeout" else one.default) for one in found]


def test_client_has_the_methods_of_the_embedded_database():
    assert public(Client) - CLIENT_ONLY == public(Database) - DATABASE_ONLY - CACHES


def test_collection_of_a_client_has_the_methods_of_an_embedded_one():
    assert public(Collection) == public(EmbeddedCollection) - COLLECTION_ONLY


@pytest.mark.parametrize(
    ("remote", "embedded", "name"),
    [
        *((Client, Database, name) for name in sorted(public(Client) - CLIENT_ONLY)),
        *((Collection, EmbeddedCollection, name) for name in sorted(public(Collection))),
    ],
)
def test_method_of_a_client_takes_what_the_embedded_one_takes(remote, embedded, name):
    assert parameters(remote, name) == parameters(embedded, name)
    returned = [
        inspect.signature(getattr(kind, name)).return_annotation for kind in (remote, embedded)
    ]
    assert returned[0] == returned[1]


@pytest.mark.parametrize("name", sorted(public(EmbeddedCollection) - COLLECTION_ONLY))
def test_every_method_of_a_collection_takes_a_timeout(name):
    timeout = inspect.signature(getattr(EmbeddedCollection, name)).parameters["timeout"]
    assert timeout.kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize(
    ("asynchronous", "synchronous"), [(AsyncClient, Client), (AsyncCollection, Collection)]
)
def test_both_clients_have_the_same_methods_and_signatures(asynchronous, synchronous):
    assert public(asynchronous) == public(synchronous)
    for name in [*sorted(public(asynchronous) - {"address"}), "__init__"]:
        one, other = getattr(asynchronous, name), getattr(synchronous, name)
        assert str(inspect.signature(one)).replace("Async", "") == str(inspect.signature(other))
        assert inspect.iscoroutinefunction(one) is (name not in AT_ONCE), name
        assert not inspect.iscoroutinefunction(other)
