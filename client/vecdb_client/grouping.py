# Generated from client/vecdb_client/async_grouping.py by client/generate.py; do not edit.
"""What the records of one collection behind a server have in common."""

from __future__ import annotations

from . import responses, search_requests
from .calls import Caller
from .results import Facets
from .settings import Default, Timeout

Filter = object
"""An expression of ``F``, the dict form, anything with ``to_dict()``, or None."""


class Grouping:
    """Counts by value and groups of matches, for a collection."""

    name: str
    _caller: Caller

    def facets(
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
        return responses.facets(self._caller.call(request, timeout), field)
