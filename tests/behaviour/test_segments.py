"""Sealed or not, a collection holds and answers the same; and it tells what it did."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.testing.model import Model

KINDS = ("embedded", "remote")

METRICS = ("cosine", "dot", "l2")
FIELDS = {"group": "int"}
DIM = 24
COUNT = 400


@pytest.fixture
def fill(rng):
    """Writes records of ids ``first``.. into a collection and its model; some vectors are equal."""

    def write(docs, model, count=COUNT, first=0):
        ids = [first + int(place) for place in rng.permutation(count)]
        vectors = (
            rng.integers(0, 256, (count, DIM)).astype(np.float32)
            if model.dtype == np.uint8
            else rng.standard_normal((count, DIM)).astype(np.float32)
        )
        vectors[::5] = vectors[1]
        payloads = [{"group": id % 7} if id % 4 else None for id in ids]
        done = docs.upsert(ids, vectors, payloads)
        model.upsert(ids, vectors, payloads, sequence=done.sequence)

    return write


@pytest.fixture
def queries(rng):
    return rng.standard_normal((9, DIM)).astype(np.float32)


def shape_of(docs):
    info = docs.describe()
    return info.count, info.segments, info.tail, info.sealing


def same(one, other):
    """Whether two answers are equal to the bit."""
    return (
        list(one.ids) == list(other.ids)
        and one.scores.tobytes() == other.scores.tobytes()
        and one.distances.tobytes() == other.distances.tobytes()
        and one.payload_bytes == other.payload_bytes
    )


def check_scan(model, found, query, k, predicate=None):
    """A scan scores exactly what it finds, in order, and finds nearly all of the best.

    What it may miss depends on the rotation, so on how many collections there were before.
    """
    everything, scores, _ = model.search(query, len(model), predicate)
    exact = dict(zip(everything, scores.tolist(), strict=True))
    assert len(found) == min(k, len(everything))
    assert found.scores.tolist() == [exact[id] for id in found.ids.tolist()]
    order = list(zip((-found.scores).tolist(), found.ids.tolist(), strict=True))
    assert order == sorted(order)
    assert len(set(found.ids.tolist()) & set(everything[:k])) >= 0.9 * len(found)


# ------------------------------------------------------------------------- sealing, compaction


def test_new_collection_has_no_segments(api):
    docs = api.create()
    assert shape_of(docs) == (0, 0, 0, "")
    for done in (docs.seal(), docs.compact()):
        assert (done.records, done.segments) == (0, 0)


def test_seal_moves_the_tail_into_segments_and_changes_nothing_else(api, fill):
    docs, model = api.create(dim=DIM, fields=FIELDS), Model(dim=DIM, metric="l2")
    fill(docs, model)
    before = api.everything(docs)
    assert shape_of(docs) == (COUNT, 0, COUNT, "")
    done = docs.seal()
    assert (done.records, done.segments) == (COUNT, 1)
    assert shape_of(docs) == (COUNT, 1, 0, "")
    assert api.everything(docs) == before
    assert docs.seal() == type(done)(records=0, segments=1)
    model.check(docs)


def test_compact_joins_segments_and_drops_records_that_are_gone(api, fill):
    docs, model = api.create(dim=DIM, fields=FIELDS), Model(dim=DIM, metric="l2")
    for first in (0, 1_000, 2_000):
        fill(docs, model, 50, first)
        docs.seal()
    gone = [3, 1_003, 2_003]
    docs.delete(gone)
    model.delete(gone)
    fill(docs, model, 10, 3_000)  # stays in the tail
    before = api.everything(docs)
    done = docs.compact()
    assert (done.records, done.segments) == (147, 1)
    assert shape_of(docs) == (157, 1, 10, "")
    assert api.everything(docs) == before
    model.check(docs)


def test_compact_leaves_no_segment_where_every_record_is_gone(api, fill):
    docs, model = api.create(dim=DIM, fields=FIELDS), Model(dim=DIM, metric="l2")
    fill(docs, model, 50)
    docs.seal()
    docs.delete(list(range(50)))
    assert docs.compact().segments == 0
    assert shape_of(docs) == (0, 0, 0, "")
    assert len(docs.search(np.ones(DIM, np.float32), mode="scan")) == 0


def test_sealing_that_is_not_waited_for_is_done_in_the_end(api, fill):
    docs, model = api.create(dim=DIM, fields=FIELDS), Model(dim=DIM, metric="l2")
    fill(docs, model)
    docs.seal(wait=False)
    docs.compact(wait=False)
    docs.seal()
    assert docs.describe().tail == 0
    docs.compact()
    assert shape_of(docs) == (COUNT, 1, 0, "")
    model.check(docs)


def test_alias_is_sealed_as_its_collection(api, fill):
    docs, model = api.create("docs", dim=DIM, fields=FIELDS), Model(dim=DIM, metric="l2")
    fill(docs, model, 20)
    api.db.alias("now", "docs")
    assert api.db.collection("now").seal().records == 20
    assert api.db.collection("now").compact().segments == 1
    assert api.db.collection("now").stats() == docs.stats()


def test_unknown_collection_is_not_found(api):
    nothing = api.db.collection("nothing")
    for call in (nothing.seal, nothing.compact, nothing.stats):
        with api.refuses("NotFound", "name", "NO_COLLECTION"):
            call()


def test_wait_and_timeout_are_checked(api):
    docs = api.create()
    for call in (docs.seal, docs.compact):
        with api.refuses("InvalidArgument", "wait"):
            call(wait=1)
        for timeout in (0, -1, float("nan"), "1", True):
            with api.refuses("InvalidArgument", "timeout"):
                call(timeout=timeout)


def test_codes_and_pages_are_as_chosen(api):
    info = api.create("a").describe()
    assert (info.code_bits, info.page_bytes) == (4, None)
    info = api.create("b", code_bits=np.int64(1), page_bytes=16_384).describe()
    assert (info.code_bits, info.page_bytes) == (1, 16_384)
    assert [one.code_bits for one in api.db.collections()] == [4, 1]


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ({"code_bits": 3}, "code_bits"),
        ({"code_bits": True}, "code_bits"),
        ({"code_bits": 4.0}, "code_bits"),
        ({"code_bits": None}, "code_bits"),
        ({"page_bytes": 0}, "page_bytes"),
        ({"page_bytes": "4096"}, "page_bytes"),
    ],
)
def test_codes_and_pages_of_another_size_are_refused(api, schema, field):
    with api.refuses("InvalidArgument", field):
        api.create(**schema)
    assert api.db.collections() == []


# --------------------------------------------------------------------------------------- search


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
@pytest.mark.parametrize("metric", METRICS)
def test_sealed_records_are_found_as_the_oracle_finds_them(api, fill, queries, metric, dtype):
    docs = api.create(dim=DIM, metric=metric, dtype=dtype, fields=FIELDS)
    model = Model(dim=DIM, metric=metric, dtype=dtype)
    fill(docs, model, 300)
    docs.seal()
    fill(docs, model, 60, 250)  # some overwrite sealed records
    docs.delete([1, 2, 305])
    model.delete([1, 2, 305])
    for _ in range(2):
        for mode in ("exact", "auto"):  # auto is exact for so few
            found = docs.search(queries[0], 20, mode=mode, with_vector=True)
            model.check_matches(found, queries[0], 20)
        for effort in (None, 64, "bound"):
            found = docs.search(queries[0], 20, mode="scan", effort=effort)
            check_scan(model, found, queries[0], 20)
        every = docs.search(queries[0], 1_000, mode="scan", with_vector=True)
        model.check_matches(every, queries[0], 1_000)
        some = {"group": {"in": [1, 2]}}
        found = docs.search(queries[1], 30, filter=some, mode="scan")
        check_scan(model, found, queries[1], 30, lambda one: one.get("group") in (1, 2))
        docs.seal()
        docs.compact()
    model.check(docs)


@pytest.mark.parametrize("metric", METRICS)
def test_scan_scores_what_it_finds_exactly(api, fill, queries, metric):
    docs, model = api.create(dim=DIM, metric=metric, fields=FIELDS), Model(dim=DIM, metric=metric)
    fill(docs, model, 2_000)
    docs.seal()
    fill(docs, model, 50, 5_000)
    for query in queries[:2]:
        for estimator in ("rabitq", "hamming"):
            found = docs.search(query, 40, mode="scan", effort=0.5, estimator=estimator)
            check_scan(model, found, query, 40)


def test_batch_is_scanned_as_its_queries_alone(api, fill, queries):
    docs = api.create(dim=DIM, metric="cosine", fields=FIELDS)
    fill(docs, Model(dim=DIM), 1_500)
    docs.seal()
    fill(docs, Model(dim=DIM), 30, 1_490)
    for options in (
        {"mode": "scan"},
        {"mode": "scan", "estimator": "hamming", "effort": 2},
        {"mode": "scan", "effort": "bound", "filter": {"group": {"lt": 3}}},
    ):
        alone = [docs.search(query, 15, **options) for query in queries]
        for size in (1, 3, 9):
            together = docs.search_batch(queries[:size], 15, **options)
            assert all(map(same, together, alone))
            assert len(together) == size


def test_write_is_seen_by_the_next_search_sealed_or_not(api, fill, rng):
    docs = api.create(dim=DIM, metric="l2", fields=FIELDS)
    fill(docs, Model(dim=DIM, metric="l2"))
    docs.seal()
    fresh = 50 + rng.standard_normal((2, DIM)).astype(np.float32)
    for mode in ("exact", "scan", "auto"):
        docs.upsert([7], fresh[:1])
        assert docs.search(fresh[0], 1, mode=mode).ids.tolist() == [7]
        docs.seal()
        assert docs.search(fresh[0], 1, mode=mode).ids.tolist() == [7]
        docs.upsert([7], fresh[1:])
        found = docs.search(fresh[1], 1, mode=mode)
        assert (found.ids.tolist(), found.distances.tolist()) == ([7], [0.0])
        assert docs.search(fresh[0], 1, mode=mode).distances[0] > 0
        docs.delete([7])
        assert 7 not in docs.search(fresh[1], COUNT, mode=mode).ids.tolist()
        docs.seal()


def test_payload_changed_after_the_seal_is_what_filters_see(api, fill):
    docs, model = api.create(dim=DIM, fields=FIELDS), Model(dim=DIM, metric="l2")
    fill(docs, model)
    docs.seal()
    docs.set_payload([10, 11], {"group": 99})
    for mode in ("exact", "scan"):
        found = docs.search(np.ones(DIM, np.float32), 10, filter={"group": 99}, mode=mode)
        assert sorted(found.ids.tolist()) == [10, 11]
        assert found.payloads == [{"group": 99}] * 2
    assert docs.count({"group": 99}) == 2
    assert docs.describe().count == COUNT


def test_text_ids_stay_in_segments(api, rng):
    docs = api.create(dim=DIM)
    ids = [f"é{number}" for number in range(100)]
    vectors = rng.standard_normal((100, DIM)).astype(np.float32)
    docs.upsert(ids, vectors)
    docs.seal()
    found = docs.search(vectors[42], 1, mode="scan", with_vector=True)
    assert (found.ids, found.vectors.tobytes()) == (["é42"], vectors[42].tobytes())
    got = docs.get(["é7", "no"], with_vector=True)
    assert (got.ids, got.missing, got.vectors.tobytes()) == (["é7"], ["no"], vectors[7].tobytes())
    assert docs.search(vectors[0], 3, filter={"and": []}).ids[0] == "é0"


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"mode": "scan", "effort": 0}, "effort"),
        ({"mode": "scan", "effort": -1.0}, "effort"),
        ({"mode": "scan", "effort": 64.5}, "effort"),
        ({"mode": "scan", "effort": float("nan")}, "effort"),
        ({"mode": "scan", "effort": "all"}, "effort"),
        ({"mode": "scan", "effort": True}, "effort"),
        ({"mode": "exact", "effort": 1}, "effort"),
        ({"mode": "exact", "effort": "bound"}, "effort"),
        ({"estimator": "cosine"}, "estimator"),
        ({"estimator": None}, "estimator"),
        ({"with_relevance": True}, "with_relevance"),  # the metric is l2
        ({"with_relevance": 1}, "with_relevance"),
        ({"with_surprise": None}, "with_surprise"),
    ],
)
def test_search_that_makes_no_sense_is_refused(api, arguments, field):
    docs = api.create()
    with api.refuses("InvalidArgument", field):
        docs.search(np.ones(4, np.float32), **arguments)
    with api.refuses("InvalidArgument", field):
        docs.search_batch(np.ones((2, 4), np.float32), **arguments)


# --------------------------------------------------------------------------------------- scores


def test_relevance_is_a_function_of_the_cosine(api):
    docs = api.create(metric="cosine")
    turns = np.array([0, 0.1, 0.5, 1.0, np.pi / 2, 3.0])
    vectors = np.stack([np.cos(turns), np.sin(turns), 0 * turns, 0 * turns], axis=1)
    docs.upsert(list(range(6)), vectors.astype(np.float32))
    found = docs.search([2.0, 0, 0, 0], with_relevance=True)
    agreement = 1 - turns[1:4] / np.pi
    entropy = -agreement * np.log2(agreement) - (1 - agreement) * np.log2(1 - agreement)
    assert found.ids.tolist() == list(range(6))
    assert found.relevance.dtype == np.float64
    assert found.relevance[0] == 1.0
    np.testing.assert_allclose(found.relevance[1:4], np.sqrt(1 - entropy), atol=2e-6)
    assert found.relevance[5] == 0.0
    assert found.relevance.tolist() == found.relevance.round(6).tolist()
    assert found[0].label == "Close Match"
    assert found[5].label == "Irrelevant"


def test_scores_that_were_not_asked_for_are_none(api):
    docs = api.create(metric="cosine")
    docs.upsert([1], np.ones((1, 4), np.float32))
    found = docs.search([1, 1, 1, 1])
    assert (found.relevance, found.surprise_bits) == (None, None)
    (found,) = docs.search_batch(np.ones((1, 4), np.float32), with_relevance=True)
    assert found.relevance.tolist() == [1.0]


def test_surprise_needs_a_thousand_records(api, fill):
    docs = api.create(dim=DIM, metric="cosine", fields=FIELDS)
    fill(docs, Model(dim=DIM), 999)
    docs.seal()
    docs.compact()
    assert docs.search(np.ones(DIM, np.float32), with_surprise=True).surprise_bits is None


@pytest.mark.parametrize("metric", METRICS)
def test_surprise_falls_with_the_score(api, fill, queries, metric):
    docs, model = api.create(dim=DIM, metric=metric, fields=FIELDS), Model(dim=DIM, metric=metric)
    fill(docs, model, 1_500)
    docs.seal()
    docs.compact()
    for query in queries[:3]:
        found = docs.search(query, 1_500, mode="exact", with_surprise=True)
        assert found.surprise_bits.dtype == np.float64
        assert (np.diff(found.surprise_bits) <= 0).all()
        assert 0 <= found.surprise_bits[-1] < 1 < found.surprise_bits[0] <= 21
    nothing = docs.search(queries[0], filter={"group": 1_000}, with_surprise=True)
    assert nothing.surprise_bits.shape == (0,)


def test_scores_are_the_same_in_a_batch_and_in_every_mode(api, fill, queries):
    docs = api.create(dim=DIM, metric="cosine", fields=FIELDS)
    fill(docs, Model(dim=DIM), 1_500)
    docs.seal()
    docs.compact()
    asked = {"with_relevance": True, "with_surprise": True}
    alone = [docs.search(query, 1_500, mode="exact", **asked) for query in queries[:3]]
    for options in ({"mode": "exact"}, {"mode": "scan"}):
        together = docs.search_batch(queries[:3], 1_500, **options, **asked)
        for one, other in zip(together, alone, strict=True):
            assert same(one, other)
            assert one.relevance.tobytes() == other.relevance.tobytes()
            assert one.surprise_bits.tobytes() == other.surprise_bits.tobytes()
