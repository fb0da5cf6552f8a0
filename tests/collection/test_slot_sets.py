"""Sets of slots are found once for an array that nobody may write to, and few are kept."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.collection import slot_sets
from vecdb.collection.slot_sets import SlotSet, SlotSets

SIZE = 100


class Finder:
    """The segment whose slot s has the origin 1,000 + s."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, origins):
        self.asked += 1
        here = origins[(origins >= 1_000) & (origins < 1_000 + SIZE)]
        return SlotSet(SIZE, slots=(here - 1_000).astype(np.int64))


def frozen(*origins):
    array = np.array(origins, np.int64)
    array.flags.writeable = False
    return array


@pytest.fixture
def finder():
    return Finder()


def test_slots_are_those_of_the_origins_that_are_here(finder):
    found = SlotSets(finder).of(frozen(3, 1_000, 1_007, 1_099, 5_000))
    assert found.slots.tolist() == [0, 7, 99]
    assert found.count == 3
    words, ranks = found.ranked
    assert [int(word).bit_count() for word in words.tolist()] == [2, 1]
    assert ranks.tolist() == [0, 2]


def test_mask_and_slots_say_the_same():
    slots = np.array([0, 7, 8, 99])
    by_slots, mask = SlotSet(SIZE, slots=slots), SlotSet(SIZE, slots=slots).mask
    by_mask = SlotSet(SIZE, mask=mask)
    assert by_mask.slots.tolist() == slots.tolist()
    assert by_mask.count == by_slots.count == 4
    assert mask.nbytes == 13


def test_set_is_found_once(finder):
    sets, origins = SlotSets(finder), frozen(1_001, 1_002)
    assert sets.of(origins) is sets.of(origins)
    assert sets.of(frozen(1_001, 1_002)).slots.tolist() == [1, 2]
    assert finder.asked == 2


def test_array_that_may_change_is_looked_up_again(finder):
    sets, origins = SlotSets(finder), np.array([1_001, 1_002])
    assert sets.of(origins).slots.tolist() == [1, 2]
    origins[0] = 1_000
    assert sets.of(origins).slots.tolist() == [0, 2]


def test_sets_that_were_not_used_for_long_are_let_go(finder, monkeypatch):
    one = SlotSet(SIZE, slots=np.arange(1))
    monkeypatch.setattr(slot_sets, "_CACHE_BYTES", 2 * (one.nbytes + 8) + 2)
    sets, arrays = SlotSets(finder), [frozen(1_000 + slot) for slot in range(3)]
    for origins in arrays:
        sets.of(origins)
    assert finder.asked == 3
    sets.of(arrays[2])
    assert finder.asked == 3
    sets.of(arrays[0])
    assert finder.asked == 4
