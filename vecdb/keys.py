"""API keys: what one may do, and for how long. The client carries a generated copy of this file.

Rights include downwards: who may administer may write, who may write may read. The rights that
begin with ``cache:`` are those of the semantic cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from . import limits
from .errors import InvalidArgument

__all__ = ["ROLES", "KeyInfo", "KeyRights"]

ROLES = {
    "read": frozenset({"read", "cache:get"}),
    "write": frozenset({"read", "write", "cache:get", "cache:put"}),
    "admin": frozenset({"read", "write", "admin", "cache:get", "cache:put", "cache:admin"}),
    "cache:get": frozenset({"cache:get"}),
    "cache:put": frozenset({"cache:get", "cache:put"}),
    "cache:admin": frozenset({"cache:get", "cache:put", "cache:admin"}),
}
"""Role -> the rights that it holds."""
OVERLAP_SECONDS = 24 * 3600.0
"""How long the old secret of a rotated key stays valid, where nothing else is said."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRights:
    """Validated on construction: a key that nobody said enough about cannot exist.

    - ``name``: what people call the key; need not be unique
    - ``role``: one of ``ROLES``
    - ``collections``: names or aliases, as calls give them; None: all
    - ``tenant``: the key sees and writes as this tenant; else ``all_tenants``: it may be any
    - ``expires``: an aware datetime; None: never
    - ``rate``: calls a second; ``concurrency``: calls at once; None: no bound
    """

    name: str
    role: str
    collections: tuple[str, ...] | None = None
    tenant: str | None = None
    all_tenants: bool = False
    expires: datetime | None = None
    rate: float | None = None
    concurrency: int | None = None

    def __post_init__(self) -> None:
        _check_name(self.name, "name")
        if not isinstance(self.role, str) or self.role not in ROLES:
            raise InvalidArgument(
                f"role must be one of {', '.join(ROLES)}; got {str(self.role)[:40]!r}",
                field="role",
            )
        object.__setattr__(self, "collections", _check_collections(self.collections))
        self._check_tenant()
        self._check_expires()
        self._check_bounds()

    @property
    def rights(self) -> frozenset[str]:
        return ROLES[self.role]

    def _check_tenant(self) -> None:
        if not isinstance(self.all_tenants, bool):
            raise InvalidArgument("all_tenants must be True or False", field="all_tenants")
        if self.tenant is None and not self.all_tenants:
            raise InvalidArgument(
                "a key belongs to one tenant or is for all, and neither was said: there is no "
                "default, since it would be everything",
                field="tenant",
                reason="NO_TENANT",
                hint="Pass tenant='name', or all_tenants=True",
            )
        if self.tenant is not None:
            if self.all_tenants:
                raise InvalidArgument(
                    "a key belongs to one tenant or is for all; got both tenant and all_tenants",
                    field="tenant",
                )
            _check_name(self.tenant, "tenant")

    def _check_expires(self) -> None:
        if self.expires is None:
            return
        if not isinstance(self.expires, datetime) or self.expires.tzinfo is None:
            raise InvalidArgument(
                "expires must be a datetime with a zone, or None; got "
                f"{type(self.expires).__name__}",
                field="expires",
                hint="Such as datetime.now(UTC) + timedelta(days=30)",
            )
        object.__setattr__(self, "expires", self.expires.astimezone(UTC))

    def _check_bounds(self) -> None:
        rate, calls = self.rate, self.concurrency
        if rate is not None:
            number = isinstance(rate, int | float) and not isinstance(rate, bool)
            if not number or not math.isfinite(rate) or not 0 < rate <= limits.KEY_RATE:
                raise InvalidArgument(
                    f"rate must be calls a second, above 0 and at most {limits.KEY_RATE}",
                    field="rate",
                )
            object.__setattr__(self, "rate", float(rate))
        if calls is not None and (type(calls) is not int or not 1 <= calls <= limits.KEY_RATE):
            raise InvalidArgument(
                f"concurrency must be an integer from 1 to {limits.KEY_RATE}",
                field="concurrency",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo(KeyRights):
    """A key of the database, without its secret, which nobody keeps.

    - ``id``: names the key for good, also in its secret and in the log
    - ``revoked``: when that was; None: it is not
    - ``overlap``: until when the secret from before the last rotation is valid; None: there is none
    """

    id: str
    created: datetime
    revoked: datetime | None = None
    overlap: datetime | None = None

    def state(self, now: datetime) -> str:
        """valid, expired or revoked."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "valid"


def check_overlap(overlap: object) -> float:
    """Seconds for which the old secret of a rotated key stays valid."""
    number = isinstance(overlap, int | float) and not isinstance(overlap, bool)
    if not number or not 0 <= float(overlap) <= limits.KEY_OVERLAP_SECONDS:  # type: ignore[arg-type]
        raise InvalidArgument(
            f"overlap must be seconds from 0 to {limits.KEY_OVERLAP_SECONDS:.0f}", field="overlap"
        )
    return float(overlap)  # type: ignore[arg-type]


def to_us(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_us(number: int) -> datetime:
    """The inverse; ``InvalidArgument`` if it is no time that a datetime can hold."""
    try:
        return EPOCH + timedelta(microseconds=number)
    except OverflowError:
        raise InvalidArgument("a time is out of range", field="expires") from None


def _check_name(name: object, field: str) -> None:
    if not isinstance(name, str) or not limits.NAME.fullmatch(name):
        raise InvalidArgument(
            f"{field} must be 1-128 letters, digits, '.', '_' or '-', not starting with '.'; "
            f"got {repr(name)[:80]}",
            field=field,
            reason="BAD_NAME",
        )


def _check_collections(names: object) -> tuple[str, ...] | None:
    if names is None:
        return None
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise InvalidArgument(
            f"collections must be a list of names, or None for all; got {type(names).__name__}",
            field="collections",
        )
    found = tuple(names)
    if not 1 <= len(found) <= limits.KEY_COLLECTIONS:
        raise InvalidArgument(
            f"collections must name 1-{limits.KEY_COLLECTIONS}, or be None for all; "
            f"got {len(found)}",
            field="collections",
            limit=limits.KEY_COLLECTIONS,
            actual=len(found),
        )
    for at, name in enumerate(found):
        _check_name(name, f"collections[{at}]")
    return tuple(sorted(set(found)))
