"""Who makes a call: what its key may do, and as whom."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from vecdb.errors import PermissionDenied
from vecdb.keys import ROLES, KeyInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """What the key of a call allows.

    - ``key``: its id; empty where the call needs no key of the database
    - ``collections``: the names that it may use; None: all
    - ``tenant``: as whom it sees and writes; None, with ``all_tenants``: as any, or as nobody
    - ``rate``, ``concurrency``: of its calls a second and at once; None: no bound
    """

    key: str = ""
    role: str
    collections: frozenset[str] | None = None
    tenant: str | None = None
    all_tenants: bool = False
    rate: float | None = None
    concurrency: int | None = None

    @classmethod
    def of(cls, info: KeyInfo) -> Caller:
        return cls(
            key=info.id,
            role=info.role,
            collections=None if info.collections is None else frozenset(info.collections),
            tenant=info.tenant,
            all_tenants=info.all_tenants,
            rate=info.rate,
            concurrency=info.concurrency,
        )

    @property
    def rights(self) -> frozenset[str]:
        return ROLES[self.role]

    @property
    def sees_all(self) -> bool:
        """No part of the database is kept from it."""
        return self.collections is None and self.tenant is None and self.all_tenants

    def tenant_for(self, requested: str | None) -> str | None:
        """The tenant that a call acts for; None: for none in particular, and it sees everything.

        The only place where a request's tenant and a key's meet: the key's own is filled in, and
        ``PermissionDenied`` if the request names another.
        """
        if self.tenant is not None:
            if requested is not None and requested != self.tenant:
                raise PermissionDenied(
                    "the API key belongs to another tenant than the one asked for",
                    field="tenant",
                    reason="OTHER_TENANT",
                    hint="Leave tenant out: the key's own is filled in",
                )
            return self.tenant
        if not self.all_tenants:
            raise PermissionDenied(
                "the API key has neither a tenant nor the right to all", reason="NO_TENANT"
            )
        return requested

    def check_names(self, names: Iterable[str]) -> None:
        """Raise ``PermissionDenied`` for the first collection or alias that the key may not use.

        Whether there is one of that name makes no difference.
        """
        for name in names:
            if self.collections is not None and name not in self.collections:
                raise PermissionDenied(
                    f"the API key {self.key} may not use the collection {name[:128]!r}",
                    field="collection",
                    reason="OTHER_COLLECTION",
                    hint="A key for some collections names them, or their aliases, as calls do",
                )


EVERYTHING: Final = Caller(role="admin", all_tenants=True)
"""Where no key is needed, and for keys that come with the server's configuration."""
