"""jsonl: the first line decides what is what, and an error names the line that does not fit."""

from __future__ import annotations

import gzip
import json
import tracemalloc

import numpy as np
import pytest

from vecdb.datasets import load_dataset
from vecdb.testing import data

FIRST = {"id": 1, "vector": [0.5, 1, -2e3], "lang": "en"}


def write_lines(path, *lines):
    path.write_bytes(b"".join(line if isinstance(line, bytes) else line.encode() for line in lines))
    return path


def read(path, **columns):
    (batch,) = load_dataset(path, **columns).batches()
    return batch


def test_columns_are_told_by_their_names(tmp_path):
    rows = [{"_id": f"a{n}", "score": n, "tags": ["x"], "emb": [n, 0.25]} for n in range(3)]
    batch = read(data.write_jsonl(tmp_path / "a.jsonl", rows))
    assert batch.ids == ["a0", "a1", "a2"]
    assert batch.vectors.tolist() == [[0, 0.25], [1, 0.25], [2, 0.25]]
    assert batch.payloads == [{"score": n, "tags": ["x"]} for n in range(3)]


def test_only_list_of_numbers_is_the_vector_whatever_its_name(tmp_path):
    row = {"code": [1.5, 2], "tags": ["a"], "none": [], "mixed": [1, "a"], "flags": [True]}
    batch = read(data.write_jsonl(tmp_path / "a.jsonl", [row]))
    assert batch.vectors.tolist() == [[1.5, 2.0]]
    assert batch.payloads == [{key: row[key] for key in ("tags", "none", "mixed", "flags")}]


def test_several_lists_of_numbers_ask_which(tmp_path, refusal_of):
    row = {"a": [1], "b": [2], "id": 7}
    path = data.write_jsonl(tmp_path / "a.jsonl", [row])
    error = refusal_of(load_dataset, path)
    assert "a, b" in error.message
    assert "vector_column=" in error.hint
    batch = read(path, vector_column="b")
    assert batch.vectors.tolist() == [[2.0]]
    assert batch.payloads == [{"a": [1]}]


def test_file_without_vectors_says_so(tmp_path, refusal_of):
    path = data.write_jsonl(tmp_path / "rows.jsonl", [{"text": "a", "tags": ["b"]}])
    error = refusal_of(load_dataset, path)
    assert error.reason == "NO_VECTORS"
    assert "vectors.npy" in error.hint


def test_columns_may_be_named(tmp_path):
    rows = [{"id": 5, "name": "x", "vector": [1.0], "a": 1, "b": 2}]
    path = data.write_jsonl(tmp_path / "a.jsonl", rows)
    batch = read(path, id_column="name", payload_columns=["b", "id"])
    assert batch.ids == ["x"]
    assert batch.payloads == [{"b": 2, "id": 5}]
    batch = read(path, id_column="", payload_columns=[])
    assert batch.ids.tolist() == [0]
    assert batch.payloads is None
    batch = read(path, id_column="a")
    assert batch.ids.tolist() == [1]
    assert batch.payloads == [{"id": 5, "name": "x", "b": 2}]


def test_named_column_that_is_not_there_is_refused(tmp_path, refusal_of):
    path = data.write_jsonl(tmp_path / "a.jsonl", [FIRST])
    for columns in ({"vector_column": "emb"}, {"vector_column": "lang"}, {"id_column": "key"}):
        assert refusal_of(load_dataset, path, **columns).reason == "NO_COLUMN"
    assert load_dataset(path, payload_columns=["lang", "year"]).notes == (
        "its first line has no 'year' for the payload",
    )


def test_rows_may_have_other_payload_columns_than_the_first(tmp_path):
    rows = [{"vector": [1]}, {"vector": [2], "lang": "en"}, {"vector": [3], "year": None}]
    path = data.write_jsonl(tmp_path / "a.jsonl", rows)
    assert read(path).payloads == [{}, {"lang": "en"}, {"year": None}]
    assert read(path, payload_columns=["lang"]).payloads == [{}, {"lang": "en"}, {}]
    assert read(data.write_jsonl(tmp_path / "b.jsonl", rows[:1])).payloads is None


