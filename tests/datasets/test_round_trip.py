"""What was written in a format is what is read, from any row on."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.datasets import FORMATS, load_dataset
from vecdb.errors import InvalidArgument
from vecdb.testing import data

COUNT, DIM = 50, 6


def columns(vectors):
    return {"vector": vectors}


def lines(vectors):
    return [{"vector": vector} for vector in vectors.tolist()]


# format -> (file, dtype written, dtype read, writer)
CASES = {
    "npy": ("a.npy", "float32", "float32", data.write_npy),
    "npy float16": ("a.npy", "float16", "float16", data.write_npy),
    "npy uint8": ("a.npy", "uint8", "uint8", data.write_npy),
    "npy int8": ("a.npy", "int8", "float32", data.write_npy),
    "npy float64": ("a.npy", "float64", "float32", data.write_npy),
    "npy big-endian": ("a.npy", ">f4", "float32", data.write_npy),
    "npy by columns": (
        "a.npy",
        "float32",
        "float32",
        lambda path, vectors: data.write_npy(path, np.asfortranarray(vectors)),
    ),
    "npz": ("a.npz", "float16", "float16", lambda path, v: data.write_npz(path, vectors=v)),
    "npz deflated": (
        "a.npz",
        "uint8",
        "uint8",
        lambda path, v: data.write_npz(path, compressed=True, arr_0=v),
    ),
    "fvecs": ("a.fvecs", "float32", "float32", data.write_fvecs),
    "bvecs": ("a.bvecs", "uint8", "uint8", data.write_bvecs),
    "fbin": ("a.fbin", "float32", "float32", data.write_fbin),
    "u8bin": ("a.u8bin", "uint8", "uint8", data.write_u8bin),
    "i8bin": ("a.i8bin", "int8", "float32", data.write_i8bin),
    "idx": ("a-idx2-ubyte", "uint8", "uint8", data.write_idx),
    "idx packed": ("a-idx2-ubyte.gz", "uint8", "uint8", data.write_idx),
    "idx float32": ("a.idx", "float32", "float32", data.write_idx),
    "hdf5": ("a.hdf5", "float32", "float32", data.write_hdf5),
    "hdf5 float64": ("a.h5", "float64", "float32", data.write_hdf5),
    "parquet": (
        "a.parquet",
        "float32",
        "float32",
        lambda path, v: data.write_parquet(path, columns(v), group_rows=11),
    ),
    "parquet float16": (
        "a.parquet",
        "float16",
        "float16",
        lambda path, v: data.write_parquet(path, columns(v)),
    ),
    "parquet uint8": (
        "a.parquet",
        "uint8",
        "uint8",
        lambda path, v: data.write_parquet(path, columns(v)),
    ),
    "jsonl": ("a.jsonl", "float32", "float32", lambda path, v: data.write_jsonl(path, lines(v))),
    "jsonl packed": (
        "a.jsonl.gz",
        "float32",
        "float32",
        lambda path, v: data.write_jsonl(path, lines(v)),
    ),
    "beir": (
        "corpus",
        "float16",
        "float16",
        lambda path, v: data.write_beir(path, [f"word {row}" for row in range(len(v))], v),
    ),
    "folder": ("set", "float32", "float32", data.write_folder),
}


@pytest.fixture(params=CASES)
def case(request, tmp_path, draw):
    name, written, dtype, write = CASES[request.param]
    vectors = draw(COUNT, DIM, written)
    path = write(tmp_path / name, vectors)
    return request.param.split()[0], path, vectors, dtype


def test_every_format_is_tried():
    assert {name.split()[0] for name in CASES} == set(FORMATS)


def test_written_vectors_are_read(case, read_all):
    format, path, vectors, dtype = case
    dataset = load_dataset(path)
    assert (dataset.format, dataset.dim, dataset.dtype) == (format, DIM, dtype)
    assert dataset.count == (None if format == "jsonl" else COUNT)
    assert (dataset.name, dataset.path) == (path.name, path)
    found = read_all(dataset)
    assert found.vectors.tobytes() == vectors.astype(dtype).tobytes()
    if format != "beir":
        assert found.ids == list(range(COUNT))


def test_reading_resumes_at_any_row(case, read_all):
    _, path, vectors, dtype = case
    dataset = load_dataset(path)
    whole = read_all(dataset)
    for start in (1, 7, 11, 24, COUNT - 1):
        part = read_all(dataset, start=start)
        assert part.vectors.tobytes() == vectors[start:].astype(dtype).tobytes()
        assert part.ids == whole.ids[start:]
        assert part.payloads == whole.payloads[start:]
    assert list(dataset.batches(start=COUNT)) == []


def test_resuming_after_the_end_is_refused(case):
    dataset = load_dataset(case[1])
    with pytest.raises(InvalidArgument, match=f"{COUNT}") as caught:
        list(dataset.batches(start=COUNT + 1))
    assert caught.value.field == "start"


def test_reading_twice_gives_the_same(case, read_all):
    dataset = load_dataset(case[1])
    first, again = read_all(dataset), read_all(dataset, rows=4096)
    assert first.vectors.tobytes() == again.vectors.tobytes()
    assert first.ids == again.ids


def test_format_may_be_named(case, read_all):
    format, path, vectors, dtype = case
    found = read_all(load_dataset(path, format=format))
    assert found.vectors.tobytes() == vectors.astype(dtype).tobytes()


@pytest.mark.parametrize("most", [1, 7, 20, COUNT, COUNT + 1])
def test_max_n_takes_the_first_rows(case, read_all, most):
    format, path, vectors, dtype = case
    dataset = load_dataset(path, max_n=most)
    kept = min(most, COUNT)
    if format != "jsonl":
        assert dataset.count == kept
    assert read_all(dataset).vectors.tobytes() == vectors[:kept].astype(dtype).tobytes()
    start = min(5, kept)
    assert len(read_all(dataset, start=start).ids) == kept - start


def test_conversion_is_told(tmp_path, draw):
    for written, note in (("int8", "int8 is given out as float32"), ("float32", None)):
        path = data.write_npy(tmp_path / "a.npy", draw(dtype=written))
        assert load_dataset(path).notes == ((note,) if note else ())


def test_numbers_beyond_float32_become_infinite_for_the_door_to_refuse(tmp_path, read_all):
    path = data.write_npy(tmp_path / "a.npy", np.array([[1e300, 1.0], [np.nan, 2.0]]))
    assert not np.isfinite(read_all(load_dataset(path)).vectors[:, 0]).any()


@pytest.mark.parametrize("rows", [0, -1, 1.5, True, "9", None, 10**9])
def test_rows_of_a_batch_are_bounded(tmp_path, draw, rows):
    dataset = load_dataset(data.write_npy(tmp_path / "a.npy", draw()))
    with pytest.raises(InvalidArgument) as caught:
        dataset.batches(rows)
    assert caught.value.field == "rows"


def test_batches_of_long_vectors_have_fewer_rows(tmp_path):
    path = data.write_npy(tmp_path / "a.npy", np.zeros((1_200, 16_384), np.uint8))
    sizes = [len(batch) for batch in load_dataset(path).batches(4096)]
    assert sizes == [512, 512, 176]
