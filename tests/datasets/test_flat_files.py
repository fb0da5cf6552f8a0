"""What is particular to npy, npz, vecs and bin files: views, crops, and files beside them."""

from __future__ import annotations

import struct
import tracemalloc

import numpy as np
import pytest

from vecdb.datasets import load_dataset
from vecdb.testing import data


@pytest.mark.parametrize(
    ("name", "write"),
    [("a.npy", data.write_npy), ("a.fvecs", data.write_fvecs), ("a.fbin", data.write_fbin)],
)
def test_batches_are_read_only_views_of_the_file(tmp_path, draw, name, write):
    path = write(tmp_path / name, draw())
    (batch,) = load_dataset(path).batches()
    assert type(batch.vectors) is np.ndarray
    assert not batch.vectors.flags.owndata
    assert not batch.vectors.flags.writeable
    assert batch.vectors.strides[0] == (28 if name == "a.fvecs" else 24)


def sparse_file(path, header, size):
    path.write_bytes(header)
    with path.open("r+b") as file:
        file.truncate(size)
    return path


def test_file_of_64_gigabytes_is_opened_and_resumed_in_little_memory(tmp_path):
    rows, dim = 2**26, 256
    header = struct.pack("<II", rows, dim)
    path = sparse_file(tmp_path / "a.fbin", header, 8 + rows * dim * 4)
    tracemalloc.start()
    try:
        dataset = load_dataset(path)
        (last,) = dataset.batches(1_000, start=rows - 1_000)
        assert last.ids.tolist() == list(range(rows - 1_000, rows))
        assert not last.vectors.any()
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_packed_and_streamed_files_are_read_in_little_memory(tmp_path, read_all):
    zeros = np.zeros((200_000, 100), np.uint8)
    paths = [
        data.write_idx(tmp_path / "a.idx.gz", zeros),
        data.write_npz(tmp_path / "a.npz", compressed=True, vectors=zeros),
        data.write_hdf5(tmp_path / "a.hdf5", zeros),
    ]
    del zeros
    for path in paths:
        tracemalloc.start()
        try:
            sizes = [len(batch) for batch in load_dataset(path).batches(4_000)]
            assert sizes == [4_000] * 50
            assert tracemalloc.get_traced_memory()[1] < 6_000_000
        finally:
            tracemalloc.stop()


# -------------------------------------------------------------------------------------- crops


@pytest.fixture
def crop(tmp_path, draw):
    """A range of a larger file, whose header still tells 50 rows; 13 and a half are there."""
    path = data.write_fbin(tmp_path / "base.fbin.crop_nb_13", draw(50, 6))
    path.write_bytes(path.read_bytes()[: 8 + 13 * 24 + 12])
    return path


def test_crop_with_the_old_header_is_refused_and_max_n_named(crop, refusal_of):
    error = refusal_of(load_dataset, crop, format="fbin")
    assert "8 + 50*6*4 (float32 vectors) = 1208 bytes, found 332" in error.message
    assert "max_n= (it has 13 rows)" in error.hint


def test_crop_is_read_as_far_as_it_goes_with_max_n(crop, draw, read_all):
    for most in (1, 12, 13):
        dataset = load_dataset(crop, max_n=most)
        assert (dataset.format, dataset.count) == ("fbin", most)
        assert len(read_all(dataset).ids) == most


def test_crop_of_fewer_rows_than_max_n_is_refused(crop, refusal_of):
    assert "found 332" in refusal_of(load_dataset, crop, max_n=14).message


def test_crop_with_a_rewritten_header_needs_nothing(tmp_path, draw):
    path = data.write_u8bin(tmp_path / "base.1B.u8bin.crop_nb_12", draw(12, 6, "uint8"))
    assert load_dataset(path).count == 12


# ------------------------------------------------------------------------------- files beside


@pytest.mark.parametrize(
    ("suffix", "write", "dtype"),
    [("fvecs", data.write_fvecs, "float32"), ("bvecs", data.write_bvecs, "uint8")],
)
def test_queries_and_truth_go_with_a_base(tmp_path, draw, suffix, write, dtype):
    vectors, queries = draw(50, 6, dtype), draw(4, 6, dtype)
    truth = np.arange(12).reshape(4, 3)
    path = write(tmp_path / f"sift_base.{suffix}", vectors)
    assert load_dataset(path).queries is None
    write(tmp_path / f"sift_query.{suffix}", queries)
    data.write_ivecs(tmp_path / "sift_groundtruth.ivecs", truth)
    dataset = load_dataset(path)
    assert np.array_equal(dataset.queries, queries)
    assert np.array_equal(dataset.truth_ids, truth)
    assert load_dataset(tmp_path / f"sift_query.{suffix}").queries is None