def test_object_called_payload_is_the_payload_where_nothing_else_is_left(tmp_path, refusal_of):
    rows = [
        {"id": 1, "vector": [1], "payload": {"a": 1}},
        {"id": 2, "vector": [1], "payload": None},
    ]
    path = data.write_jsonl(tmp_path / "a.jsonl", rows)
    assert read(path).payloads == [{"a": 1}, None]
    assert read(path, payload_columns=["payload"]).payloads == [
        {"payload": {"a": 1}},
        {"payload": None},
    ]
    text = data.write_jsonl(tmp_path / "b.jsonl", [{"vector": [1], "payload": "text"}])
    assert read(text).payloads == [{"payload": "text"}]
    data.write_jsonl(path, [*rows, {"id": 3, "vector": [1], "payload": "text"}])
    assert "line 3: expected an object in 'payload'" in refusal_of(read, path).message


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.jsonl.gz", "a.json"])
def test_empty_lines_are_no_rows_and_errors_count_them(tmp_path, refusal_of, name):
    content = b'\xef\xbb\xbf{"vector": [1]}\n\n  \r\n{"vector": [2]}\r\n{"vector": [3]}'
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    if name == "a.json":
        path.write_bytes(content[3:])
    dataset = load_dataset(path)
    assert [batch.ids.tolist() for batch in dataset.batches(2)] == [[0, 1], [2]]
    assert [batch.vectors.tolist() for batch in dataset.batches(start=1)] == [[[2.0], [3.0]]]
    content += b'\n{"vector": [3, 4]}'
    path.write_bytes(
        gzip.compress(content) if name.endswith("gz") else content.lstrip(b"\xef\xbb\xbf")
    )
    assert "line 6: expected 1 numbers" in refusal_of(list, load_dataset(path).batches()).message


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('{"id": }', "not JSON (Expecting value at character 8)"),
        ('{"id": 2, "vector": [1, 2, 3]', "not JSON"),
        ('{"id": 2, "vector": [1, 2, NaN]}', "NaN is not JSON"),
        ('{"id": 2, "vector": [1, 2, 3]} {}', "Extra data"),
        ("[1, 2, 3]", "expected one JSON object, found a list"),
        ('"text"', "found text"),
        ("null", "found null"),
        (b'{"id": 2, "\xff": 3}', "not UTF-8 at byte 11"),
        pytest.param('{"a":' * 100_000, "nested too deeply", id="deep"),
        pytest.param('{"id": 2, "n": ' + "9" * 5_000 + "}", "not JSON", id="digits"),
        ('{"id": 2}', "expected 3 numbers in 'vector', found null"),
        ('{"id": 2, "vector": null}', "expected 3 numbers in 'vector', found null"),
        ('{"id": 2, "vector": "1 2 3"}', "expected 3 numbers in 'vector', found text"),
        ('{"id": 2, "vector": [1, 2]}', "expected 3 numbers in 'vector', found 2"),
        ('{"id": 2, "vector": [1, 2, 3, 4]}', "expected 3 numbers in 'vector', found 4"),
        ('{"id": 2, "vector": []}', "expected 3 numbers in 'vector', found a list"),
        ('{"id": 2, "vector": [1, 2, "3"]}', "expected 3 numbers in 'vector', found a list"),
        ('{"id": 2, "vector": [1, 2, null]}', "expected 3 numbers in 'vector', found a list"),
        ('{"id": 2, "vector": [1, 2, true]}', "expected 3 numbers in 'vector', found a list"),
        ('{"id": 2, "vector": [[1, 2, 3]]}', "expected 3 numbers in 'vector', found a list"),
        ('{"vector": [1, 2, 3]}', "expected a whole number as id, as in the rows before"),
        ('{"id": "2", "vector": [1, 2, 3]}', "expected a whole number as id"),
        ('{"id": 2.0, "vector": [1, 2, 3]}', "expected a whole number as id"),
        ('{"id": true, "vector": [1, 2, 3]}', "expected a whole number as id"),
        ('{"id": 9223372036854775808, "vector": [1, 2, 3]}', "a signed 64-bit integer"),
    ],
)
def test_broken_line_is_named_with_what_was_expected(tmp_path, refusal_of, line, found):
    path = write_lines(tmp_path / "a.jsonl", json.dumps(FIRST), "\n", line, "\n", json.dumps(FIRST))
    error = refusal_of(read, path)
    assert error.field == str(path)
    assert "line 2: " in error.message
    assert found in error.message


def test_number_too_large_for_any_float_is_refused(tmp_path, refusal_of):
    line = json.dumps({"id": 2, "vector": [1, 2, 10**400]})
    path = write_lines(tmp_path / "a.jsonl", json.dumps(FIRST), "\n", line)
    assert "lines 1 to 2: a number in 'vector' is too large" in refusal_of(read, path).message


@pytest.mark.parametrize("value", [None, 1.5, True, ["a"], {}])
def test_id_of_the_first_line_is_text_or_a_whole_number(tmp_path, refusal_of, value):
    path = data.write_jsonl(tmp_path / "a.jsonl", [{"id": value, "vector": [1]}])
    error = refusal_of(load_dataset, path)
    assert "line 1: expected text or a whole number as id in 'id'" in error.message
    assert "id_column=''" in error.hint
    assert read(path, id_column="").payloads == [{"id": value}]


def test_empty_file_is_refused(tmp_path, refusal_of):
    for content in ("", "\n\n"):
        path = write_lines(tmp_path / "a.jsonl", content)
        assert "found no line" in refusal_of(load_dataset, path).message


def test_list_of_too_many_dimensions_is_refused(tmp_path, refusal_of):
    path = data.write_jsonl(tmp_path / "a.jsonl", [{"vector": [0] * 16_385}])
    assert "expected 1 to 16384 dimensions, found 16385" in refusal_of(load_dataset, path).message


def test_line_without_an_end_is_refused_in_little_memory(tmp_path, refusal_of):
    """40 kB that unpack to 40 MB without a line break."""
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a": "' + b"x" * 40_000_000, 1))
    tracemalloc.start()
    try:
        assert "line 1: expected at most" in refusal_of(load_dataset, path).message
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()


def test_messages_hold_no_content(tmp_path, refusal_of):
    for line in ('{"secret": secret}', '["secret"]', '{"id": "secret", "vector": [1, 2, 3]}'):
        path = write_lines(tmp_path / "a.jsonl", json.dumps(FIRST), "\n", line)
        assert "secret" not in str(refusal_of(read, path))


def test_numbers_beyond_float32_become_infinite_for_the_door_to_refuse(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", '{"vector": [1e300, 1e999, 3]}')
    assert np.isinf(read(path).vectors).tolist() == [[True, True, False]]
