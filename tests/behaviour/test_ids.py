"""Ids: integers or texts, never both in one collection, the first write decides."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.testing.model import Model

KINDS = ("embedded", "remote")

INTS = [-(2**63), -(2**53) - 1, -1, 0, 1, 255, 256, 2**53 + 1, 2**63 - 1]
TEXTS = [
    "\x00",
    "\x00\x00",
    " ",
    "A",
    "a",
    "a\x00",
    "a\x00b",
    "aa",
    "b" * 256,
    "é",
    "é" * 128,
    "ﬀ",
    "\U0001f600",
    "\U0010ffff",
]
"""In the order of their code points."""


@pytest.fixture
def vectors(rng):
    return rng.standard_normal((len(TEXTS), 4)).astype(np.float32)


@pytest.mark.parametrize("ids", [INTS, TEXTS], ids=["int", "str"])
def test_extreme_ids_come_back_in_order(api, vectors, ids):
    docs, model = api.create(), Model(dim=4, metric="l2")
    order = np.random.default_rng(1).permutation(len(ids)).tolist()
    shuffled = [ids[place] for place in order]
    payloads = [{"place": place} for place in order]
    result = docs.upsert(shuffled, vectors[: len(ids)], payloads)
    model.upsert(shuffled, vectors, payloads, sequence=result.sequence)
    assert list(docs.scroll().ids) == ids
    model.check(docs)
    model.check_search(docs, vectors[0], 100)
    model.check_records(docs.get(shuffled, with_vector=True), shuffled)
    for place, id in enumerate(ids):
        assert list(docs.scroll(after=id).ids) == ids[place + 1 :]
        assert docs.get([id]).payloads == [{"place": place}]
    docs.delete(ids[::2])
    model.delete(ids[::2])
    model.check(docs)


@pytest.mark.parametrize("kind", ["int", "str"])
def test_first_write_decides_the_kind_of_ids(api, vectors, kind):
    docs = api.create()
    first, other = ([1, 2], ["1", "2"]) if kind == "int" else (["1", "2"], [1, 2])
    docs.upsert(first, vectors[:2])
    for call in (
        lambda: docs.upsert(other, vectors[:2]),
        lambda: docs.get(other),
        lambda: docs.delete(other),
        lambda: docs.set_payload(other, {}),
    ):
        with api.refuses("InvalidArgument", "ids", "WRONG_ID_KIND"):
            call()
    with api.refuses("InvalidArgument", "after", "WRONG_ID_KIND"):
        docs.scroll(after=other[0])
    docs.delete(first)
    assert docs.describe().id_kind == kind
    with api.refuses("InvalidArgument", "ids", "WRONG_ID_KIND"):
        docs.upsert(other, vectors[:2])  # an emptied collection keeps its kind
    assert docs.count() == 0


def test_reads_of_an_empty_collection_take_ids_of_either_kind(api, vectors):
    docs = api.create()
    assert list(docs.get([1, 2]).missing) == [1, 2]
    assert docs.get(["a"]).missing == ["a"]
    assert docs.delete([1]).count == docs.delete(["a"]).count == 0
    assert docs.describe().id_kind is None
    docs.upsert(["a"], vectors[:1])
    assert docs.describe().id_kind == "str"


def test_refused_write_does_not_decide_the_kind(api, vectors):
    docs = api.create()
    with api.refuses("InvalidArgument", "vectors[0]"):
        docs.upsert(["a"], np.full((1, 4), np.nan, np.float32))
    with api.refuses("PreconditionFailed", "ids[0]"):
        docs.upsert(["a"], vectors[:1], condition={"if_present": True})
    docs.upsert([1], vectors[:1])
    assert docs.describe().id_kind == "int"


@pytest.mark.parametrize(
    "ids",
    [
        np.array([3, 1, 2]),
        np.array([3, 1, 2], np.int8),
        np.array([3, 1, 2], np.uint64),
        np.array([3, 1, 2], ">i4"),
        np.array([3, 0, 1, 0, 2, 0])[::2],
        range(3, 0, -1),
        (3, np.int64(1), 2),
        np.array([3, 1, 2], object),
    ],
    ids=["int64", "int8", "uint64", "big-endian", "strided", "range", "mixed-ints", "object"],
)
def test_whole_numbers_of_any_shape_are_ids(api, vectors, ids):
    docs = api.create()
    docs.upsert(ids, vectors[:3])
    assert docs.scroll().ids.tolist() == [1, 2, 3]
    assert docs.get(ids).ids.tolist() == [int(id) for id in ids]


def test_texts_of_numpy_are_ids(api, vectors):
    docs = api.create()
    docs.upsert(np.array(["b", "a"]), vectors[:2])
    docs.upsert(np.array(["c"], object), vectors[:1])
    assert docs.scroll().ids == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("ids", "field"),
    [
        ([1, "a"], "ids[1]"),
        (["a", 1], "ids[1]"),
        ([1, 2.0], "ids[1]"),
        ([True, 2], "ids[0]"),
        ([1, True], "ids[1]"),
        ([1, None], "ids[1]"),
        ([b"a", b"b"], "ids[0]"),
        ([1, 2**63], "ids[1]"),
        ([-(2**63) - 1, 1], "ids[0]"),
        (np.array([1, 2**63], np.uint64), "ids[1]"),
        (np.array([1.0, 2.0]), "ids"),
        (np.array([[1], [2]]), "ids"),
        ("ab", "ids"),
        ({1, 2}, "ids"),
        ({1: "a", 2: "b"}, "ids"),
        ([], "ids"),
        (["a", ""], "ids[1]"),
        (["a", "b" * 257], "ids[1]"),
        (["é" * 129, "a"], "ids[0]"),
        (["a", "\ud800"], "ids[1]"),
        ([5, 5], "ids[1]"),
        (["a", "a"], "ids[1]"),
        (np.array(["a", "a"]), "ids[1]"),
    ],
)
def test_bad_id_is_named_by_its_position(api, vectors, ids, field):
    docs = api.create()
    with api.refuses("InvalidArgument", field):
        docs.upsert(ids, vectors[: len(ids)])
    assert (docs.count(), docs.describe().id_kind) == (0, None)


def test_limits_of_calls_with_ids(api):
    docs = api.create(dim=1)
    with api.refuses("LimitExceeded", "ids") as caught:
        docs.upsert(np.arange(100_001), np.ones((100_001, 1), np.float32))
    assert (caught.value.limit, caught.value.actual) == (100_000, 100_001)
    with api.refuses("LimitExceeded", "ids"):
        docs.get(np.arange(10_001))
    assert len(docs.get(np.arange(10_000)).missing) == 10_000
    with api.refuses("LimitExceeded", "ids"):
        docs.delete(np.arange(100_001))
    assert docs.delete(np.arange(100_000)).count == 0