def test_queries_and_truth_may_be_named(tmp_path, draw):
    queries, ids, distances = draw(4), np.arange(12).reshape(4, 3), draw(4, 3)
    path = data.write_fbin(tmp_path / "base.fbin", draw())
    query_path = data.write_fbin(tmp_path / "query.fbin", queries)
    truth_path = data.write_knn_truth(tmp_path / "GT.public.ibin", ids, distances)
    dataset = load_dataset(path, queries=query_path, truth=str(truth_path))
    assert np.array_equal(dataset.queries, queries)
    assert np.array_equal(dataset.truth_ids, ids)
    assert np.array_equal(dataset.truth_distances, distances)
    assert np.array_equal(load_dataset(path, queries=queries).queries, queries)


@pytest.mark.parametrize("packed", [False, True])
def test_named_queries_are_loaded_from_any_format(tmp_path, draw, packed):
    base = data.write_npy(tmp_path / "a.npy", draw(dtype="uint8"))
    queries = draw(9, dtype="uint8")
    path = data.write_idx(tmp_path / ("q.idx.gz" if packed else "q.idx"), queries)
    assert np.array_equal(load_dataset(base, queries=path).queries, queries)


def test_truth_is_left_out_where_max_n_leaves_rows_out(tmp_path, draw):
    path = data.write_fbin(tmp_path / "base.fbin", draw())
    truth = data.write_ibin(tmp_path / "gt.ibin", np.arange(12).reshape(4, 3))
    cut = load_dataset(path, truth=truth, max_n=49)
    assert cut.truth_ids is None
    assert cut.notes == ("truth is left out: it is of all rows, and max_n keeps 49 of them",)
    assert load_dataset(path, truth=truth, max_n=50).truth_ids is not None


def test_queries_of_another_dimension_are_refused(tmp_path, draw, refusal_of):
    path = data.write_fbin(tmp_path / "base.fbin", draw(50, 6))
    error = refusal_of(load_dataset, path, queries=draw(3, 5))
    assert "expected queries of 6 dimensions, found shape (3, 5)" in error.message


# ---------------------------------------------------------------------------------------- npz


def test_npz_arrays_are_told_by_their_names(tmp_path, draw, read_all):
    vectors, queries, truth = draw(), draw(3), np.arange(6).reshape(3, 2)
    path = data.write_npz(
        tmp_path / "a.npz",
        queries=queries.astype(np.float64),
        train=vectors,
        neighbors=truth,
        distances=truth.astype(np.float32),
        ids=np.arange(50, dtype=np.uint16) + 100,
    )
    dataset = load_dataset(path)
    assert np.array_equal(dataset.queries, queries)
    assert np.array_equal(dataset.truth_ids, truth)
    assert np.array_equal(dataset.truth_distances, truth)
    records = read_all(dataset, start=4)
    assert records.ids == list(range(104, 150))
    assert np.array_equal(records.vectors, vectors[4:])


def test_npz_ids_may_be_text_or_left_out(tmp_path, draw, read_all):
    names = np.array([f"n{row}" for row in range(50)])
    path = data.write_npz(tmp_path / "a.npz", vectors=draw(), names=names)
    assert read_all(load_dataset(path)).ids == list(range(50))
    assert read_all(load_dataset(path, id_column="names")).ids == names.tolist()
    path = data.write_npz(tmp_path / "a.npz", vectors=draw(), ids=names)
    assert read_all(load_dataset(path)).ids == names.tolist()
    assert read_all(load_dataset(path, id_column="")).ids == list(range(50))


@pytest.mark.parametrize(
    "ids", [np.arange(49), np.zeros((50, 1), int), np.zeros(50), np.full(50, 2**63, np.uint64)]
)
def test_npz_ids_that_do_not_fit_are_refused(tmp_path, draw, refusal_of, ids):
    path = data.write_npz(tmp_path / "a.npz", vectors=draw(), ids=ids)
    assert "ids" in refusal_of(load_dataset, path).message


def test_npz_of_several_matrices_asks_which(tmp_path, draw, refusal_of, read_all):
    first, second = draw(), draw()
    path = data.write_npz(tmp_path / "a.npz", x=first, y=second)
    error = refusal_of(load_dataset, path)
    assert "x, y" in error.message
    assert "vector_column=" in error.hint
    found = read_all(load_dataset(path, vector_column="y"))
    assert np.array_equal(found.vectors, second)
    assert refusal_of(load_dataset, path, vector_column="z").reason == "NO_COLUMN"
    assert refusal_of(load_dataset, path, vector_column="x", id_column="z").reason == "NO_COLUMN"


def test_npz_by_columns_tells_what_to_save_instead(tmp_path, draw, refusal_of):
    path = data.write_npz(tmp_path / "a.npz", vectors=np.asfortranarray(draw()))
    assert "ascontiguousarray" in refusal_of(load_dataset, path).hint


def test_npz_without_a_matrix_is_refused(tmp_path, refusal_of):
    path = data.write_npz(tmp_path / "a.npz", labels=np.arange(9))
    assert refusal_of(load_dataset, path).reason == "NO_VECTORS"
