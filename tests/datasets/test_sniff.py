"""The format is told by the suffix, then by the bytes; where two fit, the user says which."""

from __future__ import annotations

import os
import shutil
import sys

import numpy as np
import pytest

from vecdb.datasets import FORMATS, load_dataset, load_truth
from vecdb.errors import InvalidArgument, PreconditionFailed
from vecdb.testing import data


@pytest.mark.parametrize("name", ["a", "a.dat", "GT.public"])
def test_format_without_a_known_suffix_is_told_by_the_first_bytes(tmp_path, draw, name):
    vectors = draw()
    writers = {
        "npy": lambda path: data.write_npy(path, vectors),
        "npz": lambda path: data.write_npz(path, vectors=vectors),
        "hdf5": lambda path: data.write_hdf5(path, vectors),
        "parquet": lambda path: data.write_parquet(path, {"vector": vectors}),
        "jsonl": lambda path: data.write_jsonl(path, [{"vector": vectors[0].tolist()}]),
        "idx": lambda path: data.write_idx(path, vectors),
    }
    for format, write in writers.items():
        write(tmp_path / "written")
        found = next(tmp_path.glob("written*"))  # numpy adds a suffix
        shutil.move(found, tmp_path / name)
        assert load_dataset(tmp_path / name).format == format


@pytest.mark.parametrize("name", ["a.bin", "a", "a.fbin.part"])
def test_size_that_fits_two_formats_asks_which(tmp_path, draw, refusal_of, name):
    vectors = draw()
    path = data.write_fbin(tmp_path / name, vectors)
    error = refusal_of(load_dataset, path)
    assert error.reason == "AMBIGUOUS_FORMAT"
    assert "its size fits fbin and ibin" in error.message
    assert "format=" in error.hint
    dataset = load_dataset(path, format="fbin")
    assert next(dataset.batches()).vectors.tobytes() == vectors.tobytes()


def test_suffix_decides_where_several_readings_fit(tmp_path, draw):
    for suffix, write in (("u8bin", data.write_u8bin), ("i8bin", data.write_i8bin)):
        path = write(tmp_path / f"a.{suffix}", draw(dtype="uint8"))
        assert load_dataset(path).format == suffix


@pytest.mark.parametrize("name", ["a.fbin", "a.bin", "a.gt", "a", "a.ibin", "a.ivecs"])
def test_ground_truth_is_no_data_set(tmp_path, refusal_of, name):
    ids = np.zeros((5, 3), np.int32)
    if name == "a.ivecs":
        path = data.write_ivecs(tmp_path / name, ids)
    else:
        path = data.write_knn_truth(tmp_path / name, ids, np.zeros((5, 3)))
    error = refusal_of(load_dataset, path)
    assert error.reason == "WRONG_KIND"
    assert "ground truth, not vectors" in error.message
    assert "truth=" in error.hint


def test_vectors_are_no_ground_truth(tmp_path, draw, refusal_of):
    for path in (
        data.write_fbin(tmp_path / "a.fbin", draw()),
        data.write_u8bin(tmp_path / "a.u8bin", draw(dtype="uint8")),
        data.write_fvecs(tmp_path / "a.fvecs", draw()),
        data.write_hdf5(tmp_path / "a.hdf5", draw()),
    ):
        error = refusal_of(load_truth, path)
        assert error.reason == "WRONG_KIND"
        assert "vectors, not ground truth" in error.message


def test_npy_content_under_the_suffix_of_another_format_is_still_npy(tmp_path, draw):
    shutil.move(data.write_npy(tmp_path / "a.npy", draw()), tmp_path / "a.fbin")
    assert load_dataset(tmp_path / "a.fbin").format == "npy"


def test_content_of_no_format_lists_the_formats(tmp_path, refusal_of):
    path = tmp_path / "notes.txt"
    path.write_text("no vectors here, only prose")
    error = refusal_of(load_dataset, path)
    assert error.reason == "UNKNOWN_FORMAT"
    assert ", ".join(FORMATS) in error.hint


