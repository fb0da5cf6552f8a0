"""Which path a search takes: by what is known of its collection and its request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..index.tree_walk import patience_of
from .costs import Constants, Counts, choose_path, expected_costs
from .graph_search import has_graph, walk_width

if TYPE_CHECKING:
    from .scanning import Effort, Lookup

CONSTANTS = Constants()


def counts_of(lookup: Lookup, effort: Effort) -> Counts:
    """What the costs of a search follow from."""
    snapshot = lookup.snapshot
    segments = [sealed.segment for sealed in snapshot.segments]
    schema, quantizer = snapshot.tail.schema, snapshot.tail.encoder.quantizer
    matching, width = lookup.matching, 0
    if has_graph(snapshot):
        share = matching / max(1, snapshot.live)
        width = walk_width(snapshot, lookup.k, effort.factor, share)
    on_disk = [one.pages.geometry.per_page for one in segments if one.pages is not None]
    return Counts(
        matching=matching,
        live=snapshot.live,
        segments=len(segments),
        slots=sum(map(len, segments)),
        dim=schema.dim,
        words=quantizer.words,
        patience=patience_of(schema.metric, len(segments), effort.factor),
        width=width,
        page_rows=max(on_disk, default=0),
        on_pages=any(one.on_pages for one in segments),
    )


def costs_of(lookup: Lookup, effort: Effort) -> dict[str, float]:
    """Microseconds that each path is expected to take for one query, by mode."""
    return expected_costs(counts_of(lookup, effort), CONSTANTS)


def plan_search(lookup: Lookup, mode: str, effort: Effort) -> str:
    """The path to take, where ``mode`` leaves it open; the same for one query and for many."""
    if mode != "auto":
        return mode
    counts = counts_of(lookup, effort)
    every_code = effort.bound or effort.hamming
    return choose_path(expected_costs(counts, CONSTANTS), counts, every_code=every_code)


def plan_rest(lookup: Lookup, effort: Effort) -> str:
    """What answers where a graph's walk has found fewer than match: "exact", "scan" or "tree"."""
    counts = counts_of(lookup, effort)
    costs = expected_costs(counts, CONSTANTS)
    costs.pop("graph", None)
    return choose_path(costs, counts)
