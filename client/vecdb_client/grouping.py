# Generated from client/vecdb_client/async_grouping.py by client/generate.py; do not edit.
"""What the records of one collection behind a server have in common."""

from __future__ import annotations

from typing import Literal

from numpy.typing import ArrayLike

from . import columns, responses, search_requests
from .handle import Handle
from .results import Facets, Groups
from .settings import Default, Timeout

Filter = object
"""An expression of ``F``, the dict form, anything with ``to_dict()``, or None."""


class Grouping(Handle):
    """Counts by value and groups of matches, for a collection."""

    def search_groups(
        self,
        vector: ArrayLike,
        group_by: str,
        groups: int = 10,
        group_size: int = 1,
        *,
        tenant: str | None = None,
        filter: Filter = None,
        mode: str = "auto",
        effort: float | Literal["bound"] | None = None,
        estimator: str = "rabitq",
        min_score: float | None = None,
        with_payload: bool = True,
        with_vector: bool = False,
        with_relevance: bool = False,
        with_surprise: bool = False,
        timeout: Timeout = Default.CLIENT,
    ) -> Groups:
        """The best matches of each value of a declared field; the best groups, best first.

        min(groups, values that matching records have) of them, each with min(group_size, records
        of that value) matches, fewer only by ``min_score``. A record counts under each value of a
        list; records that lack the field are left out. The other arguments: as in ``search``.
        """
        request = search_requests.search_groups(
            self.name,
            columns.to_query(vector),
            group_by,
            groups,
            group_size,
            tenant=tenant,
            filter=filter,
            mode=mode,
            effort=effort,
            estimator=estimator,
            min_score=min_score,
            with_payload=with_payload,
            with_vector=with_vector,
            with_relevance=with_relevance,
            with_surprise=with_surprise,
        )
        answer = self._caller.call(request, timeout)
        return responses.groups(
            answer, group_by, with_payload=with_payload, with_vector=with_vector
        )

    def facets(
        self,
        field: str,
        filter: Filter = None,
        limit: int = 10,
        *,
        tenant: str | None = None,
        timeout: Timeout = Default.CLIENT,
    ) -> Facets:
        """How many records, of those that match, have each value of a declared field; exact.

        The ``limit`` most frequent values, ties by value. A record counts once for each value of
        a list, and not at all where it lacks the field. ``tenant``: of what it sees; None: of all.
        """
        request = search_requests.facets(self.name, field, filter, limit, tenant=tenant)
        return responses.facets(self._caller.call(request, timeout), field)
