"""The methods of a collection that say who sees which records."""

from __future__ import annotations

from collections.abc import Sequence

from .. import limits
from ..deadline import Deadline
from ..results import RecordAccess, TenantInfo, WriteResult
from ..schema import check_integer
from . import tenants as work
from .batch import check_ids, check_unique
from .handle import Handle, IdsLike
from .sharing import check_tenant, check_tenants


class TenantMethods(Handle):
    """Grants, and tenants themselves.

    A tenant sees the records that were granted to it, by ``grant`` or by ``tenants=`` of an
    upsert. A change of that is one transaction: the next search obeys it, and no vector is
    rewritten.
    """

    def grant(
        self, ids: IdsLike, tenants: str | Sequence[str], *, timeout: float | None = None
    ) -> WriteResult:
        """Let tenants see records; ``count``: of those that one of them did not see before.

        Ids that are not stored are passed over. A name that is new makes a tenant.
        """
        return self._change_grants(ids, tenants, timeout, away=False)

    def revoke(
        self, ids: IdsLike, tenants: str | Sequence[str], *, timeout: float | None = None
    ) -> WriteResult:
        """Let tenants see records no more; ``count``: of those that one of them saw.

        Ids that are not stored are passed over. Who owned such a record owns it no more either.
        """
        return self._change_grants(ids, tenants, timeout, away=True)

    def _change_grants(
        self, ids: IdsLike, tenants: str | Sequence[str], timeout: float | None, *, away: bool
    ) -> WriteResult:
        checked = check_ids(ids, limits.BATCH_RECORDS)
        check_unique(checked)
        names = check_tenants(tenants)
        return work.change_grants(
            self._store, self.name, checked, names, Deadline.after(timeout), away=away
        )

    def tenants(
        self, after: str | None = None, limit: int = 1_000, *, timeout: float | None = None
    ) -> list[TenantInfo]:
        """The tenants by name, a page of them: pass the last one's name as ``after``."""
        Deadline.after(timeout).check("listing tenants")
        behind = None if after is None else check_tenant(after, "after")
        most = check_integer("limit", limit, limits.TENANTS_PAGE)
        return work.list_tenants(self._store, self.name, behind, most)

    def tenant(self, name: str, *, timeout: float | None = None) -> TenantInfo:
        """How much a tenant sees and owns, and its quotas; ``NotFound`` where there is none."""
        Deadline.after(timeout).check("reading a tenant")
        return work.describe_tenant(self._store, self.name, check_tenant(name, "name"))

    def who_sees(self, id: int | str, *, timeout: float | None = None) -> RecordAccess:
        """The owner of a record, and the tenants that see it."""
        Deadline.after(timeout).check("reading who sees a record")
        ids = check_ids([id], 1, "id")
        return work.who_sees(self._store, self.name, ids)

    def copy_tenant(self, source: str, target: str, *, timeout: float | None = None) -> WriteResult:
        """Make the tenant ``target``, which sees what ``source`` does now; ``count``: of those.

        Takes the same time for any number of records. From then on they are apart: what is granted
        to one, or revoked from it, changes nothing for the other. The copy owns nothing.
        """
        return work.copy_tenant(
            self._store,
            self.name,
            check_tenant(source, "source"),
            check_tenant(target, "target"),
            Deadline.after(timeout),
        )

    def delete_tenant(self, name: str, *, timeout: float | None = None) -> WriteResult:
        """End a tenant: from now on it sees nothing, and its keys are revoked.

        The records that it owned and nobody else sees are deleted in the background; others stay.
        ``count``: of the records that it owned.
        """
        return work.delete_tenant(
            self._store, self.name, check_tenant(name, "name"), Deadline.after(timeout)
        )

    def set_quota(
        self,
        name: str,
        *,
        max_records: int | None = None,
        max_bytes: int | None = None,
        rate: float | None = None,
        timeout: float | None = None,
    ) -> TenantInfo:
        """Bound what a tenant may own, and the calls a second of its keys; None: no bound.

        A tenant that has more than it may keeps it, and adds nothing. A name that is new makes a
        tenant.
        """
        checked = check_tenant(name, "name")
        quotas = (max_records, max_bytes, rate)
        work.set_quota(self._store, self.name, checked, quotas, Deadline.after(timeout))
        return work.describe_tenant(self._store, self.name, checked)
