"""Batches: columns checked and brought into their stored form, and what tells two apart."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from vecdb import limits
from vecdb.collection.batch import check_ids, check_unique, digest, ids_bytes, make_batch
from vecdb.errors import InvalidArgument, LimitExceeded
from vecdb.schema import CollectionSchema

SCHEMA = CollectionSchema(dim=2, metric="l2", fields={"year": "int"})


def test_columns_come_in_their_stored_form():
    batch = make_batch(SCHEMA, (3, 1), [[1, 2], [3, 4]], [{"year": 1}, None])
    assert (batch.ids.dtype, batch.ids.tolist()) == (np.int64, [3, 1])
    assert (batch.vectors.dtype, batch.vectors.tolist()) == (np.float32, [[1, 2], [3, 4]])
    assert batch.payloads == [b'{"year":1}', b""]
    assert make_batch(SCHEMA, ["a"], [[1, 2]], None).payloads is None


@pytest.mark.parametrize("kind", ["int", "str"])
def test_nothing_of_a_batch_is_the_callers_memory(kind):
    ids = np.array([1, 2]) if kind == "int" else ["a", "b"]
    vectors = np.ones((2, 2), np.float32)
    payloads = [{"year": 1}, {"year": 2}]
    batch = make_batch(SCHEMA, ids, vectors, payloads)
    before = (list(batch.ids), batch.vectors.tolist(), list(batch.payloads))
    ids[0] = ids[1]
    vectors[:] = np.nan
    payloads[0]["year"] = "text"
    payloads.clear()
    assert (list(batch.ids), batch.vectors.tolist(), batch.payloads) == before


def test_every_difference_shows_in_the_digest():
    made = [
        make_batch(SCHEMA, *columns).digest()
        for columns in (
            ([1, 2], [[1, 2], [3, 4]], None),
            ([2, 1], [[1, 2], [3, 4]], None),
            ([1, 2], [[1, 2], [3, 5]], None),
            ([1, 2], [[1, 2], [3, 4]], [None, None]),
            ([1, 2], [[1, 2], [3, 4]], [{}, None]),
            ([1, 2], [[1, 2], [3, 4]], [None, {}]),
            (["1", "2"], [[1, 2], [3, 4]], None),
            (["12"], [[1, 2]], None),
            ([1], [[1, 2]], None),
        )
    ]
    assert len(set(made)) == len(made)
    same = make_batch(SCHEMA, np.array([1, 2]), np.array([[1, 2], [3, 4]], np.float32), None)
    assert same.digest() == made[0]


def test_ids_of_any_kind_and_number_have_bytes_of_their_own():
    lists = [
        ["a", "b"],
        ["ab"],
        ["a\x00b"],
        ["", "ab"],
        ["a", "", "b"],
        ["abcd"],
        np.frombuffer(b"\x04\x00\x00\x00abcd", "<i8"),
        np.array([1, 2]),
        np.array([2, 1]),
    ]
    for one, other in combinations(lists, 2):
        assert ids_bytes(one) != ids_bytes(other)


def test_digest_knows_where_its_parts_end():
    assert digest(b"ab", b"c") != digest(b"a", b"bc") != digest(b"abc")
    assert digest(b"ab") == digest(memoryview(b"ab"))
    assert len(digest()) == 16


def test_two_of_the_same_id_are_both_named():
    check_unique(np.array([1, 2]))
    check_unique(["1", "2"])
    for ids in (np.array([5, 6, 7, 6]), ["5", "6", "7", "6"]):
        with pytest.raises(InvalidArgument, match=r"ids\[3\] is the same as ids\[1\]") as caught:
            check_unique(ids)
        assert caught.value.reason == "DUPLICATE_ID"


def test_text_of_an_id_is_measured_in_bytes():
    assert check_ids(["é" * 128], 1) == ["é" * 128]
    for text, size in (("", 0), ("é" * 129, 258), ("a" * 257, 257)):
        with pytest.raises(InvalidArgument) as caught:
            check_ids(["ok", text], 2, "after")
        assert (caught.value.field, caught.value.actual) == ("after[1]", size)


@pytest.mark.slow
def test_size_of_a_batch_has_a_bound():
    schema = CollectionSchema(dim=limits.DIM)
    rows = limits.MESSAGE_BYTES // (4 * limits.DIM)
    vectors = np.ones((rows, limits.DIM), np.float32)
    with pytest.raises(LimitExceeded) as caught:
        make_batch(schema, np.arange(rows), vectors, None)
    assert caught.value.limit == limits.MESSAGE_BYTES
    assert make_batch(schema, np.arange(rows - 1), vectors[1:], None).size_bytes
