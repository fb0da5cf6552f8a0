# Generated from client/vecdb_client/async_search_methods.py by client/generate.py; do not edit.
"""The methods that search one collection behind a server."""

from __future__ import annotations

from typing import Literal

from numpy.typing import ArrayLike

from . import columns, responses, search_requests
from .handle import Handle
from .results import Explanation, Facets, Groups, Matches
from .settings import Default, Timeout

Filter = object
"""An expression of ``F``, the dict form, anything with ``to_dict()``, or None."""


class SearchMethods(Handle):
    """Search, in one, in batches or by groups; explain; and counts by value."""

    def search(
        self,
        vector: ArrayLike,
        k: int = 10,
        *,
        tenant: str | None = None,
        offset: int = 0,
        diversity: float | None = None,
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
    ) -> Matches:
        """The ``k`` best matches of one vector [dim], best first.

        Exactly min(k, matching records) of them, fewer only by ``min_score``.
        ``tenant``: whose records to search, those that were granted to it; None: all records.
        ``mode``: "exact" scores every vector; "scan" reads every code, then scores the vectors of
        the most promising; "tree" reads the codes of nodes near the vector that hold what matches;
        "graph" walks from neighbour to neighbour; "auto" takes what is expected to cost least.
        ``effort``: how many vectors a scan scores or how wide a walk is, as a factor (default 1, at
        most 64); or "bound": a scan scores as many as the codes' error bound asks for.
        ``estimator``: what codes are compared by: "rabitq", or "hamming" (the signs alone).
        ``offset``: leave out the first ones: with k, a page of one search for offset + k.
        ``diversity``: from 0.0 to 1.0: among the 4 * k best, matches unlike each other are chosen
        (maximal marginal relevance), given in the order of choice.
        ``with_relevance`` (cosine only), ``with_surprise``: see ``Matches``.
        """
        request = search_requests.search(
            self.name,
            columns.to_query(vector),
            k,
            tenant=tenant,
            offset=offset,
            diversity=diversity,
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
        return responses.matches(answer, with_payload=with_payload, with_vector=with_vector)[0]

    def search_batch(
        self,
        vectors: ArrayLike,
        k: int = 10,
        *,
        tenant: str | None = None,
        offset: int = 0,
        diversity: float | None = None,
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
    ) -> list[Matches]:
        """``search`` for each of the vectors [n, dim], in one call."""
        request = search_requests.search(
            self.name,
            columns.to_matrix(vectors),
            k,
            tenant=tenant,
            offset=offset,
            diversity=diversity,
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
        return responses.matches(answer, with_payload=with_payload, with_vector=with_vector)

    def explain(
        self,
        vector: ArrayLike,
        k: int = 10,
        *,
        tenant: str | None = None,
        filter: Filter = None,
        mode: str = "auto",
        effort: float | Literal["bound"] | None = None,
        estimator: str = "rabitq",
        min_score: float | None = None,
        timeout: Timeout = Default.CLIENT,
    ) -> Explanation:
        """Search, and tell how: the path that was taken, what was counted, read and scored."""
        request = search_requests.explain(
            self.name,
            columns.to_query(vector),
            k,
            tenant=tenant,
            filter=filter,
            mode=mode,
            effort=effort,
            estimator=estimator,
            min_score=min_score,
        )
        return responses.explanation(self._caller.call(request, timeout))

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
