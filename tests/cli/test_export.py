"""``vecdb export``: a file that is whole or not there, and that comes back the same."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import vecdb
from vecdb.cli import exporting

VECDB = Path(sys.executable).with_name("vecdb")
FIELDS = {"lang": "keyword", "year": "int"}


def read_lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_jsonl_has_a_record_a_line_in_the_order_of_ids(run, docs, tmp_path):
    path = tmp_path / "docs.jsonl"
    result = run("export", "docs", "-O", path, *docs.options)
    assert (result.status, result.out) == (0, "")
    assert result.err.startswith(f"exported 10 records (410 B) of docs to {path} in ")
    rows = read_lines(path.read_text())
    assert [row["id"] for row in rows] == list(range(10))
    assert rows[3] == {
        "id": 3,
        "vector": [3.0, 1.0, 0.0, 0.0],
        "payload": {"lang": "de", "year": 2003},
    }


def test_jsonl_goes_to_stdout(run, docs):
    result = run("export", "docs", "-O", "-", "--filter", '{"year": {"gte": 2008}}', *docs.options)
    assert (result.status, result.err) == (0, "")
    assert [row["id"] for row in read_lines(result.out)] == [8, 9]


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
@pytest.mark.parametrize("ids", [int, str])
def test_export_comes_back_as_the_same_collection(run, place, tmp_path, dtype, ids):
    """By the very command that the export prints."""
    random = np.random.default_rng(3)
    if dtype == "uint8":
        vectors = random.integers(0, 255, (300, 6)).astype(dtype)
    else:
        vectors = (random.standard_normal((300, 6)) * 10.0 ** random.integers(-4, 4)).astype(dtype)
    made = place.database.create_collection("old", dim=6, metric="dot", dtype=dtype, fields=FIELDS)
    payloads = [
        {"lang": "dé", "year": -i, "nested": {"a": [1, None, 0.1]}} if i % 3 else None
        for i in range(300)
    ]
    made.upsert([ids(i) for i in range(300)], vectors, payloads)
    path = tmp_path / "old.jsonl"
    result = run("export", "old", "-O", path, *place.options)
    (told,) = (line for line in result.err.splitlines() if line.startswith("back: "))
    words = shlex.split(told.removeprefix("back: vecdb "))
    words[words.index("old")] = "new"
    assert run(*words, *place.options).status == 0
    old, new = (place.database.collection(name) for name in ("old", "new"))
    for name in ("dim", "metric", "dtype", "id_kind", "count", "fields"):
        assert getattr(old.describe(), name) == getattr(new.describe(), name), name
    before, after = (one.scroll(limit=1_000, with_vector=True) for one in (old, new))
    assert list(before.ids) == list(after.ids)
    assert before.payloads == after.payloads
    assert before.vectors.tobytes() == after.vectors.tobytes()


def test_payload_that_only_later_records_have_comes_back(run, local, tmp_path):
    made = local.database.create_collection("old", dim=1)
    made.upsert([1, 2], [[1.0], [2.0]], [None, {"payload": {"deep": 1}, "id": 5}])
    path = tmp_path / "old.jsonl"
    assert run("export", "old", "-O", path, *local.options).status == 0
    assert run("import", path, "-c", "new", *local.options).status == 0
    found = local.database.collection("new").get([1, 2])
    assert found.payloads == [None, {"payload": {"deep": 1}, "id": 5}]


def test_npy_is_one_matrix_with_ids_beside_it(run, docs, tmp_path):
    path = tmp_path / "docs.npy"
    assert run("export", "docs", "-O", path, *docs.options).status == 0
    matrix = np.load(path, allow_pickle=False)
    assert (matrix.shape, matrix.dtype) == ((10, 4), np.float32)
    assert matrix[:, 0].tolist() == list(range(10))
    ids = (tmp_path / "docs.npy.ids.jsonl").read_text().split()
    assert ids == [str(i) for i in range(10)]


def test_parquet_has_the_three_columns(run, docs, tmp_path):
    path = tmp_path / "docs.parquet"
    assert run("export", "docs", "-O", path, *docs.options).status == 0
    table = pq.read_table(path)
    assert table.column_names == ["id", "vector", "payload"]
    assert table.column("id").to_pylist() == list(range(10))
    assert table.column("vector").to_pylist()[3] == [3.0, 1.0, 0.0, 0.0]
    assert json.loads(table.column("payload").to_pylist()[3]) == {"lang": "de", "year": 2003}


@pytest.mark.parametrize("suffix", ["jsonl", "npy", "parquet"])
def test_export_of_many_pages_is_whole(run, docs, tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(exporting, "PAGE_BYTES", 4_000)  # three records
    path = tmp_path / f"docs.{suffix}"
    assert run("export", "docs", "-O", path, *docs.options).status == 0
    words = ["import", path, "-c", "back", "--payload-columns", "", *docs.options]
    if suffix == "npy":
        words = [*words[:4], *docs.options]
    assert run(*words).status == 0
    before, after = (
        docs.database.collection(name).scroll(with_vector=True) for name in ("docs", "back")
    )
    assert before.vectors.tobytes() == after.vectors.tobytes()


@pytest.mark.slow
def test_pages_too_large_for_a_message_are_asked_for_again_smaller(run, remote, tmp_path):
    """Seventy payloads of a megabyte do not fit one answer."""
    made = remote.database.create_collection("large", dim=1)
    payload = {"text": "x" * 1_000_000}
    for start in range(0, 70, 10):
        ids = list(range(start, start + 10))
        made.upsert(ids, [[1.0]] * 10, [payload] * 10)
    path = tmp_path / "large.jsonl"
    assert run("export", "large", "-O", path, *remote.options).status == 0
    with path.open() as lines:
        assert sum(1 for _ in lines) == 70


def test_empty_collection_makes_an_empty_file(run, local, tmp_path):
    local.database.create_collection("none", dim=3)
    for suffix in ("jsonl", "npy", "parquet"):
        path = tmp_path / f"none.{suffix}"
        assert run("export", "none", "-O", path, *local.options).status == 0
    assert (tmp_path / "none.jsonl").read_bytes() == b""
    assert np.load(tmp_path / "none.npy").shape == (0, 3)
    assert pq.read_table(tmp_path / "none.parquet").num_rows == 0


def test_file_that_is_there_is_replaced_only_by_force(run, local, tmp_path):
    local.database.create_collection("docs", dim=3)
    path = tmp_path / "docs.jsonl"
    path.write_text("precious")
    result = run("export", "docs", "-O", path, *local.options)
    assert result.status == 6
    assert result.err == f"error: {path} is there already\nhint: --force replaces it\n"
    assert path.read_text() == "precious"
    assert run("export", "docs", "-O", path, "--force", *local.options).status == 0
    assert path.read_text() == ""


def test_export_that_fails_leaves_what_was_there(run, docs, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "docs.jsonl").write_text("precious")

    def pages(*words, **named):
        yield from list(whole(*words, **named))[:1]
        raise OSError(28, "No space left on device")

    whole = exporting.scroll_pages
    monkeypatch.setattr(exporting, "scroll_pages", pages)
    words = ["export", "docs", "-O", folder / "docs.jsonl", "--force", *docs.options]
    result = run(*words)
    assert (result.status, result.err) == (1, "error: No space left on device\n")
    assert [path.name for path in folder.iterdir()] == ["docs.jsonl"]
    assert (folder / "docs.jsonl").read_text() == "precious"


def test_missing_folder_is_a_mistake(run, docs, tmp_path):
    result = run("export", "docs", "-O", tmp_path / "none" / "docs.jsonl", *docs.options)
    assert result.status == 2
    assert f"there is no folder {tmp_path / 'none'}" in result.err


def test_unknown_collection_is_not_found_and_leaves_no_file(run, docs, tmp_path):
    path = tmp_path / "none.jsonl"
    assert run("export", "none", "-O", path, *docs.options).status == 5
    assert not path.exists()


def test_export_is_told_as_json(run, docs, tmp_path):
    path = tmp_path / "docs.jsonl"
    result = run("export", "docs", "-O", path, "-o", "json", *docs.options)
    report = json.loads(result.out)
    assert report.pop("seconds") >= 0
    assert report == {"collection": "docs", "file": str(path), "format": "jsonl", "records": 10}


@pytest.mark.slow
def test_closed_pipe_ends_an_export_quietly(tmp_path):
    with vecdb.open(tmp_path / "db") as database:
        made = database.create_collection("docs", dim=64)
        made.upload(np.ones((20_000, 64), np.float32), progress=False)
    reading, writing = os.pipe()
    command = [str(VECDB), "export", "docs", "-O", "-", "--dir", str(tmp_path / "db")]
    with subprocess.Popen(command, stdout=writing, stderr=subprocess.PIPE, text=True) as process:
        os.close(writing)
        assert os.read(reading, 10) == b'{"id": 0, '
        os.close(reading)
        _, err = process.communicate(timeout=300)
    # Without a terminal there is no bar, so nothing at all is said.
    assert (process.returncode, err) == (1, "")
