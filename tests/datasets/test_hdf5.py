"""Files of ann-benchmarks, old ones too; sparse ones and links to other files are refused."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.datasets import check_truth, load_dataset
from vecdb.testing import data
from vecdb.testing.oracle import nearest_rows

h5py = pytest.importorskip("h5py")


def write_set(path, draw, metric, distance, **settings):
    vectors, queries = draw(50), draw(5)
    found = [nearest_rows(metric, vectors, query, 10, ids=range(50)) for query in queries]
    distances = np.array([-scores if metric == "l2" else 1 - scores for _, scores in found])
    ids = np.array([rows for rows, _ in found], np.int32)
    data.write_hdf5(path, vectors, queries, ids, distances, distance=distance, **settings)
    return vectors, queries, ids, distances


@pytest.mark.parametrize(("distance", "metric"), [("euclidean", "l2"), ("angular", "cosine")])
@pytest.mark.parametrize("kind", ["dense", None])
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_everything_in_the_file_is_read(tmp_path, draw, distance, metric, kind, libver):
    path = tmp_path / "a.hdf5"
    _, queries, ids, distances = write_set(path, draw, metric, distance, kind=kind, libver=libver)
    dataset = load_dataset(path)
    assert dataset.metric == metric
    assert np.array_equal(dataset.queries, queries)
    assert np.array_equal(dataset.truth_ids, ids)
    assert np.array_equal(dataset.truth_distances, distances)
    assert check_truth(dataset, metric) == 5


def test_file_that_does_not_tell_its_metric_says_so(tmp_path, draw):
    dataset = load_dataset(data.write_hdf5(tmp_path / "a.hdf5", draw(), distance=None))
    assert dataset.metric is None
    assert dataset.notes == ("the file does not tell its metric",)


def test_queries_of_float64_are_brought_to_the_stored_dtype(tmp_path, draw):
    path = data.write_hdf5(tmp_path / "a.hdf5", draw(), draw(3, 6, "float64"))
    assert load_dataset(path).queries.dtype == np.float32


def test_sparse_file_is_refused_clearly(tmp_path, draw, refusal_of):
    path = data.write_hdf5(tmp_path / "a.hdf5", draw(), kind="sparse", distance="jaccard")
    error = refusal_of(load_dataset, path)
    assert error.reason == "SPARSE"
    assert "sparse vectors" in error.message
    with h5py.File(data.write_hdf5(path, np.arange(9), kind=None), "a") as file:
        file["size_train"] = [4, 5]
    assert refusal_of(load_dataset, path).reason == "SPARSE"


@pytest.mark.parametrize("distance", ["hamming", "jaccard"])
def test_metric_that_collections_do_not_have_is_refused(tmp_path, draw, refusal_of, distance):
    path = data.write_hdf5(tmp_path / "a.hdf5", draw(), distance=distance)
    assert "cosine, dot and l2" in refusal_of(load_dataset, path).message


def test_file_without_train_lists_what_it_has(tmp_path, draw, refusal_of):
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        file["vectors"] = draw()
    assert "'vectors'" in refusal_of(load_dataset, path).message


def test_train_that_is_no_matrix_is_refused(tmp_path, refusal_of):
    for shape in ((50,), (5, 5, 2), ()):
        path = data.write_hdf5(tmp_path / "a.hdf5", np.zeros(shape, np.float32))
        assert f"found shape {shape}" in refusal_of(load_dataset, path).message


@pytest.mark.parametrize("name", ["train", "neighbors"])
@pytest.mark.parametrize("kind", ["link", "external", "virtual", "group"])
def test_data_outside_of_the_file_is_not_followed(tmp_path, draw, refusal_of, kind, name):
    other = data.write_hdf5(tmp_path / "other.hdf5", draw())
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        if name != "train":
            file["train"] = draw()
        if kind == "link":
            file[name] = h5py.ExternalLink(str(other), "train")
        elif kind == "external":
            file.create_dataset(name, (50, 6), "f4", external=[(str(other), 0, 1200)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((50, 6), "f4")
            layout[:] = h5py.VirtualSource(str(other), "train", shape=(50, 6))
            file.create_virtual_dataset(name, layout)
        else:
            file.create_group(name)
    message = refusal_of(load_dataset, path).message
    assert "which is not followed" in message or "in this file, found it elsewhere" in message


def test_array_too_large_to_load_is_refused_before_it_is_read(tmp_path, draw, refusal_of):
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        file["train"] = draw()
        file.create_dataset("test", (2**30, 6), "f4", chunks=(1024, 6))
    error = refusal_of(load_dataset, path)
    assert error.reason == "TOO_LARGE"
    assert f"{2**30 * 24} bytes" in error.message


def test_chunk_too_large_to_load_is_refused_before_it_is_read(tmp_path, refusal_of):
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("train", (2**17, 4096), "f4", chunks=(2**17, 4096))
    error = refusal_of(load_dataset, path)
    assert error.reason == "TOO_LARGE"
    assert "a chunk of train" in error.message
