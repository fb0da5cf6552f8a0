"""The methods of a collection that read records by their ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import limits
from ..deadline import Deadline
from ..filters import parse_filter
from ..results import Facets, Records
from ..schema import check_integer
from . import facets, reads
from .arguments import check_flag
from .batch import check_ids
from .handle import Filter, Handle, IdsLike
from .ordering import OrderedScroll, parse_order, scroll_ordered
from .sharing import check_caller


class ReadMethods(Handle):
    """Get, count and scroll."""

    def get(
        self,
        ids: IdsLike,
        *,
        tenant: str | None = None,
        with_payload: bool = True,
        with_vector: bool = False,
        timeout: float | None = None,
    ) -> Records:
        """Records by id, in the order asked; ``missing`` tells which are not stored.

        ``tenant``: those that it does not see are missing; None: all are seen.
        """
        Deadline.after(timeout).check("reading records")
        return reads.get(
            self._store,
            self.name,
            check_ids(ids, limits.GET_RECORDS),
            tenant=check_caller(tenant),
            with_payload=check_flag("with_payload", with_payload),
            with_vector=check_flag("with_vector", with_vector),
        )

    def count(
        self,
        filter: Filter = None,
        *,
        tenant: str | None = None,
        timeout: float | None = None,
    ) -> int:
        """How many records there are, or match a filter, or a tenant sees; exact."""
        deadline = Deadline.after(timeout)
        deadline.check("counting records")
        return reads.count(self._store, self.name, check_caller(tenant), filter, deadline)

    def facets(
        self,
        field: str,
        filter: Filter = None,
        limit: int = 10,
        *,
        tenant: str | None = None,
        timeout: float | None = None,
    ) -> Facets:
        """How many records, of those that match, have each value of a declared field; exact.

        The ``limit`` most frequent values, ties by value. A record counts once for each value of
        a list, and not at all where it lacks the field. ``tenant``: of what it sees; None: of all.
        """
        deadline = Deadline.after(timeout)
        while True:
            row = self._store.row(self.name)
            wanted = facets.make_request(row, field, tenant, filter, limit)
            found = facets.count_values(self._store, self.name, wanted, deadline)
            if found is not None:
                return found

    def scroll(
        self,
        filter: Filter = None,
        after: int | str | None = None,
        limit: int = 100,
        *,
        tenant: str | None = None,
        order_by: str | Mapping[str, Any] | None = None,
        with_payload: bool = True,
        with_vector: bool = False,
        timeout: float | None = None,
    ) -> Records:
        """A page of records in the order of their ids; pass its ``next`` as ``after``.

        ``tenant``: only those that it sees; None: all.
        ``order_by``: a declared field, or {"field": .., "descending": True}: by its values, equal
        ones by id; of a list the value counts that comes first; records that lack the field come
        last. ``next`` is then a text that is good for the same order alone.
        """
        if order_by is not None:
            return self._scroll_ordered(
                order_by,
                filter,
                Deadline.after(timeout),
                tenant=check_caller(tenant),
                after=after,
                limit=check_integer("limit", limit, limits.GET_RECORDS),
                with_payload=check_flag("with_payload", with_payload),
                with_vector=check_flag("with_vector", with_vector),
            )
        return reads.scroll(
            self._store,
            self.name,
            filter,
            after,
            check_integer("limit", limit, limits.GET_RECORDS),
            tenant=check_caller(tenant),
            with_payload=check_flag("with_payload", with_payload),
            with_vector=check_flag("with_vector", with_vector),
            deadline=Deadline.after(timeout),
        )

    def _scroll_ordered(
        self,
        order_by: object,
        filter: Filter,
        deadline: Deadline,
        **options: Any,
    ) -> Records:
        while True:
            row = self._store.row(self.name)
            fields = row.schema.fields
            request = OrderedScroll(
                row=row,
                order=parse_order(order_by, fields),
                node=parse_filter(filter, fields),
                **options,
            )
            found = scroll_ordered(self._store, self.name, request, deadline)
            if found is not None:
                return found
