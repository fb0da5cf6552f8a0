"""The helpers that damage files do what they say."""

from __future__ import annotations

import random

import pytest

from vecdb.testing import faults
from vecdb.testing.faults import PAGE_BYTES, flip_bit, mutate, swap_pages, truncate, zero_page


@pytest.fixture
def path(tmp_path):
    """Four pages of different bytes."""
    made = tmp_path / "file"
    made.write_bytes(b"".join(bytes([page]) * PAGE_BYTES for page in (1, 2, 3, 4)))
    return made


def pages(path):
    data = path.read_bytes()
    return [data[at : at + PAGE_BYTES] for at in range(0, len(data), PAGE_BYTES)]


def test_one_bit_is_flipped_and_back(path):
    before = path.read_bytes()
    flip_bit(path, PAGE_BYTES + 5, 7)
    after = path.read_bytes()
    assert after[PAGE_BYTES + 5] == 2 ^ 128
    assert [at for at in range(len(before)) if before[at] != after[at]] == [PAGE_BYTES + 5]
    flip_bit(path, PAGE_BYTES + 5, 7)
    assert path.read_bytes() == before


def test_file_is_cut(path):
    truncate(path, 10)
    assert path.read_bytes() == bytes([1]) * 10


def test_page_is_zeroed(path):
    before = pages(path)
    zero_page(path, 2)
    assert pages(path) == [*before[:2], bytes(PAGE_BYTES), before[3]]


def test_pages_are_swapped(path):
    before = pages(path)
    swap_pages(path, 3, 1)
    assert pages(path) == [before[0], before[3], before[2], before[1]]


def test_mutation_is_decided_by_the_seed_and_changes_the_file(path):
    before = path.read_bytes()
    kinds, results = set(), set()
    for seed in range(60):
        path.write_bytes(before)
        what = mutate(path, random.Random(seed))
        damaged = path.read_bytes()
        assert damaged != before
        path.write_bytes(before)
        assert mutate(path, random.Random(seed)) == what
        assert path.read_bytes() == damaged
        kinds.add(what.split()[0])
        results.add(damaged)
    assert kinds == set(faults.MUTATIONS)
    assert len(results) > 40


def test_failing_calls_need_a_process_of_their_own(monkeypatch):
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    with (
        pytest.raises(RuntimeError, match="run_with_failures"),
        faults.failing_call("posix/io/sync/fdatasync", 5),
    ):
        pass


def test_file_system_that_cannot_be_mounted_is_told(tmp_path):
    reason = faults.why_no_tiny_disk()
    if reason:
        pytest.skip(reason)
    with (
        pytest.raises(OSError, match="mount"),
        faults.tiny_disk(tmp_path / "disk", -1),
    ):
        pass
