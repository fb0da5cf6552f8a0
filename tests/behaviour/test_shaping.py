"""Pages of a search, and diverse matches, over sealed segments, the tail and deleted records."""

from __future__ import annotations

import numpy as np
import pytest

FIELDS = {"group": "int"}
DIM = 12
METRICS = ("cosine", "dot", "l2")


@pytest.fixture
def fill(rng):
    """Two segments and a tail; every ninth record is deleted, some vectors are equal."""

    def write(docs):
        vectors = rng.standard_normal((600, DIM)).astype(np.float32)
        vectors[::7] = vectors[3]
        payloads = [{"group": place % 5} for place in range(600)]
        for part in (slice(0, 250), slice(250, 500), slice(500, 600)):
            docs.upsert(list(range(600))[part], vectors[part], payloads[part])
            if part.stop < 600:
                docs.seal()
        gone = list(range(0, 600, 9))
        docs.delete(gone)
        return {id: vectors[id] for id in range(600) if id not in set(gone)}

    return write


@pytest.fixture
def queries(rng):
    return rng.standard_normal((3, DIM)).astype(np.float32)


def same(one, other, rows):
    assert list(one.ids) == list(other.ids[rows])
    assert one.scores.tobytes() == other.scores[rows].tobytes()
    assert one.distances.tobytes() == other.distances[rows].tobytes()
    assert one.payloads == other.payloads[rows]


def score(metric, one, other):
    one, other = one.astype(np.float64), other.astype(np.float64)
    if metric == "l2":
        return -float(np.sqrt(((one - other) ** 2).sum()))
    found = float(one @ other)
    return (
        found / float(np.sqrt(one @ one) * np.sqrt(other @ other)) if metric == "cosine" else found
    )


def marginal(metric, records, query, k, diversity):
    """Maximal marginal relevance, as the paper has it."""
    scores = {id: score(metric, query, vector) for id, vector in records.items()}
    pool = sorted(records, key=lambda id: (-scores[id], id))[: 4 * k]
    chosen = []
    while pool and len(chosen) < k:

        def gain(id):
            likeness = max((score(metric, records[id], records[one]) for one in chosen), default=0)
            return (1 - diversity) * scores[id] - diversity * likeness * bool(chosen)

        best = (
            max(pool, key=lambda id: (round(gain(id), 9), -pool.index(id))) if chosen else pool[0]
        )
        chosen.append(best)
        pool.remove(best)
    return chosen


@pytest.mark.parametrize("metric", METRICS)
def test_pages_together_are_one_larger_search(api, fill, queries, metric):
    docs = api.create(dim=DIM, metric=metric, fields=FIELDS)
    count = len(fill(docs))
    for options in ({}, {"filter": {"group": {"lt": 3}}}, {"min_score": -4.0}):
        whole = docs.search(queries[0], 1_000, **options)
        for offset, k in ((0, 5), (5, 5), (7, 40), (len(whole) - 3, 10), (count, 10)):
            page = docs.search(queries[0], k, offset=offset, **options)
            same(page, whole, slice(offset, offset + k))
    together = docs.search_batch(queries, 4, offset=3, with_vector=True)
    for query, page in zip(queries, together, strict=True):
        whole = docs.search(query, 7, with_vector=True)
        same(page, whole, slice(3, None))
        assert page.vectors.tobytes() == whole.vectors[3:].tobytes()


@pytest.mark.parametrize("mode", ["exact", "scan", "graph"])
def test_page_of_every_mode_is_a_part_of_one_search(api, fill, queries, mode):
    docs = api.create(dim=DIM, metric="l2", fields=FIELDS)
    fill(docs)
    whole = docs.search(queries[0], 30, mode=mode)
    same(docs.search(queries[0], 10, offset=20, mode=mode), whole, slice(20, 30))


def test_scores_of_a_page_belong_to_its_matches(api, fill, queries):
    docs = api.create(dim=DIM, metric="cosine", fields=FIELDS)
    fill(docs)
    whole = docs.search(queries[0], 9, with_relevance=True)
    page = docs.search(queries[0], 4, offset=5, with_relevance=True)
    assert page.relevance.tobytes() == whole.relevance[5:].tobytes()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("diversity", [0.0, 0.3, 0.7, 1.0])
