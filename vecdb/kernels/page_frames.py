"""Which frame of a cache holds a page, and which frame goes next: CLOCK, as plain arrays.

A frame has a number; ``keys``, ``pins`` and ``used`` say what it holds ([file, page]; file -1:
nothing that can be found), how many hold it, and whether it was asked for since the hand passed.
``table`` is open addressing: frames, -1 where there is none, a power of two of them.

A page comes in unused: one that nobody asks for again goes in the hand's next round. That kept
1 to 3 in 100 more of the pages asked for than to let it come in as used, and 1 more than to let go
of what was used longest ago (Zipf with exponents of 0.6 to 1, caches of 1 to 20 %).

The caller keeps others away while a kernel runs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

_NONE = -1
_DONT_NEED = 4

_PLACES = types.Array(types.int64, 1, "C", readonly=True)
_TABLE, _KEYS = types.int32[::1], types.int64[:, ::1]
_PINS, _USED, _FOUND = types.int32[::1], types.uint8[::1], types.int64[::1]

_madvise: Any = types.ExternalFunction(
    "madvise", types.int32(types.int64, types.int64, types.int32)
)


@njit(types.int64(types.int64, types.int64, types.int64), nogil=True, cache=True)
def _home(file: int, page: int, mask: int) -> int:
    """Where the search for a page begins."""
    mixed = np.uint64(file) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(page)
    mixed = (mixed ^ mixed >> np.uint64(32)) * np.uint64(0xD6E8FEB86659FD93)
    return (mixed ^ mixed >> np.uint64(32)) & np.uint64(mask)  # type: ignore[return-value]


@njit(types.int64(_TABLE, _KEYS, types.int64, types.int64), nogil=True, cache=True)
def _place_of(table: NDArray[np.int32], keys: NDArray[np.int64], file: int, page: int) -> int:
    """Where the page stands in the table, or the free place where it belongs."""
    mask = table.shape[0] - 1
    at = _home(file, page, mask)
    while table[at] >= 0 and (keys[table[at], 0] != file or keys[table[at], 1] != page):
        at = (at + 1) & mask
    return at


@njit(types.void(_TABLE, _KEYS, types.int64), nogil=True, cache=True)
def _forget(table: NDArray[np.int32], keys: NDArray[np.int64], frame: int) -> None:
    """Take what the frame holds out of the table; those behind it move up."""
    mask = table.shape[0] - 1
    hole = _place_of(table, keys, keys[frame, 0], keys[frame, 1])
    keys[frame, 0] = _NONE
    at = hole
    while True:
        at = (at + 1) & mask
        other = table[at]
        if other < 0:
            break
        home = _home(keys[other, 0], keys[other, 1], mask)
        if (at - home) & mask >= (at - hole) & mask:
            table[hole] = other
            hole = at
    table[hole] = _NONE


@njit(
    types.int64(*(_TABLE, _KEYS, _PINS, _USED, types.int64, types.int64)),
    nogil=True,
    cache=True,
)
def _next_free(
    table: NDArray[np.int32],
    keys: NDArray[np.int64],
    pins: NDArray[np.int32],
    used: NDArray[np.uint8],
    limit: int,
    hand: int,
) -> int:
    """The first frame from ``hand`` on that can go, empty; -1: all are held."""
    for step in range(2 * limit):
        frame = (hand + step) % limit
        if pins[frame] == 0:
            if used[frame] == 0:
                if keys[frame, 0] != _NONE:
                    _forget(table, keys, frame)
                return frame
            used[frame] = 0
    return _NONE


@njit(
    types.int64(
        *(_TABLE, _KEYS, _PINS, _USED, types.int64, types.int64),
        *(_PLACES, _PLACES, _FOUND, _USED),
    ),
    nogil=True,
    cache=True,
)
def pin_frames(
    table: NDArray[np.int32],
    keys: NDArray[np.int64],
    pins: NDArray[np.int32],
    used: NDArray[np.uint8],
    limit: int,
    hand: int,
    files: NDArray[np.int64],
    pages: NDArray[np.int64],
    frames: NDArray[np.int64],
    missing: NDArray[np.uint8],
) -> int:
    """Hold the frames of some pages, and frames to read the rest to; where the hand is then.

    - ``limit``: frames in use
    - ``frames``: out, of each page; -1: it is missing, and no frame is free for it
    - ``missing``: out, 1 where the page has to be read
    """
    for i in range(pages.shape[0]):  # all hits first: no frame among them may go
        frame = table[_place_of(table, keys, files[i], pages[i])]
        frames[i], missing[i] = frame, frame < 0
        if frame >= 0:
            pins[frame] += 1
            used[frame] = 1
    full = limit == 0
    for i in range(pages.shape[0]):
        if missing[i] and not full:
            frames[i] = _next_free(table, keys, pins, used, limit, hand)
            full = frames[i] < 0
            if not full:
                pins[frames[i]] = 1
                hand = (frames[i] + 1) % limit
    return hand


@njit(
    types.void(*(_TABLE, _KEYS, types.int64), *(_PLACES, _PLACES, _PLACES, _USED)),
    nogil=True,
    cache=True,
)
def enter_frames(
    table: NDArray[np.int32],
    keys: NDArray[np.int64],
    limit: int,
    files: NDArray[np.int64],
    pages: NDArray[np.int64],
    frames: NDArray[np.int64],
    missing: NDArray[np.uint8],
) -> None:
    """Let the pages that were missing be found, but for those that another has entered since."""
    for i in range(pages.shape[0]):
        if missing[i] and 0 <= frames[i] < limit:
            at = _place_of(table, keys, files[i], pages[i])
            if table[at] < 0:
                table[at] = frames[i]
                keys[frames[i], 0], keys[frames[i], 1] = files[i], pages[i]


@njit(types.void(_PINS, _PLACES), nogil=True, cache=True)
def unpin_frames(pins: NDArray[np.int32], frames: NDArray[np.int64]) -> None:
    """Let frames go; -1 is none."""
    for i in range(frames.shape[0]):
        if frames[i] >= 0:
            pins[frames[i]] -= 1


@njit(types.void(_TABLE, _KEYS, _USED, types.int64, types.int64), nogil=True, cache=True)
def empty_frames(
    table: NDArray[np.int32],
    keys: NDArray[np.int64],
    used: NDArray[np.uint8],
    first: int,
    file: int,
) -> None:
    """Forget what frames from ``first`` on hold: of one file, or (-1) of all."""
    for frame in range(first, keys.shape[0]):
        if keys[frame, 0] != _NONE and file in (_NONE, keys[frame, 0]):
            _forget(table, keys, frame)
            used[frame] = 0


@njit(types.void(_TABLE, _KEYS), nogil=True, cache=True)
def fill_table(table: NDArray[np.int32], keys: NDArray[np.int64]) -> None:
    """Enter what all frames hold into an empty table."""
    for frame in range(keys.shape[0]):
        if keys[frame, 0] != _NONE:
            table[_place_of(table, keys, keys[frame, 0], keys[frame, 1])] = frame


@njit(types.void(_PLACES, types.int64), nogil=True, cache=True)
def give_back(addresses: NDArray[np.int64], page_bytes: int) -> None:
    """Let the system have the memory at ascending addresses; later it is there again, zero."""
    begin = 0
    for i in range(1, addresses.shape[0] + 1):
        if i == addresses.shape[0] or addresses[i] != addresses[i - 1] + page_bytes:
            _madvise(addresses[begin], (i - begin) * page_bytes, _DONT_NEED)
            begin = i
