"""The tenants of one collection, as one write finds and changes them.

What it changes is kept here and stored at the end (``store``), so that a write that is refused has
touched nothing. Used by the writer thread only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..errors import LimitExceeded, NotFound
from ..storage import principals
from ..storage.principals import Grant, Principal
from ..storage.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class _Used:
    """By how much what a tenant owns has grown."""

    records: int = 0
    bytes: int = 0


class Directory:
    """Of the collection of that number."""

    def __init__(self, transaction: Transaction, number: int, now_us: int) -> None:
        self.transaction = transaction
        self.number = number
        self._now_us = now_us
        self._known: dict[str, Principal | None] = {}
        self._by_id: dict[int, str | None] = {}
        self._grants: dict[int, Grant] = {}
        self._made: list[str] = []  # tenants that are not stored yet, numbered by ``_make``
        self._used: dict[str, _Used] = {}

    def find(self, name: str) -> Principal | None:
        """The tenant of that name; None: there is none."""
        if name not in self._known:
            found = principals.find_principal(self.transaction, self.number, name)
            self._know(name, found)
        return self._known[name]

    def require(self, name: str, field: str = "tenant") -> Principal:
        """The tenant of that name; ``NotFound`` where there is none."""
        found = self.find(name)
        if found is None:
            raise no_tenant(name, field)
        return found

    def ensure(self, name: str) -> Principal:
        """The tenant of that name, a new one where there was none."""
        found = self.find(name)
        return self._make(name) if found is None else found

    def of_id(self, id: int) -> Principal | None:
        """The tenant of that id; None: it was deleted, or 0, nobody."""
        if not id:
            return None
        if id not in self._by_id:
            self._by_id[id] = principals.name_of(self.transaction, self.number, id)
        name = self._by_id[id]
        return None if name is None else self.find(name)

    def grant(self, grant: int) -> Grant:
        """A stored grant number, or one of a tenant that was made here."""
        if grant not in self._grants:
            self._grants[grant] = principals.get_grant(self.transaction, self.number, grant)
        return self._grants[grant]

    def use(self, id: int, records: int, size_bytes: int) -> None:
        """Note that what the tenant of that id owns has grown by so much; nothing for nobody."""
        owner = self.of_id(id)
        if owner is None:
            return
        used = self._used.get(owner.name, _Used())
        self._used[owner.name] = _Used(
            records=used.records + records, bytes=used.bytes + size_bytes
        )

    def check_quotas(self) -> None:
        """Raise ``LimitExceeded`` if a tenant has grown beyond what it may own."""
        for name, used in self._used.items():
            one = self.require(name)
            for what, grown, now, most in (
                ("records", used.records, one.records, one.max_records),
                ("bytes", used.bytes, one.bytes, one.max_bytes),
            ):
                if most is not None and grown > 0 and now + grown > most:
                    raise _over_quota(name, what, now + grown, most)

    def store(self) -> None:
        """Write what has changed: new tenants, and what tenants own."""
        for name in self._made:
            principals.put_grant(self.transaction, self.number, self.grant(self.require(name).own))
        if self._made:
            self.transaction.adds = True
            principals.take_numbers(self.transaction, self.number, len(self._made), len(self._made))
        for name in {*self._made, *self._used}:
            used, one = self._used.get(name, _Used()), self.require(name)
            now = replace(one, records=one.records + used.records, bytes=one.bytes + used.bytes)
            self.replace(now)
        self._made, self._used = [], {}

    def replace(self, one: Principal) -> None:
        """Store a tenant that has changed."""
        principals.put_principal(self.transaction, self.number, one)
        self._know(one.name, one)

    def put_grant(self, grant: Grant) -> None:
        """Store a grant number that has changed."""
        principals.put_grant(self.transaction, self.number, grant)
        self._grants[grant.number] = grant

    def _know(self, name: str, one: Principal | None) -> None:
        self._known[name] = one
        if one is not None:
            self._by_id[one.id] = name

    def _make(self, name: str) -> Principal:
        first_id, first_grant = principals.peek_numbers(self.transaction, self.number)
        place = len(self._made)
        made = Principal(
            name=name, id=first_id + place, own=first_grant + place, created_us=self._now_us
        )
        self._made.append(name)
        self._know(name, made)
        self._grants[made.own] = Grant.own(made.own, made.id)
        return made


def open_directory(transaction: Transaction, number: int, now_us: int) -> Directory | None:
    """None where the collection never had a tenant, so that nobody has any of its records."""
    if not principals.has_principals(transaction, number):
        return None
    return Directory(transaction, number, now_us)


def no_tenant(name: str, field: str = "tenant") -> NotFound:
    return NotFound(
        f"there is no tenant {name!r} in this collection",
        field=field,
        reason="NO_TENANT",
        hint="tenants() lists those that there are; a grant, or tenants= of an upsert, makes one",
    )


def _over_quota(name: str, what: str, actual: int, most: int) -> LimitExceeded:
    return LimitExceeded(
        f"tenant {name!r} may own {most} {what}, and would have {actual}; nothing was applied",
        field="tenant",
        reason="TENANT_QUOTA",
        limit=most,
        actual=actual,
        hint="Delete some of its records, or raise its quota (set_quota)",
    )
