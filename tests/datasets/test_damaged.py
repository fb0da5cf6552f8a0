"""A file that is cut, has something appended, or lies in its header is refused, with the bytes."""

from __future__ import annotations

import gzip
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vecdb.datasets import load_dataset, load_truth
from vecdb.errors import InvalidArgument
from vecdb.testing import data

N, D = 20, 4
VECTORS = np.arange(N * D, dtype=np.uint8).reshape(N, D)
ROWS = [{"id": row, "vector": VECTORS[row].tolist()} for row in range(N)]

WRITERS = {
    "npy": lambda path: data.write_npy(path, VECTORS),
    "npz": lambda path: data.write_npz(path, vectors=VECTORS),
    "fvecs": lambda path: data.write_fvecs(path, VECTORS),
    "bvecs": lambda path: data.write_bvecs(path, VECTORS),
    "fbin": lambda path: data.write_fbin(path, VECTORS),
    "u8bin": lambda path: data.write_u8bin(path, VECTORS),
    "i8bin": lambda path: data.write_i8bin(path, VECTORS),
    "idx": lambda path: data.write_idx(path, VECTORS),
    "idx.gz": lambda path: data.write_idx(path, VECTORS),
    "hdf5": lambda path: data.write_hdf5(path, VECTORS),
    "parquet": lambda path: data.write_parquet(
        path, {"id": list(range(N)), "vector": VECTORS.astype(np.float32)}
    ),
    "jsonl": lambda path: data.write_jsonl(path, ROWS),
    "jsonl.gz": lambda path: data.write_jsonl(path, ROWS),
}
# What the message must hold of a file that lost its last byte: expected and found.
ARITHMETIC = {
    "npy": ("128 + 20*4*1 (uint8) = 208 bytes", "found 207"),
    "fvecs": ("4 + 4*4 = 20 bytes", "found 399 = 19*20 + 19"),
    "bvecs": ("4 + 4*1 = 8 bytes", "found 159 = 19*8 + 7"),
    "fbin": ("8 + 20*4*4 (float32 vectors) = 328 bytes", "found 327"),
    "u8bin": ("8 + 20*4*1 (uint8 vectors) = 88 bytes", "found 87"),
    "i8bin": ("8 + 20*4*1 (int8 vectors) = 88 bytes", "found 87"),
    "idx": ("4 + 4*2 + 20*4*1 (uint8) = 92 bytes", "found 91"),
}


@pytest.fixture(params=WRITERS)
def written(request, tmp_path):
    """(format, path of a sound file)"""
    return request.param, WRITERS[request.param](tmp_path / f"a.{request.param}")


def read(path, **arguments):
    return [len(batch) for batch in load_dataset(path, **arguments).batches(6)]


def refused(path, **arguments):
    with pytest.raises(InvalidArgument) as caught:
        read(path, **arguments)
    assert caught.value.field.startswith(str(path))
    assert str(path) in caught.value.message
    return caught.value


def test_sound_files_are_read(written):
    assert read(written[1]) == [6, 6, 6, 2]


def test_cut_file_is_refused_with_the_arithmetic(written):
    format, path = written
    path.write_bytes(path.read_bytes()[:-1] if "json" not in format else path.read_bytes()[:-3])
    message = refused(path).message
    for part in ARITHMETIC.get(format, ()):
        assert part in message


@pytest.mark.parametrize("left", [0, 1, 3, 4, 7, 8, 12, 60])
def test_file_cut_to_its_beginning_is_refused(written, left):
    format, path = written
    if (format, left) in (("fvecs", 60), ("bvecs", 8)):
        left += 1  # whole rows are left: nothing in the file tells that there were more
    path.write_bytes(path.read_bytes()[:left])
    refused(path)


def test_appended_bytes_are_refused(written):
    format, path = written
    with path.open("ab") as file:
        file.write(b"{]}" if "json" in format else b"\1\2\3")
    error = refused(path)
    if format == "parquet":
        assert "expected b'PAR1' as its last 4" in error.message
    if format in ARITHMETIC:
        expected = ARITHMETIC[format][0]
        assert expected in error.message
        assert f"found {path.stat().st_size}" in error.message


def test_appended_rows_are_refused_where_a_header_counts(written):
    format, path = written
    if format in ("npy", "fbin", "u8bin", "i8bin", "idx"):
        with path.open("ab") as file:
            file.write(bytes(D * 4))
        assert refused(path).reason == "WRONG_SIZE"


@pytest.mark.parametrize("size", [0, 2, 91])
def test_unpacked_size_counts_for_a_packed_file(tmp_path, size):
    path = data.write_idx(tmp_path / "a-idx2-ubyte.gz", VECTORS)
    unpacked = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(unpacked[:size]))
    refused(path)
    path.write_bytes(gzip.compress(unpacked + bytes(size + 1)))
    assert "unpacked, = 92 bytes, found more than 92" in refused(path).message


def test_packed_file_of_several_members_is_read(tmp_path):
    path = data.write_idx(tmp_path / "a-idx2-ubyte.gz", VECTORS)
    unpacked = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(unpacked[:50]) + gzip.compress(unpacked[50:]))
    assert read(path) == [6, 6, 6, 2]


