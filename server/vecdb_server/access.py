"""Which calls a key may make: one table of all methods, and what applies it.

A method that is not in the table is refused to everybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from google.protobuf.message import Message

from vecdb.errors import PermissionDenied
from vecdb.results import CollectionInfo, Explanation
from vecdb_client.wire import vecdb_pb2 as pb

from .caller import Caller

DENIED: Final = "denied"
FILLED: Final = "filled"
HARMLESS: Final = "harmless"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a method asks of a key.

    - ``right``: what its role must hold; empty: any key will do
    - ``names``: fields of the request that name collections or aliases
    - ``part``: the field whose message has them and the tenant; empty: the request itself
    - ``whole``: it tells or changes what lies across collections and tenants, so the key must be
      for all of both
    - ``tenant``: what becomes of a key that belongs to a tenant. ``DENIED``; ``FILLED``: the
      request's field ``tenant`` is filled in, so that the engine sees and changes what is that
      tenant's, and nothing else; ``HARMLESS``: it tells nothing of any tenant
    """

    right: str
    names: tuple[str, ...] = ()
    part: str = ""
    whole: bool = False
    tenant: str = DENIED


RULES: Final[Mapping[str, Rule]] = {
    f"/vecdb.v1.{method}": rule
    for method, rule in {
        "Database/Info": Rule(right="", tenant=HARMLESS),
        "Database/Stats": Rule(right="read", whole=True),
        "Collections/Create": Rule(right="admin", names=("name",)),
        "Collections/Describe": Rule(right="read", names=("name",), tenant=HARMLESS),
        "Collections/List": Rule(right="read", tenant=HARMLESS),
        "Collections/Delete": Rule(right="admin", names=("name",)),
        "Collections/Alias": Rule(right="admin", names=("alias", "collection")),
        "Collections/Seal": Rule(right="admin", names=("name",)),
        "Collections/Compact": Rule(right="admin", names=("name",)),
        "Collections/SetMemoryBudget": Rule(right="admin", names=("name",)),
        "Collections/AddField": Rule(right="admin", names=("name",)),
        "Collections/DropField": Rule(right="admin", names=("name",)),
        "Collections/Stats": Rule(right="read", names=("name",)),
        "Keys/Create": Rule(right="admin", whole=True),
        "Keys/List": Rule(right="admin", whole=True),
        "Keys/Revoke": Rule(right="admin", whole=True),
        "Keys/Rotate": Rule(right="admin", whole=True),
        "Tenants/Grant": Rule(right="write", names=("collection",)),
        "Tenants/Revoke": Rule(right="write", names=("collection",)),
        "Tenants/List": Rule(right="read", names=("collection",)),
        "Tenants/Describe": Rule(right="read", names=("collection",)),
        "Tenants/WhoSees": Rule(right="read", names=("collection",)),
        "Tenants/Copy": Rule(right="admin", names=("collection",)),
        "Tenants/Delete": Rule(right="admin", names=("collection",)),
        "Tenants/SetQuota": Rule(right="admin", names=("collection",)),
        "Records/Upsert": Rule(right="write", names=("collection",), tenant=FILLED),
        "Records/Upload": Rule(right="write", names=("collection",), part="batch", tenant=FILLED),
        "Records/SetPayload": Rule(right="write", names=("collection",), tenant=FILLED),
        "Records/Delete": Rule(right="write", names=("collection",), tenant=FILLED),
        "Records/Search": Rule(right="read", names=("collection",), tenant=FILLED),
        "Records/SearchGroups": Rule(right="read", names=("collection",), tenant=FILLED),
        "Records/Explain": Rule(right="read", names=("collection",), tenant=FILLED),
        "Records/Get": Rule(right="read", names=("collection",), tenant=FILLED),
        "Records/Count": Rule(right="read", names=("collection",), tenant=FILLED),
        "Records/Facets": Rule(right="read", names=("collection",), tenant=FILLED),
        "Records/Scroll": Rule(right="read", names=("collection",), tenant=FILLED),
    }.items()
}


