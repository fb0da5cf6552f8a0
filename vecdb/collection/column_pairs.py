"""Columns of values that are two numbers, UUIDs and points, compared whole."""

from __future__ import annotations

from math import degrees, radians, sin

import numpy as np
from numpy.typing import NDArray

from ..filters import geo

Bits = NDArray[np.bool_]
Floats = NDArray[np.float64]

_FEW = 4
"""Up to so many UUIDs are compared one after the other."""


def match_uuids(values: NDArray[np.uint64], operator: str, wanted: tuple[bytes, ...]) -> Bits:
    """bool[v]: which of ``values`` [v, 2] are one of ``wanted``, or, of ``ne``, are not."""
    if operator == "ne":
        return ~match_uuids(values, "eq", wanted)
    high, low = values[:, 0], values[:, 1]
    halves = np.frombuffer(b"".join(wanted), ">u8").astype("<u8").reshape(-1, 2)
    if len(wanted) <= _FEW:
        found = np.zeros(len(values), np.bool_)
        for first, second in halves:
            found |= (high == first) & (low == second)
        return found
    found = _are_among(high, np.unique(halves[:, 0]))
    places = np.flatnonzero(found)
    # Both halves as text of 16 bytes, in whatever order numpy gives them: it is one for both.
    found[places] = _are_among(_joined(values[places]), np.sort(_joined(halves)))
    return found


def _joined(halves: NDArray[np.uint64]) -> NDArray[np.bytes_]:
    joined: NDArray[np.bytes_] = np.ascontiguousarray(halves).view("S16").ravel()
    return joined


def _are_among(values: NDArray[np.generic], ordered: NDArray[np.generic]) -> Bits:
    places = np.searchsorted(ordered, values)
    found: Bits = ordered[np.minimum(places, len(ordered) - 1)] == values
    return found


def match_points(values: Floats, operator: str, numbers: tuple[float, ...]) -> Bits:
    """bool[v]: which points [v, 2] (latitude, longitude) are in the circle, or the box."""
    if operator == "within":
        lat, lon, radius_m = numbers
        return _in_circle(values, lat, lon, radius_m)
    top, left, bottom, right = numbers
    lats, lons = values[:, 0], values[:, 1]
    found: Bits = lats >= bottom
    found &= lats <= top
    inside = _between(left, right, lons)
    inside |= (np.abs(lons) == 180.0) & _between(left, right, -lons)
    found &= inside
    return found


def _between(left: float, right: float, lons: Floats) -> Bits:
    if left <= right:
        return (lons >= left) & (lons <= right)
    return (lons >= left) | (lons <= right)


def _in_circle(values: Floats, lat: float, lon: float, radius_m: float) -> Bits:
    """As ``geo.is_within`` says of each point, to the last bit.

    numpy's sines may differ in the last place from those by which payloads are tested, so
    points as near to the circle as that could matter are tested as those are.
    """
    reach = degrees(radius_m / geo.EARTH_M) * (1 + 1e-9) + 1e-9
    found: Bits = np.abs(values[:, 0] - lat) <= reach
    places = np.flatnonzero(found)
    points = values[places]
    lats, lons = np.radians(points[:, 0]), points[:, 1]
    across, along = np.sin(np.radians(lons - lon) / 2), np.sin((lats - radians(lat)) / 2)
    share = along * along + np.cos(lats) * np.cos(radians(lat)) * across * across
    half = radius_m / (2 * geo.EARTH_M)
    limit = sin(half) ** 2 if half < np.pi / 2 else 2.0
    inside: Bits = share <= limit
    margin = 1e-9 * limit + 1e-14 * limit**0.5 + 1e-28
    near = np.flatnonzero(np.abs(share - limit) <= margin)
    if len(near):
        distinct, which = np.unique(points[near], axis=0, return_inverse=True)
        tested = [geo.is_within(lat, lon, radius_m, (one[0], one[1])) for one in distinct.tolist()]
        inside[near] = np.array(tested)[which.ravel()]
    found[places] = inside
    return found
