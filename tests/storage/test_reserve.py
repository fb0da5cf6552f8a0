"""Room for deletes: taken where there is some, given up in two steps, taken again."""

from __future__ import annotations

import pytest

from vecdb.storage.reserve import LEAST_BYTES, RESERVE_BYTES, RESERVE_FILE, Reserve
from vecdb.testing.faults import tiny_disk, why_no_tiny_disk

KIB = 1024


@pytest.fixture
def reserve(tmp_path):
    made = Reserve(tmp_path)
    made.fill()
    return made


@pytest.fixture
def disk(tmp_path):
    reason = why_no_tiny_disk()
    if reason:
        pytest.skip(reason)
    with tiny_disk(tmp_path / "disk", 2 * RESERVE_BYTES) as made:
        yield made


def blocks_of(directory):
    """Bytes of the file that lie on the disk."""
    return 512 * (directory / RESERVE_FILE).stat().st_blocks


def test_reserve_has_its_blocks_on_the_disk(tmp_path, reserve):
    assert reserve.is_whole
    assert reserve.held == RESERVE_BYTES == (tmp_path / RESERVE_FILE).stat().st_size
    assert blocks_of(tmp_path) >= RESERVE_BYTES
    assert (tmp_path / RESERVE_FILE).stat().st_mode & 0o777 == 0o600


def test_reserve_is_given_up_but_for_the_least(tmp_path, reserve):
    assert reserve.give_up()
    assert (reserve.held, reserve.is_whole) == (LEAST_BYTES, False)
    assert LEAST_BYTES <= blocks_of(tmp_path) < 2 * LEAST_BYTES
    assert not reserve.give_up()
    reserve.lend()
    assert (reserve.held, blocks_of(tmp_path)) == (0, 0)
    assert not reserve.give_up()
    reserve.fill()
    assert reserve.is_whole


def test_reserve_that_is_there_is_held_again(tmp_path, reserve):
    reserve.give_up()
    again = Reserve(tmp_path)
    assert again.held == 0
    again.fill()
    assert again.is_whole


def test_reserve_with_holes_is_filled(tmp_path):
    with (tmp_path / RESERVE_FILE).open("wb") as file:
        file.truncate(RESERVE_BYTES)
    made = Reserve(tmp_path)
    made.fill()
    assert made.is_whole
    assert blocks_of(tmp_path) >= RESERVE_BYTES


def test_reserve_that_somebody_has_removed_is_room_all_the_same(tmp_path, reserve):
    (tmp_path / RESERVE_FILE).unlink()
    assert reserve.give_up()
    reserve.fill()
    assert reserve.is_whole
    assert blocks_of(tmp_path) >= RESERVE_BYTES


@pytest.mark.parametrize("room", [0, 4, 100, 128, 300, 1_020])
def test_reserve_takes_what_the_disk_has(disk, room):
    disk.fill(leave_bytes=room * KIB)
    made = Reserve(disk.path)
    made.fill()
    assert made.held == room // 16 * 16 * KIB
    made.fill()
    assert made.held == room // 16 * 16 * KIB
    disk.free()
    made.fill()
    assert made.is_whole


def test_reserve_that_was_made_is_held_on_a_full_disk(disk):
    Reserve(disk.path).fill()
    disk.fill()
    again = Reserve(disk.path)
    again.fill()
    assert again.is_whole


@pytest.mark.parametrize(
    ("held", "free", "enough"),
    [
        (RESERVE_BYTES, 0, True),
        (RESERVE_BYTES - 16 * KIB, 0, False),
        (RESERVE_BYTES - 16 * KIB, 16 * KIB, True),
        (LEAST_BYTES, RESERVE_BYTES - LEAST_BYTES, True),
        (LEAST_BYTES, RESERVE_BYTES - LEAST_BYTES - 1, False),
        (LEAST_BYTES - 1, 100 * RESERVE_BYTES, False),
        (0, 100 * RESERVE_BYTES, False),
    ],
)
def test_free_pages_count_for_what_is_missing_above_the_least(tmp_path, held, free, enough):
    made = Reserve(tmp_path)
    made.held = held
    assert made.suffices(free) is enough
