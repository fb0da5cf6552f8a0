"""Who may call what: every method of the interface, for every kind of key."""

from __future__ import annotations

import itertools

import grpc
import numpy as np
import pytest

from vecdb.errors import PermissionDenied
from vecdb.keys import ROLES
from vecdb.results import CollectionInfo, Explanation, Matches
from vecdb_client.wire import vecdb_pb2 as pb
from vecdb_server.access import (
    FILLED,
    RULES,
    Access,
    Rule,
    check_search,
    explained_to,
    shown_to,
    usable,
)
from vecdb_server.caller import EVERYTHING, Caller

KEY = "correct-horse-battery-staple"
SECONDS = 30.0
METHODS = {
    f"/{service.full_name}/{method.name}": method
    for service in pb.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}

# What a role may call, said once more and in another way than the table does.
ANY_KEY = {"Database/Info"}
READ = {
    *("Collections/Describe", "Collections/List", "Collections/Stats", "Database/Stats"),
    *("Tenants/List", "Tenants/Describe", "Tenants/WhoSees"),
    *("Records/Search", "Records/Explain", "Records/Get", "Records/Count", "Records/Scroll"),
    *("Records/Facets", "Records/SearchGroups"),
}
WRITE = {
    *("Records/Upsert", "Records/Upload", "Records/SetPayload", "Records/Delete"),
    *("Tenants/Grant", "Tenants/Revoke"),
}
FOR_ALL = {"Database/Stats", "Keys/Create", "Keys/List", "Keys/Revoke", "Keys/Rotate"}
OF_A_TENANT = {
    *(name for name in {*WRITE, *READ} if not name.startswith("Tenants/")),
    *ANY_KEY,
} - {"Collections/Stats", "Database/Stats"}
"""Not administration, nothing that tells of the whole, and nothing about who sees what."""
NO_TENANT_IN_IT = {"Database/Info", "Collections/Describe", "Collections/List"}


def message_of(method: str) -> type:
    return getattr(pb, METHODS[method].input_type.name)


def part_of(message):
    return message.batch if "batch" in message.DESCRIPTOR.fields_by_name else message


def request_for(method: str, name: str):
    """A request of the method that names the collection wherever it names one."""
    message = message_of(method)()
    part = part_of(message)
    for field in ("collection", "name", "alias"):
        if field in part.DESCRIPTOR.fields_by_name:
            setattr(part, field, name)
    return message


def names_one(method: str) -> bool:
    fields = part_of(message_of(method)()).DESCRIPTOR.fields_by_name
    return "collection" in fields or "name" in fields


def has_place_for_a_tenant(method: str) -> bool:
    fields = part_of(message_of(method)()).DESCRIPTOR.fields_by_name
    return "tenant" in fields


def may_call(method: str, role: str, *, some: bool, mine: bool, tenant: bool) -> bool:
    """``some``: the key is for the collection "mine"; ``mine``: the request names that one."""
    short = method.removeprefix("/vecdb.v1.")
    needed = "read" if short in READ else "write" if short in WRITE else "admin"
    if short not in ANY_KEY and needed not in ROLES[role]:
        return False
    if short in FOR_ALL and (some or tenant):
        return False
    if tenant:
        if short not in OF_A_TENANT:
            return False
        if short not in NO_TENANT_IN_IT and not has_place_for_a_tenant(method):
            return False  # it cannot be kept to what the tenant sees
    return mine or not some or not names_one(method)


def test_every_method_of_the_interface_has_a_rule():
    assert set(RULES) == set(METHODS)
    assert len(METHODS) > 20


def test_every_name_of_a_collection_is_looked_at():
    for method, rule in RULES.items():
        fields = set(part_of(message_of(method)()).DESCRIPTOR.fields_by_name)
        assert set(rule.names) == fields & {"collection", "name", "alias"}, method


