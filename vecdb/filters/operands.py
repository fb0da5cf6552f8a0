"""Operands that are more than a value or a list of them: circles, boxes and words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import limits
from ..errors import InvalidArgument, LimitExceeded
from .text import words_of
from .values import check_degrees, check_unicode, describe

CIRCLE = ("lat", "lon", "radius_m")
BOX = ("top", "left", "bottom", "right")


def check_circle(operand: object, path: str) -> tuple[float, ...]:
    """(lat, lon, radius_m) of ``{"lat": .., "lon": .., "radius_m": ..}``."""
    given = _parts(operand, CIRCLE, path)
    radius = given["radius_m"]
    here = f"{path}.radius_m"
    if isinstance(radius, bool) or not isinstance(radius, int | float):
        raise InvalidArgument(f"{here}: expected metres; got {describe(radius)}", field=here)
    if not 0 <= radius <= limits.RADIUS_M:
        raise InvalidArgument(
            f"{here}: a radius is from 0 to {limits.RADIUS_M} metres, half way round the earth",
            field=here,
            limit=limits.RADIUS_M,
        )
    lat = check_degrees(given["lat"], 90, f"{path}.lat")
    return lat, check_degrees(given["lon"], 180, f"{path}.lon"), float(radius)


def check_box(operand: object, path: str) -> tuple[float, ...]:
    """(top, left, bottom, right) of a dict of these; left above right: across the antimeridian."""
    given = _parts(operand, BOX, path)
    most = {"top": 90, "bottom": 90, "left": 180, "right": 180}
    box = {name: check_degrees(given[name], most[name], f"{path}.{name}") for name in BOX}
    if box["bottom"] > box["top"]:
        raise InvalidArgument(
            f"{path}: bottom must not be above top",
            field=path,
            hint="Swap them; left may be greater than right, the box then crosses longitude 180",
        )
    return tuple(box[name] for name in BOX)


def check_words(operand: object, path: str) -> tuple[str, ...]:
    """The words of a text, in order."""
    if not isinstance(operand, str):
        raise InvalidArgument(f"{path}: expected a string; got {describe(operand)}", field=path)
    if len(operand) > limits.FILTER_TEXT:
        raise LimitExceeded(
            f"{path}: at most {limits.FILTER_TEXT} characters; got {len(operand)}",
            field=path,
            limit=limits.FILTER_TEXT,
            actual=len(operand),
        )
    words = tuple(words_of(check_unicode(str.__str__(operand), path)))
    if not words:
        raise InvalidArgument(
            f"{path}: there is no word in it",
            field=path,
            hint='To match every record that has the field, use {"exists": true}',
        )
    if len(words) > limits.FILTER_WORDS:
        raise LimitExceeded(
            f"{path}: at most {limits.FILTER_WORDS} words; got {len(words)}",
            field=path,
            limit=limits.FILTER_WORDS,
            actual=len(words),
        )
    return words


def check_word(operand: object, path: str) -> tuple[str, ...]:
    """One word."""
    words = check_words(operand, path)
    if len(words) > 1:
        raise InvalidArgument(
            f"{path}: of a text the prefix of one word; got {len(words)} words",
            field=path,
            hint="Combine it with match or phrase by &",
        )
    return words


def _parts(operand: object, names: tuple[str, ...], path: str) -> Mapping[str, Any]:
    if not isinstance(operand, dict):
        raise InvalidArgument(
            f"{path}: expected a dict of {', '.join(names)}; got {describe(operand)}", field=path
        )
    if set(operand) != set(names):
        raise InvalidArgument(
            f"{path}: expected a dict of exactly {', '.join(names)}; got {len(operand)} keys",
            field=path,
        )
    return operand
