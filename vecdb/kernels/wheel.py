"""A timer wheel on arrays: rows wait in lists of the second, or the hour, in which they are due.

After Varghese and Lauck (1987), scheme 7, with two levels: ``SECONDS`` lists of one second and
``HOURS`` of one hour. A row is put in and taken out in the same time whatever the number of rows.
Lists are doubly linked through ``links``; a row that is in none links to itself.

Rows due beyond the last hour wait there and are put in again. ``advance`` does a bounded number of
steps and remembers in ``clock`` how far it came, so nothing ever waits for a long list.

- ``heads``: i32[SECONDS + HOURS], first row of each list, -1: empty
- ``links``: i32[rows, 2], next and previous; next -1: the last; previous -(list) - 2: the first
- ``due``: i64[rows], seconds; ``clock``: i64[2]: the second that is being emptied; whether the
  lists of its hour have been moved
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

SECONDS = 3_600
HOURS = 2_400

_HEADS = types.int32[::1]
_LINKS = types.int32[:, ::1]
_DUE = types.int64[::1]
_CLOCK = types.int64[::1]


@njit(types.void(types.int64, _HEADS, _LINKS), nogil=True, cache=True)
def take_out(row: int, heads: NDArray[np.int32], links: NDArray[np.int32]) -> None:
    """Take a row out of the list that it is in; nothing if it is in none."""
    after, before = links[row, 0], links[row, 1]
    if after == row:
        return
    if before < 0:
        heads[-before - 2] = after
    else:
        links[before, 0] = after
    if after >= 0:
        links[after, 1] = before
    links[row, 0] = row
    links[row, 1] = row


@njit(types.void(types.int64, _HEADS, _LINKS, _DUE, _CLOCK), nogil=True, cache=True)
def put_in(
    row: int,
    heads: NDArray[np.int32],
    links: NDArray[np.int32],
    due: NDArray[np.int64],
    clock: NDArray[np.int64],
) -> None:
    """Put a row that is in no list into the one of ``due[row]``."""
    now = clock[0]
    second = max(due[row], now)
    hour, this = second // SECONDS, now // SECONDS
    later = SECONDS + min(hour, this + HOURS - 1) % HOURS  # put in again when that hour comes
    place = second % SECONDS if hour == this else later
    first = heads[place]
    links[row, 0] = first
    links[row, 1] = -place - 2
    if first >= 0:
        links[first, 1] = row
    heads[place] = row


@njit(
    types.int64(types.int64, types.int64, _HEADS, _LINKS, _DUE, _CLOCK, types.int32[::1]),
    nogil=True,
    cache=True,
)
def advance(
    now: int,
    steps: int,
    heads: NDArray[np.int32],
    links: NDArray[np.int32],
    due: NDArray[np.int64],
    clock: NDArray[np.int64],
    out: NDArray[np.int32],
) -> int:
    """Take out rows that are due at ``now``, up to ``len(out)``; how many there are.

    At most ``steps`` rows are moved and as many empty seconds passed; it is done when the answer
    is 0 and ``clock[0]`` is ``now + 1``.
    """
    found = 0
    while steps > 0 and found < out.shape[0] and clock[0] <= now:
        steps -= 1
        second = clock[0]
        if clock[1] == 0:
            place = SECONDS + second // SECONDS % HOURS
            row = heads[place]
            if row < 0:
                clock[1] = 1
                continue
            take_out(row, heads, links)
            put_in(row, heads, links, due, clock)  # never into the same list again
            continue
        row = heads[second % SECONDS]
        if row >= 0:
            take_out(row, heads, links)
            out[found] = row
            found += 1
            continue
        clock[0] = second + 1
        if clock[0] % SECONDS == 0:
            clock[1] = 0
    return found
