"""Searching a snapshot: by every vector, or by every code and then the vectors that matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..deadline import Deadline
from ..index.flat import Nearest, score_candidates, search_rows
from ..index.scan_codes import KEPT_MAX, Scan
from ..index.shortlist import SIGMAS, Shortlist, rows_kept, shortlist, sigmas_at
from .snapshot import Snapshot

if TYPE_CHECKING:
    from .store import Store

EXACT_RECORDS = 2_000
"""Mode auto scores as many matching records exactly: codes would not save time."""
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


DEFAULT = Effort(widenings=1)
BY_BOUND = Effort(widenings=KEPT_MAX, bound=True)


def choose_path(mode: str, matching: int) -> str:
    """ "exact" or "scan"."""
    if mode == "auto":
        return "exact" if matching <= EXACT_RECORDS else "scan"
    return mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """What to look for in ``snapshot``; ``origins``: of the records that match, None: all do."""

    store: Store
    snapshot: Snapshot
    origins: NDArray[np.int64] | None
    queries: NDArray[np.float32]
    k: int
    min_score: float | None
    deadline: Deadline

    @property
    def matching(self) -> int:
        return self.snapshot.live if self.origins is None else len(self.origins)

    def exact(self, queries: NDArray[np.float32]) -> list[Nearest]:
        """The ``k`` best of all matching vectors."""
        snapshot, store = self.snapshot, self.store
        return search_rows(
            snapshot.runs() if self.origins is None else snapshot.runs_where(self.origins),
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
        answers: list[Nearest | None] = [None] * len(self.queries)
        left = np.arange(len(self.queries))
        widenings = effort.widenings
        while len(left) and kept < self.matching:  # else codes would leave none out
            lists = self._lists(self.queries[left], kept, effort)
            last = not effort.bound and (widenings == 0 or kept >= KEPT_MAX)
            done = np.array([last or one.bound_met for one in lists])
            found = self._score(
                self.queries[left[done]],
                [one for one, is_done in zip(lists, done.tolist(), strict=True) if is_done],
            )
            for query, answer in zip(left[done].tolist(), found, strict=True):
                answers[query] = answer
            left = left[~done]
            if kept >= KEPT_MAX:
                break
            kept, widenings = min(KEPT_MAX, _WIDER * kept), widenings - 1
        if len(left):
            for query, answer in zip(left.tolist(), self.exact(self.queries[left]), strict=True):
                answers[query] = answer
        return [answer for answer in answers if answer is not None]

    def _lists(self, queries: NDArray[np.float32], kept: int, effort: Effort) -> list[Shortlist]:
        snapshot, store = self.snapshot, self.store
        runs = snapshot.coded() if self.origins is None else snapshot.coded_where(self.origins)
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
        return shortlist(runs, snapshot.tail.encoder.quantizer, queries, scan)

    def _score(self, queries: NDArray[np.float32], lists: list[Shortlist]) -> list[Nearest]:
        if not lists:
            return []
        snapshot, store = self.snapshot, self.store
        return score_candidates(
            snapshot.runs(),
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
