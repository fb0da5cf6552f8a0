"""Operations put together, so that a tail takes them in large pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..storage.operations import Operation
from ..storage.records import Ids

_GATHER_BYTES = 8 * 1024 * 1024
_GATHER_OPERATIONS = 4_096


def join_operations(operations: Sequence[Operation]) -> Iterator[tuple[int, Ids, NDArray[Any]]]:
    """(first slot, ids, vectors) of operations with vectors; those whose slots follow, joined."""
    written = [one for one in operations if len(one.vectors)]
    start = 0
    for place, one in enumerate(written):
        following = written[place + 1].first_slot if place + 1 < len(written) else -1
        if one.first_slot + len(one.vectors) == following:
            continue
        run = written[start : place + 1]
        start = place + 1
        if len(run) == 1:
            yield run[0].first_slot, run[0].ids, run[0].vectors
        else:
            yield run[0].first_slot, _join_ids(run), np.concatenate([part.vectors for part in run])


def _join_ids(operations: Sequence[Operation]) -> Ids:
    if isinstance(operations[0].ids, list):
        return [text for one in operations for text in one.ids]
    return np.concatenate([np.asarray(one.ids) for one in operations])


def gather_operations(operations: Iterable[Operation]) -> Iterator[list[Operation]]:
    """Some operations at a time: small ones together, within a bounded number of bytes."""
    some: list[Operation] = []
    size_bytes = 0
    for one in operations:
        some.append(one)
        size_bytes += one.vectors.nbytes
        if size_bytes >= _GATHER_BYTES or len(some) >= _GATHER_OPERATIONS:
            yield some
            some, size_bytes = [], 0
    if some:
        yield some
