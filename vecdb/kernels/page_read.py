"""Reading many pieces of files without the GIL: by io_uring, or one after the other.

A ring is io_uring's memory, mapped: the queue of requests (sq), their entries (sqes), and the queue
of answers (cq). One thread uses it at a time, so fences are needed only against the system.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from .addresses import words_at
from .instructions import intrinsic

_ENTER = 426  # io_uring_enter, on all of Linux's architectures
_GET_EVENTS = 1
_READ = 22
_FAILURES_MAX = 1_000

_INDEX = types.Array(types.int64, 1, "C", readonly=True)
_FILES = types.Array(types.int32, 1, "C", readonly=True)
_RING = types.Array(types.uint32, 1, "C")

_syscall: Any = types.ExternalFunction("syscall", types.int64(*(types.int64,) * 7))
_pread: Any = types.ExternalFunction(
    "pread", types.int64(types.int32, types.int64, types.int64, types.int64)
)


@intrinsic
def _fence(typing_context: Any) -> Any:
    """Nothing is moved from one side of it to the other."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), lower


@njit(
    types.void(_FILES, _INDEX, types.int64, _INDEX, types.int64[::1]),
    nogil=True,
    cache=True,
)
def read_each(
    files: NDArray[np.int32],
    offsets: NDArray[np.int64],
    nbytes: int,
    addresses: NDArray[np.int64],
    results: NDArray[np.int64],
) -> None:
    """results[i] = bytes read from ``offsets[i]`` of ``files[i]`` to ``addresses[i]``, or -1."""
    for i in range(offsets.shape[0]):
        results[i] = _pread(files[i], addresses[i], nbytes, offsets[i])


@njit(
    types.int64(
        *(types.int64, _RING, _RING, types.uint64[:, ::1], _INDEX),
        *(_FILES, _INDEX, types.int64, _INDEX, types.int64[::1]),
    ),
    nogil=True,
    cache=True,
)
def read_by_ring(
    ring: int,
    sq: NDArray[np.uint32],
    cq: NDArray[np.uint32],
    sqes: NDArray[np.uint64],
    places: NDArray[np.int64],
    files: NDArray[np.int32],
    offsets: NDArray[np.int64],
    nbytes: int,
    addresses: NDArray[np.int64],
    results: NDArray[np.int64],
) -> int:
    """As ``read_each``, all at once; results are minus the error's number where there is one.

    - ``ring``: its descriptor; ``sq``, ``cq``: the mapped queues as words of 4 bytes
    - ``sqes``: uint64[entries, 8]
    - ``places``: in words: sq tail, sq array; cq head, cq tail, cq entries; masks of sq and of cq

    Where all fits the ring, one call hands over all requests and waits for all answers. Returns
    when nothing is under way any more: 0, or -1 if the ring took no requests, so that some results
    still are what they were and the ring has to be closed.
    """
    sq_tail, sq_array, cq_head, cq_tail, cq_entries = places[:5]
    sq_mask, cq_mask = places[5], places[6]
    depth = sqes.shape[0]
    begun, waiting, under_way, failures = 0, 0, 0, 0
    count = offsets.shape[0]
    while begun < count or waiting + under_way > 0:
        tail = sq[sq_tail]
        while begun < count and waiting + under_way < depth:
            at = tail & np.uint32(sq_mask)
            entry = sqes[at]
            entry[:] = np.uint64(0)
            entry[0] = np.uint64(_READ) | np.uint64(files[begun]) << np.uint64(32)
            entry[1] = np.uint64(offsets[begun])
            entry[2] = np.uint64(addresses[begun])
            entry[3] = np.uint64(nbytes)
            entry[4] = np.uint64(begun)
            sq[sq_array + at] = np.uint32(at)
            tail += np.uint32(1)
            begun += 1
            waiting += 1
        _fence()
        sq[sq_tail] = tail
        _fence()
        least = waiting + under_way if begun == count else depth // 4
        taken = _syscall(_ENTER, ring, waiting, least, _GET_EVENTS, 0, 0)
        if taken >= 0:
            waiting -= taken
            under_way += taken
        else:  # a signal, or no memory for a moment
            failures += 1
        _fence()
        head, end = cq[cq_head], cq[cq_tail]
        while head != end:
            at = cq_entries + 4 * np.int64(head & np.uint32(cq_mask))
            tag = np.int64(cq[at]) | np.int64(cq[at + 1]) << 32
            results[tag] = np.int64(np.int32(cq[at + 2]))
            head += np.uint32(1)
            under_way -= 1
        _fence()
        cq[cq_head] = head
        if failures > _FAILURES_MAX and under_way == 0:
            return -1
    return 0


@njit(types.void(_INDEX, types.int64, _INDEX), nogil=True, cache=True)
def copy_each(sources: NDArray[np.int64], nbytes: int, addresses: NDArray[np.int64]) -> None:
    """Copy ``nbytes`` (a multiple of 8) from each of ``sources`` to its address."""
    for i in range(sources.shape[0]):
        words_at(addresses[i], nbytes // 8)[:] = words_at(sources[i], nbytes // 8)
