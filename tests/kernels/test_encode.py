"""Codes and query planes beside numpy: the same bits."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.kernels.encode import encode_rows, prepare_queries

TAUS = {2: (19, 37, 2), 4: (26, 43, 2), 8: (40, 45, 1)}


@pytest.fixture
def rng():
    return np.random.default_rng(41)


def draw(rng, count, size):
    return rng.standard_normal((count, size)).astype(np.float32)


def add_lanes(terms):
    """The sum of the terms, in their own type: lane j has j, j + 64, ...; then halves of halves."""
    lanes = np.zeros(64, terms.dtype)
    for part in terms.reshape(-1, 64):
        lanes += part
    while len(lanes) > 8:
        lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]
    left = (lanes[0] + lanes[4]) + (lanes[2] + lanes[6])
    return left + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))


def dot(x, y):
    return add_lanes(x.astype(np.float64) * y.astype(np.float64))


def pack(bits):
    """Words of 64 bits, the least significant first."""
    return np.packbits(np.asarray(bits, np.uint8), bitorder="little").view(np.uint64)


def to_grid(shares, scale, bits):
    top = np.float32(2 ** (bits - 1) - 1)
    return np.minimum(np.floor(shares * scale), top) + np.float32(0.5)


def find_grid(shares, bits):
    first, end, step = TAUS[bits]

    def scale_of(tau):
        return np.float32(40.0 * 2 ** (bits - 1) / tau)

    def fit(tau):
        grid = to_grid(shares, scale_of(tau), bits)
        product = add_lanes(grid * shares)
        return product * product / add_lanes(grid * grid)

    best = max(range(first, end, step), key=fit)
    beside = [tau for tau in (best - 1, best + 1) if step == 2 and first <= tau < end]
    return to_grid(shares, scale_of(max([best, *beside], key=fit)), bits)


def refine_row(z, bits, factor):
    sizes = np.abs(z)
    grid = find_grid(sizes * (np.float32(1.0) / sizes.max()), bits)
    levels = (grid - np.float32(0.5)).astype(np.int64)
    levels = np.where(z >= 0.0, levels, 2 ** (bits - 1) - 1 - levels)
    planes = [pack(levels >> plane & 1) for plane in range(bits - 2, -1, -1)]
    squared, product = dot(z, z), dot(grid, sizes)
    rest = max(dot(grid, grid) * squared / (product * product) - 1.0, 0.0)
    factors = [factor * squared / product, factor * np.sqrt(squared * rest / (len(z) - 1))]
    return np.concatenate([*planes, np.array(factors, np.float32).view(np.uint64)])


def encode(rotated, centre, squared_gap, bits):
    """Codes u64[n, W], add and mul f32[n, 2], refine u64[n, ...]."""
    z = rotated - centre
    factor = 2.0 if squared_gap else 1.0
    squared = np.array([dot(one, one) for one in z])
    sums = np.array([add_lanes(np.abs(one).astype(np.float64)) for one in z])
    add = -squared if squared_gap else [dot(row, centre) for row in rotated]
    fac = np.stack([add, factor * squared / sums], axis=1).astype(np.float32)
    refine = np.array([refine_row(one, bits, factor) for one in z]) if bits > 1 else None
    return np.array([pack(one >= 0.0) for one in z]), fac, refine


def run_encode(rotated, centre, squared_gap, bits, first=0, slots=None):
    """The kernel's answers, slot by slot."""
    count, words = len(rotated), rotated.shape[1] // 64
    slots = first + count if slots is None else slots
    blocks = -(-slots // 8)
    codes = np.full((blocks, words, 8), 7, np.uint64)
    fac = np.full((blocks, 2, 8), 7.0, np.float32)
    refine = np.full((slots if bits > 1 else 0, (bits - 1) * words + 1), 7, np.uint64)
    encode_rows(rotated, centre, squared_gap, bits, first, codes, fac, refine)
    return (
        codes.transpose(0, 2, 1).reshape(-1, words),
        fac.transpose(0, 2, 1).reshape(-1, 2),
        refine,
    )


@pytest.mark.parametrize("squared_gap", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("words", [1, 3])
def test_codes_are_those_of_numpy(rng, words, bits, squared_gap):
    rotated, centre = draw(rng, 5, 64 * words), draw(rng, 1, 64 * words)[0]
    codes, fac, refine = run_encode(rotated, centre, squared_gap, bits, first=6)
    expected = encode(rotated, centre, squared_gap, bits)
    assert codes[6:11].tobytes() == expected[0].tobytes()
    assert fac[6:11].tobytes() == expected[1].tobytes()
    if bits > 1:
        assert refine[6:].tobytes() == expected[2].tobytes()


@pytest.mark.parametrize("words", [16, 48])
def test_wide_codes_are_those_of_numpy(rng, words):
    rotated, centre = draw(rng, 1, 64 * words), draw(rng, 1, 64 * words)[0]
    found, expected = run_encode(rotated, centre, False, 2), encode(rotated, centre, False, 2)
    assert [one[:1].tobytes() for one in found] == [one.tobytes() for one in expected]


def test_other_lanes_are_left_alone(rng):
    rotated = draw(rng, 3, 64)
    codes, fac, refine = run_encode(rotated, rotated[0] * 0, False, 2, first=7, slots=16)
    others = [slot for slot in range(16) if not 7 <= slot < 10]
    for array in (codes, fac, refine):
        assert (array[others] == 7).all()
        assert (array[7:10] != 7).all()


def test_a_row_at_the_centre_has_no_size(rng):
    centre = draw(rng, 1, 128)[0]
    codes, fac, refine = run_encode(centre[None, :], centre, False, 4)
    assert (codes[0] == np.uint64(2**64 - 1)).all(), "0 counts as positive"
    assert fac[0].tolist() == [np.float32(dot(centre, centre)), 0.0]
    assert not refine.any()


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("scale", [1e-30, 1e-20, 2.0**55])
def test_factors_of_tiny_and_huge_rows_are_finite(rng, scale, bits):
    rotated = draw(rng, 2, 64)
    rotated *= np.float32(scale) / np.linalg.norm(rotated, axis=1, keepdims=True)
    rotated = rotated.astype(np.float32)
    for squared_gap in (False, True):
        _, fac, refine = run_encode(rotated, -rotated[0], squared_gap, bits)
        assert np.isfinite(fac[:2]).all()
        assert np.isfinite(refine[:, -1].copy().view(np.float32)).all()


def prepare(rotated, centre, squared_gap):
    count, size = rotated.shape
    words = size // 64
    planes4, planes8 = (
        np.empty((words, 4, count), np.uint64),
        np.empty((count, 8, words), np.uint64),
    )
    signs = np.empty((words, count), np.uint64)
    delta4, constant, length, delta8 = np.empty((4, count), np.float32)
    prepare_queries(
        *(rotated, centre, squared_gap),
        *(planes4, delta4, constant, length, signs, planes8, delta8),
    )
    return planes4, delta4, constant, length, signs, planes8, delta8


@pytest.mark.parametrize("squared_gap", [False, True])
@pytest.mark.parametrize(("count", "words"), [(1, 1), (3, 3), (1, 48)])
def test_query_planes_are_those_of_numpy(rng, count, words, squared_gap):
    rotated, centre = draw(rng, count, 64 * words), draw(rng, 1, 64 * words)[0]
    planes4, delta4, constant, length, signs, planes8, delta8 = prepare(
        rotated, centre, squared_gap
    )
    for q in range(count):
        y = rotated[q] - centre
        squared = dot(y, y)
        norm = np.sqrt(squared)
        assert length[q] == np.float32(norm)
        assert constant[q] == np.float32(-squared if squared_gap else dot(y, centre))
        assert delta4[q] == np.float32(5.8 * norm / (15.0 * np.sqrt(float(len(y)))))
        assert delta8[q] == np.float32(2.0 * float(np.abs(y).max()) / 255.0)
        assert signs[:, q].tolist() == pack(y >= 0.0).tolist()
        u = np.clip(np.floor(y / delta4[q] + np.float32(8.0)), 0, 15).astype(int)
        v = np.clip(np.floor(y / delta8[q] + np.float32(128.0)), 0, 255).astype(int)
        assert [planes4[:, j, q].tolist() for j in range(4)] == [
            pack(u >> j & 1).tolist() for j in range(4)
        ]
        assert [planes8[q, j].tolist() for j in range(8)] == [
            pack(v >> j & 1).tolist() for j in range(8)
        ]


def test_a_query_at_the_centre_adds_its_constant_only(rng):
    centre = draw(rng, 1, 64)[0]
    for shift in (0.0, 1e-36):
        found = prepare(centre[None, :] + np.float32(shift), centre, False)
        planes4, delta4, constant, length, signs, planes8, delta8 = found
        assert not delta4.any()
        assert not delta8.any()
        assert not constant.any()
        assert not length.any()
        assert not planes4.any()
        assert not planes8.any()
        assert (signs == np.uint64(2**64 - 1)).all()


def test_kernels_take_no_rows(rng):
    centre, nothing = draw(rng, 1, 64)[0], np.empty((0, 64), np.float32)
    run_encode(nothing, centre, False, 4)
    assert prepare(nothing, centre, False)[0].shape == (1, 4, 0)
