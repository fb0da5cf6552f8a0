"""What paths are expected to cost, and which one that chooses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vecdb.collection.costs import (
    EXACT_NUMBERS,
    EXACT_RECORDS,
    GRAPH_SHARE,
    Constants,
    Counts,
    choose_path,
    expected_costs,
)

COUNTS = Counts(
    matching=100_000,
    live=1_000_000,
    segments=4,
    slots=1_000_000,
    dim=768,
    words=12,
    patience=384,
    width=64,
)
CONSTANTS = Constants()


def chosen(counts, **options):
    return choose_path(expected_costs(counts, CONSTANTS), counts, **options)


def test_few_records_are_compared_exactly_whatever_else_costs():
    few = [(0, 16_384), (1, 8), (EXACT_RECORDS, 16_384), (EXACT_NUMBERS // 8, 8)]
    for matching, dim in few:
        counts = replace(COUNTS, matching=matching, dim=dim)
        assert chosen(counts) == "exact"
        assert choose_path({"exact": 1e9, "scan": 1.0, "tree": 1.0}, counts) == "exact"


def test_least_cost_decides_among_what_the_request_allows():
    costs = {"exact": 4.0, "scan": 3.0, "tree": 2.0, "graph": 1.0}
    assert choose_path(costs, COUNTS) == "tree"
    nearly_all = replace(COUNTS, matching=int(1_000_000 * GRAPH_SHARE))
    assert choose_path(costs, nearly_all) == "graph"
    assert choose_path(costs, nearly_all, every_code=True) == "scan"
    assert choose_path(costs | {"exact": 0.5}, nearly_all, every_code=True) == "exact"
    assert choose_path(dict.fromkeys(costs, 1.0), nearly_all) == "exact"  # ties: the surest
    del costs["graph"], costs["tree"]
    assert choose_path(costs, nearly_all) == "scan"


def test_there_are_costs_of_the_paths_that_there_are():
    assert set(expected_costs(COUNTS, CONSTANTS)) == {"exact", "scan", "tree", "graph"}
    assert set(expected_costs(replace(COUNTS, width=0), CONSTANTS)) == {"exact", "scan", "tree"}
    tail = replace(COUNTS, segments=0, slots=0, width=0)
    assert set(expected_costs(tail, CONSTANTS)) == {"exact", "scan"}


@pytest.mark.parametrize("field", ["matching", "dim", "words", "patience", "width"])
def test_more_of_anything_never_costs_less(field):
    for start in (COUNTS, replace(COUNTS, matching=1_500), replace(COUNTS, page_rows=5)):
        before = expected_costs(start, CONSTANTS)
        more = replace(start, **{field: 3 * getattr(start, field)})
        after = expected_costs(more, CONSTANTS)
        assert all(after[path] >= before[path] for path in before if path != "exact")
        if more.matching == start.matching:
            assert after["exact"] >= before["exact"]


def test_vectors_on_the_disk_make_exact_search_dear():
    on_disk = replace(COUNTS, page_rows=5, live=100_000, slots=100_000)
    in_memory = replace(on_disk, page_rows=0)
    assert (
        expected_costs(on_disk, CONSTANTS)["exact"]
        > 10 * (expected_costs(in_memory, CONSTANTS)["exact"])
    )


def test_costs_are_finite_whatever_is_counted():
    rng = np.random.default_rng(1)
    for _ in range(200):
        live = int(10.0 ** rng.uniform(0, 9))
        counts = Counts(
            matching=int(rng.integers(0, live + 1)),
            live=live,
            segments=int(rng.integers(0, 40)),
            slots=int(rng.integers(0, 2 * live)),
            dim=int(rng.integers(1, 16_385)),
            words=int(rng.integers(1, 257)),
            patience=int(rng.integers(1, 50_000)),
            width=int(rng.integers(0, 8_192)),
            page_rows=int(rng.integers(0, 60)),
            on_pages=bool(rng.integers(0, 2)),
        )
        costs = expected_costs(counts, CONSTANTS)
        assert all(0.0 < cost < 1e15 for cost in costs.values())
        assert chosen(counts) in costs
