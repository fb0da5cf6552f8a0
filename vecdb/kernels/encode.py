"""From rotated vectors to codes: sign plane, refine planes, query planes.

Every float operation has one fixed place in one fixed order (no fastmath, no contraction), so a row
gives the same bits alone, in a batch and on any processor. Sums run in 64 lanes: lane j takes the
elements j, j + 64, ... and a fixed tree adds the lanes. (The compiler makes vectors of loops of 64,
not of 8: those it unrolls. Eight lanes took three times as long.)

P is the padded dimension (a multiple of 64), W = P / 64, B the bits a dimension.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

VECTOR = types.Array(types.float32, 1, "C", readonly=True)  # takes writable arrays too
MATRIX = types.Array(types.float32, 2, "C", readonly=True)

_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
_FAINT = np.float32(2.0**-100)
"""Queries shorter than it, and grids of smaller numbers, are taken for zero."""


@njit(nogil=True, cache=True)
def _add_lanes(lanes: NDArray[Any]) -> Any:
    """The sum of 64 lanes: halves, then quarters, ... are added to each other."""
    for i in range(8):
        lanes[i] = ((lanes[i] + lanes[i + 32]) + (lanes[i + 16] + lanes[i + 48])) + (
            (lanes[i + 8] + lanes[i + 40]) + (lanes[i + 24] + lanes[i + 56])
        )
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + (
        (lanes[1] + lanes[5]) + (lanes[3] + lanes[7])
    )


@njit(nogil=True, cache=True)
def _dot(x: NDArray[np.float32], y: NDArray[np.float32], lanes: NDArray[np.float64]) -> np.float64:
    """x . y in 64 lanes; their length is a multiple of 64."""
    for i in range(64):
        lanes[i] = 0.0
    for start in range(0, x.shape[0], 64):
        left, right = x[start : start + 64], y[start : start + 64]
        for i in range(64):
            lanes[i] += np.float64(left[i]) * np.float64(right[i])
    total: np.float64 = _add_lanes(lanes)
    return total


@njit(nogil=True, cache=True)
def _sign_word(z: NDArray[np.float32]) -> np.uint64:
    """Bit i is set where z[i] >= 0; 64 numbers."""
    word = np.uint64(0)
    for i in range(64):
        word |= np.uint64(z[i] >= _ZERO) << np.uint64(i)
    return word


@njit(nogil=True, cache=True)
def _plane_word(levels: NDArray[np.int32], plane: int) -> np.uint64:
    """Bit i is bit ``plane`` of levels[i]; 64 numbers."""
    word = np.uint64(0)
    for i in range(64):
        word |= np.uint64((levels[i] >> plane) & 1) << np.uint64(i)
    return word


@njit(nogil=True, cache=True)
def _fit(
    shares: NDArray[np.float32],
    scale: np.float32,
    top: np.float32,
    products: NDArray[np.float32],
    squares: NDArray[np.float32],
) -> Any:
    """<g, a>^2 / |g|^2 for the grid points g = min(floor(a scale), top) + 1/2, in 64 lanes."""
    for i in range(64):
        products[i] = squares[i] = _ZERO
    for start in range(0, shares.shape[0], 64):
        part = shares[start : start + 64]
        for i in range(64):
            g = min(np.floor(part[i] * scale), top) + _HALF
            products[i] += g * part[i]
            squares[i] += g * g
    product = _add_lanes(products)
    return product * product / _add_lanes(squares)


@njit(nogil=True, cache=True)
def _best_scale(
    shares: NDArray[np.float32], bits: int, lanes: NDArray[np.float32]
) -> tuple[Any, Any]:
    """The scale that fits the grid best to ``shares``, whose largest is 1; and the grid's top.

    Scales are 2^(B-1) / tau, tau in steps of 1/40. With 2 and 4 bits every second is tried, then
    those beside the best: err grows by 0.01 % over trying all.
    """
    half = 1 << (bits - 1)
    top = np.float32(half - 1)
    low, high, step = 26, 42, 2
    if bits == 2:
        low, high, step = 19, 36, 2
    elif bits == 8:
        low, high, step = 40, 44, 1
    best, at = -_ONE, low
    for tau in range(low, high + 1, step):
        fit = _fit(shares, np.float32(40.0 * half / tau), top, lanes[:64], lanes[64:])
        if fit > best:
            best, at = fit, tau
    for tau in (at - 1, at + 1):
        if step == 2 and low <= tau <= high:
            fit = _fit(shares, np.float32(40.0 * half / tau), top, lanes[:64], lanes[64:])
            if fit > best:
                best, at = fit, tau
    return np.float32(40.0 * half / at), top


@njit(nogil=True, cache=True)
def _refine_row(
    z: NDArray[np.float32],
    squared: np.float64,
    bits: int,
    factor: float,
    sizes: NDArray[np.float32],
    grid: NDArray[np.float32],
    levels: NDArray[np.int32],
    lanes: NDArray[np.float64],
    out: NDArray[np.uint64],
) -> None:
    """The planes under the sign plane, most significant first; then mul and err in one word.

    - ``squared``: |z|^2; ``factor``: of mul and err; ``sizes``: |z_i|
    - ``grid``, ``levels``: scratch [P]; ``lanes``: scratch [64]
    """
    size = z.shape[0]
    largest = _ZERO
    for j in range(size):
        largest = max(largest, sizes[j])
    if largest < _FAINT:
        out[:] = np.uint64(0)
        return
    inverse = _ONE / largest
    for j in range(size):
        grid[j] = sizes[j] * inverse
    scale, top = _best_scale(grid, bits, lanes.view(np.float32))
    for j in range(size):
        level = min(np.floor(grid[j] * scale), top)
        levels[j] = np.int32(level)
        grid[j] = level + _HALF
    words = size // 64
    for w in range(words):
        flipped = ~_sign_word(z[64 * w : 64 * w + 64])
        for plane in range(bits - 1):
            word = _plane_word(levels[64 * w : 64 * w + 64], bits - 2 - plane)
            out[plane * words + w] = word ^ flipped
    product = _dot(grid, sizes, lanes)
    rest = max(_dot(grid, grid, lanes) * squared / (product * product) - 1.0, 0.0)
    pair = np.empty(2, np.float32)
    pair[0] = np.float32(factor * squared / product)
    pair[1] = np.float32(factor * np.sqrt(squared * rest / np.float64(size - 1)))
    out[(bits - 1) * words] = pair.view(np.uint64)[0]


@njit(
    types.void(
        *(MATRIX, VECTOR, types.boolean, types.intp, types.intp),
        *(types.uint64[:, :, ::1], types.float32[:, :, ::1], types.uint64[:, ::1]),
    ),
    nogil=True,
    cache=True,
)
def encode_rows(
    rotated: NDArray[np.float32],
    centre: NDArray[np.float32],
    squared_gap: bool,
    bits: int,
    first: int,
    codes: NDArray[np.uint64],
    fac: NDArray[np.float32],
    refine: NDArray[np.uint64],
) -> None:
    """Write the codes of rotated rows ([n, P]) about a rotated centre to slots ``first`` ...

    - ``squared_gap``: estimates are of -|x - q|^2, else of <x, q>
    - ``codes``: u64[blocks, W, 8]; ``fac``: f32[blocks, 2, 8], add and mul
    - ``refine``: u64[slots, (B - 1) W + 1], or no rows: not wanted
    """
    size = centre.shape[0]
    z, sizes = np.empty(size, np.float32), np.empty(size, np.float32)
    grid, levels = np.empty(size, np.float32), np.empty(size, np.int32)
    ones, lanes = np.ones(size, np.float32), np.empty(64, np.float64)
    factor = 2.0 if squared_gap else 1.0
    for i in range(rotated.shape[0]):
        row = rotated[i]
        for j in range(size):
            z[j] = row[j] - centre[j]
            sizes[j] = abs(z[j])
        squared, total = _dot(z, z, lanes), _dot(sizes, ones, lanes)
        slot = first + i
        b, lane = slot // 8, slot % 8
        for w in range(size // 64):
            codes[b, w, lane] = _sign_word(z[64 * w : 64 * w + 64])
        add = -squared if squared_gap else _dot(row, centre, lanes)
        fac[b, 0, lane] = np.float32(add)
        fac[b, 1, lane] = np.float32(factor * squared / total) if total > 0.0 else _ZERO
        if refine.shape[0] > 0:
            _refine_row(z, squared, bits, factor, sizes, grid, levels, lanes, refine[slot])


@njit(nogil=True, cache=True)
def _find_levels(
    y: NDArray[np.float32], delta: np.float32, top: int, levels: NDArray[np.int32]
) -> None:
    """levels = the number of the step of ``delta`` each y lies in, from 0 to ``top``."""
    middle, most = np.float32(top // 2 + 1), np.float32(top)
    for j in range(y.shape[0]):
        level = min(max(np.floor(y[j] / delta + middle), _ZERO), most)
        levels[j] = np.int32(level)


@njit(
    types.void(
        *(MATRIX, VECTOR, types.boolean, types.uint64[:, :, ::1], types.float32[::1]),
        *(types.float32[::1], types.float32[::1], types.uint64[:, ::1]),
        *(types.uint64[:, :, ::1], types.float32[::1]),
    ),
    nogil=True,
    cache=True,
)
def prepare_queries(
    rotated: NDArray[np.float32],
    centre: NDArray[np.float32],
    squared_gap: bool,
    planes4: NDArray[np.uint64],
    delta4: NDArray[np.float32],
    constant: NDArray[np.float32],
    length: NDArray[np.float32],
    signs: NDArray[np.uint64],
    planes8: NDArray[np.uint64],
    delta8: NDArray[np.float32],
) -> None:
    """Of each row y = rotated - centre: its planes, their steps, its share of e and its length.

    - ``planes4``: u64[W, 4, Q]; ``signs``: u64[W, Q]; ``planes8``: u64[Q, 8, W]; the rest: f32[Q]
    """
    size = centre.shape[0]
    y, levels = np.empty(size, np.float32), np.empty(size, np.int32)
    lanes = np.empty(64, np.float64)
    root = np.sqrt(np.float64(size))
    for q in range(rotated.shape[0]):
        largest = _ZERO
        for j in range(size):
            y[j] = rotated[q, j] - centre[j]
            largest = max(largest, abs(y[j]))
        squared = _dot(y, y, lanes)
        norm = np.sqrt(squared)
        constant[q] = np.float32(-squared if squared_gap else _dot(y, centre, lanes))
        length[q] = np.float32(norm)
        for w in range(size // 64):
            signs[w, q] = _sign_word(y[64 * w : 64 * w + 64])
        if norm < _FAINT:
            delta4[q] = delta8[q] = _ZERO
            planes4[:, :, q] = np.uint64(0)
            planes8[q] = np.uint64(0)
            continue
        delta4[q] = np.float32(5.8 * norm / (15.0 * root))
        delta8[q] = np.float32(2.0 * np.float64(largest) / 255.0)
        _find_levels(y, delta4[q], 15, levels)
        for w in range(size // 64):
            for plane in range(4):
                planes4[w, plane, q] = _plane_word(levels[64 * w : 64 * w + 64], plane)
        _find_levels(y, delta8[q], 255, levels)
        for w in range(size // 64):
            for plane in range(8):
                planes8[q, plane, w] = _plane_word(levels[64 * w : 64 * w + 64], plane)
