"""Searching a snapshot: by every vector, or by every code and then the vectors that matter."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..deadline import Deadline
from ..index.flat import Nearest, score_candidates, search_rows
from ..index.graph import SIGMAS as WALK_SIGMAS
from ..index.lists import Lists
from ..index.rows import row_norms
from ..index.scan import Queries
from ..index.scan_codes import KEPT_MAX, Scan
from ..index.shortlist import SIGMAS, Shortlist, rows_kept, shortlist, sigmas_at
from .answers import answers_of, score_places
from .graph_search import search_graph
from .planner import plan_rest, plan_search
from .residence import Tally
from .sealed import Sealed
from .slot_sets import SlotSet
from .snapshot import Snapshot
from .tree_search import search_tree

if TYPE_CHECKING:
    from .store import Store

FEW = 1_000
"""So many matching records are scored one by one, wherever they lie, with no look at the others."""
EXACT_SHARE = 1 / 16
"""Scoring a larger share of the matching rows one by one takes longer than comparing all."""
BOUND = "bound"
_WIDER = 4  # times as many rows are kept when the bound was not met


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How hard to look.

    - ``factor``: of the number of rows that the scan plane keeps
    - ``widenings``: how often more are kept for a query whose error bound was not met
    - ``bound``: where it is still not met, compare exactly
    - ``hamming``: by Hamming distances first
    """

    factor: float = 1.0
    widenings: int = 0
    bound: bool = False
    hamming: bool = False

    @property
    def sigmas(self) -> float:
        return SIGMAS[1] if self.bound else sigmas_at(self.factor)

    @property
    def walk_sigmas(self) -> float:
        """The same for what a walk has found: a larger shortlist costs reads."""
        least, most = SIGMAS
        return WALK_SIGMAS + (self.sigmas - least) / (most - least) * (most - WALK_SIGMAS)


DEFAULT = Effort(widenings=1)
BY_BOUND = Effort(widenings=KEPT_MAX, bound=True)


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """What to look for in ``snapshot``; ``origins``: of the records that match, None: all do.

    ``tally`` is told what is read and looked at.
    """

    store: Store
    snapshot: Snapshot
    origins: NDArray[np.int64] | None
    queries: NDArray[np.float32]
    k: int
    min_score: float | None
    deadline: Deadline
    tally: Tally = field(default_factory=Tally)

    @property
    def matching(self) -> int:
        return self.snapshot.live if self.origins is None else len(self.origins)

    @cached_property
    def chosen(self) -> list[tuple[Sealed, int, SlotSet | None]]:
        """The segments that hold records that match: with first place, and where."""
        return self.snapshot.chosen(self.origins)

    @cached_property
    def as_queries(self) -> Queries:
        """The queries as they are scored."""
        return Queries(
            metric=self.snapshot.tail.schema.metric,
            vectors=np.ascontiguousarray(self.queries, np.float32),
            norms=row_norms(np.ascontiguousarray(self.queries, np.float32)),
            alone=len(self.queries) == 1,
        )

    def path(self, mode: str, effort: Effort) -> str:
        """How to look, where ``mode`` leaves it open."""
        return plan_search(self, mode, effort)

    def graph(self, effort: Effort) -> list[Nearest]:
        """The ``k`` best by a walk; by another path where it finds fewer than match."""
        found = search_graph(self, effort.factor, effort.walk_sigmas)
        if found is not None:
            return found
        rest = plan_rest(self, effort)
        if rest == "exact":
            return self.exact(self.queries)
        return self.tree(effort) if rest == "tree" else self.scan(effort)

    def tree(self, effort: Effort) -> list[Nearest]:
        """The ``k`` best by a walk of the trees; min(k, matching) of them."""
        return search_tree(self, effort)

    def exact(self, queries: NDArray[np.float32]) -> list[Nearest]:
        """The ``k`` best of all matching vectors."""
        snapshot, store = self.snapshot, self.store
        self.tally.add(vectors_scored=self.matching * len(queries))
        if self.origins is not None and self.matching <= FEW:
            some = self if queries is self.queries else replace(self, queries=queries)
            places = [snapshot.places_where(self.origins)] * len(queries)
            return answers_of(some, score_places(some, Lists.of(places)))
        return search_rows(
            snapshot.runs(self.origins, self.tally),
            queries,
            self.k,
            metric=snapshot.tail.schema.metric,
            ids_of=snapshot.ids_of,
            min_score=self.min_score,
            deadline=self.deadline,
            pool=store.pool,
            threads=store.threads,
        )

    def scan(self, effort: Effort) -> list[Nearest]:
        """The ``k`` best by the codes of all matching vectors; min(k, matching) of them."""
        kept = rows_kept(self.k, effort.factor, self.matching)
        most = max(self.k, EXACT_SHARE * self.matching)
        answers: dict[int, Nearest] = {}
        left, widenings = list(range(len(self.queries))), effort.widenings
        exactly: list[int] = []
        while left and kept < self.matching:  # else codes would leave none out
            lists = dict(zip(left, self._lists(self.queries[left], kept, effort), strict=True))
            last = widenings == 0 or kept >= KEPT_MAX
            unmet = [query for query, one in lists.items() if not one.bound_met]
            many = {query for query, one in lists.items() if len(one.places) > most}
            exactly += [query for query in left if query in many]
            again = [] if last and not effort.bound else [q for q in unmet if q not in many]
            done = [query for query in left if query not in many and query not in set(again)]
            found = self._score(self.queries[done], [lists[query] for query in done])
            answers |= zip(done, found, strict=True)
            left = again
            if last:
                break
            kept, widenings = min(KEPT_MAX, _WIDER * kept), widenings - 1
        exactly += left
        if exactly:
            answers |= zip(exactly, self.exact(self.queries[exactly]), strict=True)
        return [answers[query] for query in range(len(self.queries))]

    def _lists(self, queries: NDArray[np.float32], kept: int, effort: Effort) -> list[Shortlist]:
        snapshot, store = self.snapshot, self.store
        runs = snapshot.coded(self.origins)
        scan = Scan(
            k=min(self.k, self.matching),
            matching=self.matching,
            kept=kept,
            sigmas=effort.sigmas,
            certain=effort.bound,
            hamming=effort.hamming,
            deadline=self.deadline,
            pool=store.pool,
            threads=store.threads,
        )
        lists = shortlist(runs, snapshot.tail.encoder.quantizer, queries, scan)
        self.tally.add(
            codes_scanned=self.matching * len(lists),
            codes_refined=sum(one.refined for one in lists),
        )
        return lists

    def _score(self, queries: NDArray[np.float32], lists: list[Shortlist]) -> list[Nearest]:
        if not lists:
            return []
        snapshot, store = self.snapshot, self.store
        self.tally.add(vectors_scored=sum(len(one.places) for one in lists))
        return score_candidates(
            snapshot.runs(tally=self.tally),
            queries,
            [one.places for one in lists],
            self.k,
            metric=snapshot.tail.schema.metric,
            ids_of=snapshot.ids_of,
            min_score=self.min_score,
            scanned=self.matching,
            deadline=self.deadline,
            pool=store.pool,
            threads=store.threads,
        )
