"""What matching keeps is bounded, and masks of origins are those of their slots."""

from __future__ import annotations

from uuid import UUID

import numpy as np
import pytest

from vecdb.collection.masks import pack_slots
from vecdb.collection.matching import MaskCache
from vecdb.collection.record_tests import KnownFields
from vecdb.filters import Compare


def test_masks_are_bounded_in_bytes():
    masks, node = MaskCache(100), Compare("group", "exists")
    for number in range(10):
        masks.put(UUID(int=number), node, 0, np.zeros(30, np.uint8))
    kept = [number for number in range(10) if masks.get(UUID(int=number), node, 1) is not None]
    assert kept == [7, 8, 9]
    masks.put(UUID(int=9), node, 5, np.zeros(60, np.uint8))  # in place of the one before
    assert masks.get(UUID(int=8), node, 9) is not None
    assert masks.get(UUID(int=9), node, 4) is None
    assert masks.get(UUID(int=9), node, 5) is not None
    masks.put(UUID(int=10), node, 0, np.zeros(101, np.uint8))
    assert (masks._masks.weight, len(masks._masks)) == (0, 0)


def test_known_fields_are_bounded_in_bytes():
    known = KnownFields(2_000)
    keys = [(1, ("group",), origin, 0) for origin in range(10)]
    for key in keys:
        known.put(key, {"group": key[2]}, 100)
    assert known.get(keys) == [None] * 8 + [{"group": 8}, {"group": 9}]
    known.put(keys[9], {}, 100)
    assert known.get(keys[8:]) == [{"group": 8}, {"group": 9}]
    known.put(keys[0], {}, 500)  # too large to keep
    assert (known.get(keys), known._bytes) == ([None] * 10, 0)


@pytest.mark.parametrize("count", [0, 1, 40, 400], ids=["none", "one", "few", "all"])
def test_mask_of_origins_is_that_of_their_slots(pair, count):
    one = pair()
    one.upsert(range(10))
    one.upsert(range(400))
    one.delete(range(50, 60))
    one.docs.seal()
    with one.store.view("docs", with_snapshot=True) as view:
        segment = view.snapshot.segments[0].segment
    rng = np.random.default_rng(1)
    origins = np.sort(rng.choice(450, min(450, count), replace=False)).astype(np.uint64)
    expected = pack_slots(segment.slots_of(origins), len(segment))
    assert segment.find_set(origins).mask.tolist() == expected.tolist()
