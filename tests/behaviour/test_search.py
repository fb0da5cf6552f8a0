"""search and search_batch equal the oracle to the bit: ids, scores, distances, order."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from vecdb.testing.model import Model

KINDS = ("embedded", "remote")

METRICS = ("cosine", "dot", "l2")
DTYPES = ("float32", "float16", "uint8")
FIELDS = {"group": "int", "tag": "keyword"}
DIM = 24


@pytest.fixture
def fill(rng):
    """Writes ``count`` records in a few batches, some of them twice, into a collection and a model.

    A fifth of the vectors is equal to another one, so there are ties.
    """

    def write(docs, model, count, *, texts=False):
        integers = model.dtype == np.uint8
        numbers = rng.permutation(10 * count)[:count] - 3 * count
        ids = [f"r{number}" for number in numbers] if texts else numbers.tolist()
        vectors = (
            rng.integers(0, 256, (count, model.dim)).astype(np.float32)
            if integers
            else rng.standard_normal((count, model.dim)).astype(np.float32)
        )
        vectors[::5] = vectors[1]
        payloads = [
            {"group": row % 7, "tag": f"t{row % 3}"} if row % 4 else None for row in range(count)
        ]
        edges = [0, count // 3, count // 2, count]
        for start, end in pairwise(edges):
            for turn in (vectors[::-1], vectors):
                part = slice(start, end)
                done = docs.upsert(ids[part], turn[part], payloads[part])
            model.upsert(ids[part], vectors[part], payloads[part], sequence=done.sequence)
        gone = ids[:: max(2, count // 20)]
        docs.delete(gone)
        model.delete(gone)

    return write


@pytest.fixture
def queries(rng):
    return rng.standard_normal((70, DIM)).astype(np.float32)


@pytest.mark.parametrize("texts", [False, True], ids=["int", "str"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("metric", METRICS)
def test_answer_equals_the_oracle(api, fill, queries, metric, dtype, texts):
    docs = api.create(dim=DIM, metric=metric, dtype=dtype, fields=FIELDS)
    model = Model(dim=DIM, metric=metric, dtype=dtype)
    fill(docs, model, 300, texts=texts)
    for k in (1, 10, 1_000):
        model.check_search(docs, queries[0], k)
    stored = model.records[model.matching()[0]].vector.astype(np.float32)
    model.check_search(docs, stored, 20)  # a query that is stored, whose ties come by id
    model.check_search(
        docs,
        queries[1],
        20,
        filter={"group": {"in": [1, 2, 3]}, "tag": "t1"},
        predicate=lambda one: one.get("group") in (1, 2, 3) and one["tag"] == "t1",
    )
    _, scores, _ = model.search(queries[2], 10)
    for min_score in (float(scores[4]), 0.25, -1.0, 1e9, -1e30):
        model.check_search(docs, queries[2], 50, min_score=min_score)
    model.check_search(
        docs,
        queries[3],
        50,
        filter={"group": {"exists": False}},
        predicate=lambda one: not one,
        min_score=float(scores[0]) / 2,
    )
    model.check(docs)


@pytest.mark.parametrize("metric", METRICS)
def test_batch_answers_each_query_as_it_is_answered_alone(api, fill, queries, metric):
    docs = api.create(dim=DIM, metric=metric, fields=FIELDS)
    fill(docs, Model(dim=DIM, metric=metric), 500)
    options = {"k": 30, "filter": {"group": {"lt": 5}}, "with_vector": True, "min_score": -8.0}
    alone = [docs.search(query, **options) for query in queries]
    for size in (1, 2, 64, 70):
        together = docs.search_batch(queries[:size], **options)
        assert len(together) == size
        for one, other in zip(alone, together, strict=False):
            assert one.ids.tobytes() == other.ids.tobytes()
            assert one.scores.tobytes() == other.scores.tobytes()
            assert one.distances.tobytes() == other.distances.tobytes()
            assert one.vectors.tobytes() == other.vectors.tobytes()
            assert one.payload_bytes == other.payload_bytes


def test_every_mode_gives_the_same_answer(api, fill, queries):
    docs, model = api.create(dim=DIM, metric="dot", fields=FIELDS), Model(dim=DIM, metric="dot")
    fill(docs, model, 100)
    for mode in ("auto", "exact"):
        model.check_matches(docs.search(queries[0], 7, mode=mode, with_vector=True), queries[0], 7)


def test_batch_of_no_queries_has_no_answers(api):
    docs = api.create()
    docs.upsert([1], np.ones((1, 4), np.float32))
    assert docs.search_batch(np.empty((0, 4), np.float32)) == []


def test_equal_vectors_come_by_id(api, rng):
    texts = ["b", "a", "é", "Z", "a\x00", "\U0001f600", "aa", "\uffff"]
    for ids in (rng.permutation(40).tolist(), texts, [5, -5, 2**62, -(2**62), 0]):
        docs = api.create(f"c{len(ids)}", metric="cosine")
        docs.upsert(ids, np.ones((len(ids), 4), np.float32))
        found = docs.search(np.ones(4, np.float32), len(ids))
        assert list(found.ids) == sorted(ids)
        assert found.scores.tolist() == [1.0] * len(ids)
        assert list(docs.search(np.ones(4, np.float32), 3).ids) == sorted(ids)[:3]


def test_k_beyond_the_count_gives_everything(api, queries):
    docs = api.create(dim=DIM)
    docs.upsert([1, 2, 3], queries[:3])
    assert len(docs.search(queries[0], 16_384)) == 3
    assert len(docs.search(queries[0], np.int64(2))) == 2


def test_empty_collection_answers_with_nothing(api, queries):
    docs = api.create(dim=DIM, fields=FIELDS)
    for found in (
        docs.search(queries[0], with_vector=True),
        docs.search(queries[0], filter={"group": 1}, with_vector=True),
        *docs.search_batch(queries, with_vector=True),
    ):
        assert (len(found), found.payloads) == (0, [])
        assert (found.scores.dtype, found.distances.dtype) == (np.float32, np.float32)
        assert found.vectors.shape == (0, DIM)
        assert list(found) == []


def test_columns_that_were_not_asked_for_are_none(api, queries):
    docs = api.create(dim=DIM)
    docs.upsert([1, 2], queries[:2], [{"a": 1}, None])
    found = docs.search(queries[0], with_payload=False)
    assert (found.payloads, found.payload_bytes, found.vectors) == (None, None, None)
    assert (found[0].payload, found[0].vector) == (None, None)
    assert docs.search(queries[0]).payloads == [{"a": 1}, None]


def test_rows_are_a_view_of_the_columns(api, queries):
    docs = api.create(dim=DIM)
    docs.upsert([7, 8], queries[:2], [{"a": 1}, None])
    found = docs.search(queries[0], with_vector=True)
    best, other = found
    assert (best.id, best.score, best.distance, best.payload) == (7, 0.0, 0.0, {"a": 1})
    assert (other.id, found[-1].id) == (8, 8)
    assert other.score == -other.distance == found.scores[1]
    assert (best.vector == queries[0]).all()


def test_scores_and_distances_of_each_metric(api):
    vectors = np.array([[3, 4, 0, 0], [0, 0, 2, 0], [-3, -4, 0, 0]], np.float32)
    expected = {
        "cosine": ([1, 2, 3], [1.0, 0.0, -1.0], [0.0, 1.0, 2.0]),
        "dot": ([1, 2, 3], [25.0, 0.0, -25.0], [-25.0, 0.0, 25.0]),
        "l2": ([1, 2, 3], [0.0, -(29**0.5), -10.0], [0.0, 29**0.5, 10.0]),
    }
    for metric, (ids, scores, distances) in expected.items():
        docs = api.create(metric, metric=metric)
        docs.upsert([1, 2, 3], vectors)
        found = docs.search(vectors[0])
        assert found.ids.tolist() == ids
        assert found.scores.tolist() == np.array(scores, np.float32).tolist()
        assert found.distances.tolist() == np.array(distances, np.float32).tolist()


def test_score_beyond_float32_is_infinite_and_the_order_exact(api):
    docs = api.create(metric="dot")
    vectors = np.array(
        [[3e38, 0, 0, 0], [3.1e38, 0, 0, 0], [-3e38, 0, 0, 0], [1, 0, 0, 0]], np.float32
    )
    docs.upsert([1, 2, 3, 4], vectors)
    found = docs.search(np.array([3e38, 0, 0, 0], np.float32))
    assert found.ids.tolist() == [2, 1, 4, 3]
    assert found.scores.tolist() == [np.inf, np.inf, np.float32(3e38), -np.inf]
    assert found.distances.tolist() == [-np.inf, -np.inf, -np.float32(3e38), np.inf]
    assert docs.search(vectors[0], min_score=1e77).ids.tolist() == []
    assert docs.search(vectors[0], min_score=9.2e76).ids.tolist() == [2]


@pytest.mark.parametrize("metric", METRICS)
def test_tiny_and_huge_vectors_are_compared_exactly(api, metric):
    docs, model = api.create(metric=metric), Model(dim=4, metric=metric)
    scales = [1e-45, 1e-40, 1e-38, 1e-20, 1.0, 1e20, 1e38]
    vectors = np.array([[scale, 2 * scale, 0, scale] for scale in scales], np.float32)
    done = docs.upsert(list(range(len(scales))), vectors)
    model.upsert(range(len(scales)), vectors, sequence=done.sequence)
    for query in vectors:
        model.check_search(docs, query, 10)


def test_match_of_exactly_the_least_score_is_a_match(api):
    docs = api.create(metric="dot")
    docs.upsert([1, 2, 3], [[1, 0, 0, 0], [2, 0, 0, 0], [3, 0, 0, 0]])
    query = np.array([1, 0, 0, 0], np.float32)
    assert docs.search(query, min_score=2).ids.tolist() == [3, 2]
    assert docs.search(query, min_score=2.0000001).ids.tolist() == [3]
    assert docs.search(query, min_score=np.float32(2)).ids.tolist() == [3, 2]
    assert docs.search(query, 1, min_score=2).ids.tolist() == [3]
    assert docs.search(query, min_score=4).ids.tolist() == []


@pytest.mark.parametrize(
    "query",
    [
        np.array([1, 2, 3, 4]),
        np.array([1, 2, 3, 4], np.uint8),
        np.array([1, 2, 3, 4], np.float16),
        np.array([1, 2, 3, 4], ">f4"),
        np.array([1, 0, 2, 0, 3, 0, 4, 0], np.float32)[::2],
        [1, 2, 3, 4],
        (1.0, 2, np.float32(3), 4),
        range(1, 5),
    ],
    ids=["int64", "uint8", "float16", "big-endian", "strided", "list", "tuple", "range"],
)
def test_numbers_of_any_shape_are_a_query(api, query):
    docs, model = api.create(metric="cosine"), Model(dim=4)
    vectors = np.array([[1, 2, 3, 4], [4, 3, 2, 1], [1, 1, 1, 1]], np.float32)
    model.upsert([1, 2, 3], vectors, sequence=docs.upsert([1, 2, 3], vectors).sequence)
    model.check_search(docs, query, 3)
    batch = query[None] if isinstance(query, np.ndarray) else [query]
    model.check_matches(docs.search_batch(batch, 3, with_vector=True)[0], query, 3)


@pytest.mark.parametrize("metric", METRICS)
def test_zero_vectors_are_no_matter_but_for_cosine(api, metric):
    docs = api.create(metric=metric)
    zero = np.zeros(4, np.float32)
    if metric == "cosine":
        docs.upsert([1], np.ones((1, 4), np.float32))
        with api.refuses("InvalidArgument", "vector", "ZERO_VECTOR"):
            docs.search(zero)
        with api.refuses("InvalidArgument", "vectors[1]", "ZERO_VECTOR"):
            docs.search_batch(np.stack([zero + 1, zero]))
    else:
        docs.upsert([1, 2], np.stack([zero, zero + 1]))
        model = Model(dim=4, metric=metric)
        model.upsert([1, 2], np.stack([zero, zero + 1]), sequence=docs.describe().sequence)
        model.check_search(docs, zero, 10)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"vector": np.ones(5, np.float32)}, "vector"),
        ({"vector": np.ones((1, 4), np.float32)}, "vector"),
        ({"vector": []}, "vector"),
        ({"vector": 5}, "vector"),
        ({"vector": None}, "vector"),
        ({"vector": "1234"}, "vector"),
        ({"vector": ["1", "2", "3", "4"]}, "vector"),
        ({"vector": [[1], [1, 2]]}, "vector"),
        ({"vector": np.ones(4, bool)}, "vector"),
        ({"vector": [1, 2, float("nan"), 4]}, "vector"),
        ({"vector": [1, 2, float("-inf"), 4]}, "vector"),
        ({"vector": [1, 2, 1e39, 4]}, "vector"),
        ({"k": 0}, "k"),
        ({"k": -1}, "k"),
        ({"k": 16_385}, "k"),
        ({"k": 2**40}, "k"),
        ({"k": 1.0}, "k"),
        ({"k": "1"}, "k"),
        ({"k": True}, "k"),
        ({"k": None}, "k"),
        ({"mode": "forest"}, "mode"),
        ({"mode": None}, "mode"),
        ({"min_score": "0.5"}, "min_score"),
        ({"min_score": float("nan")}, "min_score"),
        ({"min_score": float("inf")}, "min_score"),
        ({"min_score": 10**400}, "min_score"),
        ({"min_score": True}, "min_score"),
        ({"filter": {"nothing": 1}}, "filter.nothing"),
        ({"filter": 5}, "filter"),
    ],
)
def test_search_that_makes_no_sense_is_refused(api, arguments, field):
    docs = api.create(fields=FIELDS)
    docs.upsert([1], np.ones((1, 4), np.float32))
    with api.refuses("InvalidArgument", field):
        docs.search(**{"vector": np.ones(4, np.float32), **arguments})


@pytest.mark.parametrize(
    ("vectors", "field"),
    [
        (np.ones((2, 5), np.float32), "vectors[0]"),
        (np.ones(4, np.float32), "vectors"),
        ([[1, 2, 3, 4], [1, 2, 3]], "vectors[1]"),
        ([[1, 2, 3, 4], [1, float("nan"), 3, 4]], "vectors[1]"),
        ([], "vectors"),
        ("text", "vectors"),
    ],
)
def test_bad_query_of_a_batch_is_named_by_its_position(api, vectors, field):
    docs = api.create()
    with api.refuses("InvalidArgument", field):
        docs.search_batch(vectors)


def test_number_of_queries_has_a_limit(api):
    docs = api.create(dim=1)
    docs.upsert([1], [[1]])
    with api.refuses("LimitExceeded", "vectors") as caught:
        docs.search_batch(np.ones((1_001, 1), np.float32))
    assert (caught.value.limit, caught.value.actual) == (1_000, 1_001)
    assert len(docs.search_batch(np.ones((1_000, 1), np.float32))) == 1_000
