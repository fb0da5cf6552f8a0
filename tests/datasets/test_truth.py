"""Ground truth is read as what its size says, and checked against exact distances."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest

from vecdb.datasets import TRUTH_FORMATS, check_truth, load_dataset, load_truth
from vecdb.testing import data
from vecdb.testing.oracle import nearest_rows

IDS = np.arange(12, dtype=np.int32).reshape(4, 3)
DISTANCES = IDS.astype(np.float32) / 8


@pytest.mark.parametrize("name", ["gt.ibin", "gt.bin", "gt.gt", "gt", "gt.30K.fbin", "GT.public"])
def test_ids_with_distances_are_told_by_the_size_under_any_name(tmp_path, name):
    truth = load_truth(data.write_knn_truth(tmp_path / name, IDS, DISTANCES))
    assert truth.format == "knn-truth"
    assert np.array_equal(truth.ids, IDS)
    assert np.array_equal(truth.distances, DISTANCES)


@pytest.mark.parametrize("name", ["gt.ibin", "gt.bin", "gt"])
def test_ids_without_distances_are_told_by_the_size_too(tmp_path, name):
    truth = load_truth(data.write_ibin(tmp_path / name, IDS))
    assert (truth.format, truth.distances) == ("ibin", None)
    assert np.array_equal(truth.ids, IDS)


def test_truth_of_other_formats(tmp_path):
    for format, write in (("ivecs", data.write_ivecs), ("npy", data.write_npy)):
        for name in (f"gt.{format}", "gt"):
            truth = load_truth(write(tmp_path / f"gt.{format}", IDS).rename(tmp_path / name),
                               format=format)  # fmt: skip
            assert truth.format == format
            assert np.array_equal(truth.ids, IDS)


@pytest.mark.parametrize("name", ["a.rangeres", "a.bin"])
def test_range_truth_is_padded_to_the_longest_answer(tmp_path, name):
    path = data.write_range_truth(
        tmp_path / name, [[5, 2, 9], [], [7]], [[0.5, 1.0, 1.5], [], [0.25]]
    )
    truth = load_truth(path)
    assert truth.format == "range-truth"
    assert truth.ids.tolist() == [[5, 2, 9], [-1, -1, -1], [7, -1, -1]]
    inf = np.inf
    assert truth.distances.tolist() == [[0.5, 1.0, 1.5], [inf, inf, inf], [0.25, inf, inf]]


@pytest.mark.parametrize("counts", [[1, 2], [5, -1], [0, 0]])
def test_range_truth_whose_counts_do_not_add_up_is_refused(tmp_path, refusal_of, counts):
    path = tmp_path / "a.rangeres"
    path.write_bytes(struct.pack("<4i", 2, 4, *counts) + bytes(8 * 4))
    assert "counts" in refusal_of(load_truth, path).message


@pytest.mark.parametrize("change", [-1, 1, 8])
@pytest.mark.parametrize("name", ["a.ivecs", "a.rangeres", "a.ibin", "a.npy"])
def test_truth_of_a_wrong_size_is_refused(tmp_path, refusal_of, name, change):
    path = tmp_path / name
    if name == "a.rangeres":
        data.write_range_truth(path, [[1], [2, 3]], [[0.5], [0.5, 0.5]])
    else:
        writers = {"ivecs": data.write_ivecs, "npy": data.write_npy, "ibin": data.write_ibin}
        writers[name[2:]](path, IDS)
    content = path.read_bytes()
    path.write_bytes(content[:change] if change < 0 else content + bytes(change))
    format = {"a.rangeres": "range-truth"}.get(name, name[2:])
    error = refusal_of(load_truth, path, format=format)
    assert error.reason == "WRONG_SIZE"
    assert str(path.stat().st_size) in error.message


def test_two_readings_of_a_size_ask_which(tmp_path, refusal_of):
    """2 queries, 1 id each, with distances; or 2 queries and 1 row in the range of both."""
    path = tmp_path / "gt.bin"
    path.write_bytes(struct.pack("<4i2f", 2, 1, 1, 0, 0.5, 0.5))
    error = refusal_of(load_truth, path)
    assert error.reason == "AMBIGUOUS_FORMAT"
    assert "knn-truth and range-truth" in error.message
    assert load_truth(path, format="knn-truth").ids.tolist() == [[1], [0]]
    assert load_truth(path, format="range-truth").format == "range-truth"


def test_every_format_of_truth_may_be_named(tmp_path, refusal_of):
    path = data.write_knn_truth(tmp_path / "gt", IDS, DISTANCES)
    for format in TRUTH_FORMATS:
        if format != "knn-truth":
            assert refusal_of(load_truth, path, format=format).field == str(path)
    assert refusal_of(load_truth, path, format="fbin").field == "format"


def test_distances_of_another_shape_than_the_ids_are_refused(tmp_path, draw, refusal_of):
    for distances in (np.zeros((4, 2), np.float32), np.zeros((4, 3), np.int32)):
        path = data.write_npz(tmp_path / "a.npz", vectors=draw(), truth=IDS, distances=distances)
        assert "a distance an id, (4, 3)" in refusal_of(load_dataset, path).message


def test_truth_that_is_no_matrix_of_whole_numbers_is_refused(tmp_path, refusal_of):
    for array in (np.zeros((3, 2)), np.zeros(3, int), np.zeros((3, 2), bool)):
        path = data.write_npy(tmp_path / "gt.npy", array)
        assert refusal_of(load_truth, path).reason == "WRONG_DTYPE"


# -------------------------------------------------------------------------- exact distances

METRICS = ("cosine", "dot", "l2")


@pytest.fixture
def make(tmp_path, draw):
    """``make(metric)``: 500 rows off the origin with exact truth by that metric."""

    def make(metric, dtype="float32"):
        vectors, queries = draw(500, 8, dtype), draw(30, 8, dtype)
        if dtype == "float32":
            vectors = vectors * np.linspace(0.2, 3, 500, dtype=np.float32)[:, None] + 0.3
        found = [
            nearest_rows(metric, vectors, query.astype(np.float32), 20, ids=range(500))
            for query in queries
        ]
        ids = np.array([rows for rows, _ in found])
        scores = np.array([scores for _, scores in found])
        folder = data.write_folder(tmp_path / metric, vectors, queries=queries, truth=ids)
        return load_dataset(folder), scores

    return make


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_right_truth_passes(make, metric, dtype):
    dataset, _ = make(metric, dtype)
    assert check_truth(dataset, metric) == 10
    assert check_truth(dataset, metric, sample=1_000) == 30


@pytest.mark.parametrize("wrong", METRICS)
@pytest.mark.parametrize("right", METRICS)
def test_wrong_metric_is_found_and_the_right_one_named(make, refusal_of, right, wrong):
    if right != wrong:
        error = refusal_of(check_truth, make(right)[0], wrong)
        assert error.reason == "BAD_TRUTH"
        assert error.hint == f"It fits if you do this: take metric {right!r}"


@pytest.mark.parametrize(
    ("shift", "advice"), [(1, "count from 1: subtract 1 from each"), (-1, "are 1 too low: add 1")]
)
def test_shifted_truth_is_found_and_the_shift_named(make, refusal_of, shift, advice):
    dataset, _ = make("l2")
    ids = np.clip(dataset.truth_ids + shift, 0, 499)
    error = refusal_of(check_truth, replace(dataset, truth_ids=ids), "l2")
    assert advice in error.hint
    assert "metric" not in error.hint
    error = refusal_of(check_truth, replace(dataset, truth_ids=ids), "dot")
    assert advice in error.hint
    assert "take metric 'l2'" in error.hint


def test_advice_changes_no_more_than_it_must(make, refusal_of):
    """By unit vectors all metrics agree, so only the shift is wrong; pads are not shifted."""
    dataset, _ = make("l2")
    (batch,) = dataset.batches()
    unit = batch.vectors / np.linalg.norm(batch.vectors, axis=1, keepdims=True)
    queries = dataset.queries / np.linalg.norm(dataset.queries, axis=1, keepdims=True)
    ids = np.argsort(-queries @ unit.T, axis=1)[:, :9] - 1
    ids[:, 6:] = -1
    folder = data.write_folder(dataset.path.parent / "unit", unit, queries=queries, truth=ids)
    for metric in METRICS:
        error = refusal_of(check_truth, load_dataset(folder), metric)
        assert error.hint == "It fits if you do this: its ids are 1 too low: add 1"


def test_truth_of_another_base_fits_nothing(make, refusal_of):
    dataset, _ = make("l2")
    other = replace(dataset, truth_ids=(dataset.truth_ids + 250) % 500)
    error = refusal_of(check_truth, other, "l2")
    assert "fits no metric" in error.hint
    assert "% are among the nearest rows by l2" in error.message


def test_one_wrong_query_of_the_sample_is_enough(make, refusal_of):
    dataset, _ = make("l2")
    ids = dataset.truth_ids.copy()
    ids[0] = (ids[0] + 250) % 500
    assert refusal_of(check_truth, replace(dataset, truth_ids=ids), "l2").reason == "BAD_TRUTH"


def test_ties_in_any_order_pass(tmp_path):
    vectors = np.repeat(np.eye(4, dtype=np.uint8), 25, axis=0)
    truth = np.array([[24, 3, 17], [25, 49, 30]])
    folder = data.write_folder(tmp_path / "s", vectors, queries=np.eye(4)[:2], truth=truth)
    for metric in METRICS:
        assert check_truth(load_dataset(folder), metric) == 2


def test_pads_are_no_answers(make, refusal_of):
    dataset, _ = make("l2")
    ids = dataset.truth_ids.copy()
    ids[:, 5:] = -1
    assert check_truth(replace(dataset, truth_ids=ids), "l2") == 10
    ids[:, 0] = -1  # the nearest is left out: what remains is not the 4 nearest
    assert refusal_of(check_truth, replace(dataset, truth_ids=ids), "l2").reason == "BAD_TRUTH"


@pytest.mark.parametrize(
    ("metric", "unit"),
    [
        ("l2", lambda scores: -scores),
        ("l2", lambda scores: scores**2),
        ("cosine", lambda scores: 1 - scores),
        ("cosine", lambda scores: scores),
        ("dot", lambda scores: -scores),
        ("dot", lambda scores: scores),
    ],
)
def test_distances_in_any_customary_unit_pass(make, metric, unit):
    dataset, scores = make(metric)
    told = unit(scores).astype(np.float32)
    assert check_truth(replace(dataset, truth_distances=told), metric) == 10


def test_distances_of_other_ids_are_refused(make, refusal_of):
    dataset, scores = make("l2")
    told = replace(dataset, truth_distances=np.roll(-scores, 1, axis=0))
    error = refusal_of(check_truth, told, "l2")
    assert "truth_distances are not those" in error.message


def test_what_cannot_be_checked_is_refused(make, refusal_of):
    dataset, _ = make("l2")
    assert refusal_of(check_truth, dataset, "euclidean").field == "metric"
    assert refusal_of(check_truth, dataset, "l2", sample=0).field == "sample"
    assert "no truth" in refusal_of(check_truth, replace(dataset, truth_ids=None), "l2").message
    assert "no queries" in refusal_of(check_truth, replace(dataset, queries=None), "l2").message
