"""``F("lang") == "en"``: filters as Python expressions.

An expression is only a shape, ``to_dict()`` shows it; the engine checks it against the declared
fields of the collection. Values are bound, never parsed: there is no filter text. The client
carries a generated copy of this file.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NoReturn
from uuid import UUID

__all__ = ["Expression", "F"]

Scalar = str | int | float | bool | datetime | UUID


class Expression:
    """A filter; combine with ``&``, ``|`` and ``~``.

    ``~(F("lang") == "en")`` is two-valued: it includes records without ``lang``, unlike SQL.
    """

    __slots__ = ("_tree",)

    def __init__(self, tree: dict[str, Any]) -> None:
        self._tree = tree

    def to_dict(self) -> dict[str, Any]:
        """The same filter in the dict form."""
        return self._tree

    def __and__(self, other: Expression) -> Expression:
        return Expression({"and": [*_parts("and", self), *_parts("and", other)]})

    def __or__(self, other: Expression) -> Expression:
        return Expression({"or": [*_parts("or", self), *_parts("or", other)]})

    def __invert__(self) -> Expression:
        return Expression({"not": self._tree})

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "a filter has no truth value: use & | ~ instead of and, or, not, put each comparison "
            "in parentheses, and write .between(a, b) instead of a <= F(..) <= b"
        )

    def __repr__(self) -> str:
        return f"Expression({self._tree!r})"


def _parts(word: str, expression: object) -> list[dict[str, Any]]:
    if not isinstance(expression, Expression):
        raise TypeError(
            f"expected a filter on both sides of an operator, got {type(expression).__name__}: "
            "put each comparison in parentheses"
        )
    tree = expression.to_dict()
    return list(tree[word]) if set(tree) == {word} else [tree]


def _listed(values: Iterable[Scalar]) -> Any:
    # A text is left whole, to be refused: its characters are never what was meant.
    return values if isinstance(values, str) else list(values)


class F:
    """A declared payload field, to compare: ``F("year").between(2019, 2021)``.

    On a list of values a comparison holds if some element matches.
    """

    __slots__ = ("name",)
    __hash__ = None  # type: ignore[assignment]  # == builds a filter

    def __init__(self, name: str) -> None:
        self.name = name

    def _compare(self, operator: str, value: Any) -> Expression:
        return Expression({self.name: {operator: value}})

    def __eq__(self, value: Scalar) -> Expression:  # type: ignore[override]
        return self._compare("eq", value)

    def __ne__(self, value: Scalar) -> Expression:  # type: ignore[override]
        return self._compare("ne", value)

    def __lt__(self, value: Scalar) -> Expression:
        return self._compare("lt", value)

    def __le__(self, value: Scalar) -> Expression:
        return self._compare("lte", value)

    def __gt__(self, value: Scalar) -> Expression:
        return self._compare("gt", value)

    def __ge__(self, value: Scalar) -> Expression:
        return self._compare("gte", value)

    def isin(self, values: Iterable[Scalar]) -> Expression:
        """Equal to any of ``values``; none of them: matches nothing."""
        return self._compare("in", _listed(values))

    def between(self, low: Scalar, high: Scalar) -> Expression:
        """From ``low`` to ``high``, both included."""
        return self._compare("between", [low, high])

    def prefix(self, text: str) -> Expression:
        """A keyword that starts with ``text``; a text with a word that does."""
        return self._compare("prefix", text)

    def exists(self, present: bool = True) -> Expression:
        """Has a value that is not null (or, with False, has none)."""
        return self._compare("exists", present)

    def is_null(self, null: bool = True) -> Expression:
        """Is an explicit null (or, with False, is not)."""
        return self._compare("null", null)

    def contains(self, value: Scalar) -> Expression:
        """A list that holds ``value`` (or the value itself)."""
        return self._compare("eq", value)

    def has_all(self, values: Iterable[Scalar]) -> Expression:
        """A list that holds every one of ``values``; none of them: has a value."""
        return self._compare("all", _listed(values))

    def within(self, lat: float, lon: float, radius_m: float) -> Expression:
        """A point at most ``radius_m`` metres from there, on a great circle."""
        return self._compare("within", {"lat": lat, "lon": lon, "radius_m": radius_m})

    def in_box(self, top: float, left: float, bottom: float, right: float) -> Expression:
        """A point between these degrees; ``left > right`` is a box across the antimeridian."""
        box = {"top": top, "left": left, "bottom": bottom, "right": right}
        return self._compare("box", box)

    def match(self, text: str, *, any: bool = False) -> Expression:
        """A text that has all words of ``text``, in any order (or, with ``any``, some of them)."""
        return self._compare("match_any" if any else "match", text)

    def phrase(self, text: str) -> Expression:
        """A text that has the words of ``text`` one right after the other."""
        return self._compare("phrase", text)

    def __repr__(self) -> str:
        return f"F({self.name!r})"