def test_method_without_a_rule_is_refused_to_everybody():
    with pytest.raises(PermissionDenied) as caught:
        Access().check_method(EVERYTHING, "/vecdb.v1.Records/Forget")
    assert caught.value.reason == "NO_RULE"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """(method, role, some, mine, tenant) -> the status of that call at a real server."""
    import io

    from vecdb_server import logs
    from vecdb_server.config import ServerConfig
    from vecdb_server.lifecycle import Server

    directory = tmp_path_factory.mktemp("access") / "db"
    config = ServerConfig(directory=directory, listen="127.0.0.1:0", api_keys=(KEY,))
    server = Server(config, log=logs.make_logger("error", stream=io.StringIO()))
    found = {}
    with server, grpc.insecure_channel(server.address) as channel:
        for role, some, tenant in itertools.product(ROLES, (False, True), (False, True)):
            _, secret = server._gate.database.create_key(
                "app",
                role,
                collections=["mine"] if some else None,
                tenant="acme" if tenant else None,
                all_tenants=not tenant,
            )
            for method, mine in itertools.product(METHODS, (False, True)):
                request = request_for(method, "mine" if mine else "other")
                code = call(channel, method, request.SerializeToString(), secret)
                found[method, role, some, mine, tenant] = code
    return found


def call(channel: grpc.Channel, method: str, data: bytes, secret: str) -> grpc.StatusCode:
    options = {"metadata": (("authorization", f"Bearer {secret}"),), "timeout": SECONDS}
    try:
        if METHODS[method].client_streaming:
            list(channel.stream_stream(method)(iter([data]), **options))
        else:
            channel.unary_unary(method)(data, **options)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@pytest.mark.slow
def test_key_may_call_what_its_role_collections_and_tenant_allow(outcomes):
    for (method, role, some, mine, tenant), code in outcomes.items():
        allowed = may_call(method, role, some=some, mine=mine, tenant=tenant)
        denied = code == grpc.StatusCode.PERMISSION_DENIED
        assert denied is not allowed, (method, role, some, mine, tenant, code)
        assert code not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN), method
        assert code != grpc.StatusCode.UNAUTHENTICATED, method


# ------------------------------------------------------------------------------- one caller


def caller_of(**fields) -> Caller:
    return Caller(**{"key": "0123456789ab", "role": "read", "all_tenants": True} | fields)


def test_key_of_a_tenant_is_for_that_tenant_alone():
    bound = caller_of(tenant="acme", all_tenants=False)
    assert bound.tenant_for(None) == bound.tenant_for("acme") == "acme"
    for other in ("umbrella", "", "ACME"):
        with pytest.raises(PermissionDenied) as caught:
            bound.tenant_for(other)
        assert caught.value.reason == "OTHER_TENANT"
        assert "acme" not in str(caught.value)


def test_key_for_all_tenants_passes_what_was_asked():
    assert caller_of().tenant_for("acme") == EVERYTHING.tenant_for("acme") == "acme"
    assert caller_of().tenant_for(None) is EVERYTHING.tenant_for(None) is None


FILL = Access({"m": Rule(right="read", part="rights", tenant=FILLED)})


def test_tenant_of_the_key_is_filled_into_requests():
    bound = caller_of(tenant="acme", all_tenants=False)
    request = pb.CreateKeyRequest()  # a message whose part has a field `tenant`
    FILL.check_request(bound, "m", request)
    assert request.rights.tenant == "acme"
    for other in ("umbrella", ""):
        request.rights.tenant = other
        with pytest.raises(PermissionDenied):
            FILL.check_request(bound, "m", request)
        FILL.check_request(caller_of(), "m", request)
        assert request.rights.tenant == other
    request.rights.ClearField("tenant")
    FILL.check_request(caller_of(), "m", request)
    assert not request.rights.HasField("tenant")


def test_tenant_of_the_key_is_filled_into_batches():
    bound = caller_of(role="write", tenant="acme", all_tenants=False)
    chunk = pb.UploadRequest(batch=pb.UpsertRequest(collection="docs"))
    Access().check_request(bound, "/vecdb.v1.Records/Upload", chunk)
    assert chunk.batch.tenant == "acme"
    Access().check_request(EVERYTHING, "/vecdb.v1.Records/Upload", pb.UploadRequest())
    chunk.batch.tenant = "umbrella"
    with pytest.raises(PermissionDenied) as caught:
        Access().check_request(bound, "/vecdb.v1.Records/Upload", chunk)
    assert caught.value.reason == "OTHER_TENANT"


def test_caller_with_neither_is_no_one():
    with pytest.raises(PermissionDenied):
        caller_of(all_tenants=False).tenant_for(None)


def test_denial_names_what_is_missing_and_not_what_exists():
    access = Access()
    with pytest.raises(PermissionDenied, match=r"needs the right 'write'.*has the role 'read'"):
        access.check_method(caller_of(), "/vecdb.v1.Records/Upsert")
    request = pb.CountRequest(collection="secret-plans")
    some = caller_of(collections=frozenset({"docs"}))
    with pytest.raises(PermissionDenied, match="may not use the collection 'secret-plans'"):
        access.check_request(some, "/vecdb.v1.Records/Count", request)


