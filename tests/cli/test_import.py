"""``vecdb import``: what lands in the collection, and what is refused."""

from __future__ import annotations

import json
import stat

import numpy as np
import pytest

SCHEMA = ("--metric", "l2", "--field", "lang=keyword")


def matrix(count: int, dim: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)


def write_jsonl(path, rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def npy(tmp_path):
    path = tmp_path / "vectors.npy"
    np.save(path, matrix(100))
    return path


@pytest.fixture
def jsonl(tmp_path):
    path = tmp_path / "docs.jsonl"
    rows = [
        {"id": f"d{i}", "vector": vector.tolist(), "lang": ["en", "de"][i % 2]}
        for i, vector in enumerate(matrix(50))
    ]
    write_jsonl(path, rows)
    return path


def test_matrix_becomes_records_numbered_by_row(run, place, npy):
    result = run("import", npy, "--collection", "docs", *place.options)
    assert result.status == 0
    created, imported = result.err.splitlines()
    assert (
        created == "created docs: 4 dimensions, cosine (the file does not tell: --metric), float32"
    )
    assert imported.startswith("imported 100 records (")
    assert " from vectors.npy into docs in " in imported
    stored = place.database.collection("docs").get([0, 99], with_vector=True)
    assert np.array_equal(stored.vectors, matrix(100)[[0, 99]])
    assert sorted(path.name for path in npy.parent.iterdir() if path.is_file()) == ["vectors.npy"]


def test_columns_of_jsonl_become_ids_and_payload(run, place, jsonl):
    result = run("import", jsonl, "-c", "docs", *SCHEMA, "-o", "json", *place.options)
    assert (result.status, result.err) == (0, "")
    report = json.loads(result.out)
    assert report.pop("seconds") >= 0
    assert report.pop("bytes") > 0
    assert report == {
        "collection": "docs",
        "created": True,
        "records": 50,
        "refused": 0,
        "retries": 0,
    }
    docs = place.database.collection("docs")
    assert docs.describe().metric == "l2"
    assert docs.count({"lang": "de"}) == 25
    assert docs.get(["d3"]).payloads == [{"lang": "de"}]


def test_folder_is_imported_where_one_stands(run, local, tmp_path, monkeypatch):
    folder = tmp_path / "set"
    folder.mkdir()
    np.save(folder / "vectors.npy", matrix(3))
    monkeypatch.chdir(folder)
    assert run("import", ".", "-c", "docs", *local.options).status == 0
    assert local.database.collection("docs").count() == 3


def test_quiet_import_says_nothing(run, place, npy):
    result = run("import", npy, "-c", "docs", "--quiet", *place.options)
    assert (result.status, result.out, result.err) == (0, "", "")


def test_existing_collection_takes_more(run, docs, npy):
    result = run("import", npy, "-c", "docs", "--first-id", 1_000, *docs.options)
    assert result.status == 0
    assert result.err.count("\n") == 1
    found = docs.database.collection("docs")
    assert found.count() == 110
    assert len(found.get([1_000, 1_099])) == 2


def test_rows_of_several_files_are_numbered_through(run, place, npy, tmp_path):
    second = tmp_path / "more.npy"
    np.save(second, matrix(30, seed=1))
    assert run("import", npy, second, "-c", "docs", *place.options).status == 0
    docs = place.database.collection("docs")
    assert docs.count() == 130
    stored = docs.get([99, 100, 129], with_vector=True).vectors
    expected = np.vstack([matrix(100)[99:], matrix(30, seed=1)[[0, 29]]])
    assert np.array_equal(stored, expected)


def test_ids_of_a_later_file_are_its_own(run, local, npy, tmp_path):
    second = tmp_path / "more.jsonl"
    write_jsonl(second, [{"id": 7, "vector": [1.0, 2.0, 3.0, 4.0]}])
    assert run("import", npy, second, "-c", "docs", *local.options).status == 0
    docs = local.database.collection("docs")
    assert docs.count() == 100
    assert docs.get([7], with_vector=True).vectors.tolist() == [[1.0, 2.0, 3.0, 4.0]]


def test_named_column_of_ids_is_never_renumbered(run, local, npy, tmp_path):
    """Although its values look like the numbers of its rows."""
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    for path, value in ((first, 1.0), (second, 2.0)):
        write_jsonl(path, [{"key": i, "vector": [value, value]} for i in range(3)])
    words = ["import", first, second, "-c", "docs", *local.options]
    assert run(*words, "--map", "id=key").status == 0
    assert local.database.collection("docs").count() == 3


def test_first_id_of_a_file_with_ids_is_a_mistake(run, local, jsonl):
    result = run("import", jsonl, "-c", "docs", "--first-id", 5, *local.options)
    assert result.status == 2
    assert "has ids of its own" in result.err


def test_columns_are_chosen_by_options(run, local, tmp_path):
    path = tmp_path / "odd.jsonl"
    write_jsonl(path, [{"a": [1.0, 2.0], "b": [3.0, 4.0], "name": "x", "n": 1, "m": 2}])
    words = ["import", path, "-c", "docs", *local.options]
    assert run(*words).status == 2
    assert run(*words, "--map", "vector=b,id=name", "--payload-columns", "n").status == 0
    stored = local.database.collection("docs").get(["x"], with_vector=True)
    assert (stored.vectors.tolist(), stored.payloads) == ([[3.0, 4.0]], [{"n": 1}])


def test_hint_about_columns_names_the_option(run, local, tmp_path):
    path = tmp_path / "odd.jsonl"
    write_jsonl(path, [{"x": [1.0, 2.0], "y": [3.0, 4.0]}])
    result = run("import", path, "-c", "docs", *local.options)
    assert result.status == 2
    assert "--map vector=" in result.err
    assert "vector_column" not in result.err


@pytest.mark.parametrize("mapping", ["vector", "color=b", "vector=b;id=c", "=b"])
def test_malformed_map_is_a_mistake(run, local, npy, mapping):
    assert run("import", npy, "-c", "docs", "--map", mapping, *local.options).status == 2


def test_limit_takes_the_first_rows(run, local, npy):
    assert run("import", npy, "-c", "docs", "--limit", 7, *local.options).status == 0
    assert local.database.collection("docs").count() == 7


def test_dtype_and_metric_of_the_file_are_taken(run, local, tmp_path):
    path = tmp_path / "bytes.npy"
    np.save(path, np.arange(8, dtype=np.uint8).reshape(2, 4))
    assert run("import", path, "-c", "docs", *local.options).status == 0
    assert local.database.collection("docs").describe().dtype == "uint8"


def test_collection_that_must_be_new_or_there(run, docs, npy):
    assert run("import", npy, "-c", "docs", "--create", *docs.options).status == 6
    assert run("import", npy, "-c", "none", "--no-create", *docs.options).status == 5
    assert run("import", npy, "-c", "new", "--create", *docs.options).status == 0
    assert docs.database.collection("docs").count() == 10


def test_other_dimension_is_refused_before_anything_is_sent(run, docs, tmp_path):
    path = tmp_path / "wide.npy"
    np.save(path, matrix(3, dim=5))
    result = run("import", path, "-c", "docs", *docs.options)
    assert result.status == 2
    assert result.err.startswith(f"error: {path} has 5 dimensions, the collection docs 4")


@pytest.mark.parametrize(
    "words", [["--metric", "cosine"], ["--dtype", "uint8"], ["--field", "size=int"]]
)
def test_schema_that_differs_from_the_collections_is_a_conflict(run, docs, npy, words):
    result = run("import", npy, "-c", "docs", *words, *docs.options)
    assert result.status == 6
    assert "the collection docs is there already, and its" in result.err


def test_files_of_two_dimensions_are_refused(run, local, npy, tmp_path):
    other = tmp_path / "wide.npy"
    np.save(other, matrix(3, dim=5))
    assert run("import", npy, other, "-c", "docs", *local.options).status == 2
    assert not (tmp_path / "db").exists()


def test_damaged_file_is_refused_with_its_arithmetic(run, local, npy):
    npy.write_bytes(npy.read_bytes()[:-4])
    result = run("import", npy, "-c", "docs", *local.options)
    assert result.status == 2
    assert "= 1728 bytes, found 1724" in result.err


def bad_rows(path) -> None:
    """Twenty records, of which 3 and 5 cannot be stored under cosine."""
    vectors = matrix(20)
    vectors[3] = 0.0
    vectors[5, 2] = np.nan
    np.save(path, vectors)


def test_refused_record_ends_the_import_and_is_named(run, place, tmp_path):
    path = tmp_path / "bad.npy"
    bad_rows(path)
    result = run("import", path, "-c", "docs", *place.options)
    assert result.status == 1
    assert f"{path}: 2 of 20 records were refused; the first, id " in result.err
    assert "hint: --on-error collect writes refused records to" in result.err
    assert "on_error=" not in result.err


def test_refused_records_are_written_down_with_the_reason(run, place, tmp_path):
    path = tmp_path / "bad.npy"
    bad_rows(path)
    result = run("import", path, "-c", "docs", "--on-error", "collect", *place.options)
    assert result.status == 0
    rejected = tmp_path / "bad.npy.rejected.jsonl"
    assert result.err.splitlines()[-1] == f"warning: refused 2 records: see {rejected}"
    lines = [json.loads(line) for line in rejected.read_text().splitlines()]
    reasons = {line["id"]: (line["code"], line["message"]) for line in lines}
    assert set(reasons) == {3, 5}
    assert reasons[3][0] == "InvalidArgument"
    assert reasons[3][1].startswith("its vector is all zeros")
    assert reasons[5][1].startswith("its vector holds NaN")
    assert place.database.collection("docs").count() == 18


def test_refused_records_of_an_earlier_run_are_forgotten(run, local, tmp_path):
    path = tmp_path / "bad.npy"
    bad_rows(path)
    words = ["import", path, "-c", "docs", "--on-error", "collect", *local.options]
    for _ in range(2):
        assert run(*words).status == 0
        assert (tmp_path / "bad.npy.rejected.jsonl").read_text().count("\n") == 2


def test_refused_records_go_where_told(run, local, tmp_path):
    path = tmp_path / "bad.npy"
    bad_rows(path)
    folder = tmp_path / "refused"
    folder.mkdir()
    words = ["import", path, "-c", "docs", "--on-error", "collect", "--rejected", folder]
    assert run(*words, *local.options).status == 0
    assert [file.name for file in folder.iterdir()] == ["bad.npy.rejected.jsonl"]


def test_import_of_which_nothing_is_accepted_fails(run, docs, tmp_path):
    """Their ids are texts, those of the collection numbers."""
    path = tmp_path / "texts.jsonl"
    write_jsonl(path, [{"id": "a", "vector": [1.0, 2.0, 3.0, 4.0]}])
    words = ["import", path, "-c", "docs", *docs.options]
    result = run(*words)
    assert result.status == 1
    assert "1 of 1 records were refused" in result.err
    assert run(*words, "--on-error", "collect").status == 1
    assert docs.database.collection("docs").count() == 10


def test_files_beside_the_data_have_the_mode_of_their_owner(run, local, npy, monkeypatch):
    """The state names paths and a database: others need not read it."""
    seen = []

    def look(path, text):
        write(path, text)
        seen.append((path.name, stat.S_IMODE(path.stat().st_mode)))

    from vecdb.storage import files

    write = files.write_file
    monkeypatch.setattr(files, "write_file", look)
    assert run("import", npy, "-c", "docs", *local.options).status == 0
    assert seen[0] == ("vectors.npy.vecdb-import.json", 0o600)
