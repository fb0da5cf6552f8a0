"""Vectors at the door: shape, numbers, dtype, and whose memory they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecdb.collection.vectors import as_matrix, check_not_zero, check_vectors, to_dtype
from vecdb.errors import InvalidArgument
from vecdb.schema import CollectionSchema

FLOATS = CollectionSchema(dim=2, metric="l2")
HALVES = CollectionSchema(dim=2, metric="l2", dtype="float16")
BYTES = CollectionSchema(dim=2, metric="l2", dtype="uint8")


def refused(schema, vectors, count=None):
    with pytest.raises(InvalidArgument) as caught:
        check_vectors(schema, vectors, len(vectors) if count is None else count)
    return caught.value


def test_vectors_come_in_the_dtype_of_the_collection():
    for schema in (FLOATS, HALVES, BYTES):
        for given_dtype in (np.float64, np.float32, np.float16, np.int64, np.uint8, ">f4", ">i2"):
            stored = check_vectors(schema, np.array([[1, 2], [3, 4]], given_dtype), 2)
            assert stored.dtype == schema.numpy_dtype
            assert stored.flags.c_contiguous
            assert stored.tolist() == [[1, 2], [3, 4]]


def test_memory_of_the_caller_is_copied_and_bytes_of_a_message_are_not():
    array = np.ones((2, 2), np.float32)
    for shared in (array, array[:], array.reshape(2, 2), np.asarray(memoryview(array))):
        assert not np.shares_memory(check_vectors(FLOATS, shared, 2), array)
    frozen = array[:]
    frozen.flags.writeable = False
    assert not np.shares_memory(check_vectors(FLOATS, frozen, 2), array)
    message = np.frombuffer(array.tobytes(), np.float32).reshape(2, 2)
    assert np.shares_memory(check_vectors(FLOATS, message, 2), message)
    buffer = np.frombuffer(bytearray(array.tobytes()), np.float32).reshape(2, 2)
    assert not np.shares_memory(check_vectors(FLOATS, buffer, 2), buffer)


def test_position_and_reason_are_told():
    nan, inf = float("nan"), float("inf")
    error = refused(FLOATS, [[1, 2], [1, nan], [inf, 1]])
    assert (error.field, error.reason) == ("vectors[1]", "NOT_FINITE")
    error = refused(HALVES, [[1, 2], [1, 65_520]])
    assert (error.field, error.reason) == ("vectors[1]", "NOT_FINITE")
    for bad in (-1, 256, 0.5, nan, inf):
        error = refused(BYTES, [[1, 2], [bad, 2]])
        assert (error.field, error.reason) == ("vectors[1]", "NOT_BYTES")
    error = refused(FLOATS, np.ones((2, 3), np.float32))
    assert (error.field, error.reason, error.limit, error.actual) == (
        "vectors[0]",
        "WRONG_DIMENSION",
        2,
        3,
    )
    assert refused(FLOATS, [[1, 2]], count=2).field == "vectors"


def test_zero_is_refused_for_cosine_only():
    assert check_vectors(FLOATS, [[0, 0]], 1).tolist() == [[0, 0]]
    cosine = CollectionSchema(dim=2, metric="cosine", dtype="float16")
    # 1e-9 is 0 in float16: what counts is what is stored.
    for zero in ([0, 0], [0, -0.0], [1e-9, 0]):
        assert refused(cosine, [[1, 0], zero]).reason == "ZERO_VECTOR"
    check_not_zero(np.array([[0, 1e-45]], np.float32), "vector")


def test_no_rows_are_a_matrix_of_the_right_width():
    assert as_matrix(np.empty((0, 2), np.float32), 2, "vectors").shape == (0, 2)
    with pytest.raises(InvalidArgument) as caught:
        as_matrix(np.empty((0, 3), np.float32), 2, "vectors")
    assert caught.value.field == "vectors"


def test_what_is_too_large_becomes_infinite_without_a_warning():
    assert to_dtype(np.array([1e300, -1e300]), np.dtype("f4")).tolist() == [np.inf, -np.inf]


@given(st.lists(st.floats(-60_000, 60_000), min_size=2, max_size=2))
def test_numbers_are_rounded_as_on_the_wire(numbers):
    """By way of float32, also to float16: an embedded database and a server store the same."""
    stored = check_vectors(HALVES, np.array([numbers]), 1)
    sent = np.array([numbers], np.float32)
    assert stored.tobytes() == check_vectors(HALVES, sent, 1).tobytes()
