"""Folders: our own layout, and BEIR with vectors beside its texts or without any."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.datasets import load_dataset
from vecdb.testing import data

TEXTS = [f"title{n} and text" for n in range(20)]


@pytest.fixture
def rows():
    return [{"text": text, "id": f"r{n}"} for n, text in enumerate(TEXTS)]


def test_folder_brings_everything_together(tmp_path, draw, rows, read_all):
    vectors, queries = draw(20, 6, "float16"), draw(3, 6, "float16")
    truth = np.arange(6).reshape(3, 2)
    folder = data.write_folder(
        tmp_path / "set", vectors, queries=queries, truth=truth, rows=rows, metric="cosine"
    )
    dataset = load_dataset(folder)
    assert (dataset.format, dataset.name, dataset.metric) == ("folder", "set", "cosine")
    assert np.array_equal(dataset.queries, queries)
    assert np.array_equal(dataset.truth_ids, truth)
    records = read_all(dataset, start=5)
    assert np.array_equal(records.vectors, vectors[5:])
    assert records.payloads == rows[5:]


def test_ids_of_a_folder_are_row_numbers_unless_asked_for(tmp_path, draw, rows, read_all):
    folder = data.write_folder(tmp_path / "set", draw(20), rows=rows)
    assert read_all(load_dataset(folder)).ids == list(range(20))
    records = read_all(load_dataset(folder, id_column="id", payload_columns=[]), start=2)
    assert records.ids == [f"r{n}" for n in range(2, 20)]
    assert records.payloads == [None] * 18


@pytest.mark.parametrize("count", [0, 19, 21])
def test_folder_with_another_number_of_lines_is_refused_at_once(
    tmp_path, draw, rows, refusal_of, count
):
    rows = (rows * 2)[:count]
    folder = data.write_folder(tmp_path / "set", draw(20), rows=rows)
    error = refusal_of(load_dataset, folder)
    assert f"expected 20 lines, one a row of vectors.npy, found {count}" in error.message
    assert error.field == str(folder / "rows.jsonl")


@pytest.mark.parametrize("count", [3, 15, 25])
def test_folder_that_changed_since_it_was_opened_is_refused(
    tmp_path, draw, rows, refusal_of, read_all, count
):
    folder = data.write_folder(tmp_path / "set", draw(20), rows=rows)
    dataset = load_dataset(folder)
    data.write_jsonl(folder / "rows.jsonl", (rows * 2)[:count])
    assert "no longer have the same number" in refusal_of(read_all, dataset).message


@pytest.mark.parametrize(
    ("text", "metric"),
    [
        ("metric: cosine. From somewhere", "cosine"),
        ("metric: l2, uint8", "l2"),
        ("metric:dot", "dot"),
        ("metric: dotted", None),
        ("metric: jaccard", None),
        ("From somewhere, metric: l2", None),
        ("", None),
    ],
)
def test_metric_is_told_by_the_first_line_of_the_source(tmp_path, draw, text, metric):
    folder = data.write_folder(tmp_path / "set", draw())
    (folder / "SOURCE.txt").write_text(text)
    assert load_dataset(folder).metric == metric


def test_folder_of_truth_that_does_not_fit_is_refused(tmp_path, draw, refusal_of):
    folder = tmp_path / "set"
    for truth, found in (
        ([[0, 20]], "below 20, its rows, found 20 at query 0, column 1"),
        ([[0, 1], [-2, 1]], "-1 or more, found -2 at query 1, column 0"),
        ([[0]] * 4, "truth of at most 3 queries, found 4"),
        ([0, 1], "found int32 of shape (2,)"),
    ):
        data.write_folder(folder, draw(20), queries=draw(3), truth=np.array(truth))
        assert found in refusal_of(load_dataset, folder).message
    data.write_folder(folder, draw(20), queries=draw(3), truth=np.array([[19, -1]]))
    assert load_dataset(folder).truth_ids.tolist() == [[19, -1]]


# --------------------------------------------------------------------------------------- BEIR


@pytest.mark.parametrize("packed", [False, True])
def test_beir_takes_ids_and_texts_from_the_corpus(tmp_path, draw, read_all, packed):
    vectors = draw(20)
    folder = data.write_beir(tmp_path / "beir", TEXTS, vectors, packed=packed)
    data.write_npy(folder / "queries.npy", vectors[:2].astype(np.float64))
    dataset = load_dataset(folder)
    assert (dataset.format, dataset.count, dataset.dim) == ("beir", 20, 6)
    assert np.array_equal(dataset.queries, vectors[:2])
    assert dataset.queries.dtype == np.float32
    assert any("qrels" in note for note in dataset.notes)
    records = read_all(dataset, start=18)
    assert records.ids == ["d18", "d19"]
    assert np.array_equal(records.vectors, vectors[18:])
    assert records.payloads[0] == {"title": "title18", "text": TEXTS[18], "metadata": {}}


def test_beir_without_vectors_gives_its_texts(tmp_path, refusal_of):
    folder = data.write_beir(tmp_path / "beir", TEXTS)
    dataset = load_dataset(folder)
    assert (dataset.dim, dataset.count) == (0, None)
    assert "vectors are missing: none of vectors.npy" in dataset.notes[0]
    error = refusal_of(dataset.batches)
    assert error.reason == "NO_VECTORS"
    assert "write the matrix to vectors.npy" in error.hint
    batches = list(dataset.payload_batches(8, start=1))
    assert [len(batch) for batch in batches] == [8, 8, 3]
    assert batches[0].vectors.shape == (8, 0)
    assert batches[0].ids[0] == "d1"
    assert batches[0].payloads[0]["text"] == TEXTS[1]


def test_beir_of_another_number_of_vectors_is_refused(tmp_path, draw, refusal_of):
    folder = data.write_beir(tmp_path / "beir", TEXTS, draw(19))
    assert "expected 19 lines" in refusal_of(load_dataset, folder).message


def test_other_names_of_the_matrix_beside_a_corpus_are_known(tmp_path, draw, read_all):
    folder = data.write_beir(tmp_path / "beir", TEXTS)
    vectors = draw(20)
    data.write_npy(folder / "corpus_embeddings.npy", vectors)
    assert np.array_equal(read_all(load_dataset(folder)).vectors, vectors)
