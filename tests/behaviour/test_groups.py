"""Search by groups equals the oracle: best of each value, exact in number and order."""

from __future__ import annotations

import numpy as np
import pytest

FIELDS = ("lang", "year", "price", "new", "at", "tags")
METRICS = ("cosine", "dot", "l2")
DIM = 4


@pytest.fixture
def query(rng):
    return rng.standard_normal(DIM).astype(np.float32)


def expected(typed, query, field, groups, size, ids=None, min_score=-np.inf):
    """[(value, ids)] by the order of one exact search of everything."""
    ranked = typed.docs.search(query, 10_000, mode="exact", with_payload=False)
    found = {}
    for id, score in zip(list(ranked.ids), ranked.scores.tolist(), strict=True):
        if (ids is None or id in ids) and score >= min_score:
            for value in typed.values(id, field):
                found.setdefault(value, []).append(id)
    place = {id: rank for rank, id in enumerate(list(ranked.ids))}
    order = sorted(found, key=lambda value: (place[found[value][0]], value))
    return [(value, found[value][:size]) for value in order[:groups]]


def listed(groups):
    return [(one.value, list(one.matches.ids)) for one in groups]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("texts", [False, True], ids=["int", "str"])
def test_groups_are_those_of_the_oracle(typed, query, metric, texts):
    made = typed(texts=texts, metric=metric)
    for field in FIELDS:
        for groups, size in ((1, 1), (3, 2), (10, 1), (1_000, 16), (4, 100)):
            found = made.docs.search_groups(query, field, groups, size)
            assert listed(found) == expected(made, query, field, groups, size)
            assert (found.field, len(found)) == (field, len(found.values))


@pytest.mark.parametrize("mode", ["exact", "scan", "graph"])
def test_number_of_groups_and_matches_is_exact_in_every_mode(typed, query, mode):
    made = typed()
    for field in FIELDS:
        whole = expected(made, query, field, 1_000, 1_000)
        sizes = {value: len(ids) for value, ids in whole}
        found = made.docs.search_groups(query, field, 1_000, 16, mode=mode)
        assert {one.value: len(one.matches) for one in found} == {
            value: min(16, size) for value, size in sizes.items()
        }


def test_filter_and_least_score_leave_records_out(typed, query):
    made = typed()
    ids = made.where("year", lambda one: one > 0)
    found = made.docs.search_groups(query, "lang", 10, 3, filter={"year": {"gt": 0}})
    assert listed(found) == expected(made, query, "lang", 10, 3, set(ids))
    assert listed(made.docs.search_groups(query, "lang", filter={"year": 99})) == []
    ranked = made.docs.search(query, 1_000)
    for place in (2, 30, 150):
        least = float(np.nextafter(ranked.scores[place], np.float32(-np.inf)))
        found = made.docs.search_groups(query, "lang", 10, 50, min_score=least)
        assert listed(found) == expected(made, query, "lang", 10, 50, None, least)


def test_rare_values_far_away_are_found(api, rng):
    """Among 3,000 near records of one value, two of others that are the farthest."""
    docs = api.create(fields={"lang": "keyword"})
    vectors = rng.standard_normal((3_000, 4)).astype(np.float32)
    payloads = [{"lang": "en"} for _ in range(3_000)]
    vectors[[17, 2_500]] += 100
    payloads[17], payloads[2_500] = {"lang": "de"}, {"lang": ["fr", "de"]}
    docs.upsert(list(range(2_000)), vectors[:2_000], payloads[:2_000])
    docs.seal()
    docs.upsert(list(range(2_000, 3_000)), vectors[2_000:], payloads[2_000:])
    for mode in ("auto", "scan"):
        found = docs.search_groups(np.zeros(4, np.float32), "lang", 3, 2, mode=mode)
        assert sorted(found.values) == ["de", "en", "fr"]
        assert found.values[0] == "en"
        counts = {one.value: len(one.matches) for one in found}
        assert counts == {"en": 2, "de": 2, "fr": 1}


def test_matches_have_what_was_asked_for(typed, query):
    made = typed(metric="cosine")
    found = made.docs.search_groups(
        query, "lang", 3, 2, with_vector=True, with_relevance=True, with_payload=False
    )
    for one in found:
        assert (one.matches.payloads, one.matches.surprise_bits) == (None, None)
        assert one.matches.relevance.shape == one.matches.scores.shape
        for match in one.matches:
            assert match.vector.tobytes() == made.records[match.id][0].tobytes()
    with_payloads = made.docs.search_groups(query, "lang", 3, 2)
    for one in with_payloads:
        assert one.matches.payloads == [made.records[id][1] for id in one.matches.ids.tolist()]
    assert with_payloads[-1].value == found.values[2]
    with pytest.raises(IndexError):
        found[3]


def test_scores_are_those_of_a_search(typed, query):
    made = typed(metric="l2")
    whole = made.docs.search(query, 1_000)
    score = dict(zip(whole.ids.tolist(), whole.scores.tolist(), strict=True))
    for one in made.docs.search_groups(query, "tags", 5, 4):
        assert one.matches.scores.tolist() == [score[id] for id in one.matches.ids.tolist()]
        assert (one.matches.distances == -one.matches.scores).all()


def test_empty_collection_has_no_groups(api):
    docs = api.create(fields={"lang": "keyword"})
    assert len(docs.search_groups(np.ones(4, np.float32), "lang")) == 0
    docs.upsert([1], np.ones((1, 4), np.float32))
    assert len(docs.search_groups(np.ones(4, np.float32), "lang")) == 0


@pytest.mark.parametrize(
    ("kind", "arguments", "field"),
    [
        ("InvalidArgument", {"group_by": "nothing"}, "group_by"),
        ("InvalidArgument", {"group_by": None}, "group_by"),
        ("InvalidArgument", {"group_by": ""}, "group_by"),
        ("InvalidArgument", {"groups": 0}, "groups"),
        ("InvalidArgument", {"groups": 1_001}, "groups"),
        ("InvalidArgument", {"groups": True}, "groups"),
        ("InvalidArgument", {"group_size": 0}, "group_size"),
        ("InvalidArgument", {"group_size": 101}, "group_size"),
        ("InvalidArgument", {"group_size": 1.0}, "group_size"),
        ("LimitExceeded", {"groups": 1_000, "group_size": 17}, "group_size"),
        ("InvalidArgument", {"vector": np.ones(5, np.float32)}, "vector"),
        ("InvalidArgument", {"mode": "best"}, "mode"),
        ("InvalidArgument", {"mode": "exact", "effort": 2}, "effort"),
        ("InvalidArgument", {"filter": {"other": 1}}, "filter.other"),
        ("InvalidArgument", {"with_vector": 1}, "with_vector"),
        ("InvalidArgument", {"min_score": "high"}, "min_score"),
    ],
)
def test_groups_that_make_no_sense_are_refused(api, kind, arguments, field):
    docs = api.create(fields={"lang": "keyword"})
    with api.refuses(kind, field):
        docs.search_groups(**{"vector": np.ones(4, np.float32), "group_by": "lang", **arguments})