def test_packed_file_that_was_cut_tells_how_much_is_left(tmp_path):
    path = data.write_idx(tmp_path / "a-idx2-ubyte.gz", np.tile(VECTORS, (1_000, 1)))
    content = path.read_bytes()
    path.write_bytes(content[:200])
    assert "*1 (uint8), unpacked, = 80012 bytes, found " in refused(path).message
    path.write_bytes(content[:-9])
    with pytest.raises(InvalidArgument, match="ended before the end-of-stream"):
        load_dataset(path)


def test_packed_file_that_changed_since_it_was_opened_is_refused(tmp_path):
    path = data.write_idx(tmp_path / "a-idx2-ubyte.gz", VECTORS)
    dataset = load_dataset(path)
    for rows, found in ((N - 3, "80"), (N + 3, "more than 92")):
        data.write_idx(path, np.resize(VECTORS, (rows, D)))
        with pytest.raises(InvalidArgument, match=f"= 92 bytes, found {found}"):
            list(dataset.batches(6))


# ------------------------------------------------------------------------------ lying headers


def overwrite(path, offset, form, *values):
    content = bytearray(path.read_bytes())
    struct.pack_into(form, content, offset, *values)
    path.write_bytes(content)


@pytest.mark.parametrize("rows", [0, N - 1, N + 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("format", ["fbin", "u8bin", "i8bin"])
def test_wrong_number_of_rows_is_refused_before_anything_is_allocated(tmp_path, format, rows):
    path = WRITERS[format](tmp_path / f"a.{format}")
    overwrite(path, 0, "<I", rows)
    refused(path)


@pytest.mark.parametrize("dim", [0, D - 1, D + 1, 16_385, 2**32 - 1])
@pytest.mark.parametrize("format", ["fbin", "u8bin", "i8bin"])
def test_wrong_dimension_is_refused_before_anything_is_allocated(tmp_path, format, dim):
    path = WRITERS[format](tmp_path / f"a.{format}")
    overwrite(path, 4, "<I", dim)
    refused(path)


@pytest.mark.parametrize("dim", [-1, 0, D - 1, D + 1, 16_385, 2**31 - 1])
@pytest.mark.parametrize("row", [0, 1, 7, N - 1])
@pytest.mark.parametrize("format", ["fvecs", "bvecs"])
def test_row_that_tells_another_dimension_is_refused(tmp_path, format, row, dim):
    path = WRITERS[format](tmp_path / f"a.{format}")
    row_bytes = path.stat().st_size // N
    overwrite(path, row * row_bytes, "<i", dim)
    error = refused(path)
    if row:
        assert f"expected 4 dimensions in row {row} (byte {row * row_bytes})" in error.message
        assert error.message.endswith(f"found {dim}")


@pytest.mark.parametrize("length", [0, N - 1, N + 1, 2**32 - 1])
@pytest.mark.parametrize("suffix", ["idx", "idx.gz"])
def test_idx_with_a_wrong_length_is_refused(tmp_path, suffix, length):
    path = tmp_path / f"a.{suffix}"
    content = bytes([0, 0, 8, 2]) + struct.pack(">II", length, D) + VECTORS.tobytes()
    path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    refused(path)


@pytest.mark.parametrize("axes", [0, 1, 9, 255])
def test_idx_with_a_wrong_number_of_axes_is_refused(tmp_path, axes):
    path = tmp_path / "a.idx"
    path.write_bytes(bytes([0, 0, 8, axes]) + struct.pack(">II", N, D) + VECTORS.tobytes())
    refused(path)


def npy(header):
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (21, 4), }", "found 208"),
        ("{'descr': '|u1', 'fortran_order': True, 'shape': (19, 4), }", "found 208"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (20, 4), }", "found 208"),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (-20, -4), }", "shape (-20, -4)"),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (80,), }", "found shape (80,)"),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (), }", "found 208"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (10, 1), }", "Python objects"),
        ("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (10, 1), }", "Python objects"),
        ("{'descr': '|u1', 'fortran_order': False}", "something else"),
        ("{'descr': 'nothing', 'fortran_order': False, 'shape': (20, 4)}", "something else"),
        ("__import__('os').abort()", "something else"),
        ("(" * 100, "something else"),
        ("", "something else"),
    ],
)
def test_npy_header_is_not_believed(tmp_path, header, found):
    path = tmp_path / "a.npy"
    path.write_bytes(npy(header) + VECTORS.tobytes())
    assert path.stat().st_size == 208
    assert found in refused(path).message


def test_npz_member_that_does_not_fit_its_header_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    header = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (20, 4), }")
    for content in (header + bytes(79), header + bytes(81)):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("vectors.npy", content)
        assert f"(uint8) = 208 bytes, found {len(content)}" in refused(path).message


def test_npz_with_a_flipped_byte_is_refused_by_its_checksum(tmp_path):
    path = data.write_npz(tmp_path / "a.npz", vectors=VECTORS)
    content = bytearray(path.read_bytes())
    content[content.index(VECTORS.tobytes()) + 5] ^= 1
    path.write_bytes(content)
    assert "CRC" in refused(path).message


