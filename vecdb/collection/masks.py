"""Masks of the slots of a segment: a bit each, bit l of byte b is slot 8b + l."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.bool_]

_SPARSE_SHARE = 1 / 32
"""Up to this share of hits, groups are looked up one by one; counting them all is faster above."""


def full_mask(count: int) -> NDArray[np.uint8]:
    """u8[ceil(count / 8)] with one bit for each of ``count`` slots."""
    mask = np.full(-(-count // 8), 0xFF, np.uint8)
    if count % 8:
        mask[-1] = (1 << count % 8) - 1
    return mask


def pack_slots(slots: NDArray[np.int64], count: int) -> NDArray[np.uint8]:
    """The mask of a segment of ``count`` slots in which the bits of ``slots`` are set."""
    rows = np.zeros(count, np.uint8)
    rows[slots] = 1
    return np.packbits(rows, bitorder="little")


def unpack_mask(mask: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """u8[count], 1 where the bit is set."""
    return np.unpackbits(mask, count=count, bitorder="little")


def slots_in(mask: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
    """The slots, of ``count``, whose bits are set; ascending."""
    return np.flatnonzero(unpack_mask(mask, count).view(np.bool_))


def bits_of(mask: NDArray[np.uint8], start: int, stop: int) -> NDArray[np.uint8]:
    """u8[stop - start], 1 where the bit of the slot is set."""
    skipped = start & 7
    some = mask[start >> 3 : (stop + 7) >> 3]
    return np.unpackbits(some, count=skipped + stop - start, bitorder="little")[skipped:]


def any_in_groups(ends: NDArray[np.unsignedinteger[Any]], hits: NDArray[np.bool_]) -> Bits:
    """bool by group: whether some of its hits is one; group g has those up to ``ends[g]``."""
    if np.count_nonzero(hits) <= _SPARSE_SHARE * len(hits):
        found: Bits = np.zeros(len(ends), np.bool_)
        places = np.flatnonzero(hits).astype(ends.dtype)
        found[np.searchsorted(ends, places, side="right")] = True
        return found
    before = np.concatenate([np.zeros(1, ends.dtype), np.cumsum(hits, dtype=ends.dtype)])
    found = np.diff(before[ends], prepend=ends.dtype.type(0)) > 0
    return found
