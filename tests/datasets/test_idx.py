"""The MNIST family: images of any shape are vectors, labels payloads, test images queries."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.datasets import load_dataset
from vecdb.testing import data


@pytest.fixture(params=["", ".gz"])
def family(request, tmp_path, draw):
    """A folder of images 2 x 3 with labels, as such sets are shipped."""
    images = draw(50, 6, "uint8").reshape(50, 2, 3)
    tests = draw(8, 6, "uint8").reshape(8, 2, 3)
    labels = np.arange(50, dtype=np.uint8) % 10
    data.write_idx(tmp_path / f"train-images-idx3-ubyte{request.param}", images)
    data.write_idx(tmp_path / f"train-labels-idx1-ubyte{request.param}", labels)
    data.write_idx(tmp_path / f"t10k-images-idx3-ubyte{request.param}", tests)
    return tmp_path, images, labels, tests


def test_images_come_with_labels_and_queries(family, read_all):
    folder, images, labels, tests = family
    base = next(folder.glob("train-images*"))
    for path in (folder, base):
        dataset = load_dataset(path)
        assert (dataset.format, dataset.dim, dataset.count) == ("idx", 6, 50)
        assert np.array_equal(dataset.queries, tests.reshape(8, 6))
        records = read_all(dataset, start=3)
        assert np.array_equal(records.vectors, images.reshape(50, 6)[3:])
        assert records.ids == list(range(3, 50))
        assert records.payloads == [{"label": label} for label in labels.tolist()[3:]]


def test_test_images_by_themselves_are_only_vectors(family, read_all):
    folder, _, _, tests = family
    dataset = load_dataset(next(folder.glob("t10k*")))
    assert dataset.queries is None
    records = read_all(dataset)
    assert np.array_equal(records.vectors, tests.reshape(8, 6))
    assert records.payloads == [None] * 8


def test_folder_of_the_family_takes_truth_and_metric_from_beside(family):
    folder, _, _, _ = family
    data.write_npy(folder / "groundtruth.npy", np.arange(6, dtype=np.int32).reshape(3, 2))
    (folder / "SOURCE.txt").write_text("metric: l2 on pixel values")
    dataset = load_dataset(folder)
    assert dataset.truth_ids.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert dataset.metric == "l2"


def test_labels_by_themselves_are_no_vectors(family, refusal_of):
    error = refusal_of(load_dataset, next(family[0].glob("train-labels*")))
    assert "labels, not vectors" in error.message


@pytest.mark.parametrize("count", [49, 51])
def test_labels_of_another_number_than_images_are_refused(family, refusal_of, count):
    path = next(family[0].glob("train-labels*"))
    data.write_idx(path, np.zeros(count, np.uint8))
    error = refusal_of(load_dataset, family[0])
    assert "expected 50 labels, one an image" in error.message
    assert error.field == str(path)


def test_signed_numbers_and_floats_are_big_endian(tmp_path, draw, read_all):
    for dtype in ("int8", "float32"):
        values = draw(dtype=dtype)
        dataset = load_dataset(data.write_idx(tmp_path / "a.idx", values))
        assert np.array_equal(read_all(dataset).vectors, values)