class Access:
    """Applies a table of rules; the server's own unless told otherwise."""

    __slots__ = ("_rules",)

    def __init__(self, rules: Mapping[str, Rule] = RULES) -> None:
        self._rules = rules

    def check_method(self, caller: Caller, method: str) -> None:
        """Raise ``PermissionDenied`` unless the key may make such calls; nothing was parsed yet."""
        rule = self._rules.get(method)
        if rule is None:
            raise PermissionDenied(
                f"no rule says who may call {method[:128]}", field="method", reason="NO_RULE"
            )
        if rule.right and rule.right not in caller.rights:
            raise PermissionDenied(
                f"{method} needs the right {rule.right!r}; the API key {caller.key} has the role "
                f"{caller.role!r}",
                reason="ROLE",
                hint="Use a key with a role that holds it",
            )
        if rule.whole and not caller.sees_all:
            raise PermissionDenied(
                f"{method} needs a key for all collections and all tenants; the API key "
                f"{caller.key} is for some",
                reason="NOT_FOR_ALL",
            )
        if caller.tenant is not None and rule.tenant == DENIED:
            raise no_tenants(caller, method)

    def check_request(self, caller: Caller, method: str, request: Any) -> None:
        """Raise ``PermissionDenied`` unless the key may use what the request names.

        The request of a key that belongs to a tenant leaves as one of that tenant.
        """
        rule = self._rules[method]
        caller.check_names(self.names(method, request))
        if rule.tenant == FILLED:
            _fill_tenant(caller, method, _part(rule, request))

    def names(self, method: str, request: Any) -> list[str]:
        """The collections and aliases that the request names."""
        rule = self._rules[method]
        message = _part(rule, request)
        # An empty name is no collection's: the service refuses it, or it stands for none.
        return [name for at in rule.names if (name := getattr(message, at))]


def _part(rule: Rule, request: Any) -> Any:
    """The message that has what the rule asks of a request."""
    return getattr(request, rule.part) if rule.part else request


def _fill_tenant(caller: Caller, method: str, message: Message) -> None:
    if "tenant" not in message.DESCRIPTOR.fields_by_name:
        if caller.tenant is not None:
            raise no_tenants(caller, method)
        return
    found: Any = message
    tenant = caller.tenant_for(found.tenant if message.HasField("tenant") else None)
    if tenant is not None:
        found.tenant = tenant


def usable(caller: Caller, infos: Iterable[CollectionInfo]) -> list[CollectionInfo]:
    """The collections that the key may use."""
    names = caller.collections
    return [
        info for info in infos if names is None or not names.isdisjoint((info.name, *info.aliases))
    ]


def shown_to(caller: Caller, info: CollectionInfo) -> CollectionInfo:
    """What the key may know of a collection: of a tenant's, no figure that tells of others."""
    if caller.collections is not None:
        kept = tuple(alias for alias in info.aliases if alias in caller.collections)
        info = replace(info, aliases=kept)
    if caller.tenant is None:
        return info
    info = replace(info, count=0, sequence=0, segments=0, tail=0)
    return replace(info, level="", level_reason="", sealing="")


def explained_to(caller: Caller, explanation: Explanation, *, left_open: bool) -> Explanation:
    """An explanation; to a key of one tenant, without what tells what others have or read.

    Which path is best depends on the tenant's share of all records: where the mode was
    ``left_open`` it stays "auto", and no figure tells. Walks pass through the records of others.
    Pages, and what of them was in memory, are shared by all.
    """
    if caller.tenant is None:
        return explanation
    told = Explanation(
        matches=explanation.matches,
        mode=explanation.mode,
        matching=explanation.matching,
        segments=0,
        tail=0,
        level="",
        why="",
        degraded=False,
        io_engine=None,
        seconds=explanation.seconds,
    )
    if left_open:
        return replace(told, mode="auto")
    if explanation.mode not in ("exact", "scan"):
        return told
    return replace(
        told,
        codes_scanned=explanation.codes_scanned,
        codes_refined=explanation.codes_refined,
        vectors_scored=explanation.vectors_scored,
    )


def check_search(caller: Caller, request: pb.SearchRequest | pb.SearchGroupsRequest) -> None:
    """Raise ``PermissionDenied`` if the answer would tell a tenant of others' records."""
    if caller.tenant is not None and request.with_surprise:
        raise PermissionDenied(
            "with_surprise compares scores with those of pairs of all records, and the API key "
            f"{caller.key} belongs to a tenant",
            field="with_surprise",
            reason="TENANT_KEY",
            hint="Leave it out, or use a key for all tenants",
        )


def no_tenants(caller: Caller, method: str) -> PermissionDenied:
    return PermissionDenied(
        f"{method} is not for keys that belong to a tenant, and the API key {caller.key} does",
        reason="TENANT_KEY",
        hint="It would tell of, or change, what other tenants have: use a key for all tenants",
    )
