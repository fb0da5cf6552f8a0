# Generated from client/vecdb_client/async_tenant_methods.py by client/generate.py; do not edit.
"""The methods that say who sees which records of a collection behind a server."""

from __future__ import annotations

from collections.abc import Sequence

from . import responses, tenant_messages
from .handle import Handle
from .requests import IdsLike
from .results import RecordAccess, TenantInfo, WriteResult
from .settings import Default, Timeout


class TenantMethods(Handle):
    """Grants, and tenants themselves.

    A tenant sees the records that were granted to it, by ``grant`` or by ``tenants=`` of an
    upsert. A change of that is one transaction: the next search obeys it, and no vector is
    rewritten.
    """

    def grant(
        self, ids: IdsLike, tenants: str | Sequence[str], *, timeout: Timeout = Default.CLIENT
    ) -> WriteResult:
        """Let tenants see records; ``count``: of those that one of them did not see before.

        Ids that are not stored are passed over. A name that is new makes a tenant. Where an answer
        was lost on the way, the second attempt counts what was left to do.
        """
        request = tenant_messages.grant(self.name, ids, tenants)
        return responses.write_result(self._caller.call(request, timeout))

    def revoke(
        self, ids: IdsLike, tenants: str | Sequence[str], *, timeout: Timeout = Default.CLIENT
    ) -> WriteResult:
        """Let tenants see records no more; ``count``: of those that one of them saw.

        Ids that are not stored are passed over. Who owned such a record owns it no more either.
        ``count``: as in ``grant``.
        """
        request = tenant_messages.revoke(self.name, ids, tenants)
        return responses.write_result(self._caller.call(request, timeout))

    def tenants(
        self, after: str | None = None, limit: int = 1_000, *, timeout: Timeout = Default.CLIENT
    ) -> list[TenantInfo]:
        """The tenants by name, a page of them: pass the last one's name as ``after``."""
        request = tenant_messages.list_page(self.name, after, limit)
        return tenant_messages.listed(self._caller.call(request, timeout))

    def tenant(self, name: str, *, timeout: Timeout = Default.CLIENT) -> TenantInfo:
        """How much a tenant sees and owns, and its quotas; ``NotFound`` where there is none."""
        request = tenant_messages.describe(self.name, name)
        return tenant_messages.tenant_info(self._caller.call(request, timeout))

    def who_sees(self, id: int | str, *, timeout: Timeout = Default.CLIENT) -> RecordAccess:
        """The owner of a record, and the tenants that see it."""
        request = tenant_messages.who_sees(self.name, id)
        return tenant_messages.record_access(self._caller.call(request, timeout))

    def copy_tenant(
        self, source: str, target: str, *, timeout: Timeout = Default.CLIENT
    ) -> WriteResult:
        """Make the tenant ``target``, which sees what ``source`` does now; ``count``: of those.

        Takes the same time for any number of records. From then on they are apart: what is granted
        to one, or revoked from it, changes nothing for the other. The copy owns nothing.
        """
        request = tenant_messages.copy(self.name, source, target)
        return responses.write_result(self._caller.call(request, timeout))

    def delete_tenant(self, name: str, *, timeout: Timeout = Default.CLIENT) -> WriteResult:
        """End a tenant: from now on it sees nothing, and its keys are revoked.

        The records that it owned and nobody else sees are deleted in the background; others stay.
        ``count``: of the records that it owned.
        """
        request = tenant_messages.delete(self.name, name)
        return responses.write_result(self._caller.call(request, timeout))

    def set_quota(
        self,
        name: str,
        *,
        max_records: int | None = None,
        max_bytes: int | None = None,
        rate: float | None = None,
        timeout: Timeout = Default.CLIENT,
    ) -> TenantInfo:
        """Bound what a tenant may own, and the calls a second of its keys; None: no bound.

        A tenant that has more than it may keeps it, and adds nothing. A name that is new makes a
        tenant.
        """
        request = tenant_messages.set_quota(
            self.name, name, max_records=max_records, max_bytes=max_bytes, rate=rate
        )
        return tenant_messages.tenant_info(self._caller.call(request, timeout))
