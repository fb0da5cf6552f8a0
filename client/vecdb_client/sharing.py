# Generated from vecdb/collection/sharing.py by client/generate.py; do not edit.
"""Arguments that name tenants: whom a call acts for, and who is to see the records of a write.

The client carries a generated copy of this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from . import limits
from .errors import InvalidArgument, LimitExceeded

TenantsLike = str | Sequence[str] | Sequence[Sequence[str]]
"""One tenant, or several, for all records; or a list of them for each record."""

Names = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """What a write says about who has its records; nothing: ``SILENT``.

    - ``tenant``: it is written as that tenant; None: by one who sees all
    - ``lists``: who is to see a record, the owner first; None: whoever does now
    - ``places``: intp[n], which of ``lists`` each record has; None: the only one
    """

    tenant: str | None = None
    lists: tuple[Names, ...] | None = None
    places: NDArray[np.intp] | None = None

    def text(self) -> bytes:
        """Tells two sharings apart; empty for ``SILENT``."""
        if self.lists is None:
            return caller_text(self.tenant)
        places = b"" if self.places is None else self.places.astype("<i8").tobytes()
        return b"for " + repr(self.lists).encode() + places


SILENT = Sharing()


def caller_text(tenant: str | None) -> bytes:
    """Tells writes of two tenants apart; empty for one who sees all."""
    return b"" if tenant is None else b"as " + tenant.encode()


def check_tenant(name: object, field: str = "tenant") -> str:
    """The name of a tenant."""
    if isinstance(name, str) and limits.NAME.fullmatch(name):
        return name
    got = repr(name[:40]) if isinstance(name, str) else type(name).__name__
    raise InvalidArgument(
        f"{field} must be a name of 1-128 letters, digits, '_', '-' and '.', not beginning with "
        f"'.'; got {got}",
        field=field,
        reason="BAD_NAME",
    )


def check_caller(tenant: object) -> str | None:
    """Whom a call acts for; None: for one who sees all."""
    return None if tenant is None else check_tenant(tenant)


def check_tenants(tenants: object, field: str = "tenants") -> Names:
    """A name or a list of names, each once, in their order; may be empty."""
    if isinstance(tenants, str):
        return (check_tenant(tenants, field),)
    if not isinstance(tenants, Sequence) or isinstance(tenants, bytes | bytearray):
        raise InvalidArgument(
            f"{field} must be the name of a tenant, or a list of names; "
            f"got {type(tenants).__name__}",
            field=field,
        )
    names = [check_tenant(name, f"{field}[{place}]") for place, name in enumerate(tenants)]
    distinct = tuple(dict.fromkeys(names))
    if len(distinct) > limits.RECORD_TENANTS:
        raise LimitExceeded(
            f"{field} names {len(distinct)} tenants; at most {limits.RECORD_TENANTS} may see one "
            "record",
            field=field,
            limit=limits.RECORD_TENANTS,
            actual=len(distinct),
        )
    return distinct


def parse_sharing(tenants: object, tenant: object, count: int) -> Sharing:
    """``tenants`` and ``tenant`` of a write of ``count`` records."""
    caller = check_caller(tenant)
    if tenants is None:
        return SILENT if caller is None else Sharing(tenant=caller)
    if caller is not None:
        raise InvalidArgument(
            "tenant and tenants are both given: what is written as a tenant is seen by it, and by "
            "those who saw it before",
            field="tenants",
            hint="Leave tenants out, or write without tenant",
        )
    if not _is_list_each(tenants):
        return Sharing(lists=(check_tenants(tenants),))
    if len(tenants) != count:
        raise InvalidArgument(
            f"tenants has lists for {len(tenants)} records, and the batch has {count}",
            field="tenants",
            limit=count,
            actual=len(tenants),
        )
    return _parse_each(tenants, count)


def _parse_each(tenants: Sequence[object], count: int) -> Sharing:
    known: dict[Names, int] = {}
    # Most records of a batch name the same tenants: a list that was checked is known again, by what
    # it holds, and a tuple, which cannot change, by itself. It is held, or another might be it.
    checked: dict[Names, int] = {}
    held: dict[int, tuple[object, int]] = {}
    places = np.empty(count, np.intp)
    for place, some in enumerate(tenants):
        same = held.get(id(some))
        if same is not None:
            places[place] = same[1]
            continue
        given = tuple(some) if isinstance(some, Sequence) and not isinstance(some, str) else None
        at = None if given is None or not _all_text(given) else checked.get(given)
        if at is None:
            names = check_tenants(some, f"tenants[{place}]")
            at = known.setdefault(names, len(known))
            if given is not None:
                checked[given] = at
        if type(some) is tuple:
            held[id(some)] = some, at
        places[place] = at
    return Sharing(lists=tuple(known), places=places)


def _is_list_each(tenants: object) -> TypeGuard[Sequence[object]]:
    """Whether it is a list for each record, and not one for all."""
    return (
        isinstance(tenants, Sequence)
        and not isinstance(tenants, str)
        and len(tenants) > 0
        and not isinstance(tenants[0], str)
    )


def _all_text(names: tuple[object, ...]) -> bool:
    return all(isinstance(name, str) for name in names)
