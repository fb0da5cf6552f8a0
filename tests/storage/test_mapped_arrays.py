"""Arrays that stay on the disk: verified when they are mapped, and then as good as read ones."""

import numpy as np
import pytest

from vecdb.errors import DataCorruption
from vecdb.storage.array_file import MappedArrays, read_arrays, write_arrays
from vecdb.testing.faults import flip_bit


@pytest.fixture
def stored(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "arrays"
    arrays = {
        "small": rng.integers(0, 9, 5).astype(np.uint32),
        "large": rng.standard_normal((3_000, 7)).astype(np.float32),
    }
    return path, write_arrays(path, arrays)


def test_mapped_arrays_equal_those_that_are_read(stored):
    path, sums = stored
    mapped = MappedArrays(path, sums)
    for name, array in read_arrays(path, sums).items():
        np.testing.assert_array_equal(mapped.arrays[name], array)
        assert mapped.arrays[name].dtype == array.dtype
        assert not mapped.arrays[name].flags.writeable


def test_arrays_stay_good_when_memory_is_let_go(stored):
    path, sums = stored
    mapped = MappedArrays(path, sums)
    before = mapped.arrays["large"].copy()
    mapped.release()
    np.testing.assert_array_equal(mapped.arrays["large"], before)


@pytest.mark.parametrize("offset", [3, 4_096, 9_000, 20_000])
def test_damage_is_found_before_anything_is_mapped(stored, offset):
    path, sums = stored
    flip_bit(path, offset, 3)
    with pytest.raises(DataCorruption) as caught:
        MappedArrays(path, sums)
    assert caught.value.path == str(path)


def test_file_that_was_cut_is_refused(stored):
    path, sums = stored
    path.write_bytes(path.read_bytes()[:-4_096])
    with pytest.raises(DataCorruption, match="bytes"):
        MappedArrays(path, sums)