def test_alias_needs_both_names():
    some = caller_of(role="admin", collections=frozenset({"mine"}))
    method = "/vecdb.v1.Collections/Alias"
    Access().check_request(some, method, pb.AliasRequest(alias="mine"))
    for alias, collection in [("mine", "other"), ("other", "mine"), ("other", "")]:
        request = pb.AliasRequest(alias=alias, collection=collection)
        with pytest.raises(PermissionDenied):
            Access().check_request(some, method, request)


def info(name: str, *aliases: str) -> CollectionInfo:
    return CollectionInfo(
        name=name,
        dim=4,
        metric="l2",
        dtype="float32",
        fields={"lang": "keyword"},
        id_kind="int",
        count=7,
        sequence=9,
        aliases=aliases,
        segments=2,
        tail=3,
        level="all",
        level_reason="7 records",
        sealing="5 records",
    )


def test_list_holds_what_the_key_may_use():
    infos = [info("a"), info("b", "now", "old"), info("c")]
    some = caller_of(collections=frozenset({"a", "now"}))
    found = usable(some, infos)
    assert [one.name for one in found] == ["a", "b"]
    assert shown_to(some, found[1]).aliases == ("now",)
    assert usable(caller_of(), infos) == infos


def test_tenant_hears_the_schema_and_no_figure_of_others():
    shown = shown_to(caller_of(tenant="acme", all_tenants=False), info("a"))
    assert (shown.dim, shown.fields) == (4, {"lang": "keyword"})
    assert (shown.count, shown.sequence, shown.segments, shown.tail) == (0, 0, 0, 0)
    assert (shown.level, shown.level_reason, shown.sealing) == ("", "", "")
    assert shown_to(caller_of(), info("a")) == info("a")


def explanation_of(mode: str) -> Explanation:
    none = np.empty(0, np.float32)
    figures = dict.fromkeys(FIGURES, 5)
    return Explanation(
        matches=Matches(ids=[], scores=none, distances=none),
        mode=mode,
        matching=2,
        segments=3,
        tail=4,
        level="codes",
        why="the vectors take 3 GB",
        degraded=True,
        io_engine="mmap",
        seconds=0.5,
        costs={"scan": 7.0},
        **figures,
    )


FIGURES = {
    *("pages_read", "bytes_read", "read_calls", "io_rounds", "cache_hits", "nodes_expanded"),
    *("blocks_scanned", "codes_scanned", "codes_refined", "vectors_scored", "nodes_visited"),
}
OF_ITS_OWN = {"codes_scanned", "codes_refined", "vectors_scored"}


@pytest.mark.parametrize(
    ("mode", "left_open", "told", "figures"),
    [
        ("exact", True, "auto", set()),
        ("exact", False, "exact", OF_ITS_OWN),
        ("scan", False, "scan", OF_ITS_OWN),
        ("scan", True, "auto", set()),
        ("graph", True, "auto", set()),
        ("graph", False, "graph", set()),
        ("tree", False, "tree", set()),
    ],
)
def test_tenant_hears_how_its_search_went_and_not_how_much_there_is(mode, left_open, told, figures):
    explanation = explanation_of(mode)
    bound = caller_of(tenant="acme", all_tenants=False)
    shown = explained_to(bound, explanation, left_open=left_open)
    assert (shown.mode, shown.matching, shown.seconds) == (told, 2, 0.5)
    assert {name for name in FIGURES if getattr(shown, name)} == figures
    assert (shown.segments, shown.tail, shown.level, shown.why) == (0, 0, "", "")
    assert (shown.degraded, shown.io_engine, shown.costs) == (False, None, {})
    assert explained_to(caller_of(), explanation, left_open=left_open) is explanation


def test_tenant_may_not_compare_with_pairs_of_all_records():
    request = pb.SearchRequest(collection="docs", with_surprise=True)
    check_search(caller_of(), request)
    bound = caller_of(tenant="acme", all_tenants=False)
    check_search(bound, pb.SearchRequest(collection="docs", with_relevance=True))
    with pytest.raises(PermissionDenied) as caught:
        check_search(bound, request)
    assert (caught.value.field, caught.value.reason) == ("with_surprise", "TENANT_KEY")
