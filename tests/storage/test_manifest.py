"""The manifest: segments of a collection, their dead slots, the background of scores."""

from __future__ import annotations

import uuid

import numpy as np
import pytest

from vecdb.errors import DataCorruption
from vecdb.storage.format import SEGMENT_KEY, TOMB_BYTES, TOMB_KEY
from vecdb.storage.manifest import (
    TOMB_SLOTS,
    SegmentRow,
    delete_background,
    delete_segment,
    get_background,
    get_tombs,
    named_segments,
    put_background,
    put_segment,
    put_tombs,
    scan_segments,
)

A, B, C = (uuid.UUID(int=number) for number in (3, 2, 1))
BLOCKS = 2 * TOMB_BYTES + 9


def row(segment=A, **fields):
    values = {"count": 10, "json_checksum": 2**32 - 1, "sequence": 5}
    values |= {"first_origin": 0, "last_origin": 2**63}
    return SegmentRow(uuid=segment, **(values | fields))


def dead_slots(*slots, blocks=BLOCKS):
    bits = np.zeros(blocks * 8, np.uint8)
    bits[list(slots)] = 1
    return np.packbits(bits, bitorder="little")


@pytest.fixture
def run(environment):
    """The answer of ``do(transaction, ...)``, in a transaction of its own."""
    return lambda do, *arguments: environment.write(lambda found: do(found, *arguments))


@pytest.fixture
def chunks(environment, values_of):
    """Number of each chunk of dead slots that is stored, of all segments."""
    return lambda: [TOMB_KEY.unpack(key)[2] for key in values_of(environment, "tombs")]


def test_segments_come_back_by_sequence_then_uuid(run):
    rows = [row(A, sequence=2**40), row(B, sequence=7, count=2**32 - 1), row(C, sequence=7)]
    for one in rows:
        run(put_segment, 1, one)
    run(put_segment, 2, row(uuid.UUID(int=9)))
    assert run(scan_segments, 1) == [rows[2], rows[1], rows[0]]
    assert run(scan_segments, 3) == []
    assert run(named_segments) == {A, B, C, uuid.UUID(int=9)}


def test_segment_put_again_replaces_its_row(run):
    run(put_segment, 1, row())
    run(put_segment, 1, row(count=11))
    assert run(scan_segments, 1) == [row(count=11)]


def test_forgotten_segment_takes_its_dead_slots_along(run, chunks):
    for number, segment in ((1, A), (1, B), (2, A)):
        run(put_segment, number, row(segment))
        run(put_tombs, number, segment, dead_slots(0, TOMB_SLOTS))
    assert run(delete_segment, 1, A)
    assert not run(delete_segment, 1, A)
    assert run(scan_segments, 1) == [row(B)]
    assert chunks() == [0, 1, 0, 1]
    assert not run(get_tombs, 1, A, BLOCKS).any()
    assert run(get_tombs, 1, B, BLOCKS).any()


def test_damaged_row_is_told(run, put):
    put("segments", {SEGMENT_KEY.pack(1, A.bytes): bytes(39)})
    with pytest.raises(DataCorruption, match="39 bytes"):
        run(scan_segments, 1)
    put("segments", {SEGMENT_KEY.pack(1, A.bytes): bytes(41)})
    with pytest.raises(DataCorruption, match="no segment"):
        run(scan_segments, 1)


def test_row_with_reserved_bytes_is_refused(run, put):
    put("segments", {SEGMENT_KEY.pack(1, A.bytes): bytes(39) + b"\1"})
    with pytest.raises(DataCorruption, match="reserved"):
        run(scan_segments, 1)


@pytest.mark.parametrize("blocks", [1, TOMB_BYTES - 1, TOMB_BYTES, TOMB_BYTES + 1, BLOCKS])
def test_dead_slots_come_back(run, blocks):
    dead = np.random.default_rng(blocks).integers(0, 256, blocks, np.uint8)
    run(put_tombs, 1, A, dead)
    found = run(get_tombs, 1, A, blocks)
    assert np.array_equal(found, dead)
    assert found.flags.writeable


def test_only_chunks_with_dead_slots_are_stored(run, chunks):
    run(put_tombs, 1, A, dead_slots())
    assert chunks() == []
    run(put_tombs, 1, A, dead_slots(2 * TOMB_SLOTS + 3))
    assert chunks() == [2]
    run(put_tombs, 1, A, dead_slots(5))
    assert chunks() == [0]
    assert np.array_equal(run(get_tombs, 1, A, BLOCKS), dead_slots(5))


def test_only_chunks_that_changed_are_written(environment, run):
    run(put_tombs, 1, A, dead_slots(5, TOMB_SLOTS))

    def change(transaction, *slots):
        put_tombs(transaction, 1, A, dead_slots(*slots))
        return transaction.changes

    assert environment.write(lambda found: change(found, 5, TOMB_SLOTS)) == 0
    assert environment.write(lambda found: change(found, 5, TOMB_SLOTS, TOMB_SLOTS + 9)) == 1


def test_chunks_of_other_slots_are_not_looked_at(run):
    run(put_tombs, 1, A, dead_slots(5))
    run(put_tombs, 1, A, dead_slots(6, TOMB_SLOTS, 2 * TOMB_SLOTS), [TOMB_SLOTS])
    assert np.array_equal(run(get_tombs, 1, A, BLOCKS), dead_slots(5, TOMB_SLOTS))
    run(put_tombs, 1, A, dead_slots(), iter([5, TOMB_SLOTS + 1]))
    assert not run(get_tombs, 1, A, BLOCKS).any()


@pytest.mark.parametrize(
    ("chunk", "size"),
    [(0, TOMB_BYTES - 1), (0, TOMB_BYTES + 1), (2, TOMB_BYTES), (2, 8), (3, 0), (2**32 - 1, 9)],
)
def test_chunk_that_does_not_fit_the_segment_is_damage(run, put, chunk, size):
    put("tombs", {TOMB_KEY.pack(1, A.bytes, chunk): bytes(size)})
    with pytest.raises(DataCorruption, match="does not fit"):
        run(get_tombs, 1, A, BLOCKS)


def test_chunk_takes_one_page_of_lmdb(run):
    def pages_more(transaction):
        before = transaction.pages()
        put_tombs(transaction, 1, A, np.full(5 * TOMB_BYTES, 255, np.uint8))
        return transaction.pages() - before

    assert run(pages_more) == 5 + 1  # and one of keys


def test_background_comes_back(run):
    assert run(get_background, 1) is None
    run(put_background, 1, b"x" * 40_000)
    assert run(get_background, 1) == b"x" * 40_000
    assert run(get_background, 2) is None
    assert run(delete_background, 1)
    assert run(get_background, 1) is None
