"""A memory budget changes what is in memory and what is read, and no answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
COUNT, DIM = 20_000, 16
"""As few as have a graph."""
LEVELS = {"entries": 1_500_000, "codes": 2_500_000, "graph+codes": 5_000_000}
"""Budgets in bytes that leave as much of the records below in memory. The pages that the first is
laid out for serve the others too.
"""
MODES = ("exact", "scan", "graph")
READ = ("pages_read", "bytes_read", "read_calls", "io_rounds", "cache_hits")
LOOKED_AT = (
    "nodes_expanded",
    "nodes_visited",
    "blocks_scanned",
    "codes_scanned",
    "codes_refined",
    "vectors_scored",
)


@pytest.fixture(scope="module", params=["embedded", "remote"])
def place(request):
    """A database with the collection "large", sealed."""
    api = request.getfixturevalue(request.param)
    rng = np.random.default_rng(3)
    centres = 3 * rng.standard_normal((200, DIM)).astype(np.float32)
    vectors = centres[rng.integers(0, 200, COUNT)]
    vectors += rng.standard_normal((COUNT, DIM)).astype(np.float32)
    made = api.create("large", dim=DIM, metric="l2", fields={"even": "bool"})
    payloads = [{"even": number % 2 == 0} for number in range(COUNT)]
    made.upload(vectors, payloads=payloads, progress=False)
    made.seal()
    yield Place(api, vectors)
    for info in api.db.collections():
        api.db.delete_collection(info.name)


@dataclass(frozen=True)
class Place:
    """A database, and the vectors of its collection "large"."""

    api: Any
    vectors: np.ndarray


@pytest.fixture
def docs(place):
    """The collection "large", without a budget."""
    found = place.api.db.collection("large")
    keep_to(found, None)
    return found


@pytest.fixture
def queries(place):
    near = place.vectors[:: COUNT // 20]
    return near + np.random.default_rng(4).standard_normal(near.shape).astype(np.float32)


def keep_to(docs, budget):
    """Set the budget and wait until segments are laid out for it: builds are done in order."""
    docs.set_memory_budget(budget)
    assert docs.seal().records == 0


def answers(docs, queries, **options):
    """All of an answer to the bit."""
    found = docs.search_batch(queries, 10, **options)
    return [
        (one.ids.tolist(), one.scores.tobytes(), one.distances.tobytes(), one.payloads)
        for one in found
    ]


def test_answers_are_the_same_at_every_level_down_and_up(docs, queries):
    options = [{"mode": mode} for mode in ("exact", "scan")]
    options += [{"mode": mode, "filter": {"even": True}} for mode in ("exact", "scan")]
    before = [answers(docs, queries, **one) for one in options]
    for level in ("entries", "graph+codes", "codes", "entries", "all"):
        keep_to(docs, LEVELS.get(level))
        assert docs.explain(queries[0], mode="graph").degraded is False
        assert docs.describe().level == level
        assert [answers(docs, queries, **one) for one in options] == before
        walked = answers(docs, queries, mode="graph")
        assert sum(one == best for one, best in zip(walked, before[0], strict=True)) >= 18
        alone = [answers(docs, query[None], mode="graph")[0] for query in queries[:3]]
        assert alone == walked[:3]


def test_budget_is_described_with_the_level_and_why(docs):
    info = docs.describe()
    assert (info.memory_budget, info.level) == (None, "all")
    assert info.level_reason == "no memory budget is set"
    for level, budget in LEVELS.items():
        info = docs.set_memory_budget(budget)
        assert (info.memory_budget, info.level) == (budget, level)
        assert f"of {budget} bytes" in info.level_reason
        assert docs.describe().level_reason == info.level_reason
    info = docs.set_memory_budget(MIB)
    assert (info.level, info.memory_budget) == ("entries", MIB)
    assert "below the least that the collection needs" in info.level_reason
    info = docs.set_memory_budget(100 * MIB)
    assert info.level == "all"
    assert f"the budget of {100 * MIB} bytes holds everything" in info.level_reason


@pytest.mark.parametrize("level", ["all", *LEVELS])
def test_explanation_is_of_the_same_search_and_adds_up(docs, queries, level):
    keep_to(docs, LEVELS.get(level))
    docs.search(queries[0], mode="graph")  # the cache of pages is made by whoever comes first
    for mode in MODES:
        for query in queries[:2]:
            before = docs.stats()["searches"]
            told = docs.explain(query, 10, mode=mode)
            after = docs.stats()["searches"]
            found = docs.search(query, 10, mode=mode)
            assert told.matches.ids.tolist() == found.ids.tolist()
            assert told.matches.scores.tobytes() == found.scores.tobytes()
            assert told.matches.payload_bytes is None
            assert (told.mode, told.matching) == (mode, COUNT)
            assert (told.segments, told.tail) == (1, 0)
            assert (told.level, told.degraded) == (level, False)
            check_figures(told)
            figures = {name: getattr(told, name) for name in (*READ, *LOOKED_AT)}
            assert {name: after[name] - before[name] for name in after} == figures


def check_figures(told):
    """What was counted holds together."""
    on_pages = told.level != "all"
    assert (told.pages_read + told.cache_hits > 0) == on_pages
    assert told.bytes_read == 4096 * told.pages_read
    assert told.io_rounds <= told.read_calls <= told.pages_read
    assert (told.io_rounds > 0) == (told.pages_read > 0)
    assert told.vectors_scored >= 10
    if told.mode == "exact":
        assert told.vectors_scored == COUNT
        assert (told.codes_scanned, told.nodes_expanded) == (0, 0)
    else:
        assert told.vectors_scored < COUNT / 4
    if told.mode == "scan":
        assert told.codes_scanned >= COUNT
        assert told.nodes_expanded == 0
    if told.mode == "graph":
        assert 0 < told.nodes_expanded < COUNT / 4
        assert told.codes_scanned + told.codes_refined > told.nodes_expanded


def test_pages_that_were_read_are_in_the_cache_for_the_next(docs, queries):
    keep_to(docs, LEVELS["codes"])
    first = docs.explain(queries[0], mode="graph")
    again = docs.explain(queries[0], mode="graph")
    assert first.pages_read > again.pages_read == 0
    assert again.cache_hits == first.cache_hits + first.pages_read
    assert again.io_engine in ("io_uring", "threads", "mmap")
    assert [getattr(again, name) for name in LOOKED_AT] == [
        getattr(first, name) for name in LOOKED_AT
    ]


def test_filter_that_few_match_is_answered_in_full_at_every_level(docs, queries):
    wanted = docs.search(queries[0], 10, filter={"even": True}, mode="exact")
    for budget in LEVELS.values():
        keep_to(docs, budget)
        told = docs.explain(queries[0], 10, filter={"even": True}, mode="graph")
        assert told.matching == COUNT / 2
        assert len(told.matches) == 10
        assert (told.matches.ids % 2 == 0).all()
        assert len(set(told.matches.ids.tolist()) & set(wanted.ids.tolist())) >= 8


@pytest.mark.parametrize("budget", [0, -1, MIB - 1, 2**63, 1e9, "2GiB", True, [MIB]])
def test_bad_budget_is_refused_and_changes_nothing(place, docs, budget):
    with place.api.refuses("InvalidArgument", "memory_budget"):
        docs.set_memory_budget(budget)
    with place.api.refuses("InvalidArgument", "memory_budget"):
        place.api.create("other", memory_budget=budget)
    assert docs.describe().memory_budget is None
    assert [info.name for info in place.api.db.collections()] == ["large"]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"mode": "forest"}, "mode"),
        ({"mode": "graph", "effort": "bound"}, "effort"),
        ({"mode": "graph", "estimator": "hamming"}, "estimator"),
        ({"mode": "graph", "effort": 0}, "effort"),
    ],
)
def test_search_that_makes_no_sense_is_not_explained_either(place, docs, arguments, field):
    query = np.ones(DIM, np.float32)
    for call in (docs.search, docs.explain):
        with place.api.refuses("InvalidArgument", field):
            call(query, **arguments)
    with place.api.refuses("InvalidArgument", field):
        docs.search_batch(query[None], **arguments)


def test_budget_is_given_at_creation_and_set_by_an_alias(place):
    api = place.api
    made = api.create("small", memory_budget=np.int64(5 * MIB))
    assert made.describe().memory_budget == 5 * MIB
    api.db.alias("tiny", "small")
    info = api.db.collection("tiny").set_memory_budget(2 * MIB)
    assert (info.name, info.memory_budget) == ("small", 2 * MIB)
    assert made.set_memory_budget(None).memory_budget is None
    api.db.delete_collection("small")


def test_unknown_collection_is_not_found(place):
    nothing = place.api.db.collection("nothing")
    with place.api.refuses("NotFound", "name", "NO_COLLECTION"):
        nothing.set_memory_budget(MIB)
    with place.api.refuses("NotFound", "name", "NO_COLLECTION"):
        nothing.explain(np.ones(DIM, np.float32))
