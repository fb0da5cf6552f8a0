"""Which of the best are given: those after the first ones, or those unlike each other.

Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): one match after the other is
chosen, that of the largest (1 - d) * score - d * likeness, where likeness is its similarity to the
most similar one chosen before, and d the diversity. Ours:

1. Likeness is the collection's own score of one vector with the other as query, so both terms are
   on one scale: cosine, dot product, or minus the distance.
2. Candidates are the ``DIVERSITY_POOL`` * k best, not the whole collection.
3. Both are the float64 scores of exact search, and of equals the better match comes first: the
   choice is the same to the bit for any number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..deadline import Deadline
from ..errors import InvalidArgument, LimitExceeded
from ..index.flat import Nearest
from ..index.rescore import to_scores
from ..index.rows import as_float32, row_norms
from ..kernels.exact import score_pairs
from ..schema import check_integer
from .arguments import check_number

if TYPE_CHECKING:
    from .scanning import Lookup

DIVERSITY_POOL: Final = 4
"""Candidates of a diverse search, as a multiple of k."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Which matches of a search are given: ``k`` behind the first ``offset``, or ``k`` diverse."""

    k: int
    offset: int = 0
    diversity: float | None = None

    @property
    def depth(self) -> int:
        """How many of the best have to be known."""
        if self.diversity:
            return min(DIVERSITY_POOL * self.k, limits.K)
        return self.k + self.offset

    def take(self, found: list[Nearest], lookup: Lookup) -> list[Nearest]:
        """Of the ``depth`` best of each query those that are given."""
        if self.diversity:
            return [diversify(one, self.k, self.diversity, lookup) for one in found]
        if self.offset:
            return [_part(one, slice(self.offset, None)) for one in found]
        return found


def make_shape(k: object, offset: object, diversity: object) -> Shape:
    """Check the arguments of a search that choose among its best."""
    checked = check_integer("k", k, limits.K)
    behind = _check_offset(offset, checked)
    if diversity is None:
        return Shape(k=checked, offset=behind)
    share = check_number("diversity", diversity, "None for the best alone")
    if not 0.0 <= share <= 1.0:
        raise InvalidArgument(
            f"diversity must be from 0.0 (the best alone) to 1.0 (unlike each other); got {share}",
            field="diversity",
        )
    if behind:
        raise InvalidArgument(
            "offset and diversity are both given, but a diverse choice has no next page: it "
            "depends on what was chosen before",
            field="offset",
            hint="Ask for a larger k, or leave diversity out",
        )
    if checked > limits.DIVERSITY_K:
        raise LimitExceeded(
            f"a diverse search gives at most {limits.DIVERSITY_K} matches; got k={checked}",
            field="k",
            limit=limits.DIVERSITY_K,
            actual=checked,
            hint="Use a smaller k, or leave diversity out",
        )
    return Shape(k=checked, diversity=share)


def diversify(found: Nearest, k: int, diversity: float, lookup: Lookup) -> Nearest:
    """The min(k, found) candidates chosen one after the other, in that order."""
    metric = lookup.snapshot.tail.schema.metric
    vectors = lookup.snapshot.vectors_of(found.slots)
    return _part(
        found, choose_diverse(metric, vectors, found.scores, k, diversity, lookup.deadline)
    )


def choose_diverse(
    metric: str,
    vectors: NDArray[Any],
    scores: NDArray[np.float64],
    k: int,
    diversity: float,
    deadline: Deadline,
) -> NDArray[np.int64]:
    """int64[min(k, n)]: the candidates chosen, in order; ``vectors`` [n, dim], best first."""
    rows = np.ascontiguousarray(as_float32(vectors))
    norms = row_norms(rows)
    count = len(rows)
    chosen = np.empty(min(k, count), np.int64)
    likeness = np.full(count, -np.inf)
    every, zeros, raw = np.arange(count), np.zeros(count, np.int64), np.empty(count)
    relevance = (1.0 - diversity) * scores
    left = np.ones(count, np.bool_)
    for place in range(len(chosen)):
        deadline.check("choosing diverse matches")
        if place == 0:
            best = 0  # nothing is chosen that it could be like
        else:
            best = int(np.argmax(np.where(left, relevance - diversity * likeness, -np.inf)))
        chosen[place] = best
        left[best] = False
        one = rows[best : best + 1]
        score_pairs(metric == "l2", one, rows, zeros, every, raw)
        norm_of_one = np.full(count, norms[best])
        np.maximum(likeness, to_scores(metric, raw, norms, norm_of_one), out=likeness)
    return chosen


def _check_offset(offset: object, k: int) -> int:
    most = limits.K - 1
    if isinstance(offset, bool) or not isinstance(offset, int | np.integer):
        raise InvalidArgument(
            f"offset must be an integer from 0 to {most}; got {type(offset).__name__}",
            field="offset",
        )
    if not 0 <= offset <= most:
        raise InvalidArgument(
            f"offset must be from 0 to {most}; got {offset}", field="offset", limit=most
        )
    if offset + k > limits.K:
        raise LimitExceeded(
            f"a search reaches the {limits.K} best: offset + k is {offset + k}",
            field="offset",
            limit=limits.K,
            actual=int(offset) + k,
            hint="To read all records page by page use scroll",
        )
    return int(offset)


def _part(found: Nearest, some: slice | NDArray[np.int64]) -> Nearest:
    return replace(
        found,
        slots=found.slots[some],
        scores=found.scores[some],
        distances=found.distances[some],
    )
