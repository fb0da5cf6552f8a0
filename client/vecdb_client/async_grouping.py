"""What the records of one collection behind a server have in common, for asyncio."""

from __future__ import annotations

from . import responses, search_requests
from .async_calls import AsyncCaller
from .results import Facets
from .settings import Default, Timeout

Filter = object
"""An expression of ``F``, the dict form, anything with ``to_dict()``, or None."""


class AsyncGrouping:
    """Counts by value and groups of matches, for a collection."""

    name: str
    _caller: AsyncCaller

    async def facets(
        self,
        field: str,
        filter: Filter = None,
        limit: int = 10,
        *,
        timeout: Timeout = Default.CLIENT,
    ) -> Facets:
        """How many records, of those that match, have each value of a declared field; exact.

        The ``limit`` most frequent values, ties by value. A record counts once for each value of
        a list, and not at all where it lacks the field.
        """
        request = search_requests.facets(self.name, field, filter, limit)
        return responses.facets(await self._caller.call(request, timeout), field)
