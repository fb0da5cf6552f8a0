"""Checksums of pages by address."""

from __future__ import annotations

import os

import google_crc32c
import numpy as np
import pytest

from vecdb.kernels import crc32c
from vecdb.kernels.crc32c import page_checksums

pytestmark = pytest.mark.skipif(
    "NUMBA_DISABLE_JIT" in os.environ, reason="the step is one of the processor's instructions"
)


def checksums(memory, skip):
    out = np.empty(len(memory), np.uint32)
    addresses = memory.ctypes.data + np.arange(len(memory)) * memory.shape[1]
    page_checksums(addresses, memory.shape[1], skip, out)
    return out.tolist()


def by_tables(row):
    return int(crc32c._by_tables(row.view(np.uint64), crc32c._TABLES)) ^ 0xFFFFFFFF


def test_known_value_of_32_zero_bytes():
    zeros = np.zeros((1, 32), np.uint8)
    assert checksums(zeros, 0) == [0x8A9136AA]
    assert by_tables(zeros[0]) == 0x8A9136AA


@pytest.mark.parametrize("pages", [0, 1, 2, 3, 4, 7])
@pytest.mark.parametrize(("nbytes", "skip"), [(4096, 8), (16_384, 0), (64, 56), (4096, 4096)])
def test_checksums_equal_those_of_the_library(pages, nbytes, skip):
    rng = np.random.default_rng(pages)
    memory = rng.integers(0, 256, (pages, nbytes), np.uint8)
    wanted = [google_crc32c.value(row[skip:].tobytes()) for row in memory]
    assert checksums(memory, skip) == wanted
    assert [by_tables(row[skip:]) for row in memory] == wanted


def test_pages_may_stand_anywhere_and_come_twice():
    memory = np.random.default_rng(1).integers(0, 256, (9, 4096), np.uint8)
    order = np.array([8, 0, 8, 3, 5])
    out = np.empty(5, np.uint32)
    page_checksums(memory.ctypes.data + order * 4096, 4096, 8, out)
    assert out.tolist() == [google_crc32c.value(memory[at, 8:].tobytes()) for at in order]


def test_half_a_word_is_refused():
    with pytest.raises(AssertionError, match="not whole words"):
        page_checksums(np.zeros(0, np.int64), 4092, 8, np.zeros(0, np.uint32))