def test_gzip_of_what_is_not_read_packed_tells_to_unpack(tmp_path, draw, refusal_of):
    path = data.write_fvecs(tmp_path / "a.fvecs.gz", draw())
    error = refusal_of(load_dataset, path)
    assert "only idx and jsonl are" in error.message
    assert "gzip -dk a.fvecs.gz" in error.hint


@pytest.mark.parametrize("format", ["csv", "", "NPY", None, 5])
def test_unknown_format_is_refused(tmp_path, draw, refusal_of, format):
    path = data.write_npy(tmp_path / "a.npy", draw())
    assert refusal_of(load_dataset, path, format=format).field == "format"


@pytest.mark.parametrize("format", ["ivecs", "ibin", "knn-truth", "range-truth"])
def test_format_of_truth_tells_where_truth_is_read(tmp_path, draw, refusal_of, format):
    path = data.write_npy(tmp_path / "a.npy", draw())
    assert "load_truth" in refusal_of(load_dataset, path, format=format).hint


def test_file_of_another_format_than_named_is_refused(tmp_path, draw, refusal_of):
    path = data.write_npy(tmp_path / "a.npy", draw())
    for format in set(FORMATS) - {"npy"}:
        error = refusal_of(load_dataset, path, format=format)
        assert error.field == str(path)


def test_file_is_no_folder_and_folder_no_file(tmp_path, draw, refusal_of):
    path = data.write_npy(tmp_path / "a.npy", draw())
    folder = data.write_folder(tmp_path / "set", draw())
    assert "is a file" in refusal_of(load_dataset, path, format="folder").message
    assert "is a folder" in refusal_of(load_dataset, folder, format="npy").message


def test_missing_path_is_refused_by_name(tmp_path, refusal_of):
    error = refusal_of(load_dataset, tmp_path / "absent.npy")
    assert error.field == str(tmp_path / "absent.npy")
    assert "No such file" in error.message
    assert refusal_of(load_dataset, 5).field == "path"
    assert "null byte" in refusal_of(load_dataset, "a\0b").message


def test_pipe_is_refused_without_waiting_for_it(tmp_path, refusal_of):
    os.mkfifo(tmp_path / "a.npy")
    assert "a pipe or a device" in refusal_of(load_dataset, tmp_path / "a.npy").message


def test_folder_of_no_layout_tells_the_layouts(tmp_path, refusal_of):
    error = refusal_of(load_dataset, tmp_path)
    assert "vectors.npy, corpus.jsonl or train-images-idx3-ubyte" in error.message


@pytest.mark.parametrize("most", [0, -1, 2.0, True, "7"])
def test_max_n_is_a_whole_number(tmp_path, draw, refusal_of, most):
    path = data.write_npy(tmp_path / "a.npy", draw())
    assert refusal_of(load_dataset, path, max_n=most).field == "max_n"


@pytest.mark.parametrize(
    ("argument", "value"),
    [("vector_column", "v"), ("id_column", ""), ("payload_columns", [])],
)
def test_columns_of_a_format_without_any_are_refused(tmp_path, draw, refusal_of, argument, value):
    path = data.write_fvecs(tmp_path / "a.fvecs", draw())
    assert refusal_of(load_dataset, path, **{argument: value}).field == argument


def test_payload_columns_are_a_list(tmp_path, refusal_of):
    path = data.write_jsonl(tmp_path / "a.jsonl", [{"vector": [1.5]}])
    error = refusal_of(load_dataset, path, payload_columns="title")
    assert error.field == "payload_columns"


@pytest.mark.parametrize(("suffix", "package"), [("hdf5", "h5py"), ("parquet", "pyarrow")])
def test_missing_package_is_named_with_the_command(tmp_path, draw, monkeypatch, suffix, package):
    vectors = draw()
    if suffix == "hdf5":
        path = data.write_hdf5(tmp_path / "a.hdf5", vectors)
    else:
        path = data.write_parquet(tmp_path / "a.parquet", {"vector": vectors})
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(PreconditionFailed) as caught:
        load_dataset(path)
    assert package in caught.value.message
    assert "vecdb-engine[datasets]" in caught.value.hint


def test_errors_are_of_the_callers_class(tmp_path):
    with pytest.raises(InvalidArgument):
        load_dataset(str(tmp_path / "absent"))
