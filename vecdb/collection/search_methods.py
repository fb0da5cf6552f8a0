"""The methods of a collection that search."""

from __future__ import annotations

from typing import Any, Literal

from numpy.typing import ArrayLike

from ..deadline import Deadline
from ..errors import VecDBError
from ..results import Explanation, Groups, Matches
from ..storage.catalogue import CollectionRow
from .grouping import make_group_request, search_groups
from .handle import Filter, Handle
from .search import FLAGS, Request, explain, make_request, search


class SearchMethods(Handle):
    """Search, in one or in batches, and explain."""

    _row: CollectionRow | None = None  # As it was seen last; any thread may set it.

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
        timeout: float | None = None,
    ) -> Matches:
        """The ``k`` best matches of one vector [dim], best first: min(k, matching records) of them,
        fewer only by ``min_score``. The same request gives the same answer, to the bit.

        ``tenant``: whose records to search, those that were granted to it; None: all records.
        ``mode``: "exact" compares every matching vector, "scan" the codes of all and then the
        vectors of those that may be among the best, "tree" the codes of nodes near the vector that
        hold what matches, "graph" walks from neighbour to neighbour; "auto" takes what is expected
        to cost least.
        ``effort``: a factor of the rows that the codes keep (8 is high); None: 1, and then 4 where
        the error bound was not met; "bound": as many as it asks for. ``estimator``: "hamming" is
        faster for batches.
        ``offset``: leave out the first ones: with k, a page of one search for offset + k.
        ``diversity``: from 0.0 to 1.0: among the 4 * k best, matches unlike each other are chosen
        (maximal marginal relevance), given in the order of choice.
        ``with_relevance`` (cosine only), ``with_surprise``: see ``Matches``.
        """
        return self._search(
            vector,
            k,
            single=True,
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
            timeout=timeout,
        )[0]

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
        timeout: float | None = None,
    ) -> list[Matches]:
        """``search`` for each of the vectors [n, dim], from one view of the collection."""
        return self._search(
            vectors,
            k,
            single=False,
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
            timeout=timeout,
        )

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
        timeout: float | None = None,
    ) -> Groups:
        """The best matches of each value of a declared field; the best groups, best first.

        min(groups, values that matching records have) of them, each with min(group_size, records
        of that value) matches, fewer only by ``min_score``. A record counts under each value of a
        list; records that lack the field are left out. The other arguments: as in ``search``.
        """
        deadline = Deadline.after(timeout)
        options: dict[str, Any] = {"filter": filter, "mode": mode, "effort": effort}
        options |= {
            "tenant": tenant,
            "estimator": estimator,
            "min_score": min_score,
            "with_payload": with_payload,
        }
        options |= {"with_vector": with_vector, "with_relevance": with_relevance}
        options |= {"with_surprise": with_surprise}
        while True:
            row = self._store.row(self.name)
            request = make_group_request(row, vector, group_by, groups, group_size, **options)
            found = search_groups(self._store, self.name, request, deadline)
            if found is not None:
                return found

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
        timeout: float | None = None,
    ) -> Explanation:
        """Search, and tell how: the path that was taken, what was counted, read and scored."""
        deadline = Deadline.after(timeout)
        options: dict[str, Any] = dict.fromkeys(FLAGS, False)
        options |= {"filter": filter, "mode": mode, "effort": effort, "estimator": estimator}
        options |= {"min_score": min_score, "single": True, "tenant": tenant}
        while True:
            request = self._checked(vector, k, options)
            found = explain(self._store, self.name, request, deadline)
            if found is not None:
                return found
            self._row = None

    def _search(
        self, vectors: ArrayLike, k: int, *, timeout: float | None, **options: Any
    ) -> list[Matches]:
        deadline = Deadline.after(timeout)
        while True:
            request = self._checked(vectors, k, options)
            found = search(self._store, self.name, request, deadline)
            if found is not None:
                return found
            self._row = None

    def _checked(self, vectors: ArrayLike, k: int, options: dict[str, Any]) -> Request:
        """The request, by the row that was seen last: a search tells whether it still holds."""
        row = self._row
        if row is not None:
            try:
                return make_request(row, vectors, k, **options)
            except VecDBError:  # perhaps by what holds no more
                pass
        self._row = row = self._store.row(self.name)
        return make_request(row, vectors, k, **options)
