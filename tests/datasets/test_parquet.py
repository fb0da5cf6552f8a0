"""parquet: which columns are taken, what they become in JSON, and what is refused by name."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal

import numpy as np
import pytest

from vecdb.datasets import load_dataset
from vecdb.errors import InvalidArgument
from vecdb.testing import data

pa = pytest.importorskip("pyarrow")

N = 30
VECTORS = np.arange(N * 3, dtype=np.float32).reshape(N, 3)


@pytest.fixture
def write(tmp_path):
    """``write(name=column, ...)``: a file of those columns and of ``vector``, in small groups."""

    def write(group_rows=7, **columns):
        columns = {"vector": VECTORS, **columns}
        columns = {name: column for name, column in columns.items() if column is not None}
        return data.write_parquet(tmp_path / "a.parquet", columns, group_rows=group_rows)

    return write


def one_payload(path, **columns):
    return next(load_dataset(path, **columns).batches(1)).payloads[0]


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float32()),
        pa.large_list(pa.float32()),
        pa.list_(pa.float32(), 3),
        pa.fixed_shape_tensor(pa.float32(), [3]),
        pa.list_(pa.float64()),
    ],
    ids=str,
)
def test_vectors_are_lists_of_any_kind(write, read_all, kind):
    storage = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    column = pa.array(VECTORS.tolist(), storage)
    if storage is not kind:
        column = pa.ExtensionArray.from_storage(kind, column)
    dataset = load_dataset(write(vector=column))
    assert (dataset.dim, dataset.count, dataset.dtype) == (3, N, "float32")
    for start in (0, 1, 6, 7, 8, 20, N - 1, N):
        records = read_all(dataset, start=start)
        assert np.array_equal(records.vectors, VECTORS[start:])
        assert records.ids == list(range(start, N))


@pytest.mark.parametrize(
    "kind",
    [
        pa.int32(),
        pa.uint64(),
        pa.string(),
        pa.large_string(),
        pa.dictionary(pa.int32(), pa.string()),
    ],
    ids=str,
)
def test_ids_are_whole_numbers_or_text(write, read_all, kind):
    ids = [n + 100 if pa.types.is_integer(kind) else f"a{n}" for n in range(N)]
    path = write(id=pa.array(ids, kind), title=["t"] * N)
    records = read_all(load_dataset(path), start=9)
    assert records.ids == ids[9:]
    assert records.payloads == [{"title": "t"}] * (N - 9)
    records = read_all(load_dataset(path, id_column="", payload_columns=["id"]))
    assert records.ids == list(range(N))
    assert records.payloads == [{"id": one} for one in ids]


def test_ids_of_another_type_are_refused(write, refusal_of):
    error = refusal_of(load_dataset, write(id=[1.5] * N))
    assert "expected whole numbers or text as ids in 'id', found double" in error.message
    assert "id_column=''" in error.hint


@pytest.mark.parametrize(
    ("column", "found"),
    [
        (pa.array([*range(20), None, *range(21, N)]), "row 20: expected a whole number as id"),
        (pa.array([*["a"] * 9, None, *["a"] * 20]), "row 9: expected text as id"),
        (pa.array([*range(N - 1), 2**63], pa.uint64()), f"row {N - 1}: expected an id that fits"),
    ],
)
def test_id_that_is_missing_or_too_large_is_named_by_its_row(
    write, read_all, refusal_of, column, found
):
    dataset = load_dataset(write(id=column))
    assert found in refusal_of(read_all, dataset).message
    assert found in refusal_of(read_all, dataset, start=8).message


@pytest.mark.parametrize(
    ("row", "value", "found"),
    [
        (13, None, "found null"),
        (13, [1.0, 2.0], "found 2"),
        (29, [1.0] * 4, "found 4"),
        (1, [], "found 0"),
        (20, [1.0, None, 2.0], "found a null among them"),
    ],
)
def test_vector_that_does_not_fit_is_named_by_its_row(
    write, read_all, refusal_of, row, value, found
):
    vectors = VECTORS.tolist()
    vectors[row] = value
    dataset = load_dataset(write(vector=pa.array(vectors, pa.list_(pa.float32()))))
    for start in (0, row):
        message = refusal_of(read_all, dataset, start=start).message
        assert f"row {row}: expected 3 numbers in 'vector', {found}" in message
    if row + 1 < N:
        assert len(read_all(dataset, start=row + 1).ids) == N - row - 1


@pytest.mark.parametrize("first", [None, []])
def test_first_vector_gives_the_dimension(write, refusal_of, first):
    vectors = pa.array([first, *VECTORS.tolist()[1:]], pa.list_(pa.float32()))
    assert "found 0" in refusal_of(load_dataset, write(vector=vectors)).message


BERLIN = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("text", pa.string(), "text"),
        (5, pa.int8(), 5),
        (True, pa.bool_(), True),
        (None, pa.null(), None),
        (None, pa.int64(), None),
        (1.5, pa.float32(), 1.5),
        (np.float16(1.5), pa.float16(), 1.5),
        (float("nan"), pa.float64(), None),
        (float("inf"), pa.float32(), None),
        (datetime(2024, 5, 1, 12, tzinfo=BERLIN), pa.timestamp("us", "Europe/Berlin"),
         "2024-05-01T10:00:00+00:00"),
        (datetime(2024, 5, 1, 12), pa.timestamp("ms"), "2024-05-01T12:00:00+00:00"),
        (1714564800123456789, pa.timestamp("ns"), "2024-05-01T12:00:00.123456+00:00"),
        (None, pa.timestamp("ns", "UTC"), None),
        (date(2024, 5, 1), pa.date32(), "2024-05-01"),
        (time(12, 30), pa.time64("ns"), "12:30:00"),
        (Decimal("1.25"), pa.decimal128(5, 2), 1.25),
        (Decimal("12"), pa.decimal128(5, 0), 12),
        (None, pa.decimal128(5, 0), None),
        ("x", pa.dictionary(pa.int8(), pa.string()), "x"),
        (["a", None], pa.list_(pa.string()), ["a", None]),
        ([1.5, float("nan")], pa.list_(pa.float64(), 2), [1.5, None]),
        ([date(2024, 5, 1)], pa.large_list(pa.date32()), ["2024-05-01"]),
        (None, pa.list_(pa.date32()), None),
        (
            {"a": 1, "t": datetime(2024, 5, 1, 12)},
            pa.struct([("a", pa.int32()), ("t", pa.timestamp("ns"))]),
            {"a": 1, "t": "2024-05-01T12:00:00+00:00"},
        ),
        (None, pa.struct([("t", pa.timestamp("s"))]), None),
        ([("k", 1.5)], pa.map_(pa.string(), pa.float32()), {"k": 1.5}),
        (None, pa.map_(pa.string(), pa.int8()), None),
    ],
    ids=str,
)  # fmt: skip
def test_values_become_json(write, value, kind, expected):
    path = write(vector_x=None, field=pa.array([value] * N, kind))
    payload = one_payload(path, vector_column="vector")
    assert payload == {"field": expected}
    assert type(payload["field"]) is type(expected)
    json.dumps(payload, allow_nan=False)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b"x", pa.binary()),
        (b"x", pa.binary(1)),
        (timedelta(1), pa.duration("s")),
        ([b"x"], pa.list_(pa.binary())),
        ({"a": {"b": b"x"}}, pa.struct([("a", pa.struct([("b", pa.binary())]))])),
        ([(1, "a")], pa.map_(pa.int32(), pa.string())),
    ],
    ids=str,
)
def test_column_that_json_does_not_have_is_named_at_once(write, refusal_of, value, kind):
    path = write(title=["a"] * N, blob=pa.array([value] * N, kind))
    error = refusal_of(load_dataset, path)
    assert "column 'blob' is of type" in error.message
    assert error.hint.endswith("payload_columns=, such as title")
    assert one_payload(path, payload_columns=["title"]) == {"title": "a"}
    assert next(load_dataset(path, payload_columns=[]).batches()).payloads is None


def test_points_in_time_without_a_zone_are_told(write):
    path = write(at=pa.array([datetime(2024, 5, 1)] * N), on=pa.array([date(2024, 5, 1)] * N))
    assert load_dataset(path).notes == ("points in time of 'at' have no zone: taken as UTC",)


def test_point_in_time_beyond_the_calendar_is_refused(write, read_all, refusal_of):
    path = write(at=pa.array([2**62] * N, pa.timestamp("us", "UTC")))
    assert "cannot be read" in refusal_of(read_all, load_dataset(path)).message


def test_object_called_payload_is_the_payload_where_nothing_else_is_left(write):
    path = write(id=list(range(N)), payload=[{"a": 1, "b": None}] * N)
    assert one_payload(path) == {"a": 1, "b": None}
    path = write(payload=[{"a": 1}] * N, title=["t"] * N)
    assert one_payload(path) == {"payload": {"a": 1}, "title": "t"}


def test_vector_column_is_told_by_name_or_by_being_alone(write, read_all, refusal_of):
    other = VECTORS[:, :2] + 1
    path = write(vector=None, x=VECTORS, tokens=pa.array([[1, 2]] * N))
    assert np.array_equal(read_all(load_dataset(path)).vectors, VECTORS)
    path = write(vector=None, x=VECTORS, y=other)
    error = refusal_of(load_dataset, path)
    assert "x, y" in error.message
    assert np.array_equal(read_all(load_dataset(path, vector_column="y")).vectors, other)
    path = write(emb=other, vector=VECTORS)
    assert np.array_equal(read_all(load_dataset(path)).vectors, VECTORS)


def test_wrong_columns_are_refused(write, refusal_of):
    path = write(title=["t"] * N)
    for columns in (
        {"vector_column": "title"},
        {"vector_column": "emb"},
        {"id_column": "key"},
        {"payload_columns": ["year"]},
    ):
        error = refusal_of(load_dataset, path, **columns)
        assert error.reason == "NO_COLUMN"
    path = write(vector=None, title=["t"] * N)
    assert refusal_of(load_dataset, path).reason == "NO_VECTORS"


def test_vectors_of_ids_are_refused(write, refusal_of):
    path = write(vector=VECTORS.astype(np.int64))
    assert refusal_of(load_dataset, path).reason == "NO_VECTORS"


def test_columns_of_the_same_name_are_refused(tmp_path, refusal_of):
    import pyarrow.parquet as pq

    table = pa.table([pa.array(VECTORS.tolist()), [1] * N, [2] * N], names=["vector", "a", "a"])
    pq.write_table(table, tmp_path / "a.parquet")
    assert "two alike" in refusal_of(load_dataset, tmp_path / "a.parquet").message


def test_footer_that_counts_other_rows_is_refused(write, read_all, refusal_of):
    """Each byte of the footer that may be a count of 30, as varint 60, is changed to 31 in turn."""
    path = write(group_rows=None)
    content = path.read_bytes()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    said = {}
    for at in [at for at in range(footer, len(content) - 8) if content[at] == 60]:
        path.write_bytes(content[:at] + b"\x3e" + content[at + 1 :])
        try:
            assert read_all(load_dataset(path)).ids == list(range(N))
        except InvalidArgument as error:
            said[error.message.partition(": ")[2]] = at
    both = bytearray(content)
    for message in (
        "expected 31 rows as it says, found 30",
        "expected 30 rows as it says, found 31",
    ):
        both[said[message]] = 62
    path.write_bytes(both)  # the file and its only group agree on 31
    message = refusal_of(read_all, load_dataset(path)).message
    assert message.endswith("expected 31 rows as it says, found 30")


def test_page_with_a_checksum_is_verified(tmp_path, read_all, refusal_of):
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    table = pa.table({"vector": pa.array(VECTORS.tolist(), pa.list_(pa.float32()))})
    pq.write_table(table, path, compression="none", use_dictionary=False, write_page_checksum=True)
    content = path.read_bytes()
    at = content.index(VECTORS.tobytes())
    path.write_bytes(content[:at] + b"\1" + content[at + 1 :])
    assert "CRC" in refusal_of(load_dataset, path).message


def test_file_without_rows_is_refused(tmp_path, refusal_of):
    empty = pa.array([], pa.list_(pa.float32()))
    path = data.write_parquet(tmp_path / "a.parquet", {"vector": empty})
    assert "at least one row" in refusal_of(load_dataset, path).message


def test_groups_before_the_start_are_not_read(write, read_all, refusal_of):
    path = write(id=list(range(N)))
    dataset = load_dataset(path)
    content = path.read_bytes()
    path.write_bytes(content[:4] + bytes(60) + content[64:])  # in the first group of 7 rows
    for start in (0, 6):
        assert "cannot be read" in refusal_of(read_all, dataset, start=start).message
    assert read_all(dataset, start=7).ids == list(range(7, N))


def test_columns_that_are_not_wanted_are_not_read(write, read_all, refusal_of):
    path = write(group_rows=None, id=list(range(N)), title=[f"title {n}" for n in range(N)])
    dataset = load_dataset(path, payload_columns=[])
    with_titles = load_dataset(path)
    content = path.read_bytes()
    at = content.index(b"title 0")  # the texts, in the last column
    path.write_bytes(content[: at - 1] + b"\xff" * 60 + content[at + 59 :])
    assert read_all(dataset).ids == list(range(N))
    assert "cannot be read" in refusal_of(read_all, with_titles).message
