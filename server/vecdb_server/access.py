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

from .caller import Caller

DENIED: Final = "denied"
FILLED: Final = "filled"
OWNED: Final = "owned"
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
      request's field ``tenant`` is filled in; ``OWNED``: the key's tenant leads the request's
      ``tenants``, and the service sees to what it may replace; ``HARMLESS``: it tells nothing of
      any tenant
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
        "Records/Upsert": Rule(right="write", names=("collection",), tenant=OWNED),
        "Records/Upload": Rule(right="write", names=("collection",), part="batch", tenant=OWNED),
        "Records/SetPayload": Rule(right="write", names=("collection",), tenant=FILLED),
        "Records/Delete": Rule(right="write", names=("collection",), tenant=FILLED),
        "Records/Search": Rule(right="read", names=("collection",), tenant=FILLED),
        "Records/Explain": Rule(right="read", names=("collection",), tenant=FILLED),
        "Records/Get": Rule(right="read", names=("collection",), tenant=FILLED),
        "Records/Count": Rule(right="read", names=("collection",), tenant=FILLED),
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
        message = getattr(request, rule.part) if rule.part else request
        # An empty name is no collection's: the service refuses it, or it stands for none.
        caller.check_names(name for at in rule.names if (name := getattr(message, at)))
        if rule.tenant in (FILLED, OWNED):
            _fill_tenant(caller, method, rule, message)


def _fill_tenant(caller: Caller, method: str, rule: Rule, message: Message) -> None:
    field = "tenant" if rule.tenant == FILLED else "tenants"
    if field not in message.DESCRIPTOR.fields_by_name:
        if caller.tenant is not None:
            raise no_tenants(caller, method)
        return
    found: Any = message
    if rule.tenant == FILLED:
        tenant = caller.tenant_for(found.tenant if message.HasField("tenant") else None)
        if tenant is not None:
            found.tenant = tenant
    elif (tenant := caller.tenant_for(None)) is not None:
        others = [name for name in found.tenants if name != tenant]
        found.tenants[:] = [tenant, *others]


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


def explained_to(caller: Caller, explanation: Explanation) -> Explanation:
    """An explanation; to a key of one tenant, without what tells how much others have."""
    if caller.tenant is None:
        return explanation
    hidden = replace(explanation, segments=0, tail=0, level="", why="", degraded=False)
    return replace(hidden, nodes_visited=0, costs={})


def no_tenants(caller: Caller, method: str) -> PermissionDenied:
    return PermissionDenied(
        f"{method} is not for keys that belong to a tenant, and the API key {caller.key} does",
        reason="TENANT_KEY",
        hint="It would tell of, or change, what other tenants have: use a key for all tenants",
    )