def test_diverse_matches_are_those_of_the_paper(api, fill, queries, metric, diversity):
    docs = api.create(dim=DIM, metric=metric, fields=FIELDS)
    records = fill(docs)
    for query in queries:
        found = docs.search(query, 12, diversity=diversity)
        assert found.ids.tolist() == marginal(metric, records, query, 12, diversity)
    some = {id: vector for id, vector in records.items() if id % 5 == 2}
    found = docs.search(queries[0], 12, diversity=diversity, filter={"group": 2})
    assert found.ids.tolist() == marginal(metric, some, queries[0], 12, diversity)
    whole = docs.search(queries[0], 1_000)
    scores = dict(zip(whole.ids.tolist(), whole.scores.tolist(), strict=True))
    assert found.scores.tolist() == [scores[id] for id in found.ids.tolist()]


def test_no_diversity_is_the_plain_search(api, fill, queries):
    docs = api.create(dim=DIM, fields=FIELDS)
    fill(docs)
    for mode in ("auto", "scan"):
        whole = docs.search(queries[0], 15, mode=mode)
        same(docs.search(queries[0], 15, mode=mode, diversity=0), whole, slice(None))


def test_diverse_search_gives_as_many_as_match(api, fill, queries):
    docs = api.create(dim=DIM, metric="dot", fields=FIELDS)
    records = fill(docs)
    assert sorted(docs.search(queries[0], 1_000, diversity=0.5).ids.tolist()) == sorted(records)
    assert len(docs.search(queries[0], 9, diversity=1)) == 9
    assert len(docs.search(queries[0], 9, diversity=0.5, filter={"group": 9})) == 0
    plain = docs.search(queries[0], 20)
    least = float(plain.scores[3])
    found = docs.search(queries[0], 9, diversity=0.5, min_score=least)
    assert sorted(found.ids.tolist()) == sorted(plain.ids[plain.scores >= least].tolist())


def test_batch_is_as_diverse_as_its_queries_alone(api, fill, queries):
    docs = api.create(dim=DIM, metric="l2", dtype="float16", fields=FIELDS)
    fill(docs)
    together = docs.search_batch(queries, 10, diversity=0.4)
    for query, found in zip(queries, together, strict=True):
        same(found, docs.search(query, 10, diversity=0.4), slice(None))


@pytest.mark.parametrize(
    ("kind", "arguments", "field"),
    [
        ("InvalidArgument", {"offset": -1}, "offset"),
        ("InvalidArgument", {"offset": 1.0}, "offset"),
        ("InvalidArgument", {"offset": True}, "offset"),
        ("InvalidArgument", {"offset": None}, "offset"),
        ("InvalidArgument", {"offset": 16_384}, "offset"),
        ("InvalidArgument", {"offset": 2**40}, "offset"),
        ("LimitExceeded", {"offset": 16_380}, "offset"),
        ("InvalidArgument", {"diversity": -0.1}, "diversity"),
        ("InvalidArgument", {"diversity": 1.5}, "diversity"),
        ("InvalidArgument", {"diversity": float("nan")}, "diversity"),
        ("InvalidArgument", {"diversity": "much"}, "diversity"),
        ("InvalidArgument", {"diversity": True}, "diversity"),
        ("InvalidArgument", {"diversity": 0.5, "offset": 1}, "offset"),
        ("InvalidArgument", {"diversity": 0.0, "offset": 1}, "offset"),
        ("LimitExceeded", {"diversity": 0.5, "k": 1_001}, "k"),
    ],
)
def test_shape_that_makes_no_sense_is_refused(api, kind, arguments, field):
    docs = api.create()
    with api.refuses(kind, field):
        docs.search(np.ones(4, np.float32), **arguments)
    with api.refuses(kind, field):
        docs.search_batch(np.ones((2, 4), np.float32), **arguments)