def test_hdf5_that_does_not_end_where_it_says_is_refused(tmp_path):
    for libver in ("earliest", "latest"):
        path = data.write_hdf5(tmp_path / "a.hdf5", VECTORS, libver=libver)
        size = path.stat().st_size
        content = path.read_bytes()
        for changed in (content[:-1], content + b"\0"):
            path.write_bytes(changed)
            assert f"= {size} bytes, found {len(changed)}" in refused(path).message


def test_parquet_whose_footer_is_longer_than_the_file_is_refused(tmp_path):
    path = WRITERS["parquet"](tmp_path / "a.parquet")
    overwrite(path, path.stat().st_size - 8, "<I", 2**32 - 1)
    error = refused(path)
    assert error.reason == "WRONG_SIZE"
    assert f"found {path.stat().st_size}" in error.message


def test_parquet_that_lost_its_middle_is_refused(tmp_path):
    path = WRITERS["parquet"](tmp_path / "a.parquet")
    content = path.read_bytes()
    path.write_bytes(content[:4] + content[300:])
    assert "cannot be read" in refused(path).message


# ------------------------------------------------------------------------------- wrong dtypes


@pytest.mark.parametrize(
    ("dtype", "advice"),
    [
        ("int64", "ground truth"),
        ("int32", "ground truth"),
        ("uint16", "ground truth"),
        *[(dtype, "") for dtype in ("complex64", "bool", "U3", "S3", "M8[s]", "f4,f4")],
    ],
)
def test_numbers_that_no_collection_stores_are_refused(tmp_path, dtype, advice):
    array = np.zeros((N, D), dtype)
    for path in (
        data.write_npy(tmp_path / "a.npy", array),
        data.write_npz(tmp_path / "a.npz", vectors=array),
    ):
        error = refused(path)
        assert error.reason == "WRONG_DTYPE"
        assert advice in error.hint


def test_objects_are_never_unpickled(tmp_path):
    objects = np.full((N, D), None, object)
    np.save(tmp_path / "a.npy", objects)
    np.savez(tmp_path / "a.npz", vectors=objects)
    for name in ("a.npy", "a.npz"):
        assert "never unpickled" in refused(tmp_path / name).message


def test_idx_of_a_type_that_is_not_stored_is_refused(tmp_path):
    path = tmp_path / "a.idx"
    for item, width in ((11, 2), (12, 4)):
        path.write_bytes(bytes([0, 0, item, 2]) + struct.pack(">II", 2, 3) + bytes(6 * width))
        assert refused(path).reason == "WRONG_DTYPE"
    path.write_bytes(bytes([0, 0, 7, 2]) + struct.pack(">II", 2, 3) + bytes(6))
    assert "type of 8, 9" in refused(path).message


def test_hdf5_of_another_dtype_is_refused(tmp_path):
    for array in (VECTORS.astype(np.int64), VECTORS.astype(bool), VECTORS.astype("S2")):
        path = data.write_hdf5(tmp_path / "a.hdf5", array)
        assert refused(path).reason == "WRONG_DTYPE"


def test_file_of_another_vecs_format_names_the_one_that_fits(tmp_path):
    path = data.write_bvecs(tmp_path / "a.fvecs", np.ones((7, 5), np.uint8))
    assert "The size fits bvecs" in refused(path).hint


def test_file_of_another_bin_format_names_those_that_fit(tmp_path):
    path = data.write_u8bin(tmp_path / "a.fbin", VECTORS)
    error = refused(path)
    assert error.reason == "AMBIGUOUS_FORMAT"
    assert "u8bin and i8bin" in error.message
    assert read(path, format="u8bin") == [6, 6, 6, 2]
    assert "The size fits u8bin or i8bin" in refused(path, format="fbin").hint


# --------------------------------------------------------------------------------- any bytes

FUZZED = ("npy", "npz", "fvecs", "fbin", "idx", "idx.gz", "parquet", "jsonl")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    return {name: WRITERS[name](folder / f"a.{name}").read_bytes() for name in FUZZED}


def outcome(path):
    try:
        read(path)
    except InvalidArgument as error:
        assert error.field  # noqa: PT017  # either outcome is right
    try:
        load_truth(path)
    except InvalidArgument as error:
        assert error.field  # noqa: PT017


@pytest.mark.filterwarnings("ignore:Reading `.npy`")  # numpy, of a header that Python 2 could read
@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    format=st.sampled_from(FUZZED),
    edits=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4),
    cut=st.none() | st.integers(0, 10_000),
)
def test_damage_gives_rows_or_a_typed_error(tmp_path, sound, format, edits, cut):
    content = bytearray(sound[format])
    for at, value in edits:
        content[at % len(content)] = value
    path = tmp_path / f"a.{format}"
    path.write_bytes(content if cut is None else content[: cut % len(content)])
    outcome(path)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["a", "a.bin", "a.gt", "a.fbin", "a.npy", "a.jsonl", "a.idx", "a.ivecs"]),
    content=st.binary(max_size=200),
)
def test_any_bytes_give_rows_or_a_typed_error(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    outcome(path)
