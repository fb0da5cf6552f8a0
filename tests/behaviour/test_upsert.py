"""upsert: one atomic batch, with conditions, and safe to repeat."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.testing.model import Model

KINDS = ("embedded", "remote")

FIELDS = {"lang": "keyword", "year": "int"}


def test_write_answers_how_many_and_at_which_commit(api, vectors):
    docs = api.create()
    first = docs.upsert([1, 2], vectors[:2])
    second = docs.upsert([2, 3, 4], vectors[:3])
    assert (first.count, second.count) == (2, 3)
    assert 0 < first.sequence < second.sequence == docs.describe().sequence
    assert docs.get([1, 2]).sequences.tolist() == [first.sequence, second.sequence]
    assert not first.replayed
    assert docs.count() == 4


def test_written_records_are_found_at_once(api, vectors):
    docs, model = api.create(), Model(dim=4, metric="l2")
    for start in range(0, 8, 2):
        ids = [start, start + 1]
        result = docs.upsert(ids, vectors[start : start + 2])
        model.upsert(ids, vectors[start : start + 2], sequence=result.sequence)
        model.check_search(docs, vectors[0], 10)
    model.check(docs)


def test_overwritten_vector_is_not_found_any_more(api, vectors):
    docs, model = api.create(metric="cosine"), Model(dim=4)
    model.upsert([1, 2], vectors[:2], sequence=docs.upsert([1, 2], vectors[:2]).sequence)
    assert docs.search(vectors[0], 1).ids.tolist() == [1]
    model.upsert([1], -vectors[:1], sequence=docs.upsert([1], -vectors[:1]).sequence)
    model.check_search(docs, vectors[0], 10)
    assert docs.search(vectors[0], 10).scores[-1] == -1.0
    model.check(docs)


def test_rows_are_columns_written_otherwise(api, vectors):
    docs = api.create()
    docs.upsert([1, 2], vectors[:2], [{"a": 1}, None])
    rows = [
        {"id": 1, "vector": vectors[0].tolist(), "payload": {"a": 1}},
        {"id": 2, "vector": vectors[1]},
    ]
    before = docs.scroll(with_vector=True)
    docs.upsert(rows=rows)
    after = docs.scroll(with_vector=True)
    assert (before.vectors == after.vectors).all()
    assert before.payloads == after.payloads


@pytest.mark.parametrize(
    ("rows", "field"),
    [
        ([5], "rows[0]"),
        ([{"id": 1, "vector": [1, 2, 3, 4]}, {"id": 2}], "rows[1]"),
        ([{"vector": [1, 2, 3, 4]}], "rows[0]"),
        ([{"id": 1, "vector": [1, 2, 3, 4], "payloads": {}}], "rows[0]"),
        ({"id": 1, "vector": [1, 2, 3, 4]}, "rows"),
        ("rows", "rows"),
        ([], "ids"),
        ([{"id": 1, "vector": [1, 2, 3, 4]}, {"id": 2, "vector": [1, 2, 3]}], "vectors[1]"),
        ([{"id": 1, "vector": None}], "vectors[0]"),
        ([{"id": None, "vector": [1, 2, 3, 4]}], "ids[0]"),
    ],
)
def test_bad_row_is_named_by_its_position(api, rows, field):
    docs = api.create()
    with api.refuses("InvalidArgument", field):
        docs.upsert(rows=rows)
    assert docs.count() == 0


def test_rows_and_columns_exclude_each_other(api, vectors):
    docs = api.create()
    rows = [{"id": 1, "vector": vectors[0]}]
    for columns in ({"ids": [1]}, {"vectors": vectors[:1]}, {"payloads": [{}]}):
        with api.refuses("InvalidArgument", "rows"):
            docs.upsert(rows=rows, **columns)
    for columns, field in (({}, "ids"), ({"ids": [1]}, "vectors"), ({"vectors": vectors}, "ids")):
        with api.refuses("InvalidArgument", field):
            docs.upsert(**columns)


# ---------------------------------------------------------------------------------- vectors


@pytest.mark.parametrize(
    "vectors",
    [
        np.array([[1, 2, 3, 4], [5, 6, 7, 8]]),
        np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.uint8),
        np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float16),
        np.array([[1, 2, 3, 4], [5, 6, 7, 8]], ">f4"),
        np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32, order="F"),
        np.arange(1, 17, dtype=np.float32).reshape(2, 8)[:, ::2] // 2 + 1,
        [[1, 2, 3, 4], [5.0, 6.0, 7.0, 8.0]],
        [np.arange(1, 5), (5, 6, 7, 8)],
        ((1, 2, 3, 4), (5, 6, 7, 8)),
    ],
    ids=[
        "int64",
        "uint8",
        "float16",
        "big-endian",
        "fortran",
        "strided",
        "lists",
        "mixed",
        "tuples",
    ],
)
def test_numbers_of_any_shape_are_vectors(api, vectors):
    docs = api.create()
    docs.upsert([1, 2], vectors)
    stored = docs.get([1, 2], with_vector=True).vectors
    assert stored.dtype == np.float32
    assert stored.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


BAD_VECTORS = [
    ([[1, 2, 3, 4], [1, 2, 3]], "vectors[1]", "WRONG_DIMENSION"),
    (np.ones((2, 5), np.float32), "vectors[0]", "WRONG_DIMENSION"),
    (np.ones((2, 0), np.float32), "vectors[0]", "WRONG_DIMENSION"),
    (np.ones(4, np.float32), "vectors", "WRONG_DIMENSION"),
    (np.ones((2, 4, 1), np.float32), "vectors", "WRONG_DIMENSION"),
    ([1.0, 2.0, 3.0, 4.0], "vectors[0]", "WRONG_DIMENSION"),
    ([[1, 2, 3, 4], [1, 2, float("nan"), 4]], "vectors[1]", "NOT_FINITE"),
    ([[1, 2, 3, float("inf")], [1, 2, 3, 4]], "vectors[0]", "NOT_FINITE"),
    ([[1, 2, 3, 4], [1e39, 2, 3, 4]], "vectors[1]", "NOT_FINITE"),
    ([[1, 2, 3, 4], [0, 0, 0, 0]], "vectors[1]", "ZERO_VECTOR"),
    ([[1, 2, 3, 4], [0, -0.0, 1e-60, 0]], "vectors[1]", "ZERO_VECTOR"),
    (np.ones((3, 4), np.float32), "vectors", None),
    (np.ones((2, 4), bool), "vectors", None),
    (np.ones((2, 4), complex), "vectors", None),
    ([["1", "2", "3", "4"]] * 2, "vectors", None),
    ([[None, 2, 3, 4]] * 2, "vectors", None),
    ("text", "vectors", None),
    ({"a": 1}, "vectors", None),
]


@pytest.mark.parametrize(("bad", "field", "reason"), BAD_VECTORS, ids=range(len(BAD_VECTORS)))
def test_bad_vector_is_named_and_nothing_of_the_batch_is_applied(api, vectors, bad, field, reason):
    docs = api.create(metric="cosine")
    docs.upsert([1], vectors[:1], [{"kept": True}])
    before = api.everything(docs)
    with api.refuses("InvalidArgument", field, reason):
        docs.upsert([1, 2], bad)
    assert api.everything(docs) == before


@pytest.mark.parametrize(
    ("dtype", "bad"),
    [
        ("float16", [65_520.0, 0, 0, 1]),
        ("float16", [-1e30, 0, 0, 1]),
        ("uint8", [256, 0, 0, 1]),
        ("uint8", [-1, 0, 0, 1]),
        ("uint8", [0.5, 0, 0, 1]),
        ("uint8", [float("nan"), 0, 0, 1]),
        ("uint8", [1e30, 0, 0, 1]),
    ],
)
def test_number_beyond_the_dtype_is_refused(api, dtype, bad):
    docs = api.create(dtype=dtype)
    with api.refuses("InvalidArgument", "vectors[1]"):
        docs.upsert([1, 2], [[1, 2, 3, 4], bad])
    assert docs.count() == 0


@pytest.mark.parametrize(
    ("dtype", "limit"), [("float16", 65_504.0), ("uint8", 255), ("float32", 3.4028235e38)]
)
def test_largest_numbers_of_a_dtype_are_kept(api, dtype, limit):
    docs = api.create(dtype=dtype)
    vector = np.array([limit, 0, 1, limit], np.float32)
    docs.upsert([1], vector[None])
    assert docs.get([1], with_vector=True).vectors[0].astype(np.float32).tolist() == vector.tolist()


def test_numbers_are_rounded_alike_on_every_way(api):
    # Half way between two float16, but for a digit that float32 does not have.
    values = [1.0 + 2**-11 + 2**-40, 1.0 + 3 * 2**-11 - 2**-40, 2049.0, 0.1]
    docs = api.create(dtype="float16")
    docs.upsert([1], [values])
    expected = np.array(values, np.float32).astype(np.float16)
    assert docs.get([1], with_vector=True).vectors[0].tobytes() == expected.tobytes()


def test_caller_may_use_its_arrays_again(api, vectors):
    docs = api.create()
    ids, buffer = np.arange(4), vectors[:4].copy()
    for turn in range(20):
        docs.upsert(ids, buffer, wait=False)
        ids += 4
        buffer += turn
    docs.upsert([1_000], vectors[:1])
    page = docs.scroll(limit=1_000, with_vector=True)
    expected, buffer = [], vectors[:4].copy()
    for turn in range(20):
        expected.append(buffer.copy())
        buffer += turn
    assert page.ids.tolist() == [*range(80), 1_000]
    assert page.vectors[:-1].tobytes() == np.concatenate(expected).tobytes()


# ------------------------------------------------------------------------------------ sizes


def test_batch_above_the_size_of_a_message_names_upload(api):
    docs = api.create(dim=2_048)
    vectors = np.ones((8_193, 2_048), np.float32)
    with api.refuses("LimitExceeded", "vectors") as caught:
        docs.upsert(np.arange(8_193), vectors)
    assert "upload" in caught.value.hint
    assert caught.value.limit == 64 * 1024 * 1024 < caught.value.actual
    assert caught.value.retry_after is None
    assert docs.count() == 0


def test_payloads_count_toward_the_size_of_a_batch(api):
    docs = api.create()
    payload = {"a": "x" * 1_000_000}
    with api.refuses("LimitExceeded", "vectors"):
        docs.upsert(np.arange(68), np.ones((68, 4), np.float32), [payload] * 68)
    assert docs.count() == 0


# ------------------------------------------------------------------------- wait and timeout


def test_write_without_waiting_becomes_visible_with_the_next(api, vectors):
    docs = api.create()
    result = docs.upsert([1, 2], vectors[:2], [{"a": 1}, None], wait=False)
    assert (result.count, result.sequence, result.replayed) == (0, 0, False)
    docs.set_payload([1], {"b": 2}, wait=False)
    docs.delete([2], wait=False)
    docs.upsert([3], vectors[2:3])  # writes are taken in turn
    assert docs.scroll().ids.tolist() == [1, 3]
    assert docs.get([1]).payloads == [{"a": 1, "b": 2}]
    assert docs.search(vectors[2], 1).ids.tolist() == [3]


def test_write_without_waiting_is_checked_at_the_door_all_the_same(api):
    docs = api.create()
    with api.refuses("InvalidArgument", "vectors[0]"):
        docs.upsert([1], np.full((1, 4), np.nan, np.float32), wait=False)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "1", True])
def test_timeout_is_a_number_of_seconds_above_0(api, vectors, timeout):
    docs = api.create()
    for call in (
        lambda: docs.upsert([1], vectors[:1], timeout=timeout),
        lambda: docs.delete([1], timeout=timeout),
        lambda: docs.set_payload([1], {}, timeout=timeout),
        lambda: docs.get([1], timeout=timeout),
        lambda: docs.count(timeout=timeout),
        lambda: docs.scroll(timeout=timeout),
        lambda: docs.search(vectors[0], timeout=timeout),
        lambda: docs.describe(timeout=timeout),
        lambda: docs.stats(timeout=timeout),
        lambda: docs.upload(vectors, timeout=timeout, progress=False),
    ):
        with api.refuses("InvalidArgument", "timeout"):
            call()


def test_calls_with_time_enough_and_without_bound_succeed(api, vectors):
    docs = api.create()
    for timeout in (60, 60.0, None, float("inf")):
        docs.upsert([1], vectors[:1], timeout=timeout)
        assert len(docs.search(vectors[0], timeout=timeout)) == 1


@pytest.mark.parametrize("value", ["no", 0, 1, None])
def test_flags_are_true_or_false(api, vectors, value):
    docs = api.create()
    docs.upsert([1], vectors[:1])
    for name, call in (
        ("wait", lambda: docs.upsert([1], vectors[:1], wait=value)),
        ("wait", lambda: docs.delete([1], wait=value)),
        ("wait", lambda: docs.set_payload([1], {}, wait=value)),
        ("replace", lambda: docs.set_payload([1], {}, replace=value)),
        ("with_payload", lambda: docs.get([1], with_payload=value)),
        ("with_vector", lambda: docs.get([1], with_vector=value)),
        ("with_payload", lambda: docs.scroll(with_payload=value)),
        ("with_vector", lambda: docs.scroll(with_vector=value)),
        ("with_payload", lambda: docs.search(vectors[0], with_payload=value)),
        ("with_vector", lambda: docs.search(vectors[0], with_vector=value)),
    ):
        with api.refuses("InvalidArgument", name):
            call()
    assert docs.count() == 1
