"""Masks of the slots of a segment: a bit each, bit l of byte b is slot 8b + l."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


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
