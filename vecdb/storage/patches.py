"""Records whose payload was changed after it was written: columns of segments may not have it.

A row comes with every change of a payload, of records in the tail too: a seal that is under way has
read what it was before. It goes with the record, and when a segment is swapped in whose columns
have the change. A row for a slot that no record is given, the last one, counts the changes of the
collection's rows, so that who has read them knows whether they are still the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .checksum import damaged
from .format import NUMBER, PATCH_KEY, PATCH_VALUE
from .transaction import Transaction

NO_SLOT = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Patches:
    """Of one collection: ``origins`` int64[n], ascending; ``sequences`` int64[n], of the change."""

    origins: NDArray[np.int64]
    sequences: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.origins)


def put_patches(
    transaction: Transaction, number: int, origins: NDArray[np.uint64], sequence: int
) -> None:
    """The payloads of these records were changed by the write ``sequence``."""
    if not len(origins):
        return
    value = PATCH_VALUE.pack(sequence)
    _count_change(transaction, number, count_changes(transaction, number))
    keys = [PATCH_KEY.pack(number, origin) for origin in origins.tolist()]
    transaction.put_many("patches", [(key, value) for key in keys])


def drop_patches(transaction: Transaction, number: int, origins: NDArray[np.uint64]) -> None:
    """These records are gone, or in columns as they are now; those without a patch are skipped."""
    changes = count_changes(transaction, number)
    if not changes:
        return  # there never was one
    keys = [PATCH_KEY.pack(number, origin) for origin in origins.tolist()]
    stored = transaction.get_many("patches", keys)
    for key in sorted(stored):
        transaction.delete("patches", key)
    if stored:
        _count_change(transaction, number, changes)


def count_changes(transaction: Transaction, number: int) -> int:
    """How often the patches of the collection have changed."""
    value = transaction.get("patches", PATCH_KEY.pack(number, NO_SLOT))
    return 0 if value is None else int(PATCH_VALUE.unpack(value)[0])


def _count_change(transaction: Transaction, number: int, before: int) -> None:
    transaction.put("patches", PATCH_KEY.pack(number, NO_SLOT), PATCH_VALUE.pack(before + 1))


def scan_patches(transaction: Transaction, number: int) -> Patches:
    origins: list[int] = []
    sequences: list[int] = []
    for key, value in transaction.scan("patches", NUMBER.pack(number)):
        if len(key) != PATCH_KEY.size or len(value) != PATCH_VALUE.size:
            raise damaged("patches", key, "it is no patch")
        origin = PATCH_KEY.unpack(key)[1]
        if origin == NO_SLOT:
            continue
        origins.append(origin)
        sequences.append(PATCH_VALUE.unpack(value)[0])
    return Patches(np.array(origins, np.int64), np.array(sequences, np.int64))
