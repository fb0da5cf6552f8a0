"""Searching by trees: one walk over those of all segments chooses few records, which are scored.

The tail has no tree: its codes are scanned. Whatever finds a record, its score is the one that
exact search gives it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..index.coded import CodedRun
from ..index.flat import Nearest
from ..index.lists import Lists
from ..index.shortlist import rows_kept
from ..index.tree_walk import TreeRun, TreeWalk, patience_of, walk_trees
from .answers import answers_of, score_places
from .graph_search import scan_rest

if TYPE_CHECKING:
    from .scanning import Effort, Lookup


def search_tree(lookup: Lookup, effort: Effort) -> list[Nearest]:
    """The ``k`` best of each query as far as a walk of the trees finds them.

    min(k, matching) of each, unless ``min_score`` leaves fewer.
    """
    runs, scanned = _parts_of(lookup)
    matching = sum(run.matching_count() for run in scanned)
    walk = TreeWalk(
        k=lookup.k,
        kept=rows_kept(lookup.k, effort.factor, lookup.matching - matching),
        patience=patience_of(lookup.as_queries.metric, len(runs), effort.factor),
        sigmas=effort.sigmas,
        deadline=lookup.deadline,
        pool=lookup.store.pool,
        threads=lookup.store.threads,
    )
    quantizer = lookup.snapshot.tail.encoder.quantizer
    walked = walk_trees(runs, quantizer, lookup.queries, _directions(lookup), walk)
    rest = scan_rest(lookup, scanned, effort.factor)
    for name in ("nodes_visited", "codes_scanned", "codes_refined"):
        lookup.tally.add(**{name: sum(getattr(one, name) for one in walked)})
    places = [np.concatenate((one.places, more)) for one, more in zip(walked, rest, strict=True)]
    scored = score_places(lookup, Lists.of(places))
    lookup.tally.add(vectors_scored=len(scored.scores))
    return answers_of(lookup, scored)


def _parts_of(lookup: Lookup) -> tuple[list[TreeRun], list[CodedRun]]:
    """What is walked, and what is left to be scanned."""
    runs: list[TreeRun] = []
    scanned: list[CodedRun] = []
    for sealed, base, some in lookup.chosen:
        run = sealed.tree(base, some)
        if run is None:
            scanned.append(sealed.coded(base, some))
        else:
            runs.append(run)
    return runs, scanned + lookup.snapshot.coded_tail(lookup.origins)


def _directions(lookup: Lookup) -> NDArray[np.float32]:
    """The queries as the trees were built of vectors: of length 1 under cosine."""
    queries = lookup.as_queries
    if queries.metric != "cosine":
        return queries.vectors
    return (queries.vectors / queries.norms[:, None]).astype(np.float32)
